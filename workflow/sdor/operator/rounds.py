"""What rounds of marks did to the list of a camera's moments."""

from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_about, read_parquet
from sdor.method.marks import gone_words
from sdor.progress import counted
from sdor.study.rounds import ROUND, archive_of, newest

COLUMNS = ["event", "change", "before", "now", "clip", "begin", "end"]
EVENTS = "events.parquet"
CHANGES = {1: "rose", 0: "same", -1: "fell"}


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
    earlier = list_before(folder)
    if earlier is None:
        return pd.DataFrame(columns=COLUMNS)
    now = folder / EVENTS
    gone = read_about(now).get("dismissed", [])
    clips = _clips_of(earlier), _clips_of(folder)
    return changed_ranks(read_parquet(earlier / EVENTS), read_parquet(now), gone, clips)


def remarks_on(folder: Path) -> list[str]:
    """What else is to be said of a list: marks whose clips are gone, and how the archive grew.

    Parameters
    ----------
    folder : as of `changes_since`.

    Raises
    ------
    SdorError : the list itself is damaged.
    """
    gone = read_about(folder / EVENTS).get("gone", 0)
    words = [f"{gone_words(gone)}: nothing is learnt from them"] if gone else []
    words += filter(None, [damage_before(folder)])
    earlier = list_before(folder)
    before, now = _clips_of(earlier) if earlier else None, _clips_of(folder)
    if before is None or now is None or before == now:
        return words
    came, removed = len(now - before), len(before - now)
    moved = [f"{counted(came, 'file')} came"] if came else []
    moved += [f"{counted(removed, 'file')} {'is' if removed == 1 else 'are'} gone"] * bool(removed)
    more = "what moved is not by the marks alone, and moments of files in both are compared"
    return [*words, f"{' and '.join(moved)} since the list before: {more}"]


def list_before(folder: Path) -> Path | None:
    """The folder of the list before that of a round, if one is there that can be read."""
    return None if damage_before(folder) else _before(folder)


def damage_before(folder: Path) -> str:
    """What is said where the list before cannot be read, which hinders nothing else."""
    path = (_before(folder) or folder) / EVENTS
    try:
        if path.parent != folder:
            read_parquet(path), read_about(path)
    except SdorError:
        return f"{path}: the list before cannot be read: what moved since is not told"
    return ""


def _before(folder: Path) -> Path | None:
    match = ROUND.fullmatch(folder.name)
    if match is None:
        return None
    found = newest(archive_of(folder), EVENTS, int(match[1]) - 1)
    return found if (found / EVENTS).is_file() else None


def changed_ranks(
    before: pd.DataFrame,
    now: pd.DataFrame,
    dismissed: Iterable[tuple[str, int, int]] = (),
    clips: tuple[Set[str] | None, Set[str] | None] = (None, None),
) -> pd.DataFrame:
    """Which moments of a list rose, fell, are new, or left.

    A moment is the one before with which it shares most frames: its name is that of its peak,
    which moves. What was marked since is in neither list, so that nothing rises by that alone; nor
    is it told what moments of files do that only one of the lists knows: ranks before are those
    that they would have had in the list of now, and what may have made room for others did not
    leave, nor come.

    Parameters
    ----------
    before, now : events of `write_moments`. dismissed : clip, first and last frame.
    clips : of the archive, when each list was made; None where that is not known.

    Returns
    -------
    event (its present name; of what left, the last one), change ("rose", "fell", "same", "new",
    "left"), before and now (ranks; NA where it is not listed), clip, begin and end (s in the
    source), in the order of now, and then what left.
    """
    marks = now[_column(now, "mark") != ""]
    gone = [*dismissed, *zip(marks["clip"], marks["first"], marks["last"], strict=True)]
    earlier = [one for one in _unmarked(before) if not any(_shared(one, *mark) for mark in gone)]
    listed = _unmarked(now)
    old = [one for one in earlier if clips[1] is None or one["clip"] in clips[1]]
    same = [one for one in listed if clips[0] is None or one["clip"] in clips[0]]
    room = (len(earlier) - len(old)) - (len(listed) - len(same))  # for others, in today's list
    ranks, beyond = sorted(one["rank"] for one in same), len(listed) + 1
    left = dict(zip([*ranks, *range(beyond, beyond + len(old))], old, strict=False))
    may_leave = [*left][: max(len(old) + min(room, 0), 0)]
    may_come = ranks[: max(len(same) - max(room, 0), 0)]
    rows = []
    for one in same:
        shared = {
            rank: _shared(it, one["clip"], one["first"], one["last"]) for rank, it in left.items()
        }
        was = max(shared, key=lambda rank: shared[rank], default=0)
        if not was or not shared[was]:
            if one["rank"] in may_come:
                rows.append({**one, "change": "new", "now": one["rank"]})
            continue
        del left[was]
        change = CHANGES[(was > one["rank"]) - (was < one["rank"])]
        rows.append({**one, "change": change, "before": was, "now": one["rank"]})
    gone_since = {rank: one for rank, one in left.items() if rank in may_leave}
    rows += [{**one, "change": "left", "before": rank} for rank, one in gone_since.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"before": "Int64", "now": "Int64"})


def _clips_of(folder: Path) -> Set[str] | None:
    """The clips that a list was made of; None of a list of an earlier version."""
    clips = read_about(folder / EVENTS).get("clips")
    return None if clips is None else set(clips)


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
