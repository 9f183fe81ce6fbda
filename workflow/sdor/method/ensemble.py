"""The answer: the mean of the scores of all self-training iterations (Eq. 9)."""

from pathlib import Path
from typing import Any

import pandas as pd

from sdor.files import write_parquet
from sdor.method.scores import mean_scores


def average_scores(score_paths: list[Path], output: Path, *, about: dict[str, Any]) -> pd.DataFrame:
    """Score tables of phi_1 … phi_T → one table of (clip, frame, score).

    Raises
    ------
    SdorError : two tables are not of the same frames.
    """
    result = mean_scores(score_paths)
    write_parquet(output, result, {"score": "the higher, the more anomalous", **about})
    return result
