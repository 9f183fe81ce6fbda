"""Intervals of a ranking's metrics, and paired differences, from resampled clips.

Frames of one clip resemble each other, so the clip is the unit that is resampled: frames as units
would claim a precision that the data does not have.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sdor.errors import SdorError
from sdor.evaluation.metrics import (
    COLUMNS,
    FloatArray,
    LabelledFrames,
    missing,
    no_interval,
    per_draw,
)
from sdor.files import damaged, read_parquet

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measure:
    """One metric of a ranking (a fraction of 1) and its 95 % interval.

    Attributes
    ----------
    value, low, high : None where there is none; `reason` says why.
    skipped : draws that are left out of the interval, because they did not hold both classes.
    clips : of `within_clip` and `macro_auc`, how many clips they average.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    skipped: int = 0
    clips: int | None = None

    def in_words(self, name: str) -> str:
        """Name and value in percent; empty where there is none."""
        return "" if self.value is None else f"{name} {100 * self.value:.1f}"


def draw_clips(clips: int, draws: int, seed: int = 0) -> FloatArray:
    """(draws, clips) how often each clip comes up when `clips` are drawn with replacement."""
    if clips == 0:
        return np.zeros((draws, 0))
    rng = np.random.default_rng(seed)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=draws).astype(float)


def measure(scores: FloatArray, frames: LabelledFrames, weights: FloatArray) -> dict[str, Measure]:
    """All columns of one ranking.

    Parameters
    ----------
    scores : (frames,) anomaly scores of the labelled frames.
    weights : (draws, clips) draws of `draw_clips`; no draws, no intervals.

    Raises
    ------
    ValueError : not one score a frame, or one that is not finite.
    """
    return measure_draws(scores, frames, weights)[0]


def measure_draws(
    scores: FloatArray, frames: LabelledFrames, weights: FloatArray
) -> tuple[dict[str, Measure], dict[str, FloatArray]]:
    """What `measure` gives, and beside it the values of every draw (column: (draws,) array)."""
    reasons = missing(frames)
    averaged = {"within_clip": frames.both_classes, "macro_auc": frames.judged}
    value = drawn = dict.fromkeys(COLUMNS, np.empty(0))
    if len(reasons) < len(COLUMNS):
        value = per_draw(scores, frames, np.ones((1, len(frames.split))))
        drawn = per_draw(scores, frames, weights)
    found = {
        column: Measure(reason=reasons[column])
        if column in reasons
        else with_interval(float(value[column][0]), drawn[column], no_interval(frames, column))
        for column in COLUMNS
    }
    counted = {name: replace(found[name], clips=int(of.sum())) for name, of in averaged.items()}
    return found | counted, drawn


def paired(
    scores: FloatArray, others: FloatArray, frames: LabelledFrames, weights: FloatArray
) -> dict[str, Measure]:
    """Difference of two rankings, `scores` minus `others`, over the same draws of clips.

    What makes a draw easy or hard is common to both and cancels, so this interval is narrower than
    two separate ones suggest.
    """
    (mine, left), (theirs, right) = (
        measure_draws(one, frames, weights) for one in (scores, others)
    )
    found = {}
    for column in COLUMNS:
        ours, other = mine[column].value, theirs[column].value
        if ours is None or other is None:
            found[column] = Measure(reason=mine[column].reason)
        else:
            drawn = left[column] - right[column]
            found[column] = with_interval(ours - other, drawn, no_interval(frames, column))
    return found


def with_interval(value: float, drawn: FloatArray, no_interval: str | None = None) -> Measure:
    """A value with the interval that its draws span.

    Parameters
    ----------
    drawn : the value in each draw, NaN where it does not exist.
    no_interval : why there can be none, if so.
    """
    usable = drawn[~np.isnan(drawn)]
    if no_interval is not None or len(usable) == 0:
        return Measure(value, reason=no_interval or "no draws")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(usable, [tail, 100 - tail])
    return Measure(value, float(low), float(high), skipped=len(drawn) - len(usable))


def read_draws(path: str | Path, rows: Collection[str], draws: int) -> dict[str, FloatArray]:
    """Row: (draws, COLUMNS) values of one run's `draws.parquet`, in the order of the draws.

    Parameters
    ----------
    rows, draws : the rows with a value, and the number of draws, of the `metrics.json` beside it.

    Raises
    ------
    SdorError : the file is missing or damaged, or is not of the same rows and draws.
    """
    table = read_parquet(path)
    if absent := [name for name in ("row", "draw", *COLUMNS) if name not in table]:
        raise SdorError(damaged(path, KeyError(f"no column {absent[0]}")))
    table = table.sort_values("draw", kind="stable")
    found = {str(row): part.to_numpy(float) for row, part in table.groupby("row")[[*COLUMNS]]}
    for row in rows:
        if len(found.get(row, ())) != draws:
            raise SdorError(
                f"{path}: row {row} has {len(found.get(row, ()))} draws, its metrics.json {draws}; "
                "delete both and run the same command again"
            )
    return found


def mean_draws(drawn: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """Row: the mean over runs in every draw; a row that a run lacks is not in it."""
    shared = [row for row in drawn[0] if len({len(one.get(row, ())) for one in drawn}) == 1]
    return {row: np.mean([one[row] for one in drawn], axis=0) for row in shared}
