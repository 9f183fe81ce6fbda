"""What each job made, by content: a record of every output, kept beside the results.

Snakemake goes by times, and times lie: a clock is set back, a copy loses them, a failing disk keeps
them. A record holds the SHA-256 of an output and of the inputs that it was made from; `settle`
brings the files' times back to what was recorded, and finds what the times would not tell.
"""

import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sdor.errors import SdorError
from sdor.files import digest, file_sha256, write_json

RESULTS = Path("results")
RECORDS = RESULTS / "records"
# By-products of jobs, which have no record.
UNRECORDED = (RECORDS, RESULTS / "logs", RESULTS / "benchmarks")
# Snakemake keeps the time of a folder in this file inside it.
TIMESTAMP = ".snakemake_timestamp"
LONG_AGO = 1_000_000_000  # ns since 1970: older than any input
AHEAD = 10_000_000_000  # ns: by so much the clocks of two machines may differ
REPAIR_VARIABLE = "SDOR_REPAIR"
ASIDE = ".damaged"  # stands behind the name of a file that was not what was made


@dataclass
class Record:
    """What is known of one output.

    Attributes
    ----------
    sha256, bytes, mtime_ns : of the output, which may be a folder.
    job : a random name of the execution that made it.
    siblings : all outputs of that execution.
    made_from : the SHA-256 of each input then; None for an input without a record.
    about : stage, name, seconds and key figure of the job.
    damaged : the output was not what was made, or is missed, and has to be made again.
    gone : it is not there.
    earlier_ns : the time that the output had before it was damaged or deleted, and made again byte
        for byte from the same inputs; else 0. The next look at the files gives it back, so that
        nothing that follows is made again.
    """

    sha256: str
    bytes: int
    mtime_ns: int
    job: str
    siblings: list[str]
    made_from: dict[str, str | None]
    about: dict[str, Any] = field(default_factory=dict)
    damaged: bool = False
    gone: bool = False
    earlier_ns: int = 0

    @property
    def is_known(self) -> bool:
        """Whether a job wrote it: of an adopted output, nobody knows what it was made from."""
        return bool(self.about)


@dataclass
class Settled:
    """What `settle` found.

    Attributes
    ----------
    damaged : outputs that differ from their record.
    mixed : outputs that are of another execution than those which were made with them.
    to_make : outputs that Snakemake would not make again by itself: these two, and what earlier
        runs found damaged.
    outdated : outputs made from an input that was another then, without being older than it.
    missing : outputs that have a record and are not there.
    unreadable : outputs whose record cannot be read.
    from_the_future : how many had times that are still to come.
    recorded : how many outputs there are that have a record.
    """

    damaged: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    to_make: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    from_the_future: int = 0
    recorded: int = 0


def record_of(output: str | Path) -> Path:
    """Where the record of an output lies."""
    return RECORDS / Path(output).relative_to(RESULTS).parent / f"{Path(output).name}.json"


def read_record(output: str | Path) -> Record | None:
    """The record of an output; None where there is none, or none that can be read."""
    try:
        record = Record(**json.loads(record_of(output).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    kinds = {int: ("bytes", "mtime_ns", "earlier_ns"), str: ("sha256", "job"), list: ("siblings",)}
    kinds[dict] = ("made_from", "about")
    fits = all(isinstance(getattr(record, name), kind) for kind in kinds for name in kinds[kind])
    return record if fits else None


def write_records(
    outputs: Iterable[str], inputs: Iterable[str], about: Mapping[str, Any] | None = None
) -> None:
    """Record what one job has just made; outputs that are not below `results` have no record.

    Parameters
    ----------
    about : stage, name, seconds and key figure of the job.
    """
    made = [path for path in outputs if _below_results(path) and Path(path).exists()]
    read = [path for path in inputs if _below_results(path)]
    known = {path: read_record(path) for path in read}
    made_from = {path: record.sha256 if record else None for path, record in known.items()}
    before = {path: record for path in made if (record := read_record(path))}
    lost = repairing() or any(record.damaged or record.gone for record in before.values())
    job = uuid.uuid4().hex
    for path in made:
        size, mtime_ns = _seen(Path(path))
        record = Record(
            sha256_of(path), size, mtime_ns, job, made, made_from, dict(about) if about else {}
        )
        old = before.get(path)
        same = old is not None and old.sha256 == record.sha256
        if old and lost and same and (old.made_from == made_from or not old.is_known):
            record.earlier_ns = old.earlier_ns or old.mtime_ns
        write_json(record_of(path), asdict(record))


def note_times(outputs: Iterable[str]) -> None:
    """Take over the times of outputs, after Snakemake has touched them.

    A file that cannot be seen from here yet, or a record that cannot be written, costs the next run
    one look at the file's content.
    """
    for path in outputs:
        record = read_record(path) if _below_results(path) else None
        if record is None:
            continue
        try:
            size, mtime_ns = _seen(Path(path))
            if size == record.bytes and mtime_ns != record.mtime_ns:
                record.mtime_ns = mtime_ns
                write_json(record_of(path), asdict(record))
        except Exception:
            continue


def take_over(outputs: Iterable[str], inputs: Iterable[str]) -> None:
    """Record outputs as they are now, because a person says that they are good (`--touch`)."""
    made = list(outputs)
    known = next(filter(None, map(read_record, filter(_below_results, made))), None)
    write_records(made, inputs, known.about if known else None)


def adopt(is_output: Callable[[str], bool]) -> list[str]:
    """Record outputs that have no record (it was deleted or damaged), as they are now.

    What the records of outputs that were made with them tell is taken over.

    Parameters
    ----------
    is_output : whether a path is one that jobs make.

    Returns
    -------
    The outputs that have a record now.

    Raises
    ------
    SdorError : one cannot be read.
    """
    known = remember()
    found = list(_unrecorded(known, is_output))
    families = {path: record for record in known.values() for path in record.siblings}
    for path in found:
        try:
            size, mtime_ns = _seen(Path(path))
            sha256 = sha256_of(path)
        except OSError as error:
            raise SdorError(f"{path}: cannot be read ({error.strerror}); delete it") from error
        record = Record(sha256, size, mtime_ns, uuid.uuid4().hex, [path], {})
        family = families.get(path)
        if family is not None:
            record.job, record.siblings = family.job, family.siblings
            record.made_from, record.about = family.made_from, family.about
        write_json(record_of(path), asdict(record))
    return found


def settle(*, repair: bool = True, deep: bool = False) -> Settled:
    """Bring results and their records together before Snakemake looks at times.

    A file whose content is as recorded gets its recorded time back, so that a copy reruns nothing.
    One whose content differs is set aside (`NAME.damaged`). What was made from other inputs than
    are there now gets an old time. Times that are still to come, from a clock that was set back,
    become the present one, in their order.

    Parameters
    ----------
    repair : False leaves damaged files where they are; their times only are put right, and in their
        records stands that they are damaged.
    deep : look at the content of every file, even where size and time are as recorded.

    Raises
    ------
    SdorError : a file may not be read, or cannot be set aside.
    """
    found = Settled()
    records: dict[str, Record] = {}
    for output in _recorded():
        record, there = read_record(output), os.path.lexists(output)
        if record is None and there:
            found.unreadable.append(output)
        elif record is None:
            _quietly(record_of(output).unlink)
        elif there:
            records[output] = record
        else:
            found.missing.append(output)
            found.to_make += [output] if record.damaged else []
            if not record.gone:
                record.gone = True
                _quietly(write_json, record_of(output), asdict(record))
    found.recorded = len(records)
    for output, record in records.items():
        if _is_whole(output, record, deep=deep):
            continue
        found.damaged.append(output)
        record.damaged = True
        if repair:
            write_json(record_of(output), asdict(record))
            _set_aside(output)
        else:
            # It is to be planned for as if it were whole, and to be looked at again.
            _quietly(_restore_time, output, record)
    whole = {path: records[path] for path in records if path not in found.damaged}
    give_times_back(whole)
    found.mixed = [path for path, record in whole.items() if _is_mixed(path, record, whole)]
    found.to_make += [*found.damaged, *found.mixed]
    found.outdated = [path for path, record in whole.items() if _is_outdated(record, whole)]
    for output in found.outdated:
        _quietly(_set_time, output, LONG_AGO)
        whole.pop(output)
    found.from_the_future = _bring_back(whole)
    return found


def miss(outputs: Iterable[str]) -> None:
    """Note that outputs are missed: the next run makes them, even for finished ones alone."""
    for path in outputs:
        record = read_record(path)
        if record is not None:
            record.damaged = True
            write_json(record_of(path), asdict(record))


def repairing() -> bool:
    """Whether this is a run, or a job of one, that makes damaged results again."""
    return bool(os.environ.get(REPAIR_VARIABLE))


def remember() -> dict[str, Record]:
    """All records, by output."""
    records = {path: read_record(path) for path in _recorded()}
    return {path: record for path, record in records.items() if record is not None}


def give_times_back(records: Mapping[str, Record]) -> None:
    """Give outputs that were lost and made again the same the time that they had (`earlier_ns`).

    That of outputs from which nothing older was made is good as it is.
    """
    again = {path: record for path, record in records.items() if record.earlier_ns}
    if not again:
        return
    oldest: dict[str, int] = {}
    for follower, record in records.items():
        read = record.made_from.keys() if record.is_known else again.keys() - {follower}
        for path in again.keys() & read:
            oldest[path] = min(record.mtime_ns, oldest.get(path, record.mtime_ns))
    for path, record in again.items():
        if oldest.get(path, record.mtime_ns) < record.mtime_ns:
            record.mtime_ns = record.earlier_ns
        record.earlier_ns = 0
        _quietly(_restore_time, path, record)


def bring_back(paths: Iterable[str]) -> None:
    """Give results the present time, in their order, if those of these paths are still to come."""
    latest = time.time_ns() + AHEAD
    known = [read_record(path) for path in paths if _below_results(path)]
    if any(record is not None and record.mtime_ns > latest for record in known):
        # All of them: the order between these and others must not change.
        with _alone():
            _bring_back(remember())


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    path = Path(path)
    if not path.is_dir():
        return file_sha256(path)
    lines = [f"{file.relative_to(path)} {file_sha256(file)}" for file in _files_in(path)]
    return digest("\n".join(lines).encode())


def remove(path: Path) -> None:
    """Remove a file or a whole folder; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_whole(output: str, record: Record, *, deep: bool) -> bool:
    """Whether an output is what was made; if so, its time is as recorded then."""
    try:
        size, mtime_ns = _seen(Path(output))
        as_recorded = (size, mtime_ns) == (record.bytes, record.mtime_ns)
        if as_recorded and not deep and not record.damaged and not record.gone:
            return True
        whole = size == record.bytes and sha256_of(output) == record.sha256
    except OSError as error:
        # A link to nowhere is no whole file either.
        if error.errno not in (errno.EIO, errno.ENOENT):
            raise SdorError(
                f"{output}: cannot be read ({error.strerror}); mend its rights, or delete it"
            ) from error
        return False
    if whole and (record.damaged or record.gone or not as_recorded):
        record.damaged = record.gone = False
        _quietly(_restore_time, output, record)
    return whole


def _is_mixed(path: str, record: Record, records: Mapping[str, Record]) -> bool:
    """Whether those made with it, as both sides tell, are of another execution."""
    others = [records[other] for other in record.siblings if other in records]
    return any(other.job != record.job and path in other.siblings for other in others)


def _is_outdated(record: Record, records: Mapping[str, Record]) -> bool:
    """Whether it was made from other inputs and its time does not show that."""
    for path, then in record.made_from.items():
        now = records.get(path)
        if now is None or then is None or now.sha256 == then:
            continue
        if now.mtime_ns <= record.mtime_ns:
            return True
    return False


def _set_aside(output: str) -> None:
    aside = Path(output).with_name(Path(output).name + ASIDE)
    try:
        remove(aside)
        Path(output).rename(aside)
    except OSError as error:
        raise SdorError(
            f"{output}: not what was made, and cannot be set aside ({error.strerror}); delete it"
        ) from error


def _bring_back(records: Mapping[str, Record]) -> int:
    now = time.time_ns()
    coming = sorted(
        (record.mtime_ns, path)
        for path, record in records.items()
        if record.mtime_ns > now + AHEAD and Path(path).exists()
    )
    for place, (_, path) in enumerate(coming):
        record = records[path]
        # Their order is all that counts; times are stored in microseconds or better.
        record.mtime_ns = now - (len(coming) - place) * 1000
        _quietly(_set_time, path, record.mtime_ns)
        _quietly(write_json, record_of(path), asdict(record))
    return len(coming)


@contextmanager
def _alone() -> Iterator[None]:
    """Of several jobs at once, one at a time; as far as the file system knows locks."""
    folder = os.open(RECORDS, os.O_RDONLY)
    try:
        _quietly(fcntl.flock, folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _unrecorded(known: Collection[str], is_output: Callable[[str], bool]) -> Iterator[str]:
    """Outputs that have no record; what lies in a folder that is one is part of it."""
    for folder, folders, files in os.walk(RESULTS):
        below = {name: str(Path(folder, name)) for name in (*folders, *files)}
        paths = {
            name: path
            for name, path in below.items()
            if Path(path) not in UNRECORDED and Path(path).exists()
        }
        found = {name for name, path in paths.items() if path not in known and is_output(path)}
        yield from (paths[name] for name in paths if name in found)
        folders[:] = [
            name for name in folders if name in paths.keys() - found and paths[name] not in known
        ]


def _recorded() -> list[str]:
    """The outputs that have a record."""
    return [
        str(RESULTS / path.relative_to(RECORDS).with_name(path.name.removesuffix(".json")))
        for path in sorted(RECORDS.rglob("*.json"))
        if not path.name.startswith(".")
    ]


def _below_results(path: str) -> bool:
    return RESULTS in Path(path).parents


def _seen(path: Path) -> tuple[int, int]:
    """Size in bytes and time in ns, as Snakemake takes the time: of a folder, of a file in it."""
    status = path.lstat()
    if not path.is_dir():
        # Of a link, the size is that of the file, and the time its own.
        return path.stat().st_size, status.st_mtime_ns
    carrier = path / TIMESTAMP
    carried = carrier.stat() if carrier.exists() else status
    return sum(file.stat().st_size for file in _files_in(path)), carried.st_mtime_ns


def _files_in(folder: Path) -> list[Path]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != TIMESTAMP]
    return sorted(files)


def _set_time(path: str, mtime_ns: int) -> None:
    carrier = Path(path) / TIMESTAMP
    target = carrier if carrier.exists() else Path(path)
    os.utime(target, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def _restore_time(output: str, record: Record) -> None:
    """Give an output its recorded time, and note what a coarse file system makes of it."""
    write_json(record_of(output), asdict(record))
    _set_time(output, record.mtime_ns)
    if (mtime_ns := _seen(Path(output))[1]) != record.mtime_ns:
        record.mtime_ns = mtime_ns
        write_json(record_of(output), asdict(record))


def _quietly(change: Callable[..., None], *arguments: Any) -> None:
    """Try to change a file; where it may not be changed, the run only does more than it needs."""
    try:
        change(*arguments)
    except Exception:
        return
