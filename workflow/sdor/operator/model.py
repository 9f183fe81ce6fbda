"""What was learnt of a camera: it scores what was seen, today's archive and tomorrow's video."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sdor.errors import SdorError
from sdor.files import About, atomic, damaged
from sdor.method.answer import answer, heat_maps, own_iterations
from sdor.method.flow import Flow
from sdor.method.maps import Basis, smoothed_maps
from sdor.method.motion import MotionScale, Start, initial_motion
from sdor.method.place_labels import Looked
from sdor.method.places import Heads, score_places
from sdor.method.scores import mean_of
from sdor.method.selftrain import self_train_places
from sdor.method.units import Units
from sdor.networks.compute import Compute
from sdor.operator.look import Looks
from sdor.study.settings import MotionMethod
from sdor.video.timeline import Timeline

FloatArray = NDArray[np.float64]
# Seconds around what is scored: as far as smoothing (4 sigma of both) and cuts reach.
MARGIN = 4.0
QUANTILES = 1000


@dataclass(frozen=True)
class CameraModel:
    """The approach "motion", trained on a camera.

    Attributes
    ----------
    method : its settings. heads : of each iteration. basis : of the maps.
    scale : what motion is measured by. units : the scales of motion and of appearance.
    about : what else its file says: camera, size, masks, weights, quantiles of the scores.
    """

    method: MotionMethod
    heads: Sequence[Heads]
    basis: Basis
    scale: MotionScale
    units: tuple[Units, Units]
    compute: Compute
    about: dict[str, object]

    def score(self, looks: Looks, seconds: FloatArray) -> tuple[pd.DataFrame, NDArray[np.float32]]:
        """Scores of all rows of one stretch, or of a piece of it with `MARGIN` on both sides.

        Parameters
        ----------
        seconds : (n,) of the rows; they rise.

        Returns
        -------
        Table of motion, appearance, places and score, (n,); and (m, 49) scores of the places of the
        frames that were looked at.
        """
        start, looked = self._start(looks, seconds)
        maps = smoothed_maps(looks.maps, looked.rows, looked.timeline)
        each = [score_places(heads, maps, self.compute) for heads in self.heads]
        frames = [looked.frame_scores(one, self.method.labels.places) for one in each]
        table, _ = answer(start, frames, each, looked, self.units)
        columns = ["motion", "appearance", "places", "score"]
        return table[columns], mean_of(own_iterations(each)).astype(np.float32)

    def heat(
        self, looks: Looks, seconds: FloatArray, places: NDArray[np.float32], rows: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Where in some rows the score comes from, (k, 24, 36), from 0 up.

        Parameters
        ----------
        places : (m, 49) as `score` gives them.
        """
        start, looked = self._start(looks, seconds)
        return heat_maps(start, places, self.units, looked)(rows)

    def _start(self, looks: Looks, seconds: FloatArray) -> tuple[Start, Looked]:
        timeline = Timeline(("",), np.zeros(len(looks), dtype=np.int64), seconds)
        start = initial_motion(flow_of(looks), timeline, self.method.start, scale=self.scale)
        return start, looked_of(looks, timeline)

    def save(self, path: Path) -> None:
        """Write all of it as one safetensors file."""
        tensors = {name: torch.from_numpy(one) for name, one in self.basis.items()}
        tensors["fast"] = torch.from_numpy(self.scale.fast)
        for t, heads in enumerate(self.heads, start=1):
            tensors |= {f"{t}.{name}": one.cpu() for name, one in heads.state_dict().items()}
        motion, appearance = (vars(one) for one in self.units)
        document = {
            **self.about,
            "method": self.method.as_document(),
            "scale": {name: vars(one) for name, one in self.scale.units.items()},
            "units": {"motion": motion, "appearance": appearance},
        }
        with atomic(path) as temporary:
            whole = {name: one.contiguous() for name, one in tensors.items()}
            save_file(whole, temporary, {"sdor": json.dumps(document)})

    @classmethod
    def load(cls, path: Path, compute: Compute) -> Self:
        """The model of a file (SdorError: it is damaged, or no such model)."""
        try:
            with safe_open(path, "pt") as file:
                about = json.loads(file.metadata()["sdor"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            method = MotionMethod.read(about.pop("method"))
            scale = {name: Units(**one) for name, one in about.pop("scale").items()}
            units = {name: Units(**one) for name, one in about.pop("units").items()}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise SdorError(damaged(path, error)) from error
        heads = []
        for t in range(1, method.iterations + 1):
            own = {
                name.removeprefix(f"{t}."): one
                for name, one in tensors.items()
                if name.startswith(f"{t}.")
            }
            count, dims, hidden = own["weight"].shape
            one = Heads(dims, hidden, count, seed=[0])
            one.load_state_dict(own)
            heads.append(one.eval().to(compute.device))
        fast = tensors.pop("fast").numpy()
        basis = {name: one.numpy() for name, one in tensors.items() if name[0].isalpha()}
        both = units["motion"], units["appearance"]
        return cls(method, heads, basis, MotionScale(fast, scale), both, compute, about)


def train(
    spans: Sequence[tuple[Looks, FloatArray]],
    method: MotionMethod,
    basis: Basis,
    *,
    seed: int,
    compute: Compute,
    about: About,
) -> CameraModel:
    """Train on stretches of a camera, of each what was seen and its seconds.

    Raises
    ------
    SdorError : settings that need more than what was seen.
    ValueError : too few frames for the pseudo labels.
    """
    if "appearance" in method.start.detectors or method.training.trainable != "head":
        raise SdorError(
            "a watchlist takes detectors speed and relative_speed, and trainable: head; its video "
            "is seen once"
        )
    looks = Looks.joined([one for one, _ in spans])
    names = tuple(str(place) for place in range(len(spans)))
    clip_of = np.repeat(np.arange(len(spans)), [len(one) for one, _ in spans])
    timeline = Timeline(names, clip_of, np.concatenate([seconds for _, seconds in spans]))
    start = initial_motion(flow_of(looks), timeline, method.start)
    looked = looked_of(looks, timeline)
    done = self_train_places(looks.maps, start, looked, method, seed=seed, compute=compute)
    return CameraModel(method, done.models, basis, start.scale, done.units, compute, dict(about))


def flow_of(looks: Looks) -> Flow:
    """How the cells of all rows move."""
    rows = np.arange(len(looks))
    return Flow(rows, looks.speed, looks.moving, looks.fine, looks.change)


def looked_of(looks: Looks, timeline: Timeline) -> Looked:
    """Which rows the network looked at; all rows are used."""
    index = timeline.index().assign(row=np.arange(len(timeline)))
    return Looked(timeline, looks.looked, index, np.ones(len(looks.looked), dtype=bool))
