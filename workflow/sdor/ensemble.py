"""The answer: the mean of the scores of all self-training iterations (Eq. 9)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet, write_parquet


def average_scores(score_paths: list[Path], output: Path, *, about: dict[str, Any]) -> pd.DataFrame:
    """Score tables of phi_1 … phi_T → one table of (clip, frame, score).

    Raises
    ------
    SdorError : two tables are not of the same frames.
    """
    tables = [read_parquet(path, ["clip", "frame", "score"]) for path in score_paths]
    index = tables[0][["clip", "frame"]]
    for path, table in zip(score_paths, tables, strict=True):
        if not table[["clip", "frame"]].equals(index):
            raise SdorError(f"{path}: not of the same frames as {score_paths[0]}; delete both")
    mean = np.mean([table["score"].to_numpy(np.float64) for table in tables], axis=0)
    result = index.assign(score=mean)
    write_parquet(output, result, {"score": "the higher, the more anomalous", **about})
    return result
