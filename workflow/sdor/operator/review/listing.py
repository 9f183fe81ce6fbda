"""A camera's newest list of moments, as the page shows it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from sdor.errors import SdorError
from sdor.files import About, damaged, file_sha256, read_about, read_array, read_parquet
from sdor.operator.marks import signature
from sdor.operator.moments import CHANGED, pieces_of, root_of
from sdor.operator.pace import duration
from sdor.operator.page import GROUPS, minute_text
from sdor.operator.previews import RED, Span, opacity
from sdor.operator.rounds import changes_since, damage_before, remarks_on
from sdor.operator.similar import near
from sdor.operator.watchlist import DONE
from sdor.study.rounds import ROUND, archive_of, newest
from sdor.study.scenes import Clip
from sdor.video.timeline import UNKNOWN_RATE

SHOWN = ("events.parquet", "heat.npy", "looks.npy")  # of which a list is made
AROUND, LONGEST = 10.0, 120.0  # s shown before and behind a moment in full size, and of all of it
STEP, WINDOW = 10.0, 20.0  # s from one window of a clip to the next, and of each
ACROSS, DOWN, EDGE = 1000, 100, 5  # width and height of a curve's drawing; it has a point a unit
MOVED = {"rose": "rose", "fell": "fell", "new": "new", "left": "left the list"}
HEAT = (480, 320)  # pixels of a heat map


@dataclass(frozen=True)
class View:
    """What is played: pieces of files, one after another.

    Attributes
    ----------
    start : where it begins, in seconds of the file that the moment's peak is in; negative in one
        before. full : in full size.
    """

    pieces: tuple[Span, ...]
    start: float
    full: bool = False


class Listing:
    """A camera's list of moments after a round, from its files.

    Parameters
    ----------
    folder : `results/{camera}/watch`, or `watch/round{n}`.

    Raises
    ------
    SdorError : a file is damaged.
    """

    def __init__(self, camera: str, folder: Path) -> None:
        self.camera, self.folder = camera, folder
        about = read_about(folder / "events.parquet")
        self.lead = float(about.get("events", {}).get("lead", 3.0))
        self.round = round_of(folder)
        self.events = read_parquet(folder / "events.parquet")
        self.ranking = file_sha256(folder / "events.parquet")[:16]
        self.heat = np.array(read_array(folder / "heat.npy", len(self.events)))
        looks = _looks_of(folder / "looks.npy", len(self.events))
        self.alike = [np.flatnonzero(row).tolist() for row in near(looks)]
        self._knows_similar = bool(np.isfinite(looks).any())
        self.looks = read_parquet(archive_of(folder) / "looks.parquet")
        self.root = root = root_of(folder)
        self._look = {row["clip"]: row for row in self.looks.to_dict("records")}
        self.clips = {name: _clip(row, root) for name, row in self._look.items()}
        self.places = {event: place for place, event in enumerate(self.events["event"])}

    @cached_property
    def confirmed(self) -> list[str]:
        """Moments that earlier rounds have marked as anomalies."""
        marks = self.events.get("mark", pd.Series("", index=self.events.index))
        return self.events.loc[marks != "", "event"].tolist()

    @cached_property
    def document(self) -> About:
        """All that the page shows of it, but for the marks.

        Raises
        ------
        SdorError : the list is damaged.
        """
        changes = changes_since(self.folder)
        moved = {one["event"]: _moved(one) for one in changes.to_dict("records")}
        rows = zip(self.events.to_dict("records"), self.alike, strict=True)
        events = [self._shown(row, alike, moved.get(row["event"], "")) for row, alike in rows]
        there = {one["group"] for one in events}
        return {
            "camera": self.camera,
            "ranking": self.ranking,
            "groups": [[group, words] for group, words in GROUPS.items() if group in there],
            "events": events,
            "news": self._news(changes),
            "similar": self._knows_similar,
        }

    def view(self, event: str, name: str) -> View:
        """What is played of a moment: "loop", "full", or a window "w0", "w1", … of its clip.

        Raises
        ------
        KeyError : there is no such moment, or view of it.
        """
        row = self.events.iloc[self.places[event]]
        begin, end = row["begin_seconds"], row["end_seconds"]
        if name == "loop":
            return self._around(row, begin - self.lead, end, full=False)
        if name == "full":
            last = min(end + AROUND, begin - AROUND + LONGEST)
            return self._around(row, begin - AROUND, last, full=True)
        return self._windows(row["clip"])[name]

    def preview(self, event: str, kind: str) -> Path | None:
        """The picture of a moment's peak (".jpg") or its small loop (".mp4"), if there is one."""
        path = self.folder / "previews" / f"{event}{kind}"
        # Names come from a table, which is to lead to no other folder.
        known = event in self.places and Path(event).name == event
        return path if known and path.is_file() else None

    def heat_of(self, event: str) -> bytes:
        """Where a moment is unusual: a transparent PNG to be laid over the picture.

        Raises
        ------
        KeyError : there is no such moment.
        """
        own, hottest = self.heat[self.places[event]], float(self.heat.max()) or 1.0
        image = Image.new("RGB", HEAT, RED)
        image.putalpha(opacity(own / hottest, HEAT))
        memory = io.BytesIO()
        image.save(memory, "PNG")
        return memory.getvalue()

    def curve(self, event: str) -> About:
        """The scores of the clip of a moment's peak, and where its views begin in the clip.

        Raises
        ------
        KeyError : there is no such moment. SdorError : the file of scores is damaged.
        """
        name = self.events["clip"][self.places[event]]
        path, columns = self.folder / "scores.parquet", ["time", "score"]
        try:
            table = pq.read_table(path, columns=columns, filters=[("clip", "=", name)])
        except (OSError, pa.ArrowException) as error:
            raise SdorError(damaged(path, error)) from error
        scores = np.stack([one.to_numpy() for one in table.columns], axis=1)
        parts = np.array_split(scores, max(min(ACROSS, len(scores)), 1))
        points = [part[part[:, 1].argmax()].tolist() for part in parts if len(part)]
        look, row = self._look[name], self.events.iloc[self.places[event]]
        first, seconds = float(look["first"]), float(look["seconds"])
        across = ACROSS / max(seconds, 0.1)
        # A moment may begin in another file, or end in one, by another clock.
        begin = row["begin"] if row["begin"] <= row["peak_time"] else first
        end = row["end"] if row["end"] >= row["peak_time"] else first + seconds
        words = f"Score over {duration(seconds)} of {look['source']}, the moment shaded; a click "
        return {
            "first": first,
            "seconds": seconds,
            "step": STEP,
            "windows": len(self._windows(name)),
            "starts": {name: self.view(event, name).start for name in ("loop", "full")},
            "drawn": {
                "line": {"points": _line(np.array(points), first, across)},
                "shade": {"x": (begin - first) * across, "width": max((end - begin) * across, 4.0)},
                "curve": {"aria-label": f"{words}plays from there"},
            },
        }

    def _news(self, changes: pd.DataFrame) -> list[str]:
        """What the last round moved: in one line, and one by one."""
        if not self.round:
            return []
        counts = changes["change"].value_counts()
        some = [f"{counts[one]} {words}" for one, words in MOVED.items() if one in counts]
        lines = [f"After round {self.round}: {', '.join(some) or 'nothing moved'}"]
        if damage_before(self.folder):
            lines = [f"After round {self.round}"]
        lines += remarks_on(self.folder)
        for one in changes[changes["change"] != "same"].to_dict("records"):
            name = "Left" if pd.isna(one["now"]) else f"Moment {one['now']}"
            lines.append(f"{name}: {_moved(one)} · {one['clip']} {minute_text(one['begin'])}")
        return lines

    def _around(self, row: pd.Series, begin: float, end: float, *, full: bool) -> View:
        stretch, peak = row["stretch"], row["peak_seconds"]
        pieces = self._pieces(stretch, begin, end)
        # What is gone is not in the film.
        there = [one for one in self._pieces(stretch, begin, peak) if one.clip.path.exists()]
        start = row["peak_time"] - sum(one.end - one.begin for one in there)
        return View(pieces, float(start), full)

    def _pieces(self, stretch: int, begin: float, end: float) -> tuple[Span, ...]:
        found = pieces_of(self.looks, stretch, begin, end)
        return tuple(Span(self.clips[name], *ends) for name, *ends in found)

    def _windows(self, clip: str) -> dict[str, View]:
        look = self._look[clip]
        first, last = look["first"], look["first"] + look["seconds"]
        begins = np.arange(first, max(last - STEP, first + 1e-3), STEP).tolist()
        return {
            f"w{place}": View((Span(self.clips[clip], at, min(at + WINDOW, last)),), at, full=True)
            for place, at in enumerate(begins)
        }

    def _shown(self, row: Any, alike: Sequence[int], moved: str) -> About:
        look, clock = self._look[row["clip"]], row["clock"]
        name = f"Moment {row['rank']}" if row["rank"] else "Marked moment"
        if row["kind"] == CHANGED:
            name = f"The picture changed: {row['words']}" if row["words"] else "The picture changed"
        where = [] if pd.isna(clock) else [f"{clock:%Y-%m-%d %H:%M:%S}"]
        where.append(
            f"{look['source']} {minute_text(row['begin'])} \N{EN DASH} {minute_text(row['end'])}"
        )
        if not pd.isna(row["unusual"]):
            where.append(f"{row['unusual']:.1f} \N{MULTIPLICATION SIGN} usual spread")
        return {
            "event": row["event"],
            "name": name,
            "where": " · ".join(where),
            "moved": moved,
            "rank": int(row["rank"]),
            "group": row["group"],
            "heat": row["kind"] != CHANGED,
            "peak": float(row["peak_time"]),
            "size": [int(look["width"]), int(look["height"])],
            "fps": float(look["fps"]) or UNKNOWN_RATE,
            "alike": alike,
            "marked": row.get("mark", ""),
        }


def round_of(folder: Path) -> int:
    """The round that a list is made after; 0 of the one without marks."""
    match = ROUND.fullmatch(folder.name)
    return int(match[1]) if match else 0


def newest_list(watch: Path, rounds: int) -> Path:
    """The folder of the newest list of a camera that is whole, after so many rounds at most."""
    return newest(watch, f"previews/{DONE}", rounds)


def listed(results: Path) -> dict[str, Path]:
    """Where the lists of each camera are: of the approach whose list was made last."""
    # By the approach "paper" they are below a variant and its seed.
    places = [f"*/{at}watch/{of}" for at in ("", "*/seed*/") for of in ("", "round*/")]
    lists = [f"{place}previews/{DONE}" for place in places]
    found = [path for one in lists for path in results.glob(one)]
    found.sort(key=lambda path: path.stat().st_mtime_ns)
    folders = {path.relative_to(results).parts[0]: archive_of(path.parents[1]) for path in found}
    return dict(sorted(folders.items()))


def signatures(folder: Path) -> tuple[object, ...]:
    """What changes when the files of a list do; None for each that is not there."""
    return tuple(signature(folder / name) for name in SHOWN)


def _looks_of(path: Path, events: int) -> NDArray[Any]:
    """What moments look like, see `near`; NaN where that is not known."""
    # A list of an earlier version has no such file.
    return read_array(path, events) if path.is_file() else np.full((events, 1), np.nan)


def _clip(row: Any, root: Path) -> Clip:
    path = root / row["source"]
    return Clip(row["clip"], "images" if path.is_dir() else "video", path, row["source"])


def _moved(change: Any) -> str:
    """Where a moment was in the list before."""
    before = change["before"]
    words = {"rose": f"▲ from {before}", "fell": f"▼ from {before}", "new": "new"}
    return {**words, "left": f"it was {before}"}.get(change["change"], "")


def _line(points: NDArray[np.float64], first: float, across: float) -> str:
    """Seconds and scores as the points of a line in a drawing."""
    if not len(points):
        return ""
    seconds, scores = points.T
    x = (seconds - first) * across
    y = DOWN - EDGE - (scores - scores.min()) * (DOWN - 2 * EDGE) / max(float(np.ptp(scores)), 1e-9)
    return " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(x, y, strict=True))
