"""The page of what was scored: made of a file beside it, to which each call adds."""

import json
import math
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from sdor.files import About, atomic, opening
from sdor.method.events import UNLIKE
from sdor.operator.loops import LEAD
from sdor.operator.page import Camera, Moment, NotRead, watchlist_csv, watchlist_page
from sdor.operator.watchlist import SHOWN
from sdor.study.scenes import Clip

EVERY = 60.0  # seconds between two pages, while video comes
# What a moment has of the line of its event.
ALIKE = "camera source group begin end peak first last peak_frame score unusual percentile box"


class ScoredPage:
    """A watchlist page that grows.

    Attributes
    ----------
    loops : the folder for its loops and pictures. files : the page, what it is made of (a finding
        a line), and the table.
    """

    def __init__(self, path: Path, camera: str) -> None:
        self._camera, self._folder = camera, path.parent
        beside = [path.with_name(f"{path.name}.{end}") for end in ("events", "csv", "loops")]
        self.loops, self.files = beside[2], (path, *beside[:2])
        self._is_new, self._due = False, monotonic()
        with opening(beside[0]):
            self._file = beside[0].open("a")

    def add(self, **found: Any) -> None:
        """Keep an event ("end"), how much of a source was scored, or that it cannot be read.

        What has the same `id`, `key` or `source` as something before takes its place.
        """
        if found.get("preview"):
            found["preview"] = os.path.relpath(found["preview"], self._folder)
        # What was killed may have left half a line.
        self._file.write(f"\n{json.dumps(found, allow_nan=False)}")
        self._file.flush()
        self._is_new = True

    def refresh(self) -> None:
        """Write the page where there is something new, and it is time."""
        if self._is_new and monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the page, of the newest moments, and a table of all beside it."""
        path, _, table = self.files
        moments, cameras, not_read = self._read()
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

    def _read(self) -> tuple[list[Moment], list[Camera], list[NotRead]]:
        """Moments in order, the cameras, and what could not be read, or not all of it."""
        events, scored, wrong = dict[str, About](), dict[str, About](), dict[str, list[str]]()
        for line in self.files[1].read_bytes().splitlines():
            try:
                entry = json.loads(line)
                if entry["kind"] == "end":
                    events[entry["id"]] = entry
                else:
                    wrong[entry["source"]] = entry["remarks"]
                    if entry["kind"] == "scored":
                        scored[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):  # broken off
                continue
        cameras = []
        for name in {self._camera: 0} | {one["camera"]: 0 for one in scored.values()}:
            lengths = [one["seconds"] for one in scored.values() if one["camera"] == name]
            cameras.append(Camera(name, math.fsum(lengths), len(lengths)))
        newest, older = [*events.values()][-SHOWN:], [*events.values()][:-SHOWN]
        ranked = enumerate([*_in_order(newest), *_in_order(older)], start=1)
        not_read = [NotRead("", name, words) for name, some in wrong.items() for words in some]
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
            curve=np.array(one["curve"]),
            lead=LEAD,
            shown=self._folder / preview if preview else None,
            **{name: one[name] for name in ALIKE.split()},
        )


def _in_order(events: Iterable[About]) -> list[About]:
    """Most unusual first, as on the workflow's page."""
    return sorted(events, key=lambda one: (one["group"] != UNLIKE, -one["unusual"]))
