"""Pseudo labels of places: which frames were looked at, A and N among their places, how to draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError, fault_in
from sdor.files import About, read_array, read_parquet, write_parquet
from sdor.method.grid import PLACES, SCORES
from sdor.method.motion import MOVING, strongest
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

    A: the strongest places of the frames with the highest scores, drawn by their own score, several
    times with different shares of the frames: nobody knows how many are anomalous, and one share
    that misses takes all with it. N: all places of typical frames; those where something moves make
    up a fixed share of what is drawn, since most places are still, and nothing is learnt from them.

    Parameters
    ----------
    frame_scores : (n,). place_scores, moving : (n, 49) scores, and shares of a place that move.
    known : (n,) frames that are used, where it is not all.

    Returns
    -------
    Table of row (of the frame), place (0 to 48, from left to right and top to bottom), label (1 in
    A, 0 in N), share (which of the shares of A it is in, from 0; -1 in N), and weight
    (probabilities that sum to 1 over each A and over N).

    Raises
    ------
    ValueError : too few frames for one of each set, or a score that is not finite.
    """
    if not (np.isfinite(frame_scores).all() and np.isfinite(place_scores).all()):
        raise ValueError("a score is not finite; lower learning_rate if training diverged")
    frames = np.arange(len(frame_scores)) if known is None else np.flatnonzero(known)
    counts = [int(share * len(frames) + 1e-9) for share in settings.anomalous_fractions]
    normal = int(settings.normal_fraction * len(frames) + 1e-9)
    if min(*counts, normal) < 1:
        least = int(np.ceil(1 / min(*settings.anomalous_fractions, settings.normal_fraction)))
        raise ValueError(
            f"{len(frames)} looked-at frames (fps) give {min(counts)} pseudo anomalous and "
            f"{normal} pseudo normal ones (anomalous_fractions, normal_fraction); at least {least} "
            "frames are needed"
        )
    order = frames[np.argsort(frame_scores[frames], kind="stable")]
    sets = [
        _anomalous(np.sort(order[-count:]), place_scores, settings.places).assign(share=share)
        for share, count in enumerate(counts)
    ]
    others = order[: len(order) - max(counts)]
    first = _typical(frame_scores[others], normal) if settings.normal == "typical" else 0
    chosen = np.sort(others[first : first + normal])
    moves = moving[chosen].ravel() > MOVING
    parts = {True: settings.moving_share, False: 1 - settings.moving_share}
    if moves.all() or not moves.any():  # one kind alone has to do
        parts = {True: 1.0, False: 1.0}
    each = {kind: part / max((moves == kind).sum(), 1) for kind, part in parts.items()}
    in_n = pd.DataFrame(
        {
            "row": np.repeat(chosen, PLACES),
            "place": np.tile(np.arange(PLACES), len(chosen)),
            "label": np.int8(0),
            "weight": np.where(moves, each[True], each[False]),
            "share": -1,
        }
    )
    table = pd.concat([*sets, in_n])
    table = table[["row", "place", "label", "share", "weight"]].astype({"share": np.int8})
    return table.sort_values(["row", "place", "share"], ignore_index=True)


def _anomalous(frames: Rows, place_scores: FloatArray, count: int) -> pd.DataFrame:
    """The strongest places of some frames, weighed by their scores, none of which is below 0."""
    best = np.sort(np.argsort(place_scores[frames], axis=1, kind="stable")[:, -count:], axis=1)
    scores = np.take_along_axis(place_scores[frames], best, axis=1).ravel().astype(np.float64)
    scores -= min(0.0, scores.min())
    weight = scores / scores.sum() if scores.sum() > 0 else np.full(len(scores), 1 / len(scores))
    members = {"row": np.repeat(frames, count), "place": best.ravel(), "label": np.int8(1)}
    return pd.DataFrame({**members, "weight": weight})


def _typical(scores: FloatArray, count: int) -> int:
    """Where the shortest interval of ascending scores begins that holds so many: the shorth.

    The lowest scores are not what is usual: a place that everyone has just left is as rare as one
    where everyone runs.
    """
    return int(np.argmin(scores[count - 1 :] - scores[: len(scores) - count + 1]))


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
        known = np.isin(rows, index["row"])
        unseen = index.loc[~index["clip"].isin(timeline.index()["clip"].iloc[rows[known]]), "clip"]
        if len(unseen):
            raise SdorError(
                f"clip {unseen.iloc[0]}: of its frames that are used, none is looked at; raise fps"
            )
        return cls(timeline, rows, index, known)

    @classmethod
    def of(cls, timeline: Timeline, fps: float | None) -> Self:
        """All frames of a scene are used."""
        index, rows = timeline.index(), timeline.sampled(fps)
        index = index.assign(row=np.arange(len(index)))
        return cls(timeline, rows, index, np.ones(len(rows), dtype=bool))

    def frame_scores(self, places: FloatArray, count: int) -> FloatArray:
        """Scores (n,) of the rows: the mean of their `count` highest places, smoothed in time.

        Parameters
        ----------
        places : (n, 49) scores.
        """
        highest = strongest(np.asarray(places, dtype=np.float64), count)
        return self.timeline.smoothed(highest, self.rows, SCORES, self.known)

    def at_rows(self, scores: FloatArray) -> FloatArray:
        """Scores of the used frames at the rows, (n,); 0 where one is not used."""
        every = np.zeros(len(self.timeline))
        every[self.index["row"]] = scores
        return every[self.rows]

    def spread(self, scores: FloatArray) -> FloatArray:
        """Scores of the used frames, from those of the rows, (n,): linear in time."""
        kept = self.rows[self.known]
        return self.timeline.spread(scores[self.known], kept, self.index["row"].to_numpy())


def write_place_labels(
    looked: Looked,
    scores: Path,
    places: tuple[Path, Path],
    output: Path,
    settings: PlaceLabelSettings,
    *,
    about: About,
) -> pd.DataFrame:
    """Scores of frames and places → table of (clip, frame, row, place, label, share, weight).

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
        "share": "which of anomalous_fractions, from 0; -1 of normal ones",
        "weight": "probability to be drawn within its label",
    }
    table = pd.concat([index, members], axis=1)
    write_parquet(output, table, {**units, **about})
    return table
