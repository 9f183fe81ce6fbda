"""The watchlist: one page of the few moments worth watching, that opens from disk anywhere."""

import base64
import hashlib
import io
import math
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from sdor.errors import SdorError
from sdor.method.events import ORDINARY, UNLIKE
from sdor.operator.events import SIDES, events_csv
from sdor.operator.moments import MARKED
from sdor.operator.pace import duration
from sdor.operator.previews import SHORTEST, Heat, Span, logger, picture, preview
from sdor.study.scenes import Clip, Rectangle
from sdor.study.sources import image_files
from sdor.video.timeline import UNKNOWN_RATE

TEMPLATES = Path(__file__).resolve().parents[2] / "report"
AROUND = 150.0  # seconds of the curve before and behind a moment's peak
CURVE = (240, 28)  # width and height of its drawing; it has a point a unit at most
FULL = 5.0  # usual spreads that fill the bar, where no moment has more
OPEN = 10  # lines of what was not read that are unfolded
GROUPS = {
    UNLIKE: "Unlike the rest of this camera",
    ORDINARY: "Highest of the ordinary",
    MARKED: "Marked as anomalies",
    "": "The picture changed",
}  # what each group of moments is called, in their order
# What is special to a pattern of ffmpeg.
GLOB, ESCAPED = re.compile(r"[][*?{}\\]"), r"\\\g<0>"


@dataclass(frozen=True)
class Moment:
    """An event, as a person is shown it.

    Attributes
    ----------
    event : its stable id. rank : from 1.
    clip : None of a stream. source : the clip's file or folder, below the camera's.
    group : of `find_events`, or "marked"; empty of a change of the picture.
    mark : "anomaly" of one that an operator marked so.
    begin, end, peak : seconds in the source. clock : local time of the peak; None where unknown.
    pieces : of it in all files that it goes through, in order. loop : with what is shown before it.
        Both are empty where only the peak's source is known.
    first, last, peak_frame : frames of the source, from 1.
    unusual : usual spreads of the camera's scores above their median.
    percentile : of the camera's scores that are not above it.
    box : left, top, right, bottom as shares of the picture.
    heat : (rows, columns) over it, from 0 to 1, the highest of all of its camera.
    curve : (k, 2) seconds in the source, and score, of the clip, at most `AROUND` from the peak.
    lead : seconds shown before it.
    shown : where `write_previews` put its loop (.mp4), the picture beside it (.jpg).
    """

    event: str
    rank: int
    camera: str
    clip: Clip | None
    source: str
    kind: Literal["moment", "picture changed"]
    group: str
    begin: float
    end: float
    peak: float
    clock: datetime | None
    first: int
    last: int
    peak_frame: int
    score: float
    unusual: float
    percentile: float
    box: tuple[float, float, float, float] | None = None
    heat: Heat | None = None
    curve: NDArray[np.floating[Any]] | None = None
    lead: float = 3.0
    shown: Path | None = None
    pieces: tuple[Span, ...] = ()
    loop: tuple[Span, ...] = ()
    mark: str = ""

    @property
    def watched(self) -> float:
        """Seconds that it takes to watch it, with what is shown before."""
        known = self.end - max(self.begin - self.lead, 0.0)
        return max(_seconds(self.loop) if self.loop else known, SHORTEST)

    @property
    def seconds(self) -> float:
        """How long it lasts, in all its files."""
        return _seconds(self.pieces) if self.pieces else self.end - self.begin

    @property
    def elsewhere(self) -> list[tuple[str, Span]]:
        """Its pieces in other files than that of its peak, and what they are to it."""
        found, words = [], "begins in"
        for piece in self.pieces:
            if piece.clip == self.clip:
                words = "goes on in"
            else:
                found.append((words, piece))
        return found


class Changed(NamedTuple):
    """A moment that the last round of marks moved in the list.

    Attributes
    ----------
    change : "rose", "fell", "new" or "left". before, now : ranks; NA of what is in one list only.
    begin : s in the source.
    """

    change: str
    before: int
    now: int
    source: str
    begin: float


class Camera(NamedTuple):
    """What was looked at.

    Attributes
    ----------
    seconds : of video that could be read. files : how many there are, read or not.
    page : where its own page is, as this one links to it; empty where there is none.
    failure : why no moment can be told from the rest of it.
    changed : what the last round of marks moved; None where there is no list before.
    remarks : what else is to be said of its marks. review : the command that they are made with.
    """

    name: str
    seconds: float
    files: int
    page: str = ""
    failure: str = ""
    changed: Sequence[Changed] | None = None
    remarks: Sequence[str] = ()
    review: str = ""


class NotRead(NamedTuple):
    """What was not looked at, or not all of it, and why: a file, or a camera (no source)."""

    camera: str
    source: str
    reason: str


class Curve(NamedTuple):
    """Scores around a moment as an SVG line, with what of its width is shaded."""

    points: str
    left: float
    wide: float
    begin: float  # s in the source
    end: float


class Card(NamedTuple):
    """A moment as the page shows it: pictures in base64, empty where there is none."""

    moment: Moment
    picture: str
    loop: str
    size: tuple[int, int]
    bar: int | None  # percent; None of a moment that was not measured
    command: str
    curve: Curve | None


def write_previews(
    moments: Iterable[Moment], folder: Path, masks: Sequence[Rectangle] = ()
) -> Iterator[Moment]:
    """Make the picture and the loop of each moment of a camera, called by the event.

    What cannot be made is left out of the page, with a line in the log: a moment that cannot be
    shown is still known by its file and time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for one in moments:
        loop = folder / f"{one.event}.mp4"
        try:
            if one.clip is None:
                raise SdorError("a stream has no file")
            image = picture(one.clip, one.peak_frame, one.peak, one.heat, masks)
            loop.with_suffix(".jpg").write_bytes(image)
            loop.write_bytes(preview(one.loop))
        except SdorError as error:
            logger.warning("moment %s is not shown: %s", one.event, error)
        yield replace(one, shown=loop)


def watchlist_page(
    moments: Sequence[Moment],
    cameras: Sequence[Camera],
    not_read: Sequence[NotRead],
    *,
    limit: int,
    settings: str,
    made: datetime,
    table: str = "watchlist.csv",
    home: str = "",
) -> str:
    """One self-contained HTML page, for all cameras or for one.

    Whatever names of files hold is shown as text, and no content but the page's own is loaded or
    run: its policy says so to the browser.

    Parameters
    ----------
    moments : in the order of their ranks. limit : how many of them the page shows.
    settings : the YAML that the run was made with.
    table, home : how the page links to the CSV file, and to the page of all cameras (empty on it).
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"span": duration, "minute": minute_text, "sha256": _sha256}
    # What was marked takes the place of nothing else.
    unmarked, marked = ([one for one in moments if bool(one.mark) is it] for it in (False, True))
    some = [*unmarked[:limit], *marked[:limit]]
    most = max([FULL, *(one.unusual for one in moments if math.isfinite(one.unusual))])
    titles = {**GROUPS, ORDINARY: f"{GROUPS[ORDINARY]}: look here if there is time"}
    if not home and len(cameras) > 1:
        titles[UNLIKE] = "Unlike the rest of their camera"
    cards = [_card(one, most) for one in some]
    page = environment.get_template("watchlist.html.j2").render(
        title=f"Watchlist of {cameras[0].name}" if home else "Watchlist",
        cameras=[(one, sum(each.camera == one.name for each in moments)) for one in cameras],
        seconds=sum(one.seconds for one in cameras),
        looked=sum(one.seconds for one in cameras if not one.failure),
        moments=moments,
        cards=cards,
        watched=sum(one.watched for one in some),
        groups={
            title: [one for one in cards if one.moment.group == group]
            for group, title in titles.items()
        },
        not_read=not_read,
        unread=len({one[:2] for one in not_read if one.source}),
        # What was left before anything was looked at is of no camera's files.
        files=sum(one.files for one in cameras)
        + len({one.source for one in not_read if one.source and not one.camera}),
        unfolded=len(not_read) <= OPEN,
        settings=settings.strip(),
        made=made,
        table=table,
        home=home,
    )
    # Names of files that are no text have halves of characters in them.
    return page.encode("utf-8", "backslashreplace").decode()


def watchlist_csv(moments: Iterable[Moment], folder: Path) -> str:
    """The moments as `events_csv` has them; previews as paths from the folder that it goes to."""
    rows = []
    for one in moments:
        loop = one.shown if one.shown and one.shown.is_file() else None
        name = one.clip.name if one.clip else ""
        times = {"peak": one.peak_frame, "peak_time": one.peak, "clip": name}
        sides = dict(zip(SIDES, one.box or [math.nan] * 4, strict=True))
        path = {"path": str(one.clip.path.absolute()) if one.clip else ""}
        preview = {"preview": os.path.relpath(loop, folder) if loop else ""}
        rows.append(vars(one) | path | times | sides | preview)
    names = [one.name for one in fields(Moment) if one.name != "peak_frame"]
    names += ["path", "peak_time", *SIDES, "preview"]
    return events_csv(pd.DataFrame(rows, columns=names))


def play_command(moment: Moment) -> str:
    """The command that plays a moment, in full size, as a shell takes it; empty of a stream."""
    clip = moment.clip
    if clip is None:
        return ""
    path = str(clip.path.absolute())
    how = f"ffplay -ss {moment.begin:.1f} -t {max(moment.end - moment.begin, SHORTEST):.1f}"
    if clip.kind == "video":
        return f"{how} {_quoted(path)}"
    pattern = f"{GLOB.sub(ESCAPED, path)}/*{image_files(clip.path)[0].suffix}"
    rate = f"-framerate {clip.fps or UNKNOWN_RATE:g} -pattern_type glob"
    return f"{how} {rate} -i {_quoted(pattern)}"


def minute_text(seconds: float) -> str:
    """Where in a file something is: 0:57.6, 1:02:03.4."""
    # Tenths are rounded before minutes are split off: 59.97 is 1:00.0, not 0:60.0.
    minutes, tenths = divmod(round(10 * seconds), 600)
    whole = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
    return f"{whole}:{tenths / 10:04.1f}"


def _seconds(pieces: Iterable[Span]) -> float:
    return sum(one.end - one.begin for one in pieces)


def _card(moment: Moment, most: float) -> Card:
    """A moment with all that the page shows; `most` is what fills the bar."""
    jpeg, loop = (
        moment.shown.with_suffix(kind).read_bytes()
        if moment.shown and moment.shown.with_suffix(kind).is_file()
        else b""
        for kind in (".jpg", ".mp4")
    )
    return Card(
        moment,
        base64.b64encode(jpeg).decode(),
        base64.b64encode(loop).decode(),
        Image.open(io.BytesIO(jpeg)).size if jpeg else (0, 0),
        round(100 * max(moment.unusual, 0) / most) if math.isfinite(moment.unusual) else None,
        play_command(moment),
        _curve(moment),
    )


def _curve(moment: Moment) -> Curve | None:
    """The score around a moment; None where there is too little to draw."""
    if moment.curve is None:
        return None
    curve = moment.curve[np.isfinite(moment.curve).all(axis=1)]
    if len(curve) < 2:
        return None
    width, height = CURVE
    # The highest of each unit of width, so that no peak is lost.
    parts = np.array_split(curve, min(width, len(curve)))
    seconds, scores = np.array([part[part[:, 1].argmax()] for part in parts]).T
    begin, end = curve[[0, -1], 0].tolist()
    across = width / max(end - begin, 1e-9)
    down = (height - 4) / max(float(np.ptp(scores)), 1e-9)
    x, y = (seconds - begin) * across, height - 2 - (scores - scores.min()) * down
    points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
    left, right = np.clip((np.array([moment.begin, moment.end]) - begin) * across, 0, width)
    shaded = round(min(left, width - 2), 1), round(max(right - left, 2), 1)
    return Curve(points, *shaded, begin, end)


def _quoted(path: str) -> str:
    """A path as one word of a shell; what a terminal would act upon is spelt out."""
    if path.isprintable():
        return shlex.quote(path)
    spelt = "".join(
        one
        if one.isprintable() and one not in "\\'"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(one))
        for one in path
    )
    return f"$'{spelt}'"


def _sha256(words: str) -> str:
    """A script's digest, as a content security policy names it."""
    return base64.b64encode(hashlib.sha256(str(words).encode()).digest()).decode()
