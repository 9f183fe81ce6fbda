"""One run of the workflow in one folder: alone in it, and resumed after any kind of end."""

import fcntl
import os
import re
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sdor.errors import SdorError

# Command lines of Snakemake that look and change nothing.
LOOKS: tuple[str, ...] = (
    "--dry-run",
    "--dryrun",
    "--lint",
    "--list",
    "--summary",
    "--detailed-summary",
    "--report",
)
LOOKS += ("--dag", "--rulegraph", "--filegraph", "--d3dag", "--list-rules", "--unlock")
_held: list[IO[str]] = []


def only_looks(arguments: Sequence[str]) -> bool:
    """Whether a Snakemake command line runs no job."""
    names = {argument.split("=")[0] for argument in arguments}
    return not names.isdisjoint(LOOKS) or any(re.fullmatch("-[a-zA-Z]*n", name) for name in names)


def enter(state_folder: Path) -> None:
    """Hold the folder for this process, and clear away what a killed run left in it.

    The operating system drops the hold when the process ends, however it ends; so locks of
    Snakemake's that are there without a holder are stale. Outputs of jobs that were cut off are
    removed: they are made again, and the same command goes on where the killed one was.

    Parameters
    ----------
    state_folder : Snakemake's own folder (`.snakemake`) in the working directory.

    Raises
    ------
    SdorError : another run holds the folder.
    """
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        file = (state_folder / "sdor.lock").open("a+")
    except OSError as error:
        raise SdorError(f"{state_folder}: cannot write here ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise SdorError(
            f"another run is at work in {state_folder.parent.resolve()} (process {holder}): "
            "wait for it to end, or stop it"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _held.append(file)
    for lock in (state_folder / "locks").glob("*"):
        lock.unlink()
    _remove_cut_off(state_folder / "incomplete", state_folder.parent)


def read_failures(path: Path) -> list[str]:
    """The lines that failed jobs left (see `sdor.jobs.report_failure`), each once."""
    if not path.is_file():
        return []
    return list(dict.fromkeys(path.read_text().splitlines()))


def _remove_cut_off(markers: Path, workdir: Path) -> None:
    """Remove the outputs that Snakemake marked when their job began and did not unmark."""
    for marker in [path for path in markers.rglob("*") if path.is_file()]:
        # The marker's path is the output's name in base64; all parts but the last begin with @.
        encoded = "".join(part.removeprefix("@") for part in marker.relative_to(markers).parts)
        try:
            output = workdir / urlsafe_b64decode(encoded).decode()
        except ValueError:
            continue  # not a marker
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)
        marker.unlink()
