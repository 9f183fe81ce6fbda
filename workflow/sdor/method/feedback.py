"""An expert's feedback (section 4.5): phi is fine-tuned on the frames that were marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet
from sdor.method.marks import SEEN, lengths_of, read_marks, seen_clips, widened

# Random numbers of the rounds follow those of the iterations, of which there are at most 99.
FIRST_ROUND = 100


def labels_of_marks(
    marks_paths: Sequence[Path],
    index_path: str | Path,
    neighbours: int,
    begins: Mapping[str, int] | None = None,
    folder: Path | None = None,
) -> pd.DataFrame:
    """What phi is fine-tuned on after round r: all marks so far, those of a label drawn alike.

    Parameters
    ----------
    marks_paths : of rounds 1 … r. index_path : table with clip and frame of all frames.
    neighbours : frames on either side of a marked one that are taken with it; see `widened`.
    begins : by clip, the number that its first frame has in the marks: those of a watchlist count
        frames of the source. Without, frames of a clip count from 1 there, too.
    folder : for what is learnt, `learnt/round{n}`; its list is in `watch` beside `learnt`.

    Returns
    -------
    Table of clip, frame, label and weight, as `train_and_score` takes it.

    Raises
    ------
    SdorError : a table is damaged, a mark is wrong, or nothing was marked.
    """
    index = read_parquet(index_path, ["clip", "frame"])
    before = index["clip"].map(begins).to_numpy() - 1 if begins else 0
    index["frame"] += before
    clips = lengths_of(index)
    watch = folder.parents[1] / "watch" / SEEN if folder and begins else None
    seen = seen_clips(watch, clips["clip"]) if watch else frozenset[str]()
    # The simulated expert may find nothing; a person who finished a round said something.
    marks = read_marks(marks_paths, clips, seen, may_be_empty=not begins)
    marks = widened(marks, index, neighbours)
    if marks.empty:
        raise SdorError(
            f"{marks_paths[-1]}: no frame is marked as anomalous or normal; raise feedback.share, "
            "or leave the scene out of feedback.scenes; of your own marks, all are of clips that "
            "are gone: take these files away"
        )
    labels = marks[["clip", "frame", "label"]].copy()
    labels["frame"] -= labels["clip"].map(begins) - 1 if begins else 0
    return labels.assign(weight=1 / labels.groupby("label")["label"].transform("size"))


def replayed(labels: pd.DataFrame, pseudo_labels: Path, share: float) -> pd.DataFrame:
    """Marks, and beside them what phi was trained on last, so that it keeps what it learnt.

    Marks of one kind alone take all scores with them.

    Parameters
    ----------
    labels : as `labels_of_marks` gives them. pseudo_labels : table of clip, frame, label, weight.
    share : weight of a label's pseudo labels, where that of its marks is 1; 0, as in the paper,
        leaves the marks as they are. A label that nobody marked has its pseudo labels alone.

    Raises
    ------
    SdorError : the table is damaged.
    """
    if not share:
        return labels
    last = read_parquet(pseudo_labels, [*labels])
    marked = pd.MultiIndex.from_frame(labels[["clip", "frame"]])
    known = pd.MultiIndex.from_frame(last[["clip", "frame"]]).isin(marked)
    last = last[~known & (last["weight"] > 0)]
    both = pd.concat([labels, last.assign(weight=share * last["weight"])], ignore_index=True)
    return both.assign(weight=both["weight"] / both.groupby("label")["weight"].transform("sum"))
