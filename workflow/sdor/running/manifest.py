"""The manifest: what each job made, by content, so that damage and lost times can be found."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sdor.errors import SdorError
from sdor.files import digest, file_sha256, write_json
from sdor.progress import track
from sdor.running.run import RESULTS

MANIFEST = RESULTS / "manifest"
# Snakemake keeps the time of a folder in this file inside it.
TIMESTAMP = ".snakemake_timestamp"


@dataclass(frozen=True)
class Entry:
    """An output: its content (see `sha256_of`), its time, and what made it, in words.

    The time is later than those of all that it was made from, and stays the same when the output is
    made again, byte for byte.
    """

    sha256: str = ""
    mtime_ns: int = 0
    job: str = ""


def entry_file(output: str | Path) -> Path:
    """Where the manifest entry of an output lies."""
    return MANIFEST / f"{Path(output).relative_to(RESULTS)}.json"


def write_entries(outputs: Iterable[str], inputs: Iterable[str], job: str) -> None:
    """Write down what a job, given in words, has just made below `results`."""
    newest = max((_read_entry(path).mtime_ns for path in inputs), default=0)
    for output in outputs:
        if RESULTS not in Path(output).parents or not Path(output).exists():
            continue
        before, sha256 = _read_entry(output), sha256_of(output)
        if before.sha256 == sha256 and before.mtime_ns > newest:
            continue
        # Clocks of two machines differ.
        mtime_ns = max(_carrier(output).lstat().st_mtime_ns, newest + 1000)
        write_json(entry_file(output), asdict(Entry(sha256, mtime_ns, job)))


def verify(*, repair: bool = False) -> dict[str, str]:
    """Read every output that has a manifest entry: what is wrong with it, "" where nothing is.

    `repair` removes what is damaged, and gives whole ones their times, which a copy may have lost.

    Raises
    ------
    SdorError : there is no manifest, or an output cannot be read, removed or given its time.
    """
    faults = {}
    entries = sorted(path for path in MANIFEST.rglob("*.json") if not path.name.startswith("."))
    if not entries:
        raise SdorError(f"{MANIFEST.resolve()}: no manifest here; go where the results are")
    for path in track(entries, unit="file", label="verify"):
        output = str(RESULTS / path.relative_to(MANIFEST).with_suffix(""))
        entry, fault = _read_entry(output), ""
        try:
            if not os.path.lexists(output):
                fault = "missing"
            elif not os.path.exists(output) or sha256_of(output) != entry.sha256:
                fault = "not what was made"
                if repair:
                    remove(Path(output))
            elif repair:
                times = (entry.mtime_ns, entry.mtime_ns)
                os.utime(_carrier(output), ns=times, follow_symlinks=False)
        except OSError as error:
            advice = "change its rights, or delete it"
            raise SdorError(f"{output}: {error.strerror}; {advice}") from error
        faults[output] = fault
    return faults


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    path = Path(path)
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != TIMESTAMP)
    return digest(
        "\n".join(f"{file.relative_to(path)} {file_sha256(file)}" for file in files).encode()
    )


def remove(path: Path) -> None:
    """Remove a file or a whole folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _carrier(output: str) -> Path:
    """What Snakemake takes the time of an output from."""
    inside = Path(output) / TIMESTAMP
    return inside if inside.exists() else Path(output)


def _read_entry(output: str) -> Entry:
    """The manifest entry of an output; an empty one where there is none that can be read."""
    try:
        return Entry(**json.loads(entry_file(output).read_text()))
    except (OSError, ValueError, TypeError):
        return Entry()
