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
