"""Score tables: clip, frame and score of every frame; the higher, the more anomalous."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import About, read_parquet, write_parquet


def write_scores(path: Path, scores: pd.DataFrame, about: About) -> None:
    """Write a score table that says which way its scores go."""
    write_parquet(path, scores, {"score": "the higher, the more anomalous", **about})


def mean_scores(paths: Sequence[Path]) -> pd.DataFrame:
    """Average score tables over the same frames (Eq. 9).

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
    scores = [table["score"].to_numpy(np.float64) for table in tables]
    return index.assign(score=np.mean(scores, axis=0))
