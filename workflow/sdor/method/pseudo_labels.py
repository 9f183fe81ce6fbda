"""Pseudo labels (section 4.1): the most anomalous frames A, the most normal N, how to draw them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import fault_in
from sdor.files import About, write_parquet
from sdor.method.scores import FloatArray, mean_scores
from sdor.study.settings import LabelSettings


def pseudo_labels(scores: FloatArray, settings: LabelSettings) -> pd.DataFrame:
    """Choose A and N by score, and how probably each member is drawn into a batch.

    Members of A are drawn in proportion to their score, shifted so that none is below 0 (phi is a
    linear unit, and can be negative); with sampling "uniform", all alike, as those of N always are.

    Parameters
    ----------
    scores : (frames,); equal scores are told apart by their order.
    settings : A and N take their shares of the frames rounded down.

    Returns
    -------
    Table of the members in the order of the frames: row (of `scores`), label (1 in A, 0 in N), and
    weight (probabilities that sum to 1 over A and over N).

    Raises
    ------
    ValueError : too few frames for one member of each set, or a score that is not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)  # float32 weights do not sum to 1 closely enough
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite; lower learning_rate if training diverged")
    # The small term undoes the rounding of products such as 0.1 * 30.
    anomalous = int(settings.anomalous_fraction * len(scores) + 1e-9)
    normal = int(settings.normal_fraction * len(scores) + 1e-9)
    if anomalous < 1 or normal < 1:
        least = int(np.ceil(1 / min(settings.anomalous_fraction, settings.normal_fraction)))
        raise ValueError(
            f"{len(scores)} frames give {anomalous} pseudo anomalous and {normal} pseudo normal "
            f"frames (anomalous_fraction, normal_fraction); at least {least} frames are needed"
        )
    order = np.argsort(scores, kind="stable")
    in_a, in_n = np.sort(order[-anomalous:]), np.sort(order[:normal])
    weight = np.full(anomalous, 1 / anomalous)
    if settings.sampling == "score":
        shifted = scores[in_a] - min(0.0, scores[in_a].min())
        if shifted.sum() > 0:
            weight = shifted / shifted.sum()
    members = [
        pd.DataFrame({"row": in_a, "label": np.int8(1), "weight": weight}),
        pd.DataFrame({"row": in_n, "label": np.int8(0), "weight": 1 / normal}),
    ]
    return pd.concat(members).sort_values("row", ignore_index=True)


def write_pseudo_labels(
    score_paths: Sequence[Path], output: Path, settings: LabelSettings, *, about: About
) -> pd.DataFrame:
    """Score tables → table of (clip, frame, label, weight) for the frames in A and N.

    Parameters
    ----------
    score_paths : one table of scores, or several over the same frames, which are averaged.
    """
    scores = mean_scores(score_paths)
    with fault_in(score_paths[-1]):
        members = pseudo_labels(scores["score"].to_numpy(), settings)
    table = scores[["clip", "frame"]].join(members.set_index("row"), how="right")
    units = {"label": "1 anomalous, 0 normal", "weight": "probability to be drawn within its label"}
    write_parquet(output, table, {**units, **about})
    return table
