"""The model of a camera, and what looks at its video as it was looked at for it."""

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from sdor.errors import SdorError
from sdor.files import damaged, file_sha256
from sdor.method.grid import MapArray
from sdor.operator.look import Eye, See
from sdor.operator.model import CameraModel
from sdor.study.rounds import FEEDBACK, archive_of, finished_rounds, newest
from sdor.study.scenes import Rectangle


def open_camera(path: Path, weights: Path | None = None) -> tuple[CameraModel, Eye, str]:
    """A model that `rank` or `export` wrote, its eye, and a digest of its file.

    What `export` wrote has its network in it, which runs in ONNX Runtime: torch is not imported.

    Parameters
    ----------
    path : of the file, or `results/CAMERA/watch`: what was learnt from the last round of marks.
    weights : of the network; None: those of the run that made the model, beside its results.

    Raises
    ------
    SdorError : there is no model, it is damaged, or the weights are gone, or others.
    """
    path = model_file(path)
    model, see = _exported(path) if path.suffix == ".onnx" else _trained(path, weights)
    size, fps = model.method.input_size, model.method.maps.fps
    return model, Eye(see, size, fps, masks_of(model)), file_sha256(path)[:16]


def model_file(path: Path) -> Path:
    """The file of a model, of which its folder may be named (SdorError: it is not there)."""
    if path.is_dir():
        watch = path.absolute()
        feedback = watch.parents[2] / FEEDBACK
        # Results may have been copied without the marks.
        rounds = len(finished_rounds(watch.parent.name, feedback)) if feedback.is_dir() else None
        path = newest(path, rounds=rounds) / "model.safetensors"
    if not path.is_file():
        raise SdorError(
            f"{path}: no such model; snakemake watchlist makes one for each camera, "
            "results/CAMERA/watch/model.safetensors"
        )
    return path


def masks_of(model: CameraModel) -> tuple[Rectangle, ...]:
    """What is hidden from it."""
    return tuple(Rectangle(**one) for one in model.about["masks"])


def weights_of(path: Path, model: CameraModel, weights: Path | None = None) -> Path:
    """The weights that a model's network had: those given, or of the results that it lies in.

    Raises
    ------
    SdorError : they are not there, or others.
    """
    name = model.method.backbone
    results = archive_of(path.absolute().parent).parent.parent
    weights = weights or results / "weights" / f"{name}.safetensors"
    if not weights.is_file():
        raise SdorError(f"{weights}: no weights of {name}; give them with --weights")
    if file_sha256(weights) != model.about["weights"]:
        raise SdorError(f"{weights}: not the weights that {path} was trained with; give those")
    return weights


def threads() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _trained(path: Path, weights: Path | None) -> tuple[CameraModel, See]:
    model = CameraModel.load(path)
    weights = weights_of(path, model, weights)
    from sdor.method.maps import PlaceMaps, seeing
    from sdor.networks.backbones import load_backbone
    from sdor.networks.compute import choose_compute

    compute = choose_compute(**model.about["compute"], threads=threads())
    backbone = load_backbone(weights)
    compute.place(backbone)
    stages = model.method.maps.stages
    network = PlaceMaps(backbone, stages)
    if model.about.get("int8"):
        from sdor.operator.basis import looking

        basis = archive_of(path.absolute().parent) / "basis.safetensors"
        if not basis.is_file() or file_sha256(basis) != model.about["int8"]:
            raise SdorError(
                f"{basis}: not the basis, with a network of int8, that {path} was trained with; "
                "copy that file as well, or run the watchlist again"
            )
        network = looking(backbone, stages, basis)
    return model, seeing(network, compute, model.basis)


def _exported(path: Path) -> tuple[CameraModel, See]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    try:
        session: Any = onnxruntime.InferenceSession(
            path, options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # of which ONNX Runtime has none that it shares
        raise SdorError(damaged(path, error)) from error
    try:
        about = session.get_modelmeta().custom_metadata_map
        model = CameraModel.of(load(b64decode(about["tensors"])), json.loads(about["sdor"]))
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise SdorError(f"{path}: not made by sdor export ({error})") from error

    def see(pictures: NDArray[np.uint8]) -> MapArray:
        maps: MapArray = session.run(None, {"frames": pictures})[0].astype(np.float16)
        return maps

    return model, see
