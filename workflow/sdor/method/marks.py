"""What somebody marked as an anomaly or as normal, as CSV: by a person, or by the simulated expert.

A file has a line a mark, clip,frame,label are enough, and what was written last about an event
holds. A round of feedback is one file, which is not written again when it is finished.
"""

import contextlib
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_json, write_json
from sdor.progress import logger

ANOMALY, NORMAL, SKIP, NONE = "anomaly", "normal", "skip", "none"
LABELS = {ANOMALY: 1, NORMAL: 0}  # what can be learnt from
WORDS = (ANOMALY, NORMAL, SKIP, NONE)
NEEDED = ("clip", "frame", "label")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
TYPES = {
    "clip": str,
    **dict.fromkeys(("frame", "first", "last"), np.int64),
    "time": np.float64,
    "label": np.int8,
    "event": str,
    "round": np.int64,
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One line of a file of marks; the fields are its columns, in order.

    Attributes
    ----------
    id : of the mark, given by who makes it; "" where it was written by hand.
    at, by : when it was made (ISO 8601), and by whom.
    event : which is marked; "" for a frame.
    frame : the event's peak, from 1. first, last : of the event.
    time : of the frame (s in the source).
    label : "anomaly", "normal", "skip" (looked at, and not told), or "none" (taken back).
    ranking : fingerprint of what was shown. note : whatever the person has to say.
    """

    id: str = ""
    at: str = ""
    by: str = ""
    event: str = ""
    clip: str
    frame: int
    first: int
    last: int
    time: float | None = None
    label: str
    ranking: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """What is marked: the event, else the frame."""
        return self.event or f"{self.clip}/{self.frame}"

    @property
    def place(self) -> tuple[str, int]:
        """Clip and frame."""
        return self.clip, self.frame


COLUMNS = [field.name for field in fields(Mark)]
HEADER = ",".join(COLUMNS) + "\n"
SEEN = "clips.json"  # names of the clips that a camera ever had, beside its table of looks


def seen_clips(path: Path, clips: Iterable[str]) -> Set[str]:
    """Names of the clips that a camera has or once had, of which there may be marks.

    They tell a clip that a recorder deleted from one that never was. So the file outlives what is
    made anew; without it, a camera has had what it has.

    Parameters
    ----------
    path : JSON, a list of names, to which those of `clips` are added.

    Raises
    ------
    SdorError : it cannot be written.
    """
    try:
        before = {*map(str, read_json(path))}
    except (SdorError, TypeError):
        before = set()
    found = before | {*clips}
    if found != before:
        write_json(path, sorted(found))
    return found


def read_marks(
    paths: Sequence[Path],
    clips: pd.DataFrame,
    seen: Set[str] = frozenset(),
    *,
    may_be_empty: bool = True,
) -> pd.DataFrame:
    """What can be learnt from rounds of marks: the later round's word about an event or a frame.

    Parameters
    ----------
    paths : files of rounds 1 … n. clips : clip and frames of each clip that there is.
    seen : names of clips that once were there, see `seen_clips`.
    may_be_empty : whether a round may have no line, as where the simulated expert finds nothing.

    Returns
    -------
    clip, frame, first and last (frames of the event, or the frame itself), time (s; NaN where it
    is not told), label (1 anomaly, 0 normal), event ("" where it is not told), round (from 1), in
    the order of rounds and lines. Marks of clips that are gone, those of a page or of clips that
    were seen, are left out, and the log says how many.

    Raises
    ------
    SdorError : file, line and reason: a line that cannot be understood, a clip that there never was
        in a line by hand, a frame that the clip does not have, both labels at one frame, or no line
        where there is to be one.
    """
    held = _held(paths, clips, seen, may_be_empty=may_be_empty)
    there = set(clips["clip"])
    rows = [
        {**asdict(mark), "label": LABELS[mark.label], "round": number}
        for number, mark in held
        if mark.clip in there
    ]
    if len(rows) < len(held):
        gone = gone_words(len(held) - len(rows))
        logger.warning("%s", gone)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in TYPES.items()}
    )


def gone_marks(paths: Sequence[Path], clips: pd.DataFrame, seen: Set[str] = frozenset()) -> int:
    """How many marks `read_marks` leaves out, because their clips are gone.

    Raises
    ------
    SdorError : as `read_marks`, but for a round without a line.
    """
    there = set(clips["clip"])
    return sum(mark.clip not in there for _, mark in _held(paths, clips, seen, may_be_empty=True))


def gone_words(count: int) -> str:
    """What is said of marks whose clips are gone."""
    if count == 1:
        return "1 mark is of a clip that is gone"
    return f"{count:,} marks are of clips that are gone"


def _held(
    paths: Sequence[Path], clips: pd.DataFrame, seen: Set[str], *, may_be_empty: bool
) -> list[tuple[int, Mark]]:
    """Round and mark of all that can be learnt from, of clips that are gone, too."""
    frames = dict(zip(clips["clip"], clips["frames"], strict=True))
    held = dict[str, tuple[int, Mark]]()
    for number, path in enumerate(paths, start=1):
        lines = [*parsed(text_of(path), path)]
        for line, mark in lines:
            _check_known(f"{path}: line {line}", mark, frames, seen)
        if not lines and not may_be_empty:
            raise SdorError(
                f"{path}: holds no marks; write some into it ({','.join(NEEDED)} are enough), or "
                "take the file away"
            )
        standing = standing_marks(lines, path)
        places = {mark.place for mark in standing.values()}
        held = {
            key: one
            for key, one in held.items()
            if key not in standing and one[1].place not in places
        }
        held |= {key: (number, mark) for key, mark in standing.items()}
    return [one for one in held.values() if one[1].label in LABELS]


def widened(marks: pd.DataFrame, index: pd.DataFrame, neighbours: int) -> pd.DataFrame:
    """The frames that marks stand for: those marked, and those around them in their clip.

    A mark is of the nearest frame of its clip that there is. A marked frame has its own label. One
    around several belongs to that of the earlier round; in a round, to the nearer one, and at the
    same distance to the anomaly.

    Parameters
    ----------
    marks : of `read_marks`. index : clip and frame of all frames, in order.
    neighbours : frames on either side.

    Returns
    -------
    clip, frame, label (1 or 0), picked (whether it was marked itself), round, in the order of
    rounds and then of `index`.
    """
    known = index[["clip", "frame"]].astype({"clip": str}).sort_values("frame")
    known["nearest"] = known["frame"]
    marks = marks[["clip", "frame", "label", "round"]].sort_values("frame")
    marks = pd.merge_asof(marks, known, on="frame", by="clip", direction="nearest")
    offsets = pd.DataFrame({"offset": range(-neighbours, neighbours + 1)})
    near = marks.dropna().merge(offsets, how="cross")
    near = near.assign(
        frame=(near["nearest"] + near["offset"]).astype(np.int64), distance=near["offset"].abs()
    )
    near["picked"] = near["distance"] == 0
    # A mark goes before the marks around it; of two at one frame, the later one.
    near["turn"] = near["round"].where(~near["picked"], -near["round"])
    near = near.sort_values(
        ["picked", "turn", "distance", "label"], ascending=[False, True, True, False]
    )
    nearest = near.drop_duplicates(["clip", "frame"])
    found = index[["clip", "frame"]].merge(nearest, on=["clip", "frame"])
    ordered = found.sort_values("round", kind="stable", ignore_index=True)
    return ordered[["clip", "frame", "label", "picked", "round"]]


def lengths_of(index: pd.DataFrame) -> pd.DataFrame:
    """Clip and frames (the last one's number) of each clip of some frames, in order."""
    last = index.groupby("clip", sort=False)["frame"].max()
    return last.rename("frames").reset_index()


def standing_marks(lines: Iterable[tuple[int, Mark]], path: Path) -> dict[str, Mark]:
    """The last mark about each event, or frame without one, in the order of their lines.

    Parameters
    ----------
    lines : number and mark of each. path : of the file, for messages.

    Raises
    ------
    SdorError : a frame has both labels, other than by an event that was marked anew.
    """
    standing, of_key = dict[str, Mark](), dict[str, int]()
    for line, mark in lines:
        before = standing.pop(mark.key, None)
        if before and not mark.event and {before.label, mark.label} == {*LABELS}:
            raise _both(path, mark, of_key[mark.key], line)
        standing[mark.key], of_key[mark.key] = mark, line
    at_place = dict[tuple[str, int], Mark]()
    for mark in standing.values():
        if mark.label in LABELS:
            other = at_place.setdefault(mark.place, mark)
            if other.label != mark.label:
                raise _both(path, mark, of_key[other.key], of_key[mark.key])
    return standing


def csv_of(marks: Iterable[Mark]) -> str:
    """Lines of a file of marks, without the header; a cell has no line break and is no formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for mark in marks:
        time = "" if mark.time is None else f"{mark.time:.3f}"
        writer.writerow(map(_plain, {**asdict(mark), "time": time}.values()))
    return text.getvalue()


def guarded(cell: str) -> str:
    """A cell with an apostrophe before what a spreadsheet could take for a formula."""
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA) else cell


def text_of(path: Path) -> str:
    """The text of a file of marks (SdorError: it cannot be read, or is not UTF-8)."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise SdorError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SdorError(f"{path}: not text in UTF-8; save it as CSV in UTF-8") from error


def parsed(text: str, path: Path) -> Iterator[tuple[int, Mark]]:
    """Number and mark of each line of a file.

    Raises
    ------
    SdorError : file, line and reason of what cannot be understood.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    header: list[str] | None = None
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SdorError(f"{path}: line {reader.line_num}: {error}; mend the line") from error
        cells, where = [cell.strip() for cell in row], f"{path}: line {reader.line_num}"
        if not any(cells):
            continue
        if header is None:
            header = _header(cells, where)
            continue
        if len(cells) > len(header):
            raise SdorError(
                f"{where}: {len(cells)} cells under {len(header)} columns; put a text with a comma "
                'in quotes (")'
            )
        yield reader.line_num, _mark(dict(zip(header, map(_as_told, cells), strict=False)), where)


def _header(cells: Sequence[str], where: str) -> list[str]:
    header = [cell.lower() for cell in cells]
    if missing := [name for name in NEEDED if name not in header]:
        separated = next((one for one in (";", "\t") if one in "".join(cells)), None)
        advice = "separate the cells by commas" if separated else "the first line names the columns"
        raise SdorError(
            f"{where}: no column {missing[0]}; {advice} ({','.join(NEEDED)} are enough)"
        )
    return header


def _mark(cells: Mapping[str, str], where: str) -> Mark:
    label = cells.get("label", "").lower()
    if label not in WORDS:
        raise SdorError(f"{where}: label: {label!r} is not one of {', '.join(WORDS)}")
    if not cells["clip"]:
        raise SdorError(f"{where}: clip: name one")
    frame = _frame(cells, "frame", where)
    first, last = (
        _frame(cells, name, where) if cells.get(name) else frame for name in ("first", "last")
    )
    if not first <= frame <= last:
        raise SdorError(f"{where}: frame: {frame} is not between first ({first}) and last ({last})")
    time = _seconds(cells["time"], where) if cells.get("time") else None
    named = ("id", "at", "by", "event", "clip", "ranking", "note")
    texts = {name: cells.get(name, "") for name in named}
    return Mark(**texts, frame=frame, first=first, last=last, time=time, label=label)


def _frame(cells: Mapping[str, str], name: str, where: str) -> int:
    cell = cells.get(name, "")
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 12 and int(cell)):
        raise SdorError(f"{where}: {name}: {cell!r} is no frame (a number from 1)")
    return int(cell)


def _seconds(cell: str, where: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(seconds := float(cell)):
            return seconds
    raise SdorError(f"{where}: time: {cell!r} is no number of seconds")


def _check_known(where: str, mark: Mark, frames: Mapping[str, int], seen: Set[str]) -> None:
    """Refuse what the clips do not have, nor had; a page names none that there never was."""
    if mark.clip not in frames:
        if not mark.id and mark.clip not in seen:
            raise SdorError(
                f"{where}: clip: there is no {mark.clip}; mend the name, or remove the line"
            )
    elif mark.last > frames[mark.clip]:
        name = "frame" if mark.frame > frames[mark.clip] else "last"
        raise SdorError(
            f"{where}: {name}: {getattr(mark, name)}, and clip {mark.clip} has "
            f"{frames[mark.clip]} frames; mend the number, or remove the line"
        )


def _both(path: Path, mark: Mark, before: int, line: int) -> SdorError:
    return SdorError(
        f"{path}: line {line}: clip {mark.clip}, frame {mark.frame}: {mark.label}, and line "
        f"{before} says otherwise; remove one of them"
    )


def _plain(value: object) -> str:
    """A cell without line breaks, with an apostrophe before what could be taken for a formula."""
    text = CONTROL.sub(" ", str(value)).strip()
    text = text.encode(errors="replace").decode()  # half a character, which JSON may bring
    return guarded(text)


def _as_told(cell: str) -> str:
    """What a cell said before `_plain`."""
    guarded = cell.startswith("'") and cell.lstrip("'").startswith(FORMULA)
    return cell[1:] if guarded else cell
