"""An expert's feedback (section 4.5): phi is fine-tuned on the frames that were marked."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet

# Random numbers of the rounds follow those of the iterations, of which there are at most 99.
FIRST_ROUND = 100


def labels_of_marks(marks_paths: Sequence[Path]) -> pd.DataFrame:
    """What phi is fine-tuned on after round r: all marks so far, those of a label drawn alike.

    Parameters
    ----------
    marks_paths : of rounds 1 … r: clip, frame and label (1 / 0) of marked frames and neighbours.

    Returns
    -------
    Table of clip, frame, label and weight, as `train_and_score` takes it.

    Raises
    ------
    SdorError : a table is damaged, or nothing was marked.
    """
    marks = pd.concat([read_parquet(path) for path in marks_paths], ignore_index=True)
    if marks.empty:
        raise SdorError(
            f"{marks_paths[-1]}: no labelled frame among the highest-ranked ones; raise "
            "feedback.share, or leave the scene out of feedback.scenes"
        )
    labels = marks[["clip", "frame", "label"]]
    return labels.assign(weight=1 / labels.groupby("label")["label"].transform("size"))
