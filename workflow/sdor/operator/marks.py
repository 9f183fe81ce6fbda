"""A camera's marks while they are made: safe when the answer is given, whoever is killed then."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sdor.errors import SdorError
from sdor.files import atomic, opening
from sdor.method.marks import (
    HEADER,
    LABELS,
    NONE,
    Mark,
    csv_of,
    parsed,
    standing_marks,
    text_of,
)
from sdor.study.rounds import finished_rounds

OPEN, LOCK = "open.csv", ".lock"


class OtherRoundError(SdorError):
    """What was meant for a round comes when that is finished."""


class MarkBook:
    """The open round of marks of a camera, which several processes may write.

    A mark is on the disk when `append` returns. A line that a killed process left unfinished is cut
    off when the file is read next: nobody was told that it is there.

    Parameters
    ----------
    folder : `feedback/{camera}`, beside `results`; made with the first mark.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / OPEN
        self._lines, self._ids = list[Mark](), set[str]()
        self._by_hand = False
        self._read: tuple[int, int, int] | None = None  # what the file was like then

    def append(self, marks: Iterable[Mark], number: int | None = None) -> None:
        """Write marks; those with an id that is there already are passed over.

        Parameters
        ----------
        number : of the round that they are for; None: whichever is open.

        Raises
        ------
        OtherRoundError : that round is finished.
        SdorError : the folder cannot be written, the disk is full, a mark says what none can say,
            or a line that was written by hand is wrong.
        """
        # As they will be read: by an id as it is in the file, a mark is known when it comes again.
        given = [mark for _, mark in parsed(HEADER + csv_of(marks), self.path)]
        with self._locked():
            self._check(number)
            self._refresh()
            new, ids = list[Mark](), {*self._ids}
            for mark in given:
                if not mark.id or mark.id not in ids:
                    new.append(mark)
                    ids.add(mark.id)
            if new:
                self._write(new)
                self._lines += new
                self._ids, self._read = ids, signature(self.path)

    def marks(self) -> list[Mark]:
        """The last mark of each event that was not taken back, in the order of their making.

        Raises
        ------
        SdorError : the file cannot be read, or a line that was written by hand is wrong.
        """
        last = dict[str, Mark]()
        for mark in self.lines():
            last.pop(mark.key, None)
            last[mark.key] = mark
        return [mark for mark in last.values() if mark.label != NONE]

    def lines(self) -> list[Mark]:
        """All lines of the open round, with what was taken back: what there is to undo.

        Raises
        ------
        SdorError : the file cannot be read, or a line that was written by hand is wrong.
        """
        if not self.folder.is_dir():
            return []
        with self._locked(reading=True) as alone:
            self._refresh(mend=alone)
            return [*self._lines]

    def finish(self, number: int | None = None) -> Path:
        """Close the round, if it has this number: its file gets its name, which no other has.

        Raises
        ------
        OtherRoundError : it is finished.
        SdorError : nothing is marked as an anomaly or as normal, or a frame as both.
        """
        with self._locked():
            self._check(number)
            self._refresh()
            lines = parsed(text_of(self.path), self.path) if self._lines else ()
            standing = standing_marks(lines, self.path)
            if not any(mark.label in LABELS for mark in standing.values()):
                raise SdorError(
                    f"{self.path}: nothing is marked as an anomaly or as normal; mark a moment, "
                    "then finish the round"
                )
            path = self.folder / f"round{len(self.rounds()) + 1}.csv"
            with opening(path):
                os.rename(self.path, path)
                _sync(self.folder)
            return path

    def rounds(self) -> list[Path]:
        """Files of the finished rounds, in order (SdorError: one is left out)."""
        return finished_rounds(self.folder.name, self.folder.parent)

    def _check(self, number: int | None) -> None:
        now = len(self.rounds()) + 1
        if number is not None and number < now:
            raise OtherRoundError(
                f"round {number} is finished already, as in another tab "
                f"({self.folder}/round{number}.csv); round {now} is open now: what is not in that "
                "file, do once more"
            )
        if number is not None and number > now:
            raise OtherRoundError(
                f"round {number} is not open: files of rounds were taken away from {self.folder}, "
                f"and round {now} is; put them back, or do it once more"
            )

    @contextmanager
    def _locked(self, *, reading: bool = False) -> Iterator[bool]:
        """Keep other processes and threads out; False where that cannot be, to who reads alone.

        The lock is another file, as that of the marks is renamed.
        """
        with ExitStack() as held:
            try:
                with opening(self.folder / LOCK):
                    handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
                    held.callback(os.close, handle)
                    fcntl.flock(handle, fcntl.LOCK_EX)
            except SdorError:  # another user's folder
                if not reading:
                    raise
                yield False
            else:
                yield True

    def _refresh(self, *, mend: bool = True) -> None:
        """Read the file, if it is not as it was when it was read or written.

        Parameters
        ----------
        mend : cut off what a killed process left unfinished; else it is passed over.
        """
        now = signature(self.path)
        if now == self._read:
            return
        lines, self._by_hand = list[Mark](), False
        if now:
            with opening(self.path):
                content = self.path.read_bytes()
                whole = content.rfind(b"\n") + 1
                header = HEADER.encode()
                # By hand, a last line is whole without a line break.
                self._by_hand = not (content.startswith(header) or header.startswith(content))
                if mend and not self._by_hand and whole < len(content):
                    os.truncate(self.path, whole)
            text = text_of(self.path)
            if not self._by_hand:
                text = text[: text.rfind("\n") + 1]
            lines = [mark for _, mark in parsed(text, self.path)]
        self._lines, self._ids = lines, {mark.id for mark in lines}
        # What a reader passed over is cut off by who writes next.
        self._read = signature(self.path) if mend else None

    def _write(self, marks: Sequence[Mark]) -> None:
        """Add lines that outlive a power failure, or none; a file by hand gets all columns."""
        if self._by_hand:
            with atomic(self.path) as temporary:
                temporary.write_text(HEADER + csv_of(self._lines), encoding="utf-8")
            self._by_hand = False
        with opening(self.path):
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                _append(handle, csv_of(marks))
            finally:
                os.close(handle)
            _sync(self.folder)


def _append(handle: int, lines: str) -> None:
    """Write lines, with the header into an empty file, or take back what was written of them."""
    size = os.fstat(handle).st_size
    content = ("" if size else HEADER).encode() + lines.encode()
    try:
        while content:
            content = content[os.write(handle, content) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _sync(folder: Path) -> None:
    """Make names in a folder outlive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def signature(path: Path) -> tuple[int, int, int] | None:
    """What changes when somebody writes a file; None where there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
