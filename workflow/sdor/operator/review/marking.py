"""What is marked of a camera, and what there is to undo."""

import getpass
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sdor.errors import SdorError
from sdor.files import About
from sdor.method.marks import (
    ANOMALY,
    NONE,
    NORMAL,
    SKIP,
    Mark,
    parsed,
    standing_marks,
    text_of,
)
from sdor.operator.marks import MarkBook
from sdor.operator.review.listing import Listing, newest_list, round_of, signatures

GIVEN = (ANOMALY, NORMAL, SKIP)
ID = re.compile(r"[0-9a-f]{32}")  # of what a key did, given by the browser
# Marks that one key made begin alike; what takes them back names them.
LINE = re.compile(r"([0-9a-f]{32})\.(undo\.)?.+")


class ConflictError(Exception):
    """What was sent is of another list, or follows another mark, than what is there."""


class Wanted(NamedTuple):
    """A mark as the browser sends it."""

    id: str
    event: str
    label: str
    similar: bool
    round: int


class Camera:
    """A camera's newest list and the marks of its open round.

    Parameters
    ----------
    watch, feedback : where its lists are, as `results/{camera}/watch`, and `feedback/{camera}`.
    """

    def __init__(self, name: str, watch: Path, feedback: Path) -> None:
        self.name, self._watch = name, watch
        self.book = MarkBook(feedback)
        self._listing: Listing | None = None
        self._read: object = None  # what its files were like then

    @property
    def listing(self) -> Listing:
        """The newest list; read again when there is another.

        While it is made again, its files are gone or of different age: it stays as it was.

        Raises
        ------
        SdorError : a file is damaged, or not there yet.
        """
        rounds = len(self.book.rounds())
        kept, folder = self._listing, newest_list(self._watch, rounds)
        known = folder, signatures(folder)
        if kept and (rounds >= kept.round > round_of(folder) or known == self._read):
            return kept
        try:
            found = Listing(self.name, folder)
        except (SdorError, OSError):
            if kept and kept.folder == folder:
                return kept
            raise
        if kept is None or known == (folder, signatures(folder)):
            self._listing, self._read = found, known
        return self._listing or found

    @property
    def state(self) -> About:
        """What changes with a mark.

        labels : by event, of the open round; earlier : of rounds that the list is not made of yet.
        round : the open one's number. count : of marks, in words.
        undo : what the last key did, "" for nothing.
        learnt : whether the list is made of all finished rounds.

        Raises
        ------
        SdorError : a file of the list or of marks is damaged, or a round is left out.
        """
        listing, rounds = self.listing, self.book.rounds()
        earlier = dict[str, str]()
        for path in rounds[listing.round :]:
            earlier |= _labels_of(path, path.stat().st_mtime_ns)
        labels = {mark.event: mark.label for mark in self.book.marks() if mark.event}
        own = {*listing.places} - {*earlier, *listing.confirmed}
        given = Counter(labels[event] for event in own if event in labels)
        count = f"{given.total()} of {len(own)} marked · {given[ANOMALY]} anomalous"
        count += f" · {given[SKIP]} skipped" if given[SKIP] else ""
        return {
            "camera": self.name,
            "ranking": listing.ranking,
            "round": len(rounds) + 1,
            "count": count,
            "labels": labels,
            "earlier": earlier,
            "undo": next(iter(reversed(_actions(self.book.lines()))), ""),
            "learnt": listing.round == len(rounds),
        }

    def mark(self, wanted: Wanted, ranking: str) -> None:
        """Write a mark, and the same of the moments that nearly equal it and have none.

        Raises
        ------
        ConflictError : the list is another than what was shown.
        OtherRoundError : the round is finished. SdorError : it cannot be written.
        """
        listing = self.listing
        if ranking != listing.ranking or wanted.event not in listing.places:
            raise ConflictError("the list has changed")
        events = [wanted.event]
        if wanted.similar:
            labels, alike = self.state["labels"], listing.alike[listing.places[wanted.event]]
            names = listing.events["event"][alike]
            earlier = self.state["earlier"] | dict.fromkeys(listing.confirmed, ANOMALY)
            events += [one for one in names if one not in labels and one not in earlier]
        self.book.append(
            (self._mark(listing, one, f"{wanted.id}.{one}", wanted.label) for one in events),
            wanted.round,
        )

    def undo(self, action: str, number: int) -> None:
        """Take back what the last key did in a round: each of its moments is what it was before.

        Raises
        ------
        ConflictError : it is not the last.
        OtherRoundError : the round is finished. SdorError : it cannot be written.
        """
        lines = self.book.lines()
        actions = _actions(lines)
        if action not in actions:  # as another page has taken it back
            return
        if action != next(reversed(actions)):
            raise ConflictError("another mark was made since")
        own, taken = actions[action], {one.id for each in actions.values() for one in each}
        before = {
            mark.key: mark.label
            for mark in lines
            if mark not in own and (mark.id in taken or not LINE.fullmatch(mark.id))
        }
        at, by = _now(), _who()
        self.book.append(
            (
                replace(
                    one,
                    id=f"{action}.undo.{one.event}",
                    label=before.get(one.key, NONE),
                    at=at,
                    by=by,
                )
                for one in own
            ),
            number,
        )

    def _mark(self, listing: Listing, event: str, name: str, label: str) -> Mark:
        row = listing.events.iloc[listing.places[event]]
        return Mark(
            id=name,
            at=_now(),
            by=_who(),
            event=event,
            clip=row["clip"],
            frame=int(row["peak"]),
            first=int(row["first"]),
            last=int(row["last"]),
            time=float(row["peak_time"]),
            label=label,
            ranking=listing.ranking,
        )


def _actions(lines: Iterable[Mark]) -> dict[str, list[Mark]]:
    """What keys did and was not taken back, in order."""
    found, taken = dict[str, list[Mark]](), set[str]()
    for mark in lines:
        if match := LINE.fullmatch(mark.id):
            if match[2]:
                taken.add(match[1])
            else:
                found.setdefault(match[1], []).append(mark)
    return {action: marks for action, marks in found.items() if action not in taken}


@cache
def _labels_of(path: Path, time: int) -> dict[str, str]:
    """Labels by event of a finished round, as it was at a time: people may edit it."""
    del time
    standing = standing_marks(parsed(text_of(path), path), path).values()
    return {mark.event: mark.label for mark in standing if mark.event and mark.label != NONE}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


@cache
def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""
