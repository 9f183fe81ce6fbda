"""One run of the workflow in one folder: alone in it, and ending with its causes in words."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from sdor.errors import SdorError

_held: list[IO[str]] = []


def enter(state_folder: Path) -> None:
    """Hold the folder for this process, and clear the locks that a killed run left in it.

    The operating system drops the hold when the process ends, however it ends; a lock of
    Snakemake's that is there without a holder is therefore stale.

    Parameters
    ----------
    state_folder : Snakemake's own folder (`.snakemake`) in the working directory.

    Raises
    ------
    SdorError : another run holds the folder.
    """
    state_folder.mkdir(parents=True, exist_ok=True)
    file = (state_folder / "sdor.lock").open("a+")
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
    shutil.rmtree(state_folder / "locks", ignore_errors=True)
    (state_folder / "locks").mkdir()


def read_failures(path: Path) -> list[str]:
    """The lines that failed jobs left (see `sdor.jobs.report_failure`), each once."""
    if not path.is_file():
        return []
    return list(dict.fromkeys(path.read_text().splitlines()))
