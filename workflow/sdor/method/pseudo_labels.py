"""Pseudo labels (section 4.1): the most anomalous frames A, the most normal N, how to draw them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.method.scores import mean_scores

FloatArray = NDArray[np.floating[Any]]


def select_pseudo_labels(
    score_paths: list[Path], output: Path, *, method: dict[str, Any], about: dict[str, Any]
) -> pd.DataFrame:
    """Score tables → table of (clip, frame, label, weight) for the frames in A and N.

    Parameters
    ----------
    score_paths : one table of scores, or several over the same frames, which are averaged.
    """
    scores = mean_scores(score_paths)
    try:
        label, weight = pseudo_labels(
            scores["score"].to_numpy(),
            anomalous_fraction=method["anomalous_fraction"],
            normal_fraction=method["normal_fraction"],
            sampling=method["sampling"],
        )
    except ValueError as error:
        raise SdorError(f"{score_paths[-1]}: {error}") from error
    chosen = label >= 0
    table = scores.loc[chosen, ["clip", "frame"]].assign(
        label=label[chosen].astype(np.int8), weight=weight[chosen]
    )
    units = {"label": "1 anomalous, 0 normal", "weight": "probability to be drawn within its label"}
    write_parquet(output, table, {**units, **about})
    return table


def pseudo_labels(
    scores: FloatArray,
    *,
    anomalous_fraction: float = 0.10,
    normal_fraction: float = 0.20,
    sampling: str = "score",
) -> tuple[NDArray[np.int8], FloatArray]:
    """Choose A and N by score, and how probably each member is drawn into a batch.

    Parameters
    ----------
    scores : (frames,); equal scores are told apart by their order.
    anomalous_fraction, normal_fraction : shares of the frames that A and N take (rounded down).
    sampling : "score": members of A are drawn in proportion to their score, shifted so that none
        is below 0 (phi is a linear unit, and can be negative); "uniform". N is always uniform.

    Returns
    -------
    label : (frames,) 1 in A, 0 in N, −1 elsewhere.
    weight : (frames,) probabilities that sum to 1 over A and over N, 0 elsewhere.

    Raises
    ------
    ValueError : too few frames for one member of each set, or a score that is not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)  # float32 weights do not sum to 1 closely enough
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite; lower learning_rate if training diverged")
    # The small term undoes the rounding of products such as 0.1 * 30.
    anomalous = int(anomalous_fraction * len(scores) + 1e-9)
    normal = int(normal_fraction * len(scores) + 1e-9)
    if anomalous < 1 or normal < 1:
        least = int(np.ceil(1 / min(anomalous_fraction, normal_fraction)))
        raise ValueError(
            f"{len(scores)} frames give {anomalous} pseudo anomalous (anomalous_fraction "
            f"{anomalous_fraction:g}) and {normal} pseudo normal frames (normal_fraction "
            f"{normal_fraction:g}); at least {least} frames are needed"
        )
    order = np.argsort(scores, kind="stable")
    label = np.full(len(scores), -1, dtype=np.int8)
    label[order[:normal]] = 0
    label[order[-anomalous:]] = 1
    weight = np.zeros(len(scores))
    weight[label == 0] = 1 / normal
    weight[label == 1] = 1 / anomalous
    if sampling == "score":
        shifted = scores[label == 1] - min(0.0, scores[label == 1].min())
        if shifted.sum() > 0:
            weight[label == 1] = shifted / shifted.sum()
    return label, weight
