"""One run of the workflow in one folder: alone in it, and resumed after any kind of end."""

import fcntl
import os
import re
import shutil
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sdor.cluster import cancel_orphans
from sdor.errors import SdorError, say
from sdor.records import RECORDS, Settled, remove, settle

# Command lines of Snakemake that look and change nothing: whole words, and letters that may be
# written together behind one dash (-np, -nq).
# fmt: off
LOOKS = frozenset((
    "--dry-run", "--dryrun", "--lint", "--list", "--list-rules", "--list-target-rules", "--lt",
    "--summary", "-S", "--detailed-summary", "-D", "--report", "--dag", "--rulegraph",
    "--filegraph", "--d3dag", "--unlock", "--help", "-h", "--version", "-v", "--list-changes",
    "--lc", "--list-input-changes", "--li", "--list-params-changes", "--lp",
    "--list-code-changes", "--list-version-changes", "--lv", "--list-untracked", "--lu",
    "--print-compilation", "--cleanup-metadata", "--containerize", "--archive",
))
# fmt: on
LOOKS_TOGETHER = re.compile("-[npqFrk]*n[npqFrk]*")
# What `tempfile` puts between the dot and the suffix of a file that is being written.
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\..*)?")
WAIT = 2.0  # seconds between two looks
ROOM = 64 << 20  # bytes: less is full, since the workflow itself must keep its books
_held: list[IO[str]] = []


def only_looks(arguments: Sequence[str]) -> bool:
    """Whether a Snakemake command line runs no job."""
    names = {argument.split("=")[0] for argument in arguments}
    return not names.isdisjoint(LOOKS) or any(map(LOOKS_TOGETHER.fullmatch, names))


def enter(state_folder: Path, *outputs: Path) -> None:
    """Hold the folder for this process, and clear away what a killed run left in it.

    The operating system drops the hold when the process ends, however it ends; so locks of
    Snakemake's that are there without a holder are stale. Outputs of jobs that were cut off are
    removed: they are made again, and the same command goes on where the killed one was. Jobs that
    outlived a killed run are cancelled where a cluster runs them, and waited for, because they
    still write. Results that are not what was made are named and removed.

    Parameters
    ----------
    state_folder : Snakemake's own folder (`.snakemake`) in the working directory.
    outputs : folders that the run writes into.

    Raises
    ------
    SdorError : another run holds the folder, it cannot be written, or its disk is full.
    """
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        run, jobs = ((state_folder / name).open("a+") for name in ("sdor.lock", "sdor.jobs"))
    except OSError as error:
        raise SdorError(f"{state_folder}: cannot write here ({error.strerror})") from error
    _held.extend([run, jobs])
    for folder in outputs:
        if folder.exists() and not os.access(folder, os.W_OK):
            raise SdorError(f"{folder}: cannot be written; mend its rights or run elsewhere")
    for folder in (state_folder, *outputs):
        free = shutil.disk_usage(folder).free if folder.exists() else ROOM
        if free < ROOM:
            raise SdorError(
                f"{folder.resolve()}: the disk is full ({free >> 20} MB free); make room for it"
            )
    if not _locked(run):
        run.seek(0)
        holder = run.read().strip() or "unknown"
        raise SdorError(
            f"another run is at work in {state_folder.parent.resolve()} (process {holder}): "
            "wait for it to end, or stop it"
        )
    run.truncate(0)
    run.write(str(os.getpid()))
    run.flush()
    orphans = cancel_orphans(state_folder.parent.resolve())
    if orphans:
        say(f"cancelled {len(orphans)} cluster jobs of a killed run: {', '.join(orphans)}")
    told = False
    while not _locked(jobs):
        if not told:
            say("waiting for jobs of a killed run to end")
            told = True
        time.sleep(WAIT)
    for lock in (state_folder / "locks").glob("*"):
        lock.unlink()
    _remove_cut_off(state_folder / "incomplete", state_folder.parent.resolve())
    fcntl.flock(jobs, fcntl.LOCK_UN)
    _tell(settle(), "it is made again where something needs it, or by its name as a target")


def verify(state_folder: Path, *, repair: bool) -> Settled:
    """Read every result and compare it with its record.

    Parameters
    ----------
    repair : remove what is damaged, so that the next run makes it again.

    Raises
    ------
    SdorError : a run is at work in the folder, or nothing was made in it.
    """
    if not RECORDS.is_dir():
        raise SdorError(f"{RECORDS.resolve()}: no records here; go where the results are")
    state_folder.mkdir(exist_ok=True)
    with (state_folder / "sdor.lock").open("a+") as run:
        if not _locked(run):
            raise SdorError("a run is at work here: its results are still changing; wait for it")
        found = settle(repair=repair, deep=True)
    _tell(found, "the next run makes it again" if repair else "--repair has it made again")
    return found


def look(state_folder: Path) -> None:
    """Before a command that only looks: say what a run would find, and change no content.

    Where a run is at work, files and their records are changing: nothing is said then.
    """
    lock = state_folder / "sdor.lock"
    try:
        if lock.exists():
            with lock.open("a+") as run:
                if not _locked(run):
                    return
    except OSError:
        return
    _tell(settle(repair=False), "a run makes it again, and what follows")


def hold_as_job(state_folder: Path) -> IO[str] | None:
    """Let later runs see that this job is alive, until the returned file is closed.

    None where the folder cannot be written from here.
    """
    try:
        file = (state_folder / "sdor.jobs").open("a+")
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:
        return None
    return file


def read_failures(path: Path) -> list[str]:
    """The lines that failed jobs left (see `sdor.jobs.report_failure`), each once."""
    if not path.is_file():
        return []
    return list(dict.fromkeys(path.read_text().splitlines()))


def _tell(found: Settled, then: str) -> None:
    for path in found.damaged:
        say(f"{path}: not what was made (its SHA-256 differs from its record); {then}")
    for path in found.outdated:
        say(f"{path}: made from other inputs than are there now; it counts as old")
    if found.from_the_future:
        say(
            f"{found.from_the_future} results have times that are still to come (was the clock set "
            "back?); they have the present time now"
        )


def _locked(file: IO[str]) -> bool:
    """Take the file for this process alone; True also where the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        say(f"{file.name}: no lock ({error.strerror}), going on without")
    return True


def _remove_cut_off(markers: Path, workdir: Path) -> None:
    """Remove the outputs that Snakemake marked when their job began and did not unmark.

    What their jobs were writing under temporary names goes with them.
    """
    for marker in [path for path in markers.rglob("*") if path.is_file()]:
        # The marker's path is the output's name in base64; all parts but the last begin with @.
        encoded = "".join(part.removeprefix("@") for part in marker.relative_to(markers).parts)
        try:
            name = urlsafe_b64decode(encoded).decode()
        except ValueError:
            continue
        output = workdir / name
        if urlsafe_b64encode(name.encode()).decode() != encoded or workdir not in output.parents:
            continue
        remove(output)
        for path in output.parent.glob(".*"):
            if TEMPORARY.fullmatch(path.name):
                remove(path)
        marker.unlink()
