"""What an operator's marks teach: the model of a camera, which scores all of its archive anew."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.files import About, atomic, read_about
from sdor.method.marks import SEEN, gone_marks, gone_words, read_marks, seen_clips
from sdor.operator.archive import Archive
from sdor.operator.likeness import Likeness, Places, described
from sdor.operator.model import MARGIN, CameraModel, FloatArray
from sdor.operator.pace import Say
from sdor.operator.rank import OWN, score_archive
from sdor.progress import counted

NEAR = 0.5  # s to either side of a marked frame that its mark is about
STRONGEST = 3  # places of a frame that it is about, at most
LEAST = 0.5  # of the strongest one's strength, which a place has to have: others are ordinary


def learn_round(
    marks: Sequence[Path],
    looks: Path,
    files: tuple[Path, Path],
    outputs: tuple[Path, Path],
    *,
    about: About,
    say: Say,
) -> str:
    """Learn from all rounds of marks; returns a line on it.

    Parameters
    ----------
    marks : files of the rounds. looks : table of the archive, whose folder lies beside it.
    files : model and scores without marks. outputs : those of the round; copies, where nothing can
        be told of what is left of a camera's video.

    Raises
    ------
    SdorError : a file is damaged, a line of marks is wrong, or a round holds none.
    """
    archive = Archive.read(looks, looks.with_name("looks"))
    frames = archive.frames()
    seen = seen_clips(looks.with_name(SEEN), frames["clip"])
    known = read_marks(marks, frames, seen, may_be_empty=False)
    if failure := read_about(files[1]).get("failure"):
        for old, new in zip(files, outputs, strict=True):
            with atomic(new) as temporary:
                shutil.copyfile(old, temporary)
        return str(failure)
    scores = learn(archive, CameraModel.load(files[0]), known, outputs, about=about, say=say)
    gone = gone_marks(marks, frames, seen)
    left_out = f"; {gone_words(gone)}" if gone else ""
    return f"{counted(len(known), 'mark')}, {len(scores):,} frames scored{left_out}"


def learn(
    archive: Archive,
    model: CameraModel,
    marks: pd.DataFrame,
    outputs: tuple[Path, Path],
    *,
    about: About,
    say: Say,
) -> pd.DataFrame:
    """Write a model that knows what was marked, and the scores of all rows.

    Parameters
    ----------
    model : without marks. marks : clip, frame, label (1 anomalous, 0 normal) of all rounds.
    outputs, about, say : as `rank` has them; what the model says of itself is added.

    Returns
    -------
    The scores, as `rank` gives them.

    Raises
    ------
    SdorError : a file is damaged.
    """
    frames = zip(marks["clip"], marks["frame"].tolist(), strict=True)
    each = [marked_places(archive, model, *one) for one in frames]
    if each:
        labels = np.repeat(marks["label"].to_numpy(np.int8), [len(one) for one in each])
        model = replace(model, marked=Likeness.of(np.concatenate(each), labels))
    say(f"camera {model.about['camera']}: learning from {counted(len(marks), 'mark')}")
    about = {**{key: one for key, one in model.about.items() if key not in OWN}, **about}
    return score_archive(archive, model, outputs, about=about, say=say)


def marked_places(archive: Archive, model: CameraModel, clip: str, frame: int) -> Places:
    """What the strongest places around a frame look like, (k, components + 1).

    Raises
    ------
    SdorError : a file is damaged.
    """
    stretch, at = archive.place(clip, frame)
    piece = archive.piece(stretch, at - NEAR - MARGIN, at + NEAR + MARGIN)
    start, looked, maps, _ = model.seen(piece.looks, piece.seconds)
    _, seen = model.score(piece.looks, piece.seconds)
    places = described(maps, start.cells[looked.rows], model.units[0])
    strength = model.strength(start.cells[looked.rows], seen)
    away = np.abs(piece.seconds[looked.rows] - at)
    near = np.flatnonzero(away <= max(NEAR, away.min()))
    return places[near][standing_out(strength[near])]


def standing_out(strength: FloatArray) -> NDArray[np.bool_]:
    """Which places of frames (n, 49) a mark is about: the strongest, and at least one of each."""
    strong = np.sort(strength, axis=1)
    first = strong[:, -1:]
    least = np.maximum(strong[:, -STRONGEST, np.newaxis], LEAST * first)
    return strength >= np.minimum(least, first)  # of what is below 0, a half is more
