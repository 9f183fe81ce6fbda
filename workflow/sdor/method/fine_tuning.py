"""Fine-tuning of a trained scorer on the frames that an expert marked (section 4.5)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet
from sdor.method.training import make_repeatable, open_inputs, open_part, train_and_score, with_rows
from sdor.networks.compute import Compute

# Random numbers of the rounds follow those of the iterations, of which there are at most 99.
FIRST_ROUND = 100


def fine_tune(
    *,
    rows: list[Path],
    index: Path,
    marks_paths: Sequence[Path],
    weights: Path,
    model: Path,
    folder: Path,
    method: dict[str, Any],
    epochs: int,
    seed: int,
    compute: Compute,
    about: dict[str, Any],
) -> pd.DataFrame:
    """Fine-tune a scorer on all marks so far, score all frames, and write both into `folder`.

    Parameters
    ----------
    rows, index : see `training.run_iteration`.
    marks_paths : of rounds 1 … r. model : of the round before, or of the last iteration.
    epochs : of the fine-tuning; everything else is as in the training.

    Returns
    -------
    The history, see `training.train`.

    Raises
    ------
    SdorError : an input is damaged or does not fit, or nothing was marked.
    """
    make_repeatable(compute)
    marks = pd.concat([read_parquet(path) for path in marks_paths], ignore_index=True)
    if marks.empty:
        raise SdorError(
            f"{marks_paths[-1]}: no labelled frame among the highest-ranked ones; raise "
            "feedback.share, or leave the scene out of feedback.scenes"
        )
    part = open_part(weights, model, method=method, compute=compute)
    inputs, frames = open_inputs(part, rows, index, trainable=method["trainable"], compute=compute)
    labels = with_rows(marks, frames)[["row", "label"]]
    share = labels.groupby("label")["label"].transform("size")
    return train_and_score(
        part,
        inputs,
        frames,
        labels.assign(weight=1 / share),
        folder=folder,
        method={**method, "epochs": epochs},
        seed=[seed, FIRST_ROUND + len(marks_paths)],
        compute=compute,
        began_from=[weights, model],
        about={**about, "compute": compute.describe()},
    )
