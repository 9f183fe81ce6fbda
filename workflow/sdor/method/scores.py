"""Score tables: clip, frame and score of every frame; the higher, the more anomalous."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import About, read_parquet, write_parquet

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]
# Of the numbers' size: what networks in float32 make of the same frame differs by a tenth of it.
ROUNDING = 1e-5
MOST = 0.99
# Of scores, which stand for targets 0 and 1: a sum that cancels keeps the rounding of its parts.
LEAST_SIZE = 0.1


def all_alike(values: FloatArray, least: float = 0) -> bool:
    """Whether numbers are equal up to rounding, so that nothing stands out (see `first_alike`)."""
    return len(values) == 0 or bool(np.ptp(values) <= rounding(values, least))


def first_alike(rows: FloatArray, least: float = 0) -> IntArray:
    """The first of the run of equal rows that each row is in, equal up to rounding.

    A camera that shows the same picture again has the same scores: what rounding makes of them is
    no ranking.

    Parameters
    ----------
    rows : (rows,) or (rows, dims) numbers, in the order of the frames.
    least : the size that they have at least, whatever they say: `LEAST_SIZE` of scores.

    Returns
    -------
    (rows,) positions: `rows[first_alike(rows)]` are the rows without their rounding.
    """
    limit = rounding(rows, least)
    firsts = np.arange(len(rows))
    # Two rows of a run lie within two limits of each other, in one of their numbers as in all.
    steps = np.abs(np.diff(rows[:, 0] if rows.ndim == 2 else rows))
    for row in np.flatnonzero(steps <= 2 * limit) + 1:
        # Against the first, not the one before: many small steps may lead far.
        if np.abs(rows[row] - rows[firsts[row - 1]]).max() <= limit:
            firsts[row] = firsts[row - 1]
    return firsts


def rounding(values: FloatArray, least: float = 0) -> float:
    """How far numbers may lie apart and still be equal up to rounding (see `first_alike`)."""
    # The size of most: one number far out must not level the others.
    size = float(np.quantile(np.abs(values), MOST)) if values.size else 0.0
    return ROUNDING * max(size, least)


def write_scores(path: Path, scores: pd.DataFrame, about: About) -> None:
    """Write a score table that says which way its scores go.

    Raises
    ------
    SdorError : a score that is not finite; the message names its clip and frame. Every table of
        scores is written here, so none has one.
    """
    scored = scores.select_dtypes("float")
    rows, columns = np.nonzero(~np.isfinite(scored.to_numpy()))
    if len(rows):
        clip, frame = scores.iloc[rows[0]][["clip", "frame"]]
        raise SdorError(
            f"{path.name}: clip {clip}, frame {frame}: {scored.columns[columns[0]]} is not finite; "
            "lower learning_rate if training diverged"
        )
    write_parquet(path, scores, {"score": "the higher, the more anomalous", **about})


def mean_scores(paths: Sequence[Path]) -> pd.DataFrame:
    """Average score tables over the same frames.

    Returns
    -------
    Table of clip, frame and score (float64).

    Raises
    ------
    SdorError : a table is damaged, or of other frames than the first.
    """
    tables = [read_parquet(path, ["clip", "frame", "score"]) for path in paths]
    index = tables[0][["clip", "frame"]]
    for path, table in zip(paths, tables, strict=True):
        if not table[["clip", "frame"]].equals(index):
            raise SdorError(f"{path}: not of the same frames as {paths[0]}; delete both")
    return index.assign(score=mean_of([table["score"].to_numpy() for table in tables]))


def mean_of(scores: Sequence[FloatArray]) -> FloatArray:
    """The answer: the mean of the scores (frames,) of several models, in float64 (Eq. 9)."""
    mean: FloatArray = np.mean(scores, axis=0, dtype=np.float64)
    return mean
