"""Features of every frame (section 4.1), and the frozen trunk's maps for partial training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.files import atomic
from sdor.networks.backbones import Backbone, load_backbone, pooled
from sdor.networks.compute import Compute, memory_in_words
from sdor.networks.feature_table import read_features, write_features
from sdor.networks.inputs import Inputs
from sdor.progress import track
from sdor.video.store import FrameStore

BATCH_SIZE = {1: 32, 16: 4}  # by the frames that the network looks at: about 1 GiB of activations
BINS = 2  # on each side of the frame
ROWS_CLASSIFIED = 1024  # at a time


def extract_features(
    store: FrameStore,
    weights: Path,
    output: Path,
    *,
    layer: str,
    compute: Compute,
    about: dict[str, Any],
) -> None:
    """Run the trained backbone over all frames and write one feature a frame to Parquet.

    Parameters
    ----------
    layer : "pool", "logits" or "softmax" (see `Backbone.features`).

    The file has the columns clip, frame and feature (fixed-size list of float32), a row group for
    each thousand frames, so that memory does not grow with the video.
    """
    backbone, inputs = _opened(store, weights, compute)
    with torch.inference_mode(), compute.autocast(), memory_in_words():
        values = (
            backbone.features(batch, layer).cpu().numpy()
            for batch in _all_frames(inputs, "features")
        )
        write_features(output, store.index(), values, about)


def extract_pooled_features(
    store: FrameStore,
    weights: Path,
    output: Path,
    bins_output: Path,
    *,
    compute: Compute,
    about: dict[str, Any],
) -> None:
    """Pooled features as `extract_features` writes them, and from the same maps those of its parts.

    `bins_output` becomes an .npy array (frames, 4, dims) of float16: the mean of the last map in
    each quarter of the frame (and over time, for a 3-D network), from left to right and top to
    bottom. Methods that look at parts of a frame start from it.
    """
    backbone, inputs = _opened(store, weights, compute)
    shape = (len(store), BINS**2, backbone.dims)
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with (
        atomic(bins_output) as temporary,
        temporary.open("wb") as file,
        torch.inference_mode(),
        compute.autocast(),
        memory_in_words(),
    ):
        np.lib.format.write_array_header_1_0(file, header)

        def values() -> Iterator[NDArray[np.float32]]:
            for batch in _all_frames(inputs, "features"):
                maps = backbone.maps(batch).float()
                file.write(_bins(maps).numpy().tobytes())
                yield pooled(maps).cpu().numpy()

        write_features(output, store.index(), values(), about)


def classify_features(
    pooled_path: Path,
    weights: Path,
    output: Path,
    *,
    layer: str,
    compute: Compute,
    about: dict[str, Any],
) -> None:
    """The trained classifier's "logits" or "softmax" from pooled features already extracted.

    Only for networks whose classifier needs nothing else (see `Backbone.classifies_maps`).
    """
    backbone = load_backbone(weights)
    backbone.require_classifier(layer)
    compute.place(backbone)
    index, features = read_features(pooled_path)
    inputs = Inputs(features, compute)
    with torch.inference_mode():
        values = (
            backbone.classified(batch, layer).cpu().numpy()
            for batch in inputs.batches(inputs.in_order(ROWS_CLASSIFIED))
        )
        write_features(output, index, values, about)


def extract_trunk_maps(store: FrameStore, weights: Path, output: Path, *, compute: Compute) -> None:
    """Run the frozen trunk over all frames once, for training that leaves it as it is.

    Writes an .npy array (frames, h, w, C), or (frames, t, h, w, C) for a 3-D network; bfloat16 is
    stored by its bytes as uint16.
    """
    backbone, inputs = _opened(store, weights, compute)
    written = False
    with (
        atomic(output) as temporary,
        temporary.open("wb") as file,
        torch.inference_mode(),
        compute.autocast(),
        memory_in_words(),
    ):
        for batch in _all_frames(inputs, "trunk maps"):
            maps = backbone.trunk_maps(batch).movedim(1, -1).to(compute.activation_dtype)
            values = maps.contiguous().cpu()
            stored = (values.view(torch.uint16) if compute.bf16 else values).numpy()
            if not written:
                header = np.lib.format.header_data_from_array_1_0(stored)
                header["shape"] = (len(store), *stored.shape[1:])
                np.lib.format.write_array_header_1_0(file, header)
                written = True
            file.write(stored.tobytes())


def _opened(store: FrameStore, weights: Path, compute: Compute) -> tuple[Backbone, Inputs]:
    """The backbone on its device, and the frames that it looks at."""
    backbone = load_backbone(weights)
    compute.place(backbone)
    return backbone, Inputs(store, compute, window=backbone.architecture.frames)


def _bins(maps: Tensor) -> Tensor:
    """Last maps (B, D, h, w) or (B, D, t, h, w) → means of their quarters (B, 4, D), on the CPU."""
    maps = maps.mean(2) if maps.dim() == 5 else maps
    bins = nn.functional.adaptive_avg_pool2d(maps, BINS).flatten(2).transpose(1, 2)
    return bins.half().contiguous().cpu()


def _all_frames(inputs: Inputs, label: str) -> Iterator[Tensor]:
    """Batches of all frames, in order."""
    batches = inputs.in_order(BATCH_SIZE[inputs.window])
    return track(inputs.batches(batches), total=len(batches), unit="batch", label=label)
