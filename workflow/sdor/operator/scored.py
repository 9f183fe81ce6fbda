"""What was scored: a table that grows, and a ledger of what is in it already."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sdor.errors import SdorError
from sdor.files import atomic, open_parquet, opening

COLUMNS = ["source", "frame", "time", "clock", "motion", "appearance", "places", "score"]
TYPES = {"source": pa.string(), "frame": pa.int64(), "clock": pa.string()}
SCHEMA = pa.schema([(name, TYPES.get(name, pa.float64())) for name in COLUMNS])
ROWS = 20_000  # of Parquet that are written at a time


class Table:
    """Scores that nobody keeps. `place` is how much of a file there is."""

    place = 0

    def write(self, rows: pd.DataFrame) -> None:
        """Add rows, with the columns of `COLUMNS`."""

    def close(self) -> None:
        """Write what waits."""


class _Csv(Table):
    def __init__(self, path: Path, keep: int | None) -> None:
        with opening(path):
            self._file = path.open("a+b")
        self.place = self._file.tell()
        self._file.seek(0)
        begins = self._file.readline(1000).decode(errors="replace").strip()
        if self.place and begins != ",".join(COLUMNS):
            raise SdorError(f"{path}: holds something else; give another file for the scores")
        if keep is not None:
            self.place = self._file.truncate(min(keep, self.place))

    def write(self, rows: pd.DataFrame) -> None:
        text = rows.to_csv(index=False, columns=COLUMNS, header=not self.place)
        self.place += self._file.write(text.encode())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Parquet(Table):
    def __init__(self, path: Path, temporary: Path, keep: int | None) -> None:
        self._writer, self._waiting = pq.ParquetWriter(temporary, SCHEMA), list[pa.Table]()
        old = open_parquet(path) if path.is_file() else None
        if old and old.schema_arrow.names != COLUMNS:
            raise SdorError(f"{path}: holds something else; give another file for the scores")
        for batch in old.iter_batches(ROWS) if old else ():
            rest = None if keep is None else max(keep - self.place, 0)
            self._add(pa.Table.from_batches([batch.slice(0, rest)]).cast(SCHEMA))

    def write(self, rows: pd.DataFrame) -> None:
        self._add(pa.Table.from_pandas(rows[COLUMNS], SCHEMA, preserve_index=False))

    def _add(self, rows: pa.Table) -> None:
        self.place += len(rows)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def alone(path: Path) -> TextIO:
    """Open a file that lines are added to, at its beginning, and keep other processes out of it.

    Raises
    ------
    SdorError : another process has it open, or it cannot be written.
    """
    with opening(path):
        file = path.open("a+", encoding="utf-8", errors="replace")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if isinstance(error, BlockingIOError):
                raise SdorError(f"{path}: another sdor score is at work with it") from None
            raise
    file.seek(0)
    return file


@contextmanager
def growing(path: Path | None, keep: int | None) -> Iterator[Table]:
    """A table that rows are added to: CSV at once, Parquet (by its ending) when all is done.

    Parameters
    ----------
    path : None: nothing is kept. keep : how much of it stays; what is behind was broken off.

    Raises
    ------
    SdorError : it cannot be written, or is no such table.
    """
    if path is not None and path.suffix == ".parquet":
        with atomic(path) as temporary, closing(_Parquet(path, temporary, keep)) as table:
            yield table
    else:
        with closing(_Csv(path, keep) if path else Table()) as table:
            yield table


class Ledger:
    """Keys of what was scored, in a file with a line each.

    Attributes
    ----------
    keep : how much of the table is of what was done; None: all of it.

    Raises
    ------
    SdorError : another process is at work with it, or it cannot be written.
    """

    def __init__(self, path: Path | None, late: bool) -> None:
        self._known, self._late = set[str](), list[str]() if late else None
        self.keep: int | None = None
        self._file = None
        if path is None:
            return
        self._file = alone(path)
        for line in self._file:
            try:
                entry = json.loads(line)
            except ValueError:  # broken off
                continue
            match entry:
                case {"begins_at": int(at)}:
                    self.keep = at
                case {"scored": [*keys]}:
                    self.keep = None
                    self._known.update(map(str, keys))

    def knows(self, key: str) -> bool:
        """Whether that was scored."""
        return key in self._known

    def take(self, keys: tuple[str, ...]) -> None:
        """Something will be scored, and is not to be taken again."""
        self._known.update(keys)

    def begin(self, at: int) -> None:
        """Something is scored from here on, which is begun again if it is not done."""
        self._say({"begins_at": at})

    def done(self, keys: tuple[str, ...]) -> None:
        """All of something was scored."""
        self._known.update(keys)
        self._say({"scored": keys})

    def _say(self, entry: dict[str, object]) -> None:
        line = json.dumps(entry) + "\n"
        if self._late is not None:
            self._late.append(line)
        elif self._file:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Write what waits for the table."""
        if self._file:
            self._file.writelines(self._late or ())
            self._file.close()
