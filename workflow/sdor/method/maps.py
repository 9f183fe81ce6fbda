"""What the places of a frame look like: the network's last maps as principal components a place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.decomposition import PCA
from torch import Tensor, nn

from sdor.files import atomic
from sdor.method.features import open_frames
from sdor.method.grid import GRID, MapArray
from sdor.networks.backbones import Backbone
from sdor.networks.compute import Compute
from sdor.networks.fast import Quantised, quantised
from sdor.networks.inputs import Inputs
from sdor.networks.passes import outputs
from sdor.study.settings import MapSettings
from sdor.video.store import FrameStore
from sdor.video.timeline import Rows

BATCH_SIZE = 32
# Frames, evenly spread, whose places the components are fitted on: 25,000 places.
SAMPLED = 512
LEAST_SPREAD = 1e-6  # of a component that does not vary
Basis = dict[str, NDArray[np.float32]]


class PlaceMaps(nn.Module):
    """uint8 frames (B, H, W, C) → stages' maps averaged to 7 x 7 places, (B, 49, channels of all).

    Attributes
    ----------
    fast : does the same in int8, where it was made; see `networks.fast`.
    """

    fast: Quantised | None = None

    def __init__(self, backbone: Backbone, stages: Sequence[str]) -> None:
        super().__init__()
        self.backbone, self.stages = backbone, stages

    def forward(self, frames: Tensor) -> Tensor:
        """Maps of float16."""
        trunk = self.backbone.trunk_maps(frames)
        found = [self.backbone.top_maps(trunk) if one == "top" else trunk for one in self.stages]
        places = [
            nn.functional.adaptive_avg_pool2d(one.float(), GRID).flatten(2).transpose(1, 2)
            for one in found
        ]
        return torch.cat(places, dim=2).half()


def place_maps(
    backbone: Backbone,
    frames: Inputs,
    rows: Rows,
    settings: MapSettings,
    *,
    allocate: Callable[[tuple[int, ...]], MapArray] | None = None,
    basis: Basis | None = None,
) -> tuple[Basis, MapArray]:
    """Principal components of all places of some frames, each with a variance of 1.

    Components are fitted on an even sample of the frames, and shared by all places: what is learnt
    in one is known in all. Each frame is looked at once.

    Parameters
    ----------
    rows : (n,) the frames that are looked at.
    allocate : makes the array of the maps, where it is to lie in a file.
    basis : of other video of the scene; its own, where there is none.

    Returns
    -------
    basis : of each stage, its mean (channels,) and components (channels, components).
    maps : (n, 49, components of all stages) float16.
    """
    sample = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLED, len(rows))).round().astype(int))
    network = PlaceMaps(backbone, settings.stages)
    if frames.compute.int8:
        network.fast = quantised(network, frames, rows[sample])
    looked = [*raw_maps(network, frames, rows[sample])]
    stages: tuple[str, ...] = settings.stages
    kept = {name: np.concatenate([one[name] for one in looked]) for name in stages}
    basis = basis or fit_basis(kept, settings.components)
    first = project(kept, basis)
    shape = (len(rows), *first.shape[1:])
    maps = allocate(shape) if allocate else np.empty(shape, np.float16)
    maps[sample] = first
    others, done = np.delete(np.arange(len(rows)), sample), 0
    for raw in raw_maps(network, frames, rows[others]):
        some = project(raw, basis)
        maps[others[done : done + len(some)]] = some
        done += len(some)
    return basis, maps


def fit_basis(raw: Mapping[Any, NDArray[np.float16]], count: int) -> Basis:
    """Principal components of the stages' maps (n, 49, channels), scaled to a variance of 1."""
    basis: Basis = {}
    for name, one in raw.items():
        mean, components = _components(one, count)
        basis |= {f"{name}.mean": mean, f"{name}.components": components}
    return basis


def project(raw: dict[str, NDArray[np.float16]], basis: Basis) -> MapArray:
    """The stages' maps (n, 49, channels) in the components of a basis: (n, 49, components)."""
    parts = [
        (one.astype(np.float32) - basis[f"{name}.mean"]) @ basis[f"{name}.components"]
        for name, one in raw.items()
    ]
    return np.concatenate(parts, axis=2).astype(np.float16)


def write_place_maps(
    store: FrameStore,
    weights: Path,
    rows: Rows,
    settings: MapSettings,
    outputs: tuple[Path, Path],
    *,
    compute: Compute,
) -> None:
    """Write `place_maps` of stored frames as an .npy array, and the basis beside it."""
    backbone, frames = open_frames(store, weights, compute)
    maps, basis = outputs
    with atomic(maps) as temporary:

        def allocate(shape: tuple[int, ...]) -> MapArray:
            return np.lib.format.open_memmap(temporary, "w+", np.float16, shape)

        found, written = place_maps(backbone, frames, rows, settings, allocate=allocate)
        del written  # to the disk, before the file gets its name
    with atomic(basis) as temporary:
        save_file(found, temporary)


def seeing(
    network: PlaceMaps, compute: Compute, basis: Basis
) -> Callable[[NDArray[np.uint8]], MapArray]:
    """What makes of pictures (n, size, size, 3) their maps in a basis, (n, 49, components)."""

    def see(pictures: NDArray[np.uint8]) -> MapArray:
        inputs = Inputs(pictures, compute, again=False)
        raw = raw_maps(network, inputs, np.arange(len(pictures)))
        return np.concatenate([project(one, basis) for one in raw])

    return see


def raw_maps(
    network: PlaceMaps, frames: Inputs, rows: Rows
) -> Iterator[dict[str, NDArray[np.float16]]]:
    """Stage: its maps averaged to 7 x 7 places, (B, 49, channels), a batch at a time."""
    stages, top = network.stages, network.backbone.dims
    cut = top if stages[0] == "top" else -top
    for values in outputs(network.fast or network, frames, rows, BATCH_SIZE, "maps"):
        parts = np.split(values, [cut], axis=2) if len(stages) > 1 else [values]
        yield dict(zip(stages, parts, strict=True))


def _components(
    maps: NDArray[np.float16], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and principal components of maps (n, 49, channels), scaled to a variance of 1."""
    values = maps.reshape(-1, maps.shape[2]).astype(np.float32)
    pca = PCA(min(count, *values.shape), svd_solver="covariance_eigh").fit(values)
    spread = np.sqrt(np.maximum(pca.explained_variance_, LEAST_SPREAD**2))
    return pca.mean_.astype(np.float32), (pca.components_.T / spread).astype(np.float32)
