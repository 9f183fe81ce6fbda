"""What was learnt of a camera: it scores what was seen, today's archive and tomorrow's video."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.ndimage import zoom

from sdor.errors import SdorError
from sdor.files import About, atomic, damaged
from sdor.method.answer import answer, damped, heat_maps, own_iterations
from sdor.method.flow import ACROSS, DOWN, FINE, Flow
from sdor.method.grid import GRID, MapArray, smoothed_maps
from sdor.method.motion import MotionScale, Start, in_places, initial_motion
from sdor.method.place_labels import Looked
from sdor.method.scores import mean_of
from sdor.method.units import Units
from sdor.operator.likeness import Likeness, described
from sdor.operator.look import Looks
from sdor.study.settings import MotionMethod
from sdor.video.timeline import Timeline

FloatArray = NDArray[np.float64]
# Seconds around what is scored: as far as smoothing (4 sigma of both) and cuts reach.
MARGIN = 4.0
QUANTILES = 1000
SCORED = 1 << 14  # places at a time
Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class CameraModel:
    """The approach "motion", trained on a camera.

    Attributes
    ----------
    method : its settings. heads : weights of those of each iteration. basis : of the maps.
    scale : what motion is measured by. units : the scales of motion and of appearance.
    about : what else its file says: camera, size, masks, weights, quantiles of the scores.
    marked : what an operator marked, if there is any.
    """

    method: MotionMethod
    heads: Sequence[Arrays]
    basis: Arrays
    scale: MotionScale
    units: tuple[Units, Units]
    about: About
    marked: Likeness | None = None

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
        start, looked, maps, left = self.seen(looks, seconds)
        each = [faded(score_places(one, maps), left, self.units[1].median) for one in self.heads]
        frames = [looked.frame_scores(one, self.method.labels.places) for one in each]
        table, _ = answer(start, frames, each, looked, self.units)
        columns = ["motion", "appearance", "places", "score"]
        return table[columns], mean_of(own_iterations(each)).astype(np.float32)

    def strength(self, cells: NDArray[Any], places: NDArray[np.float32]) -> FloatArray:
        """What each place adds to a score, (m, 49): its motion, and how it looks.

        Parameters
        ----------
        cells : (m, 12, 18) of motion. places : (m, 49) as `score` gives them.
        """
        moves, looks = self.units
        return damped(in_places(cells), moves) + looks.measure(places)

    def heat(
        self, looks: Looks, seconds: FloatArray, places: NDArray[np.float32], rows: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Where in some rows the score comes from, (k, 24, 36), from 0 up.

        Parameters
        ----------
        places : (m, 49) as `score` gives them.
        """
        start, looked, *_ = self.seen(looks, seconds)
        return heat_maps(start, places, self.units, looked)(rows)

    def seen(self, looks: Looks, seconds: FloatArray) -> tuple[Start, Looked, MapArray, FloatArray]:
        """Motion, the frames that were looked at, their maps, and what marks leave of each place.

        Where a place looks like what an operator dismissed, its motion fades as its score does.
        """
        timeline = Timeline(("",), np.zeros(len(looks), dtype=np.int64), seconds)
        flow, looked = flow_of(looks), looked_of(looks, timeline)
        start = initial_motion(flow, timeline, self.method.start, scale=self.scale)
        maps = smoothed_maps(looks.maps, looked.rows, timeline)
        left: FloatArray = np.ones(maps.shape[:2])
        if self.marked:
            left = self.marked.left(described(maps, start.cells[looked.rows], self.units[0]))
            speed, fine = (
                (one * timeline.spread(_spread(left, part), looked.rows)).astype(np.float32)
                for part, one in ((1, flow.speed), (FINE, flow.fine))
            )
            flow = replace(flow, speed=speed, fine=fine)
            start = initial_motion(flow, timeline, self.method.start, scale=self.scale)
        return start, looked, maps, left

    def save(self, path: Path) -> None:
        """Write all of it as one safetensors file (SdorError: the folder cannot be written)."""
        with atomic(path) as temporary:
            save_file(self.tensors(), temporary, {"sdor": json.dumps(self.document())})

    def tensors(self) -> Arrays:
        """What is learnt that is an array, by name."""
        tensors = {**self.basis, "fast": self.scale.fast}
        for t, heads in enumerate(self.heads, start=1):
            tensors |= {f"{t}.{name}": one for name, one in heads.items()}
        if self.marked:
            tensors |= {f"marked.{name}": one for name, one in vars(self.marked).items()}
        return {name: np.ascontiguousarray(one) for name, one in tensors.items()}

    def document(self) -> About:
        """All else, as JSON takes it."""
        motion, appearance = (vars(one) for one in self.units)
        return {
            **self.about,
            "method": self.method.as_document(),
            "scale": {name: vars(one) for name, one in self.scale.units.items()},
            "units": {"motion": motion, "appearance": appearance},
        }

    @classmethod
    def of(cls, tensors: Arrays, document: About) -> Self:
        """The model of what `tensors` and `document` gave.

        Raises
        ------
        KeyError, TypeError, ValueError : something is missing, or not of such a model.
        """
        about = dict(document)
        method = MotionMethod.read(about.pop("method"))
        scale = {name: Units(**one) for name, one in about.pop("scale").items()}
        units = {name: Units(**one) for name, one in about.pop("units").items()}
        heads = list[Arrays]()
        for t in range(1, method.iterations + 1):
            own = {name: one for name, one in tensors.items() if name.startswith(f"{t}.")}
            heads.append({name.removeprefix(f"{t}."): one for name, one in own.items()})
        basis = {
            name: one for name, one in tensors.items() if name.endswith((".mean", ".components"))
        }
        both = units["motion"], units["appearance"]
        marked = None
        if "marked.places" in tensors:
            marked = Likeness(tensors["marked.places"], tensors["marked.weights"])
        return cls(method, heads, basis, MotionScale(tensors["fast"], scale), both, about, marked)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The model of a file (SdorError: it is damaged, or no such model)."""
        try:
            with safe_open(path, "np") as file:
                about = json.loads(file.metadata()["sdor"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls.of(tensors, about)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise SdorError(damaged(path, error)) from error


def score_places(heads: Arrays, maps: MapArray) -> NDArray[np.float32]:
    """Scores (n, 49) of all places, the mean of the heads, as `Heads` give them; without torch."""
    flat = maps.reshape(-1, maps.shape[2])
    scores = np.empty(len(flat), dtype=np.float32)
    for start in range(0, len(flat), SCORED):
        here = slice(start, start + SCORED)
        hidden = np.maximum(flat[here].astype(np.float32) @ heads["weight"] + heads["bias"], 0)
        scores[here] = (hidden @ heads["out"] + heads["shift"])[..., 0].mean(axis=0)
    return scores.reshape(maps.shape[:2])


def faded(scores: NDArray[np.float32], left: FloatArray, usual: float) -> NDArray[np.float32]:
    """Scores of places (n, 49), with what is left of each height above the usual score."""
    return np.where(scores > usual, usual + (scores - usual) * left, scores).astype(np.float32)


def _spread(left: FloatArray, part: int) -> FloatArray:
    """What is left of places (n, 49), in cells, each cut into so many parts on a side."""
    size = (1, part * DOWN / GRID, part * ACROSS / GRID)
    cells: FloatArray = zoom(
        left.reshape(-1, GRID, GRID), size, order=1, grid_mode=True, mode="nearest"
    )
    return cells


def flow_of(looks: Looks) -> Flow:
    """How the cells of all rows move."""
    rows = np.arange(len(looks))
    return Flow(rows, looks.speed, looks.moving, looks.fine, looks.change)


def looked_of(looks: Looks, timeline: Timeline) -> Looked:
    """Which rows the network looked at; all rows are used."""
    index = timeline.index().assign(row=np.arange(len(timeline)))
    return Looked(timeline, looks.looked, index, np.ones(len(looks.looked), dtype=bool))
