# /// script
# requires-python = ">=3.11"
# dependencies = ["anomalib==2.5.1", "torch==2.13.0", "torchvision==0.28.0", "sdor"]
# [tool.uv.sources]
# sdor = { path = "..", editable = true }
# ///
"""PatchCore of anomalib on the test clips of a scene, given its training clips as normal.

    SDOR_DATA_ROOT=/data uv run benchmarks/patchcore.py

`uv run` makes an environment of its own in uv's cache for the lines above: anomalib's versions do
not touch the project's. What differs from anomalib's defaults:

- ResNet-50 with the weights of this project instead of wide_resnet50_2, and 224 x 224 pixels
  instead of 256 x 256, resized as this project does: both methods see the same.
- One in `--every` training frames is used. The greedy choice of the patches to keep takes time
  that grows with the square of their number, and all patches of Ped2 are 12 GB, held twice.

The rest are the defaults: layers 2 and 3, a tenth of the patches kept, 9 neighbours, float32.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from sdor.errors import SdorError
from sdor.evaluation import bootstrap
from sdor.evaluation.bootstrap import Measure, draw_clips
from sdor.evaluation.localisation import localise
from sdor.evaluation.scores import labelled_frames
from sdor.networks.backbones import Backbone, load_backbone
from sdor.networks.fetch import resolve_weights
from sdor.networks.vision import models
from sdor.progress import track
from sdor.study.scenes import PROJECT_SCENES, load_scene
from sdor.video.audit import audit
from sdor.video.frames import View, clips_table, extract_clip
from sdor.video.store import Frames, FrameStore

models()  # before anomalib's own import of torchvision, which fails beside a CPU build of torch
for category in (FutureWarning, DeprecationWarning):
    warnings.filterwarnings("ignore", category=category)
from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # noqa: E402

LAYERS = ("layer2", "layer3")
KEPT = 0.1
NEIGHBOURS = 9
DRAWS = 1000


def main() -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description="PatchCore, given the training clips as normal.")
    parser.add_argument("--scene", default="ped2", help="with training clips and labels")
    parser.add_argument("--data-root", default=os.environ.get("SDOR_DATA_ROOT", "data"))
    parser.add_argument("--weights", default="auto", help="as weights.resnet50 in a config")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--every", type=int, default=50, help="one training frame in so many")
    parser.add_argument("--batch", type=int, default=16, help="frames")
    parser.add_argument("--seed", type=int, default=0, help="of the coreset")
    options = parser.parse_args()
    try:
        run(options)
    except SdorError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def run(options: argparse.Namespace) -> None:
    """Everything, from the clips to the table."""
    scene = load_scene(PROJECT_SCENES / f"{options.scene}.yaml", options.data_root)
    view = View(options.size, options.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "resnet50.safetensors"
        provenance = resolve_weights("resnet50", options.weights, weights)
        files = {clip.name: folder / f"{clip.name}.npy" for clip in scene.clips}
        readings = {
            clip.name: extract_clip(
                clip, scene.masks, view, file := files[clip.name], file.with_suffix(".parquet")
            )
            for clip in track(scene.clips, unit="clip", label="frames")
        }
        clips, times, _ = clips_table(scene, readings)
        truth, _ = audit(scene, clips, times)
        split = {
            side: FrameStore({one: files[one] for one in clips["clip"][clips["split"] == side]})
            for side in ("train", "test")
        }
        chosen = np.arange(0, len(split["train"]), options.every)
        backbone = load_backbone(weights)
        torch.manual_seed(options.seed)
        np.random.seed(options.seed)  # noqa: NPY002 - the projection draws from the global one
        started = time.perf_counter()
        model = fit(backbone, split["train"].gather(chosen), options.batch)
        minutes = (time.perf_counter() - started) / 60
        scores, maps, rate = score(model, backbone, split["test"], options.batch)
        tested = clips[clips["split"] == "test"]
        index = split["test"].index()
    truth = truth[truth["clip"].isin(tested["clip"])]
    frames, labelled = labelled_frames(tested, index, truth)
    weight = draw_clips(len(frames.split), DRAWS)
    found: Mapping[str, Measure] = bootstrap.measure(scores[labelled], frames, weight)
    tested_times = times[times["clip"].isin(tested["clip"])]
    where = localise(scene, tested, tested_times, maps, DRAWS).printed
    print(f"PatchCore on {scene.name}: {len(tested)} test clips, {len(index):,} frames")
    print(
        f"Bank: {len(model.memory_bank):,} patches of {len(chosen)} training frames (one in "
        f"{options.every} of {len(split['train']):,}), made in {minutes:.1f} min"
    )
    print(f"ResNet-50, {'+'.join(LAYERS)}, {options.size} px; weights: {provenance.source}")
    packages = ("anomalib", "torch", "torchvision", "timm", "numpy")
    print("Versions: " + ", ".join(f"{package} {version(package)}" for package in packages))
    print(f"Machine: {machine()}\n")
    print("| test-only | within-clip | pixel AUC | RBDC | TBDC | frames/s |")
    print("|---:|---:|---:|---:|---:|---:|")
    measures = [found["test_only"], found["within_clip"]]
    measures += [where[measure] for measure in ("pixel_auc", "rbdc", "tbdc")]
    print(f"| {' | '.join(printed(one) for one in measures)} | {rate:.1f} |")


def fit(backbone: Backbone, frames: Frames, batch: int) -> PatchcoreModel:
    """PatchCore's memory bank of normal frames (N, H, W, C), uint8."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone.to(device)
    model = PatchcoreModel(layers=LAYERS, backbone=backbone.net, num_neighbors=NEIGHBOURS)
    model.to(device).train()
    for part in track(
        np.array_split(frames, -(-len(frames) // batch)), unit="batch", label="training frames"
    ):
        model(backbone.normalise(torch.from_numpy(part).to(device)))
    model.subsample_embedding(KEPT)
    return model.eval()


def score(
    model: PatchcoreModel, backbone: Backbone, store: FrameStore, batch: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Score (frames,) and map (frames, H, W) of each frame, and frames/s of the median batch."""
    scores, maps, rates = [], [], []
    device = model.memory_bank.device
    batches = np.array_split(np.arange(len(store)), -(-len(store) // batch))
    for rows in track(batches, unit="batch", label="test frames"):
        started = time.perf_counter()
        with torch.inference_mode():
            made = model(backbone.normalise(torch.from_numpy(store.gather(rows)).to(device)))
        scores.append(made.pred_score.flatten().cpu().numpy())
        maps.append(made.anomaly_map.squeeze(1).cpu().numpy())
        rates.append(len(rows) / (time.perf_counter() - started))
    return np.concatenate(scores).astype(float), np.concatenate(maps), statistics.median(rates)


def printed(measure: Measure) -> str:
    """Percent, with the interval where there is one."""
    if measure.value is None:
        return measure.reason
    ends = "" if measure.low is None else f" [{100 * measure.low:.1f}, {100 * measure.high:.1f}]"
    return f"{100 * measure.value:.1f}{ends}"


def machine() -> str:
    """What computed, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
