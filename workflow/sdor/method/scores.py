"""Score tables: clip, frame and score of every frame; the higher, the more anomalous."""

from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet


def mean_scores(paths: list[Path]) -> pd.DataFrame:
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
    scores = [table["score"].to_numpy(np.float64) for table in tables]
    return index.assign(score=np.mean(scores, axis=0))
