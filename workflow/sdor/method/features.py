"""Features of every frame (section 4.1), and the frozen trunk's maps for partial training."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdor.files import About, atomic
from sdor.networks.backbones import Backbone, load_backbone, pooled
from sdor.networks.compute import Compute
from sdor.networks.fast import quantised
from sdor.networks.feature_table import read_features, write_features
from sdor.networks.inputs import Inputs
from sdor.networks.passes import outputs
from sdor.video.store import FrameStore

Append = Callable[[NDArray[Any]], None]
BATCH_SIZE = {1: 32, 16: 4}  # by the frames that the network looks at: about 1 GiB of activations
BINS = 2  # on each side of the frame
ROWS_CLASSIFIED = 1024  # at a time


def frame_features(
    backbone: Backbone, frames: Inputs, layer: str = "pool", append_bins: Append | None = None
) -> Iterator[NDArray[np.float32]]:
    """Features (B, dims) of all frames, a batch at a time.

    Parameters
    ----------
    layer : "pool", "logits" or "softmax" (see `Backbone.features`).
    append_bins : gets the mean of the last map in each quarter of the frame, (B, 4, dims).
    """
    size = BATCH_SIZE[frames.window]
    if layer != "pool":
        features = partial(backbone.features, layer=layer)
        yield from outputs(features, frames, None, size, "features")
        return
    plain, looks = _WholeAndBins(backbone), None
    if frames.compute.int8 and frames.window == 1:
        looks = quantised(plain, frames, np.arange(len(frames)))
    for values in outputs(looks or plain, frames, None, size, "features"):
        if append_bins:
            append_bins(values[:, 1:].astype(np.float16))
        yield values[:, 0].copy()


class _WholeAndBins(nn.Module):
    """Frames → the means of the last map, of all of it and of its quarters, (B, 5, dims)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, batch: Tensor) -> Tensor:
        maps = self.backbone.maps(batch).float()
        flat = maps.mean(2) if maps.dim() == 5 else maps
        bins = nn.functional.adaptive_avg_pool2d(flat, BINS).flatten(2).transpose(1, 2)
        return torch.cat([pooled(maps)[:, None], bins], dim=1)


def trunk_maps(backbone: Backbone, frames: Inputs) -> Iterator[NDArray[Any]]:
    """Maps of the frozen trunk of all frames, a batch at a time, for training that starts there.

    Yields
    ------
    (B, h, w, C), or (B, t, h, w, C) for a 3-D network: float32, or bfloat16 by its bytes as uint16.
    """
    bf16 = frames.compute.bf16

    def trunk(batch: Tensor) -> Tensor:
        maps = backbone.trunk_maps(batch).movedim(1, -1).contiguous()
        return maps.bfloat16().view(torch.uint16) if bf16 else maps.float()

    return outputs(trunk, frames, None, BATCH_SIZE[frames.window], "trunk maps")


def extract_features(
    store: FrameStore,
    weights: Path,
    output: Path,
    *,
    layer: str = "pool",
    bins: Path | None = None,
    compute: Compute,
    about: About,
) -> None:
    """Run the trained backbone over all frames and write one feature a frame to Parquet.

    The file has the columns clip, frame and feature (fixed-size list of float32), a row group for
    each thousand frames, so that memory does not grow with the video.

    Parameters
    ----------
    bins : becomes an .npy array (frames, 4, dims) of float16, for methods that look at parts of a
        frame: the mean of the last map in each quarter of the frame (and over time, for a 3-D
        network), from left to right and top to bottom. With the layer "pool" only.
    """
    backbone, frames = open_frames(store, weights, compute)
    with ExitStack() as stack:
        append = stack.enter_context(_array_file(bins, len(store))) if bins else None
        write_features(
            output, store.index(), frame_features(backbone, frames, layer, append), about
        )


def classify_features(
    pooled_path: Path,
    weights: Path,
    output: Path,
    *,
    layer: str,
    compute: Compute,
    about: About,
) -> None:
    """The trained classifier's "logits" or "softmax" from pooled features already extracted.

    Only for networks whose classifier needs nothing else (see `Architecture`).
    """
    backbone = load_backbone(weights)
    compute.place(backbone)
    index, features = read_features(pooled_path)
    classified = partial(backbone.classified, layer=layer)
    values = outputs(
        classified, Inputs(features, compute, again=False), None, ROWS_CLASSIFIED, layer
    )
    write_features(output, index, values, about)


def extract_trunk_maps(store: FrameStore, weights: Path, output: Path, *, compute: Compute) -> None:
    """Run the frozen trunk over all frames once and write `trunk_maps` as an .npy array."""
    with _array_file(output, len(store)) as append:
        for maps in trunk_maps(*open_frames(store, weights, compute)):
            append(maps)


def open_frames(store: FrameStore, weights: Path, compute: Compute) -> tuple[Backbone, Inputs]:
    """The backbone on its device, and the frames as it looks at them: alone, or in windows."""
    backbone = load_backbone(weights)
    compute.place(backbone)
    return backbone, Inputs(store, compute, window=backbone.architecture.frames, again=False)


@contextmanager
def _array_file(path: Path, rows: int) -> Iterator[Append]:
    """Append batches to an .npy array of so many rows, a thread that writes one at a time."""
    writing: Future[int] | None = None
    with atomic(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(1) as thread:

        def append(batch: NDArray[Any]) -> None:
            nonlocal writing
            if writing:
                writing.result()
            else:
                header = np.lib.format.header_data_from_array_1_0(batch)
                header["shape"] = (rows, *batch.shape[1:])
                np.lib.format.write_array_header_1_0(file, header)
            writing = thread.submit(file.write, np.ascontiguousarray(batch).data)

        yield append
        if writing:
            writing.result()
