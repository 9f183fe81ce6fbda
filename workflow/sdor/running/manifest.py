"""The manifest: what each job made, by content, so that damage and lost times can be found."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
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
    """What is known of one output, which may be a folder.

    Attributes
    ----------
    sha256 : of its content, as `sha256_of` reads it.
    mtime_ns : a time for it that is later than those of all it was made from. It stays the same
        when the output is made again, byte for byte.
    job : what made it, in words.
    """

    sha256: str
    mtime_ns: int
    job: str


@dataclass
class Found:
    """What `verify` found: paths of outputs.

    Attributes
    ----------
    whole : as they were made. damaged : of another content. missing : not there.
    """

    whole: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def entry_file(output: str | Path) -> Path:
    """Where the manifest entry of an output lies."""
    return MANIFEST / f"{Path(output).relative_to(RESULTS)}.json"


def write_entries(outputs: Iterable[str], inputs: Iterable[str], job: str) -> None:
    """Write down what a job has just made, as far as it lies below `results`.

    Parameters
    ----------
    outputs, inputs : paths of the job.
    job : what it did, in words.
    """
    sources = [entry for path in inputs if (entry := _read_entry(path))]
    newest = max((entry.mtime_ns for entry in sources), default=0)
    for output in outputs:
        if RESULTS not in Path(output).parents or not Path(output).exists():
            continue
        before, sha256 = _read_entry(output), sha256_of(output)
        if before and before.sha256 == sha256 and before.mtime_ns > newest:
            continue
        # Clocks of two machines differ.
        mtime_ns = max(_carrier(output).lstat().st_mtime_ns, newest + 1000)
        write_json(entry_file(output), asdict(Entry(sha256, mtime_ns, job)))


def verify(*, repair: bool = False) -> Found:
    """Read every output that has a manifest entry, and compare.

    Parameters
    ----------
    repair : remove what is damaged, and give the whole ones their recorded times, which a copy or
        a backup may have lost.

    Raises
    ------
    SdorError : there is no manifest, or an output cannot be read, removed or given its time.
    """
    found = Found()
    entries = sorted(path for path in MANIFEST.rglob("*.json") if not path.name.startswith("."))
    if not entries:
        raise SdorError(f"{MANIFEST.resolve()}: no manifest here; go where the results are")
    for path in track(entries, unit="file", label="verify"):
        output = str(RESULTS / path.relative_to(MANIFEST).with_suffix(""))
        entry = _read_entry(output)
        try:
            if not os.path.lexists(output):
                found.missing.append(output)
            elif entry is not None and os.path.exists(output) and sha256_of(output) == entry.sha256:
                found.whole.append(output)
                if repair:
                    times = (entry.mtime_ns, entry.mtime_ns)
                    os.utime(_carrier(output), ns=times, follow_symlinks=False)
            else:
                found.damaged.append(output)
                if repair:
                    remove(output)
        except OSError as error:
            raise SdorError(
                f"{output}: {error.strerror}; change its rights, or delete it"
            ) from error
    return found


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    path = Path(path)
    if not path.is_dir():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != TIMESTAMP)
    return digest(
        "\n".join(f"{file.relative_to(path)} {file_sha256(file)}" for file in files).encode()
    )


def remove(path: str | Path) -> None:
    """Remove a file or a whole folder."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _carrier(output: str) -> Path:
    """What Snakemake takes the time of an output from."""
    inside = Path(output) / TIMESTAMP
    return inside if inside.exists() else Path(output)


def _read_entry(output: str) -> Entry | None:
    """The manifest entry of an output; None where there is none that can be read."""
    try:
        return Entry(**json.loads(entry_file(output).read_text()))
    except (OSError, ValueError, TypeError):
        return None
