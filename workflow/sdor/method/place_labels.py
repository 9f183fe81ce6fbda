"""Pseudo labels of places: which frames were looked at, A and N among their places, how to draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import fault_in
from sdor.files import About, read_array, read_parquet, write_parquet
from sdor.method.motion import MOVING, PLACES
from sdor.method.scores import FloatArray
from sdor.study.settings import PlaceLabelSettings
from sdor.video.timeline import Rows, Timeline


def place_labels(
    frame_scores: FloatArray,
    place_scores: FloatArray,
    moving: FloatArray,
    settings: PlaceLabelSettings,
    known: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Choose A and N among the places of the frames, and how probably each is drawn.

    A: the strongest places of the frames with the highest scores, drawn by their own score. N: all
    places of the frames with the lowest scores; those where something moves make up a fixed share
    of what is drawn, since most places are still, and nothing is learnt from them.

    Parameters
    ----------
    frame_scores : (n,). place_scores, moving : (n, 49) scores, and shares of a place that move.
    known : (n,) frames that are used, where it is not all.

    Returns
    -------
    Table of row (of the frame), place (0 to 48, from left to right and top to bottom), label (1 in
    A, 0 in N), and weight (probabilities that sum to 1 over A and over N).

    Raises
    ------
    ValueError : too few frames for one of each set, or a score that is not finite.
    """
    if not (np.isfinite(frame_scores).all() and np.isfinite(place_scores).all()):
        raise ValueError("a score is not finite; lower learning_rate if training diverged")
    frames = np.arange(len(frame_scores)) if known is None else np.flatnonzero(known)
    anomalous = int(settings.anomalous_fraction * len(frames) + 1e-9)
    normal = int(settings.normal_fraction * len(frames) + 1e-9)
    if anomalous < 1 or normal < 1:
        least = int(np.ceil(1 / min(settings.anomalous_fraction, settings.normal_fraction)))
        raise ValueError(
            f"{len(frames)} frames give {anomalous} pseudo anomalous and {normal} pseudo normal "
            f"ones (anomalous_fraction, normal_fraction); at least {least} frames are needed"
        )
    order = frames[np.argsort(frame_scores[frames], kind="stable")]
    highest, lowest = np.sort(order[-anomalous:]), np.sort(order[:normal])
    best = np.sort(np.argsort(place_scores[highest], axis=1)[:, -settings.places :], axis=1)
    scores = np.take_along_axis(place_scores[highest], best, axis=1).ravel().astype(np.float64)
    scores = scores - min(0.0, scores.min())
    in_a = pd.DataFrame(
        {
            "row": np.repeat(highest, settings.places),
            "place": best.ravel(),
            "label": np.int8(1),
            "weight": scores / scores.sum() if scores.sum() > 0 else 1 / len(scores),
        }
    )
    moves = moving[lowest].ravel() > MOVING
    share = {True: settings.moving_share, False: 1 - settings.moving_share}
    if moves.all() or not moves.any():  # one kind alone has to do
        share = {True: 1.0, False: 1.0}
    each = {kind: part / max((moves == kind).sum(), 1) for kind, part in share.items()}
    in_n = pd.DataFrame(
        {
            "row": np.repeat(lowest, PLACES),
            "place": np.tile(np.arange(PLACES), len(lowest)),
            "label": np.int8(0),
            "weight": np.where(moves, each[True], each[False]),
        }
    )
    return pd.concat([in_a, in_n]).sort_values(["row", "place"], ignore_index=True)


@dataclass(frozen=True)
class Looked:
    """The frames that the network looked at, among those of the scene that are used.

    Attributes
    ----------
    timeline : of all frames. rows : (n,) those that were looked at.
    index : clip, frame and row (among all frames) of the frames that are used.
    known : (n,) false for a row that is not used.
    """

    timeline: Timeline
    rows: Rows
    index: pd.DataFrame
    known: NDArray[np.bool_]

    @classmethod
    def read(cls, initial: Path, timeline: Timeline, fps: float | None) -> Self:
        """From the table of initial scores (SdorError: it is damaged)."""
        index, rows = read_parquet(initial, ["clip", "frame", "row"]), timeline.sampled(fps)
        return cls(timeline, rows, index, np.isin(rows, index["row"]))

    def at_rows(self, scores: FloatArray) -> FloatArray:
        """Scores of the used frames at the rows, (n,); 0 where one is not used."""
        every = np.zeros(len(self.timeline))
        every[self.index["row"]] = scores
        return every[self.rows]

    def table(self, scores: FloatArray) -> pd.DataFrame:
        """Clip, frame and score of the used frames, from scores (n,) of the rows."""
        kept = self.rows[self.known]
        spread = self.timeline.spread(scores[self.known], kept, self.index["row"].to_numpy())
        return self.index[["clip", "frame"]].assign(score=spread)


def write_place_labels(
    looked: Looked,
    scores: Path,
    places: tuple[Path, Path],
    output: Path,
    settings: PlaceLabelSettings,
    *,
    about: About,
) -> pd.DataFrame:
    """Scores of frames and places → table of (clip, frame, row, place, label, weight).

    Parameters
    ----------
    scores : table of the frames' scores, of motion or of the iteration before.
    places : array of the places' scores from the same, and that of the initial motion; they are
        the same file before the first iteration.

    Raises
    ------
    SdorError : a file is damaged, or there are too few frames.
    """
    own, initial = (read_array(path, len(looked.rows)) for path in places)
    frames = looked.at_rows(read_parquet(scores)["score"].to_numpy())
    of_places = own[..., 0] if own.ndim == 3 else own
    with fault_in(scores):
        members = place_labels(frames, of_places, initial[..., 1], settings, looked.known)
    index = looked.timeline.index().iloc[looked.rows[members["row"]]].reset_index(drop=True)
    units = {
        "row": "among the frames that the network looked at",
        "place": "0 to 48, from left to right and top to bottom",
        "label": "1 anomalous, 0 normal",
        "weight": "probability to be drawn within its label",
    }
    table = pd.concat([index, members], axis=1)
    write_parquet(output, table, {**units, **about})
    return table
