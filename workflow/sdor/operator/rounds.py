"""What is learnt from rounds of marks, and what that did to the list of a camera's moments."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdor.files import About, atomic, read_about, read_parquet
from sdor.method.marks import read_marks
from sdor.operator.archive import Archive
from sdor.operator.learn import learn
from sdor.operator.model import CameraModel
from sdor.operator.pace import Say
from sdor.study.rounds import ROUND, archive_of, newest

COLUMNS = ["event", "change", "before", "now", "clip", "begin", "end"]
EVENTS = "events.parquet"
CHANGES = {1: "rose", 0: "same", -1: "fell"}


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
    SdorError : a file is damaged, or a line of marks is wrong.
    """
    archive = Archive.read(looks, looks.with_name("looks"))
    known = read_marks(marks, archive.frames())
    if failure := read_about(files[1]).get("failure"):
        for old, new in zip(files, outputs, strict=True):
            with atomic(new) as temporary:
                shutil.copyfile(old, temporary)
        return str(failure)
    scores = learn(archive, CameraModel.load(files[0]), known, outputs, about=about, say=say)
    return f"{len(known)} marks, {len(scores):,} frames scored"


def changes_since(folder: Path) -> pd.DataFrame:
    """How the list of a round differs from the list before, as it was when it was last made.

    Parameters
    ----------
    folder : of the round's events, `results/{camera}/watch/round{n}`.

    Returns
    -------
    See `changed_ranks`. No rows of the list without marks, or where there is no list before.

    Raises
    ------
    SdorError : a file is damaged.
    """
    earlier = _before(folder)
    if earlier is None:
        return pd.DataFrame(columns=COLUMNS)
    now = folder / EVENTS
    gone = read_about(now).get("dismissed", [])
    return changed_ranks(read_parquet(earlier / EVENTS), read_parquet(now), gone)


def changed_ranks(
    before: pd.DataFrame, now: pd.DataFrame, dismissed: Iterable[tuple[str, int, int]] = ()
) -> pd.DataFrame:
    """Which moments of a list rose, fell, are new, or left.

    A moment is the one before with which it shares most frames: its name is that of its peak,
    which moves. What was marked since is in neither list, so that nothing rises by that alone.

    Parameters
    ----------
    before, now : events of `write_moments`. dismissed : clip, first and last frame.

    Returns
    -------
    event (its present name; of what left, the last one), change ("rose", "fell", "same", "new",
    "left"), before and now (ranks; NA where it is not listed), clip, begin and end (s in the
    source), in the order of now, and then what left.
    """
    marks = now[_column(now, "mark") != ""]
    gone = [*dismissed, *zip(marks["clip"], marks["first"], marks["last"], strict=True)]
    earlier = [one for one in _unmarked(before) if not any(_shared(one, *mark) for mark in gone)]
    left = dict(enumerate(earlier, start=1))
    rows = []
    for one in _unmarked(now):
        shared = {
            rank: _shared(it, one["clip"], one["first"], one["last"]) for rank, it in left.items()
        }
        was = max(shared, key=lambda rank: shared[rank], default=0)
        if not was or not shared[was]:
            rows.append({**one, "change": "new", "now": one["rank"]})
            continue
        del left[was]
        change = CHANGES[(was > one["rank"]) - (was < one["rank"])]
        rows.append({**one, "change": change, "before": was, "now": one["rank"]})
    rows += [{**one, "change": "left", "before": rank} for rank, one in left.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"before": "Int64", "now": "Int64"})


def _before(folder: Path) -> Path | None:
    """The list before that of a round, that is there."""
    match = ROUND.fullmatch(folder.name)
    if match is None:
        return None
    found = newest(archive_of(folder), EVENTS, int(match[1]) - 1)
    return found if (found / EVENTS).is_file() else None


def _unmarked(events: pd.DataFrame) -> list[dict[Any, Any]]:
    """The ranked moments of a list."""
    ranked = events[(events["kind"] == "moment") & (_column(events, "mark") == "")]
    return ranked.to_dict("records")


def _column(events: pd.DataFrame, name: str) -> pd.Series:
    """A column that lists of earlier versions have not."""
    return events[name] if name in events else pd.Series("", index=events.index)


def _shared(event: Mapping[Any, Any], clip: str, first: int, last: int) -> int:
    """How many frames an event shares with some of a clip."""
    both = min(event["last"], last) - max(event["first"], first) + 1
    return max(both, 0) if event["clip"] == clip else 0
