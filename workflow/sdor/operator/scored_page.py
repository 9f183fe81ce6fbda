"""The page of what was scored: made of a file beside it, to which each call adds."""

import json
import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from sdor.errors import SdorError
from sdor.files import About, atomic
from sdor.method.events import UNLIKE
from sdor.operator.loops import LEAD
from sdor.operator.page import Camera, Moment, NotRead, watchlist_csv, watchlist_page
from sdor.operator.scored import alone
from sdor.operator.watchlist import SHOWN
from sdor.study.scenes import Clip

EVERY = 60.0  # seconds between two pages, while video comes
# What a moment has of the line of its event.
ALIKE = "camera source group begin end peak first last peak_frame score unusual percentile box"
# What is kept of each kind.
KEPT = {
    "end": ["id", "file", "clock", "preview", "curve", *ALIKE.split()],
    "scored": ["key", "camera", "source", "seconds", "remarks"],
    "skipped": ["source", "remarks"],
}
TABLE = "event,rank,camera,"  # how a table of moments begins, whatever columns it has besides


def page_files(path: Path) -> tuple[Path, Path, Path]:
    """A page, what it is made of (a finding a line), and its table."""
    return path, path.with_name(f"{path.name}.events"), path.with_name(f"{path.name}.csv")


def require_page(path: Path, others: Iterable[Path | None] = ()) -> None:
    """Refuse to make a page where something else is or goes, before anything is scored.

    Parameters
    ----------
    others : files that the same call writes.

    Raises
    ------
    SdorError : the folder is not there, a file is no page of `ScoredPage`, or is one of the others.
    """
    if not path.parent.is_dir():
        raise SdorError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise SdorError(f"{path}: is a folder; give a file for the page")
    files = page_files(path)
    places = {one.absolute() for one in files}
    if taken := next((one for one in others if one and one.absolute() in places), None):
        raise SdorError(f"{taken}: is of the watchlist; give another file")
    page, events, table = files
    ours = _begins(events, _is_of_page), _begins(table, lambda line: line.startswith(TABLE))
    strange = [table] if ours[0] and not ours[1] else [] if ours[0] else [events, page, table]
    if there := next(filter(os.path.lexists, strange), None):
        raise SdorError(
            f"{there}: was not made by sdor score --watchlist; give another file for the page"
        )


def _begins(path: Path, is_ours: Callable[[str], bool]) -> bool:
    """Whether the first line of a file, if there is one, is as it would be of a page."""
    try:
        with path.open(encoding="utf-8") as file:
            line = next(filter(str.strip, file), None)
            return line is None or is_ours(line)
    except (OSError, ValueError):
        return False


def _is_of_page(line: str) -> bool:
    """Whether a line is of `ScoredPage`; those of `sdor score --events` say less of the same."""
    entry = json.loads(line)
    return isinstance(entry, dict) and {*KEPT.get(str(entry.get("kind")), "?")} <= {*entry}


class ScoredPage:
    """A watchlist page that grows, which one process at a time adds to.

    Parameters
    ----------
    path : of the page, as `require_page` takes it. camera : whose video is scored.

    Attributes
    ----------
    loops : the folder for its loops and pictures.

    Raises
    ------
    SdorError : another process is at work with it, or the folder cannot be written.
    """

    def __init__(self, path: Path, camera: str) -> None:
        self._camera, self._folder = camera, path.parent
        self._files, self.loops = page_files(path), path.with_name(f"{path.name}.loops")
        self._is_new, self._due = False, monotonic()
        self._events, self._scored = dict[str, About](), dict[str, About]()
        self._wrong = dict[str, list[str]]()
        self._file = alone(self._files[1])
        for line in self._file:
            with suppress(ValueError):  # broken off
                if _is_of_page(line):
                    self._keep(json.loads(line))

    def add(self, **found: Any) -> None:
        """Keep an event ("end"), how much of a source was scored, or that it cannot be read.

        What has the same `id`, `key` or `source` as something before takes its place.
        """
        if found.get("preview"):
            found["preview"] = os.path.relpath(found["preview"], self._folder)
        # What was killed may have left half a line.
        self._file.write(f"\n{json.dumps(found, allow_nan=False)}")
        self._file.flush()
        self._keep(found)
        self._is_new = True

    def refresh(self) -> None:
        """Write the page where there is something new, and it is time."""
        if self._is_new and monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the page, of the newest moments, and a table of all beside it.

        Raises
        ------
        SdorError : the folder cannot be written.
        """
        path, _, table = self._files
        moments, cameras, not_read = self._found()
        now, name = datetime.now(), table.name
        page = watchlist_page(
            moments, cameras, not_read, limit=SHOWN, settings="", made=now, table=name
        )
        for file, text in ((path, page), (table, watchlist_csv(moments, self._folder))):
            with atomic(file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        self._is_new, self._due = False, monotonic() + EVERY

    def close(self) -> None:
        """Write the page, and end."""
        self.write()
        self._file.close()

    def _keep(self, entry: About) -> None:
        """Take what was found into the page; for years of events, what it shows alone."""
        if entry["kind"] == "end":
            self._events[entry["id"]] = entry
            older = next(islice(reversed(self._events), SHOWN, None), None)
            if older is not None:
                self._events[older] = {**self._events[older], "curve": None}
            return
        self._wrong[entry["source"]] = entry["remarks"]
        if entry["kind"] == "scored":
            self._scored[entry["key"]] = entry

    def _found(self) -> tuple[list[Moment], list[Camera], list[NotRead]]:
        """Moments in order, the cameras, and what could not be read, or not all of it."""
        cameras, scored, events = [], self._scored.values(), [*self._events.values()]
        for name in {self._camera: 0} | {one["camera"]: 0 for one in scored}:
            lengths = [one["seconds"] for one in scored if one["camera"] == name]
            cameras.append(Camera(name, math.fsum(lengths), len(lengths)))
        newest, older = events[-SHOWN:], events[:-SHOWN]
        ranked = enumerate([*_in_order(newest), *_in_order(older)], start=1)
        not_read = [
            NotRead("", name, words) for name, some in self._wrong.items() for words in some
        ]
        return [self._moment(one, rank) for rank, one in ranked], cameras, not_read

    def _moment(self, one: About, rank: int) -> Moment:
        file, clock, preview = (one[name] for name in ("file", "clock", "preview"))
        since = timedelta(seconds=one["peak"] - one["begin"])
        return Moment(
            event=one["id"],
            rank=rank,
            kind="moment",
            clip=Clip(Path(file).stem, "video", Path(file), Path(file).name) if file else None,
            clock=datetime.fromisoformat(clock) + since if clock else None,
            curve=None if one["curve"] is None else np.array(one["curve"]),
            lead=LEAD,
            shown=self._folder / preview if preview else None,
            **{name: one[name] for name in ALIKE.split()},
        )


def _in_order(events: Iterable[About]) -> list[About]:
    """Most unusual first, as on the workflow's page."""
    return sorted(events, key=lambda one: (one["group"] != UNLIKE, -one["unusual"]))
