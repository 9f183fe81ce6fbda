"""Clock: when a recording was made, as its name or its container tells, and which clips adjoin."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from sdor.files import About
from sdor.video.decode import Declared

DAY = r"(?<!\d)((?:19|20)\d\d)[-_./]?(\d\d)[-_./]?(\d\d)"
# 2026-11-26_13-00-00, 20261126T130000Z, RecM01_20261126_130000_130015, ch1_20261126130000123.
WHOLE = re.compile(
    DAY
    + r"(?:[T_ .-]*| at )(\d\d)(?:[-_.:h](\d\d)(?:[-_.:m](\d\d))?|(\d\d)(\d\d)(?:\d{3})?)(?!\d)(Z?)"
)
SECONDS = re.compile(r"(?<!\d)(1\d{9})(?:\d{3})?(?!\d)")  # since 1970, maybe with thousandths
# 2026-11-26/13, 2026/11/26, 2026112613, 20261126AM: a day's folder, and maybe an hour.
FOLDERS = re.compile(DAY + r"(?:[-_ T/]?([01]\d|2[0-3]))?(?!\d)")
DEEPEST = 6  # folders above a file in which a day is looked for
TIME = re.compile(r"(?<!\d)(?<!\d[.])(\d\d)[-_.:h](\d\d)[-_.:m](\d\d)(?![.]?\d)")  # no IP address
# In a folder of an hour a minute, and maybe its second: else an hour and its minute.
SHORT = re.compile(r"\D*(\d\d)(?:[-_.:hM](\d\d))?\D*")
# Frigate's 2026-11-26/13/gate/05.12.mp4 tells Universal Time.
FRIGATE = re.compile(r".*\d{4}-\d\d-\d\d/\d\d/[^/]*[^/\d][^/]*/\d\d[.]\d\d")
FIRST_YEAR = 2001  # clocks that nobody has set begin in 1904, 1970 or 2000
NEAR = 2.0  # s between the end of a clip and the begin of one that adjoins
GOES_ON = 0.5  # s, where timestamps go on


def clock_of(path: Path, metadata: Mapping[str, str]) -> datetime | None:
    """Local time of the first frame of a recording; None where nothing tells it.

    Its name tells first, with the folders that it lies in: a container's `creation_time` may be
    that of a copy, and is not believed where it is on another day than the name.

    Parameters
    ----------
    metadata : of the container.
    """
    if named := _named(path):
        return named
    try:
        told = datetime.fromisoformat(metadata.get("creation_time", ""))
    except ValueError:
        return None
    made = _local(told if told.tzinfo else told.replace(tzinfo=UTC))
    day = re.search(DAY + r"(?!\d)", path.stem)
    if made and day and (known := _at(*day.groups())) and abs(made - known) > timedelta(days=2):
        return None
    return made


def recorded(path: Path, told: Declared | None, first: float) -> About:
    """Clock (ISO 8601, or "") and timestamp (s) of a clip's first frame.

    Parameters
    ----------
    told : what its source says of itself, if anything. first : s that the frame is into it.
    """
    clock = clock_of(path, told.metadata if told else {})
    words = (clock + timedelta(seconds=first)).isoformat() if clock else ""
    return {"clock": words, "begin": (told.begin if told else 0.0) + first}


def in_order_of_time(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips with the stretch that each is in, and offset, where in it it begins (s).

    Parameters
    ----------
    clips : clock and begin (see `recorded`), seconds, failure; that of which nothing can be read,
        with a failure, comes last, and has stretch -1.
    """
    read, wrong = (clips[(clips["failure"] == "") == it].copy() for it in (True, False))
    wrong = wrong.assign(stretch=-1, offset=0.0)
    if read.empty:
        return wrong
    clocks = [datetime.fromisoformat(one) if one else None for one in read["clock"]]
    placed = stretches(clocks, read["seconds"].tolist(), read["begin"].tolist())
    read["stretch"], read["offset"] = zip(*placed, strict=True)
    read = read.sort_values(["stretch", "offset"], kind="stable")
    return pd.concat([read, wrong], ignore_index=True)


@dataclass
class _Stretch:
    """Adjoining clips, as far as they were found.

    Attributes
    ----------
    origin : where its first clip begins, by the clock or timestamps (s).
    begin, end : of its last clip, likewise. length : to that end, from its own beginning (s).
    """

    number: int
    origin: float
    begin: float = 0.0
    end: float = 0.0
    length: float = 0.0


def stretches(
    clocks: Sequence[datetime | None], seconds: Sequence[float], begins: Sequence[float]
) -> list[tuple[int, float]]:
    """Which clips adjoin: of each, the number of its stretch, and where in it the clip begins.

    A clip goes on with one that ended, by the clock, within 2 s of its begin. One without a clock
    goes on with the one before it where the timestamps in the containers do.

    Parameters
    ----------
    clocks : local time of the first frame of each clip, None where it is not known.
    seconds : that each lasts.
    begins : timestamps of their first frames (s).

    Returns
    -------
    Stretches are numbered from 0 in order of time, those without a clock last, as they come.
    Offsets (s) follow the clock, but no clip of a stretch begins before the one before it ends.
    """
    first = min(filter(None, clocks), default=datetime.min)
    times = [
        (clock - first).total_seconds() if clock else begin
        for clock, begin in zip(clocks, begins, strict=True)
    ]
    dated = [clip for clip, clock in enumerate(clocks) if clock]
    undated = [clip for clip, clock in enumerate(clocks) if not clock]
    placed, count = [(0, 0.0)] * len(clocks), 0
    for clips, near in ((sorted(dated, key=times.__getitem__), NEAR), (undated, GOES_ON)):
        unended: list[_Stretch] = []
        for clip in clips:
            time = times[clip]
            fitting = [it for it in unended if it.begin < time and abs(time - it.end) <= near]
            if fitting:
                own = min(fitting, key=lambda one: abs(times[clip] - one.end))
            else:
                own, count = _Stretch(count, time), count + 1
            offset = max(time - own.origin, own.length)
            placed[clip] = own.number, offset
            own.begin, own.end, own.length = time, time + seconds[clip], offset + seconds[clip]
            # Two streams may be recorded at a time.
            rest = [it for it in unended if it.end >= time - near] if clocks[clip] else []
            unended = [*(it for it in rest if it is not own), own]
    return placed


def _named(path: Path) -> datetime | None:
    """The time in a file's name, or in that and those of its folders."""
    for found in WHOLE.finditer(path.stem):
        *day, hour, minute, second, compact_minute, compact_second, universal = found.groups()
        when = _at(*day, hour, minute or compact_minute, second or compact_second or "0")
        if when:
            return _local(when.replace(tzinfo=UTC)) if universal else when
    for found in SECONDS.finditer(path.stem):
        if when := _local(datetime.fromtimestamp(int(found[1]), UTC)):
            return when
    days = list(FOLDERS.finditer("/".join(path.parent.parts[-DEEPEST:])))
    time, short = TIME.search(path.stem), SHORT.fullmatch(path.stem)
    if not days:
        return None
    *day, hour = days[-1].groups()
    if time:
        return _at(*day, *time.groups())
    if short and hour:
        when = _at(*day, hour, short[1], short[2] or "0")
        in_utc = when and FRIGATE.fullmatch(path.with_suffix("").as_posix())
        return _local(when.replace(tzinfo=UTC)) if when and in_utc else when
    return _at(*day, short[1], short[2], "0") if short and short[2] else None


def _at(*parts: str) -> datetime | None:
    """Year, month, day, hour, minute and second as a time; None where there is no such one."""
    try:
        return _plausible(datetime(*map(int, parts)))  # type: ignore[arg-type]
    except ValueError:
        return None


def _local(time: datetime) -> datetime | None:
    """A time with its zone as local time, without."""
    return time.astimezone().replace(tzinfo=None) if _plausible(time) else None


def _plausible(time: datetime) -> datetime | None:
    return time if FIRST_YEAR <= time.year <= datetime.now().year + 1 else None
