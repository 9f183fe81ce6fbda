"""A model of a camera as one ONNX graph, which scores with ONNX Runtime alone: without torch."""

import json
import warnings
from base64 import b64encode
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.files import About, atomic, read_about, read_parquet
from sdor.method.grid import GRID
from sdor.networks.backbones import Backbone, load_backbone
from sdor.operator.basis import sample
from sdor.operator.camera import masks_of, model_file, weights_of
from sdor.operator.model import CameraModel
from sdor.study.rounds import archive_of
from sdor.study.scenes import Clip, Scene

COMPARED = 32  # frames
# How far components, whose variance is 1, may lie apart. They are kept in float16, whose steps are
# that large from 2 on.
AGREES = 2e-3


class Network(nn.Module):
    """Frames (n, size, size, 3) uint8 → components of their places (n, 49, components), float32."""

    def __init__(self, backbone: Backbone, model: CameraModel) -> None:
        super().__init__()
        self.backbone, self.stages = backbone, model.method.maps.stages
        for name, one in model.basis.items():
            self.register_buffer(name.replace(".", "_"), torch.from_numpy(one))

    def forward(self, frames: Tensor) -> Tensor:
        """What `method.maps.seeing` gives, in float32 from one end to the other."""
        trunk = self.backbone.trunk_maps(frames)
        parts = []
        for stage in self.stages:
            maps = trunk if stage == "trunk" else self.backbone.top_maps(trunk)
            places = _averaged(maps) - self.get_buffer(f"{stage}_mean")
            parts.append(places @ self.get_buffer(f"{stage}_components"))
        return torch.cat(parts, dim=2)


def _averaged(maps: Tensor) -> Tensor:
    """Maps (n, channels, h, w) averaged to places (n, 49, channels), whatever their size."""
    height, width = maps.shape[2:]
    cells = torch.eye(height * width).reshape(-1, 1, height, width)
    shares = nn.functional.adaptive_avg_pool2d(cells, GRID).flatten(1)
    return (maps.flatten(2) @ shares).transpose(1, 2)


def export(path: Path, output: Path, weights: Path | None = None) -> About:
    """Write a model with its network as ONNX, if that gives what torch gives.

    Its metadata are "sdor", JSON of all settings, scales, masks and quantiles, with the agreement;
    and "tensors", base64 of a safetensors file with the heads. It is written in float32.

    Parameters
    ----------
    path : of a watchlist's model, as `open_camera` takes it. Frames of its archive are compared,
        or, where its video is gone, random pictures.
    weights : see `open_camera`.

    Returns
    -------
    The agreement: number of frames, what they are of, and how far components lie apart at most.

    Raises
    ------
    SdorError : a file is damaged or missing; or what ONNX Runtime gives differs.
    """
    path = model_file(path)
    model = CameraModel.load(path)
    network = Network(load_backbone(weights_of(path, model, weights)), model).eval()
    of, frames = _frames(path, model)
    with torch.inference_mode():
        expected = network(torch.from_numpy(frames)).numpy()
    with atomic(output) as temporary:
        with warnings.catch_warnings(action="ignore"):
            batch = {"frames": {0: torch.export.Dim("n", max=1024)}}
            program = torch.onnx.export(
                network,
                (torch.from_numpy(frames[:2]),),
                dynamic_shapes=batch,
                verbose=False,
                input_names=["frames"],
                output_names=["components"],
                dynamo=True,
            )
        assert program is not None
        graph = program.model_proto
        session = onnxruntime.InferenceSession(graph.SerializeToString())
        given = session.run(None, {"frames": frames})[0]
        apart = float(np.abs(given - expected).max())
        if not apart <= AGREES:
            raise SdorError(
                f"{output}: not written: ONNX Runtime {onnxruntime.__version__} and torch "
                f"{torch.__version__} differ by {apart:.2g} ({AGREES:g} is allowed); use others"
            )
        agreement = {"frames": len(frames), "of": of, "apart": apart}
        document = {**model.document(), "agreement": agreement}
        tensors = {name: one for name, one in model.tensors().items() if name not in model.basis}
        content = b64encode(safetensors.numpy.save(tensors)).decode()
        about = {"sdor": json.dumps(document), "tensors": content}
        onnx.helper.set_model_props(graph, about)
        onnx.save(graph, temporary)
    return agreement


def _frames(path: Path, model: CameraModel) -> tuple[str, NDArray[np.uint8]]:
    """What they are of, and frames as the network sees them: of the archive, or random ones."""
    size, watch = model.method.input_size, archive_of(path.absolute().parent)
    table = watch / "looks.parquet"
    if table.is_file() and (root := read_about(table).get("root")):
        sources = read_parquet(table, ["source"])["source"]
        clips = tuple(Clip(one, "video", Path(root, one), one) for one in sources)
        scene = Scene(watch.parent.name, Path(root), clips, masks=masks_of(model))
        if len(found := sample(scene, size, COMPARED)):
            return "the archive", found
    rng = np.random.default_rng(0)
    return "random pictures", rng.integers(0, 256, (COMPARED, size, size, 3), np.uint8)
