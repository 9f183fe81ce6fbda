"""An expert's feedback (section 4.5): phi is fine-tuned on the frames that were marked."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet
from sdor.method.marks import lengths_of, read_marks, widened

# Random numbers of the rounds follow those of the iterations, of which there are at most 99.
FIRST_ROUND = 100


def labels_of_marks(marks_paths: Sequence[Path], index_path: Path, neighbours: int) -> pd.DataFrame:
    """What phi is fine-tuned on after round r: all marks so far, those of a label drawn alike.

    Parameters
    ----------
    marks_paths : of rounds 1 … r. index_path : table with clip and frame of all frames.
    neighbours : frames on either side of a marked one that are taken with it; see `widened`.

    Returns
    -------
    Table of clip, frame, label and weight, as `train_and_score` takes it.

    Raises
    ------
    SdorError : a table is damaged, a mark is wrong, or nothing was marked.
    """
    index = read_parquet(index_path, ["clip", "frame"])
    marks = widened(read_marks(marks_paths, lengths_of(index)), index, neighbours)
    if marks.empty:
        raise SdorError(
            f"{marks_paths[-1]}: no labelled frame among the highest-ranked ones; raise "
            "feedback.share, or leave the scene out of feedback.scenes"
        )
    labels = marks[["clip", "frame", "label"]]
    return labels.assign(weight=1 / labels.groupby("label")["label"].transform("size"))
