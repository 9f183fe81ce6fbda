"""Tomorrow's video: scored as it streams by with what was learnt of its camera.

Scores are those of the workflow. An event begins above a bar, and ends where the score has fallen
to half of its height above the usual one, or 15 s after its peak, as those of a watchlist do.
"""

import json
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import About, digest, digest_of, opening
from sdor.method.events import (
    AROUND,
    FROM_MEAN,
    FROM_MEDIAN,
    ORDINARY,
    REACH,
    UNLIKE,
    box_of,
    highest_ordinary,
)
from sdor.operator.archive import content_of
from sdor.operator.camera import open_camera, threads
from sdor.operator.look import Eye, Looks, look
from sdor.operator.loops import KEPT, Loops
from sdor.operator.model import MARGIN, CameraModel
from sdor.operator.overlay import LEAST_HEAT
from sdor.operator.pace import duration
from sdor.operator.scored import Ledger, Table, growing
from sdor.operator.scored_page import ScoredPage, require_page
from sdor.progress import counted
from sdor.study.cameras import SETTLED, find_cameras
from sdor.study.scenes import Clip
from sdor.study.sources import no_text
from sdor.video.clock import clock_of, stretches
from sdor.video.decode import declared, read_stream
from sdor.video.frames import read_clip
from sdor.video.picture import Doubt, Picture, UnreadableError

SURE = 2.0  # seconds behind an event after which it is told: smoothing reaches no further, nearly
SAME = 1e-4  # of scores: what rounding does to those of the archive, seen again
CLOSED = 10.0  # seconds for which a file of a recorder that is followed has not changed
EVERY = 2.0  # seconds between two looks at its folder
PATIENCE = 30.0  # seconds beyond its length that a file waits for the one that adjoins
LONGEST_WAIT = 60.0  # seconds until a stream is asked for again
DOUBTS = 3  # that are told of a source, and sources that are told at the end
Camera = tuple[CameraModel, Eye, str]  # the model, what looks, and a digest of the file
SECRETS = re.compile(r"(?<=://)\S*@")
PER_DAY = re.compile(r"(\d+)/day")


def say(words: str) -> None:
    """Tell a person; events alone are on stdout."""
    print(f"sdor: {SECRETS.sub('', words)}", file=sys.stderr, flush=True)


@dataclass(eq=False)
class Source:
    """What is scored: a file, or a stream from one connection to the next.

    Attributes
    ----------
    name : that is shown. keys : of its content and of its file, for the ledger. opened : reads it.
    clock : local time of its first frame. length, begin : as its file says (s).
    is_live : whether it is seen as it happens. lost : when the connection before it was lost.
    offset : of its first frame in its stretch (s). first, last : times of frames in it (s).
    is_named : whether it was asked for by its name, not found in a folder.
    frames : that were read. is_whole : whether it was read to its end. remarks : on it.
    """

    name: str
    keys: tuple[str, ...]
    opened: Callable[[list[Doubt]], Iterator[Picture]]
    clock: datetime | None = None
    length: float = 0.0
    begin: float = 0.0
    is_live: bool = False
    lost: datetime | None = None
    is_named: bool = False
    offset: float = 0.0
    first: float = 0.0
    last: float = 0.0
    frames: int = 0
    is_whole: bool = False
    remarks: list[str] = field(default_factory=list)

    def pictures(self, stop: threading.Event, loops: Loops | None) -> Iterator[Picture]:
        """Its pictures, until all is to end."""
        doubts = list[Doubt]()
        for picture in self.opened(doubts):
            if stop.is_set():
                return
            if not self.frames:
                self.first = picture.time
                self.clock = datetime.now() if self.is_live else self.clock
            self.frames += 1
            if loops:
                loops.add(picture.time - self.first + self.offset, picture)
            self._remark(doubts)
            yield picture
        self._remark(doubts)
        self.is_whole = True

    def _remark(self, doubts: list[Doubt]) -> None:
        """Tell the first of what is found damaged."""
        for doubt in doubts[: DOUBTS - len(self.remarks)]:
            self.remarks.append(str(doubt))
            say(f"{self.name}: {doubt}")
        doubts.clear()

    def seconds(self) -> float:
        """How long it was, from its first frame to behind its last."""
        span = self.last - self.first
        return span * self.frames / (self.frames - 1) if self.frames > 1 else 0.1

    def at(self, moment: float) -> str | None:
        """The clock at a time in it."""
        if self.clock is None:
            return None
        return (self.clock + timedelta(seconds=moment - self.first)).isoformat("T", "milliseconds")


@dataclass
class Event:
    """An event: rows of its begin, its peak and its last frame so far; where that peak is."""

    name: str
    begin: Any
    peak: Any
    last: Any
    located: Any = None
    box: tuple[float, float, float, float] | None = None
    picture: bytes | None = None


@dataclass(frozen=True)
class Bar:
    """Above which score an event begins, and the scores of the archive, by their quantiles."""

    height: float
    quantiles: NDArray[np.float64]

    @classmethod
    def of(cls, about: About, above: float, budget: str | None) -> "Bar":
        """A percentile of the archive's scores, or what would have given so many events in it.

        Raises
        ------
        SdorError : the budget is no number of events a day.
        """
        quantiles = np.array(about["quantiles"])
        if budget is None:
            shares = np.linspace(0, 100, len(quantiles))
            return cls(float(np.interp(above, shares, quantiles)), quantiles)
        found = PER_DAY.fullmatch(budget)
        if not found:
            raise SdorError(f"--budget {budget}: give a number of events a day, such as 10/day")
        peaks = about["peaks"]
        wanted = int(int(found[1]) * about["hours"] / 24)
        bar = peaks[min(wanted, len(peaks) - 1)] if peaks else quantiles[-1]
        return cls(bar + SAME, quantiles)

    @property
    def usual(self) -> float:
        """The median."""
        return float(np.median(self.quantiles))

    def unusual(self, score: float) -> float:
        """Robust spreads above the median, as `find_events` has it."""
        away = np.abs(self.quantiles - self.usual)
        spread = FROM_MEDIAN * np.median(away) or FROM_MEAN * away.mean()
        return float((score - self.usual) / spread) if spread else 0.0

    def percentile(self, score: float) -> float:
        """How many of the archive's scores are not above it."""
        return float(100 * np.searchsorted(self.quantiles, score, "right") / len(self.quantiles))


@dataclass(frozen=True)
class Outputs:
    """Where scores, what was scored, events, previews and the page go to."""

    table: Table
    ledger: Ledger
    events: IO[str]
    loops: Loops | None
    page: ScoredPage | None


class Watch:
    """Scores one source after the other."""

    def __init__(
        self,
        camera: tuple[CameraModel, Eye, str],
        bar: Bar,
        outputs: Outputs,
        stop: threading.Event,
    ) -> None:
        self._model, self._eye, self._key = camera
        self._bar, self._to, self._stop = bar, outputs, stop
        self._started = datetime.now()
        self._written_of: Source | None = None
        self.scored, self.failures, self.missed = 0, list[str](), list[str]()
        peaks = self._model.about["peaks"] if outputs.page else ()
        self._ordinary = highest_ordinary(np.array([bar.unusual(one) for one in peaks]))
        self._begin_stretch()

    def _begin_stretch(self) -> None:
        self._source: Source | None = None
        self._origin: Source | None = None
        self._looks: Looks | None = None
        self._seconds, self._of = np.zeros(0), np.zeros(0, dtype=object)
        # Rows of these from which on nothing was looked for yet, and nothing was written.
        self._sought = self._written = 0
        self._event: Event | None = None
        self._free = -np.inf
        self._curve = list[tuple[float, float]]()  # of the last minute

    def score(self, source: Source) -> None:
        """Score what comes, to its end; the last `MARGIN` waits for what may adjoin."""
        if not self._goes_on(source):
            self.finish()
            self._origin = source
        try:
            pictures = source.pictures(self._stop, self._to.loops)
            for looks in look(pictures, self._eye, threads() or 1):
                if self._source is not source:
                    self._source = source
                    self.tell_gap(source.lost, source.clock, source.name)
                source.last = looks.time[-1]
                self._add(source, looks)
            self.scored += 1
            self._keep(source)
            say(f"{source.name}: {duration(source.seconds())} scored")
        except UnreadableError as error:
            words = SECRETS.sub("", str(error))
            if self._to.page and words not in self.failures:
                about = {"source": source.name, "remarks": [words.removeprefix(f"{source.name}: ")]}
                self._to.page.add(kind="skipped", **about)
            self.failures.append(words)
            self.missed += [words] * source.is_named
            say(words)
            if not source.is_live:
                self._tell(kind="skipped", source=source.name, reason=words)
                self._to.ledger.done(source.keys)

    def finish(self) -> None:
        """Score what is left of the stretch, and end its event."""
        if self._looks is not None:
            self._advance(final=True)
        self._begin_stretch()

    def tell_gap(self, begin: datetime | None, end: datetime | None, name: str) -> None:
        """Tell of when a stream was lost."""
        if begin and end:
            times = {"begin": begin.isoformat("T", "seconds"), "end": end.isoformat("T", "seconds")}
            self._tell(kind="gap", source=name, **times, seconds=(end - begin).total_seconds())

    def _goes_on(self, source: Source) -> bool:
        before, origin = self._source, self._origin
        if before is None or origin is None or source.is_live or before.is_live:
            return False
        both = (before, source)
        lengths = [before.seconds(), source.length]
        placed = stretches([one.clock for one in both], lengths, [one.begin for one in both])
        if placed[0][0] != placed[1][0] or placed[1][1] < placed[0][1]:
            return False
        since = source.begin - origin.begin
        if source.clock and origin.clock:
            since = (source.clock - origin.clock).total_seconds()
        source.offset = max(since, before.offset + before.seconds())
        return True

    def _add(self, source: Source, looks: Looks) -> None:
        self._looks = looks if self._looks is None else Looks.joined([self._looks, looks])
        self._seconds = np.append(self._seconds, looks.time - source.first + source.offset)
        self._of = np.append(self._of, np.full(len(looks), source, dtype=object))
        self._advance(final=False)

    def _advance(self, final: bool) -> None:
        """Score what is there, and pass on what no later frame changes."""
        looks, seconds = self._looks, self._seconds
        assert looks is not None
        scores, self._places = self._model.score(looks, seconds)
        rows = scores.assign(of=self._of, frame=looks.frame, time=looks.time, seconds=seconds)
        count = len(rows)
        ends = np.searchsorted(seconds, seconds[-1] - np.array([SURE, MARGIN]))
        sought, written = (
            (count, count) if final else np.maximum(ends, [self._sought, self._written])
        )
        self._find(rows[self._sought : sought])
        self._write(rows[self._written : written], final)
        if final and self._event:
            self._end(self._event)
        if self._to.page:
            self._to.page.refresh()
        cut = np.searchsorted(seconds, seconds[min(written, count - 1)] - MARGIN)
        self._looks, self._seconds = looks.between(cut, count), seconds[cut:]
        self._of = self._of[cut:]
        self._sought, self._written = sought - cut, written - cut

    def _find(self, rows: pd.DataFrame) -> None:
        """Begin and end events."""
        row: Any
        for row in rows.itertuples():
            event = self._event
            self._curve.append((row.seconds, row.score))
            if event is None:
                if row.score > self._bar.height and row.seconds >= self._free:
                    self._event = Event(self._name(row.of, f"/{row.frame}"), row, row, row)
                    self._tell_event("start", self._event)
                continue
            half = (self._bar.usual + event.peak.score) / 2
            if row.score < half or row.seconds > event.peak.seconds + REACH:
                self._end(event)
                continue
            event.last = row
            event.peak = row if row.score > event.peak.score else event.peak
        self._curve = [one for one in self._curve if one[0] > self._curve[-1][0] - KEPT]
        if self._event:
            self._locate(self._event)

    def _end(self, event: Event) -> None:
        self._tell_event("end", event)
        self._event, self._free = None, event.last.seconds + AROUND

    def _name(self, source: Source, more: str = "") -> str:
        """Of something of a source: the same whenever that is scored."""
        key = source.keys[0] if source.keys else f"{source.name} {self._started}"
        return digest(f"{key}/{source.clock}{more}".encode())[:10]

    def _keep(self, source: Source) -> None:
        """Keep for the page how much of a source was scored."""
        if self._to.page and source.frames:
            about = {"key": self._name(source), "camera": self._model.about["camera"]}
            about |= {"source": source.name, "seconds": source.seconds()}
            self._to.page.add(kind="scored", **about, remarks=source.remarks)

    def _locate(self, event: Event) -> None:
        """Find out where its peak is in the picture, while that is at hand."""
        if event.located is not event.peak and self._looks is not None:
            row = np.array([event.peak.Index])
            heat = self._model.heat(self._looks, self._seconds, self._places, row)[0]
            event.located, event.box = event.peak, box_of(heat)
            if self._to.loops:
                share, masks = heat / max(LEAST_HEAT, heat.max()), self._eye.masks
                event.picture = self._to.loops.picture(event.peak.seconds, share, masks)

    def _write(self, rows: pd.DataFrame, final: bool) -> None:
        for _, own in rows.groupby(rows["of"].map(id), sort=False):
            of = own["of"].iloc[0]
            if of is not self._written_of:
                self._is_done(self._written_of)
                self._written_of = of
                if of.keys:
                    self._to.ledger.begin(self._to.table.place)
            clock = [of.at(one) for one in own["time"]]
            self._to.table.write(own.assign(source=of.name, clock=clock))
        if final:
            self._is_done(self._written_of)
            self._written_of = None

    def _is_done(self, source: Source | None) -> None:
        if source and source.keys and source.is_whole:
            self._to.ledger.done(source.keys)

    def _tell_event(self, kind: str, event: Event) -> None:
        self._locate(event)
        begin, peak, of = event.begin, event.peak, event.begin.of
        since, preview = begin.time - begin.seconds, None
        if kind == "end" and self._to.loops:
            times = begin.seconds, event.last.seconds
            preview = self._to.loops.write(event.name, *times, event.picture)
        told = self._tell(
            kind=kind,
            id=event.name,
            source=of.name,
            begin=round(begin.time, 3),
            peak=round(peak.seconds + since, 3),
            end=round(event.last.seconds + since, 3) if kind == "end" else None,
            clock=of.at(begin.time),
            score=round(peak.score, 4),
            unusual=round(self._bar.unusual(peak.score), 2),
            percentile=round(self._bar.percentile(peak.score), 2),
            box=[round(side, 3) for side in event.box] if event.box else None,
            preview=str(preview) if preview else None,
        )
        if kind == "end" and self._to.page:
            group = UNLIKE if told["unusual"] > self._ordinary else ORDINARY
            curve = [(round(at + since, 2), round(one, 3)) for at, one in self._curve]
            file = str(Path(of.name).absolute()) if of.keys else None
            frames = {"first": begin.frame, "last": event.last.frame, "peak_frame": peak.frame}
            self._to.page.add(**told, **frames, file=file, group=group, curve=curve)
            self._keep(of)

    def _tell(self, kind: str, **about: Any) -> About:
        """Write a line, at once."""
        line = {"kind": kind, "camera": self._model.about["camera"], **about, "model": self._key}
        print(json.dumps(line, allow_nan=False), file=self._to.events, flush=True)
        return line


@dataclass(frozen=True)
class Wish:
    """What is asked for; see `sdor score --help`."""

    sources: tuple[str, ...]
    model: Path
    weights: Path | None
    scores: Path | None
    events: str
    above: float
    budget: str | None
    previews: Path | None
    watchlist: Path | None
    follow: bool


def score(wish: Wish) -> None:
    """Score sources, until they end or the process is told to.

    Raises
    ------
    SdorError : no such source, model or weights; an output that is not ours to write, or at which
        another process is; or a source that is no folder, or all of one, cannot be read. All else
        was scored then.
    """
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    for source in wish.sources:
        if words := no_text(source):
            raise SdorError(f"{source!a}: {words}; rename it")
        if source != "-" and "://" not in source and not Path(source).exists():
            raise SdorError(f"{source}: no such file or folder")
    if wish.follow and (len(wish.sources) > 1 or not _can_be_followed(wish.sources[0])):
        raise SdorError("--follow takes one folder, or one address of a stream")
    for name, path in {"scores": wish.scores, "events": Path(wish.events)}.items():
        if path and path.is_dir():
            raise SdorError(f"--{name}: {path} is a folder; give a file")
    if wish.watchlist:
        require_page(wish.watchlist, (wish.scores, Path(wish.events)))
    camera = open_camera(wish.model, wish.weights)
    about = camera[0].about
    bar = Bar.of(about, wish.above, wish.budget)
    kept = wish.scores or (Path(wish.events) if wish.events != "-" else wish.watchlist)
    with ExitStack() as stack:
        late = wish.scores is not None and wish.scores.suffix == ".parquet"
        ledger = Ledger(kept.with_name(f"{kept.name}.ledger") if kept else None, late)
        table = stack.enter_context(growing(wish.scores, ledger.keep))
        events = sys.stdout
        if wish.events != "-":
            with opening(Path(wish.events)):
                events = stack.enter_context(Path(wish.events).open("a"))
        page = None
        if wish.watchlist:
            page = stack.enter_context(closing(ScoredPage(wish.watchlist, about["camera"])))
        shown = wish.previews or (page.loops if page else None)
        loops = Loops(shown) if shown else None
        watch = Watch(camera, bar, Outputs(table, ledger, events, loops, page), stop)
        for coming in _coming(wish, watch, ledger, camera[2], stop):
            if coming is None:
                watch.finish()
            else:
                watch.score(coming)
            if page:
                page.refresh()
            if stop.is_set():
                break
        watch.finish()
    ledger.close()
    if watch.failures and not watch.scored and not stop.is_set():
        raise SdorError(f"nothing could be read; the last: {watch.failures[-1]}")
    if watch.missed and not stop.is_set():
        more = f"; and {len(watch.missed) - DOUBTS} more" * (len(watch.missed) > DOUBTS)
        raise SdorError(f"all else was scored, not {'; '.join(watch.missed[:DOUBTS])}{more}")


def _can_be_followed(source: str) -> bool:
    return "://" in source or Path(source).is_dir()


def _coming(
    wish: Wish, watch: Watch, ledger: Ledger, key: str, stop: threading.Event
) -> Iterator[Source | None]:
    """Sources, and None where what is there is all for now."""
    for given in wish.sources:
        if given == "-":
            yield Source("-", (), partial(read_stream, Pipe(stop), "-"), is_named=True)
        elif "://" in given:
            yield from _connections(given, wish.follow, watch, stop)
        elif wish.follow:
            yield from _followed(Path(given), ledger, key, stop)
        else:
            clips, left = _clips_of(Path(given), SETTLED)
            for line in left:
                say(line)
            new = [*_new(clips, ledger, key)]
            if len(new) < len(clips):
                before = f"{len(clips) - len(new):,} scored before"
                say(f"{given}: {counted(len(clips), 'file')}, {before}")
            is_named = not Path(given).is_dir()
            yield from (replace(one, is_named=is_named) for one in new)


def _clips_of(path: Path, settled: float) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """The files of a folder, and words on what is left; or a file."""
    if not path.is_dir():
        return (Clip(path.stem, "video", path, path.name),), ()
    found = find_cameras(path, settled=settled)
    if len(found.scenes) > 1:
        raise SdorError(f"{path}: holds {len(found.scenes)} cameras; give the folder of one")
    return next(iter(found.scenes.values())).clips, tuple(map(str, found.left))


def _new(clips: tuple[Clip, ...], ledger: Ledger, key: str) -> Iterator[Source]:
    """Those files that were not scored with this model."""
    for clip in clips:
        keys: tuple[str, ...] = ()
        try:
            about = clip.path.stat()
            known = digest_of([str(clip.path.absolute()), about.st_size, about.st_mtime_ns, key])
            if ledger.knows(known):
                continue
            keys = (known,)
            keys = digest_of([content_of(clip), key]), known
            if ledger.knows(keys[0]):
                ledger.done(keys)
                continue
        except OSError:  # which reading it says, too
            pass
        ledger.take(keys)
        told = declared(clip.path)
        clock = clock_of(clip.path, told.metadata if told else {})
        length, begin = (told.seconds, told.begin) if told else (0.0, 0.0)
        yield Source(str(clip.path), keys, partial(read_clip, clip), clock, length, begin)


def _followed(
    folder: Path, ledger: Ledger, key: str, stop: threading.Event
) -> Iterator[Source | None]:
    """The files of a recorder, as it closes them."""
    until = 0.0
    while not stop.is_set():
        try:
            clips, _ = _clips_of(folder, CLOSED)
        except SdorError as error:  # nothing there yet
            if not folder.is_dir():
                raise SdorError(f"{folder}: is gone") from error
            clips = ()
        for source in _new(clips, ledger, key):
            yield source
            until = monotonic() + source.length + PATIENCE
        if monotonic() > until:
            yield None
        stop.wait(EVERY)


def _connections(
    address: str, follow: bool, watch: Watch, stop: threading.Event
) -> Iterator[Source | None]:
    """A stream, again and again where it is followed."""
    name = SECRETS.sub("", address).partition("?")[0]
    wait, lost = 1.0, None
    while not stop.is_set():
        opened = partial(read_stream, address, name)
        source = Source(name, (), opened, is_live=True, lost=lost, is_named=not follow)
        yield source
        yield None
        if not follow:
            return
        if source.frames:
            wait, lost = 1.0, datetime.now()
        lost = lost or datetime.now()
        say(f"{name}: no more comes; asked again in {wait:.0f} s")
        stop.wait(wait)
        wait = min(2 * wait, LONGEST_WAIT)
    watch.tell_gap(lost, datetime.now(), name)


class Pipe:
    """Standard input, which ends when all is to end."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        number = sys.stdin.fileno()
        while not self._stop.is_set():
            if select.select([number], [], [], 0.2)[0]:
                return os.read(number, size)
        return b""
