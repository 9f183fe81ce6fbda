"""What each job made, by content: a record of every output, kept beside the results.

Snakemake goes by times, and times lie: a clock is set back, a copy loses them, a failing disk keeps
them. A record holds the SHA-256 of an output and of the inputs that it was made from; `settle`
brings the files' times back to what was recorded, and finds what the times would not tell.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sdor.files import write_json
from sdor.fingerprint import digest, file_sha256

RESULTS = Path("results")
RECORDS = RESULTS / "records"
# Snakemake keeps the time of a folder in this file inside it.
TIMESTAMP = ".snakemake_timestamp"
LONG_AGO = 1_000_000_000  # ns since 1970: older than any input
AHEAD = 2_000_000_000  # ns: by so much the clocks of two machines may differ


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
    damaged : the output was not what was made, and is gone until it is made again.
    """

    sha256: str
    bytes: int
    mtime_ns: int
    job: str
    siblings: list[str]
    made_from: dict[str, str | None]
    about: dict[str, Any] = field(default_factory=dict)
    damaged: bool = False


@dataclass
class Settled:
    """What `settle` found: outputs whose content is not what was made, and outputs to make anew.

    Attributes
    ----------
    damaged : differ from their record.
    outdated : made from an input that was another then, or a mix of two executions, without being
        older than what it depends on.
    from_the_future : how many had times that are still to come.
    recorded : how many outputs there are that have a record.
    """

    damaged: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    from_the_future: int = 0
    recorded: int = 0


def record_of(output: str | Path) -> Path:
    """Where the record of an output lies."""
    return RECORDS / Path(output).relative_to(RESULTS).parent / f"{Path(output).name}.json"


def read_record(output: str | Path) -> Record | None:
    """The record of an output; None where there is none, or none that can be read."""
    try:
        return Record(**json.loads(record_of(output).read_text()))
    except (OSError, ValueError, TypeError):
        return None


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
    job = uuid.uuid4().hex
    for path in made:
        size, mtime_ns = _seen(Path(path))
        record = Record(
            sha256_of(path), size, mtime_ns, job, made, made_from, dict(about) if about else {}
        )
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


def settle(*, repair: bool = True, deep: bool = False) -> Settled:
    """Bring results and their records together before Snakemake looks at times.

    A file whose content is as recorded gets its recorded time back, so that a copy reruns nothing.
    One whose content differs is removed, to be made again; what was made from it gets an old time,
    since Snakemake makes nothing that only finished files would need. What was made from other
    inputs than are there now, or mixes two executions, gets an old time too. Times that are still
    to come, from a clock that was set back, become the present one, in their order.

    Parameters
    ----------
    repair : False leaves damaged and outdated files as they are and tells of them only.
    deep : look at the content of every file, even where size and time are as recorded.
    """
    found = Settled()
    records: dict[str, Record] = {}
    for output in _recorded():
        record = read_record(output)
        there = Path(output).exists()
        if record is None or not (there or record.damaged):
            continue
        records[output] = record
        seen = _seen(Path(output)) if there else None
        known = seen == (record.bytes, record.mtime_ns) and not record.damaged
        if seen is None or (known and not deep):
            continue
        was_damaged = record.damaged
        record.damaged = seen[0] != record.bytes or sha256_of(output) != record.sha256
        if not record.damaged:
            _quietly(_set_time, output, record.mtime_ns)
            if was_damaged:
                _quietly(write_json, record_of(output), asdict(record))
            continue
        found.damaged.append(output)
        if repair:
            write_json(record_of(output), asdict(record))
            remove(Path(output))
    found.recorded = sum(Path(path).exists() for path in records)
    old = []
    for output, record in records.items():
        if record.damaged:
            continue
        if _is_outdated(record, records):
            found.outdated.append(output)
            old.append(output)
        elif any(path in records and records[path].damaged for path in record.made_from):
            old.append(output)
    if repair:
        for output in old:
            _quietly(_set_time, output, LONG_AGO)
    found.from_the_future = _bring_back(
        {path: record for path, record in records.items() if path not in old}
    )
    return found


def bring_back(paths: Iterable[str]) -> None:
    """Give the present time to files whose times are still to come, in their order."""
    known = {path: read_record(path) for path in paths if _below_results(path)}
    _bring_back({path: record for path, record in known.items() if record is not None})


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


def _is_outdated(record: Record, records: Mapping[str, Record]) -> bool:
    """Whether it must be made again and its time does not show that."""
    for path, then in record.made_from.items():
        now = records.get(path)
        if now is None or then is None or now.sha256 == then:
            continue
        if now.mtime_ns <= record.mtime_ns:
            return True
    others = [records[path] for path in record.siblings if path in records]
    return any(other.job != record.job for other in others)


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


def _quietly(change: Callable[..., None], *arguments: Any) -> None:
    """Try to change a file; where it may not be changed, the run only does more than it needs."""
    try:
        change(*arguments)
    except Exception:
        return
