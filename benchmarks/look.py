"""How fast a watchlist looks at a video: the whole of it, its parts alone, and a plain loop.

python benchmarks/look.py VIDEO --precision int8

Frames a second are those that the network looks at, five of each second of video; of twice as many
the motion is measured. The plain loop is what one would write: OpenCV decodes and measures the
flow, torchvision's network looks in float32, one after the other.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from throughput import MEAN, STD, compare

from sdor.errors import SdorError
from sdor.method.flow import RATE, CellMotion
from sdor.method.maps import seeing
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.operator.basis import camera_basis, looking, read_basis, write_basis
from sdor.operator.look import CHUNK, Eye, look, sampled
from sdor.study.config import with_defaults
from sdor.study.scenes import Clip, Scene
from sdor.study.settings import MotionMethod
from sdor.video.frames import read_clip

METHOD = MotionMethod.read({**with_defaults({"fps": 5}, "motion"), "approach": "motion"})
SIZE = 224  # pixels


def main() -> None:
    """Print the rates, all measured in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32", "int8"])
    options = parser.parse_args()
    if not options.video.is_file():
        parser.error(f"{options.video}: no such file")
    compute, threads = choose_compute(options.device, options.precision), torch.get_num_threads()
    clip = Clip("clip", "video", options.video.resolve(), options.video.name)
    with tempfile.TemporaryDirectory() as folder:
        weights, basis = Path(folder, "resnet50.safetensors"), Path(folder, "basis.safetensors")
        resolve_weights("resnet50", "auto", weights)
        backbone, plain = load_backbone(weights), load_backbone(weights).net.to(compute.device)
        compute.place(backbone)
        scene = Scene("camera", clip.path.parent, (clip,))
        auto = options.precision == "auto"
        found = camera_basis(scene, backbone, compute, METHOD.maps, SIZE, tries_int8=auto)
        write_basis(basis, found)
        network = looking(backbone, METHOD.maps.stages, basis)
        eye = Eye(seeing(network, compute, read_basis(basis)), SIZE, METHOD.maps.fps)
    rows, motion = [*sampled(read_clip(clip, []), eye)], CellMotion()
    pictures = np.stack([row.picture for row in rows if row.picture is not None])

    def ours() -> None:
        for _ in look(read_clip(clip, []), eye, threads):
            pass

    def network_alone() -> None:
        for begin in range(0, len(pictures), CHUNK // 2):
            eye.see(pictures[begin : begin + CHUNK // 2])

    def flow_alone() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(motion, *zip(*(row.pair for row in rows), strict=True)):
                pass

    def decoding_alone() -> None:
        for _ in sampled(read_clip(clip, []), eye):
            pass

    @torch.inference_mode()
    def loop() -> None:
        video = cv2.VideoCapture(str(clip.path))
        every = max(1, round(video.get(cv2.CAP_PROP_FPS) / RATE))
        flow, before, number = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST), None, 0
        while (read := video.read())[0]:
            if number % every == 0:
                small = cv2.resize(read[1], (360, 240), interpolation=cv2.INTER_AREA)
                grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
                if before is not None:
                    flow.calc(before, grey, None)
                before = grey
            if number % (2 * every) == 0:
                image = cv2.cvtColor(cv2.resize(read[1], (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
                image = (image.astype(np.float32) / 255 - MEAN) / STD
                plain(torch.from_numpy(image).movedim(-1, 0)[None].to(compute.device)).cpu()
            number += 1

    others = {
        "network alone": network_alone,
        "flow alone": flow_alone,
        "decoding alone": decoding_alone,
        "OpenCV and torchvision in a loop, float32": loop,
    }
    seconds = len(rows) / RATE
    print(f"{seconds:.0f} s of video, {threads} threads{', int8' * bool(network.fast)}")
    compare("the look", ours, others, len(pictures), options.turns, compute)


if __name__ == "__main__":
    try:
        main()
    except SdorError as error:
        sys.exit(str(error))
