"""What the places of a camera look like, as principal components fitted once, on a sample of it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sdor.errors import SdorError
from sdor.files import About, atomic, damaged, digest_of, file_sha256
from sdor.method.maps import Basis, PlaceMaps, fit_basis, raw_maps, seeing
from sdor.networks import fast
from sdor.networks.backbones import Backbone, load_backbone
from sdor.networks.compute import Compute
from sdor.networks.fast import Quantised, quantised
from sdor.networks.inputs import Inputs
from sdor.operator.look import Eye
from sdor.progress import logger
from sdor.study.scenes import Rectangle, Scene
from sdor.study.settings import MapSettings
from sdor.video.decode import declared, key_frames
from sdor.video.frames import View, read_clip, resized
from sdor.video.picture import Frame, UnreadableError, hide
from sdor.video.timeline import seconds_of

SAMPLED = 96  # frames: 4,700 places
ENOUGH = 32  # key frames, which a sample of hours has; a short video, or odd coding, has fewer
EVERY = 0.4  # seconds between frames of a video that is read from its beginning


def camera_basis(
    scene: Scene,
    backbone: Backbone,
    compute: Compute,
    settings: MapSettings,
    size: int,
    *,
    tries_int8: bool = False,
) -> Basis:
    """Fit the components on frames from all over a camera's video; none where it has no frame.

    Where `compute` says so, the network in int8 is made with them too, and lies beside those.

    Parameters
    ----------
    size : pixels of a frame's side, as the network sees it.
    tries_int8 : takes int8 unasked, where it is installed and agrees.

    Raises
    ------
    SdorError : int8 is asked for, and is not installed or does not agree.
    """
    pictures = sample(scene, size)
    if not len(pictures):
        return {}
    inputs, rows = Inputs(pictures, compute), np.arange(len(pictures))
    network = PlaceMaps(backbone, settings.stages)
    if compute.int8 or (tries_int8 and compute.device.type == "cpu" and fast.is_there()):
        try:
            network.fast = quantised(network, inputs, rows)
        except SdorError as fault:
            if compute.int8:
                raise
            logger.warning("%s", fault)
    raw = [*raw_maps(network, inputs, rows)]
    kept = {name: np.concatenate([one[name] for one in raw]) for name in settings.stages}
    basis = fit_basis(kept, settings.components)
    return {**basis, **(network.fast.arrays() if network.fast else {})}


def looking(backbone: Backbone, stages: Sequence[str], basis: Path) -> PlaceMaps:
    """The network of a camera, in int8 if its basis was made with that.

    Raises
    ------
    SdorError : the basis is damaged, or of int8 that cannot be run here.
    """
    network = PlaceMaps(backbone, stages)
    network.fast = Quantised.of_arrays(_arrays(basis), torch.get_num_threads())
    return network


def open_eye(
    weights: Path,
    basis: Path,
    compute: Compute,
    stage: About,
    masks: tuple[Rectangle, ...],
) -> Eye:
    """What looks at a camera, with the weights and the basis of files.

    Parameters
    ----------
    stage : settings of the stage: maps, size, and all that tells its looks from those of another.

    Raises
    ------
    SdorError : weights or basis are damaged.
    """
    backbone = load_backbone(weights)
    compute.place(backbone)
    same = [stage[key] for key in ("look", "weights", "maps", "size", "masks", "compute")]
    key = digest_of([*same, file_sha256(basis)])
    maps = MapSettings.read(stage["maps"])
    see = seeing(looking(backbone, maps.stages, basis), compute, read_basis(basis))
    return Eye(see, stage["size"], maps.fps, masks, key)


def sample(scene: Scene, size: int, count: int = SAMPLED) -> NDArray[np.uint8]:
    """Frames from all over a camera's video, as the network sees them, (n, size, size, 3)."""
    frames = _key_frames(scene, count)
    if len(frames) < min(ENOUGH, count):
        frames = [*islice(_from_the_beginning(scene), count)]
    small = [resized(hide(one, scene.masks), View(size, size)) for one in frames]
    shape = (size, size, 3)
    return np.array([np.broadcast_to(one, shape) for one in small], np.uint8).reshape(-1, *shape)


def read_basis(path: Path) -> Basis:
    """The components of a file, without the network of int8 (SdorError: it is damaged)."""
    return {name: one for name, one in _arrays(path).items() if name not in fast.PARTS}


def int8_of(path: Path) -> str:
    """SHA-256 of a basis with a network of int8, "" without one (SdorError: it is damaged)."""
    return file_sha256(path) if fast.PARTS[0] in _arrays(path) else ""


def write_basis(path: Path, basis: Basis) -> None:
    """Write the basis to a file (SdorError: the folder cannot be written)."""
    with atomic(path) as temporary:
        save_file(basis, temporary)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise SdorError(damaged(path, error)) from error


def _key_frames(scene: Scene, count: int) -> list[Frame]:
    """So many, or fewer, of whole files of video, evenly spread over all of their time."""
    whole = [one for one in scene.clips if one.kind == "video" and one.first == 1 and not one.last]
    told = [declared(clip.path) for clip in whole]
    ends = np.cumsum([one.seconds if one else 0.0 for one in told])
    if not len(ends) or not ends[-1]:
        return []
    times = (np.arange(count) + 0.5) / count * ends[-1]
    of_clip: NDArray[np.int64] = np.searchsorted(ends, times, side="right")
    frames = list[Frame]()
    for place in np.unique(of_clip):
        within = times[of_clip == place] - (ends[place - 1] if place else 0.0)
        frames += key_frames(whole[place].path, within.tolist(), whole[place].stream)
    return frames


def _from_the_beginning(scene: Scene) -> Iterator[Frame]:
    """Frames of clip after clip, each some time after the one before."""
    for clip in scene.clips:
        due = 0.0
        try:
            for picture in read_clip(clip, []):
                time = seconds_of(picture.number, picture.time)
                if time >= due:
                    due = time + EVERY
                    yield picture.pixels
        except (UnreadableError, OSError):
            continue
