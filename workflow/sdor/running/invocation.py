"""One run of the workflow in one folder: alone in it, and resumed after any kind of end."""

import fcntl
import os
import re
import shutil
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sdor.errors import SdorError, say
from sdor.running.cluster import ON_CLUSTER, cancel_orphans
from sdor.running.records import ASIDE, RECORDS, RESULTS, Settled, miss, record_of, remove, settle

# Options of Snakemake, by its names for them, that look and change nothing.
LOOKS = (
    *("dryrun", "lint", "list_rules", "list_target_rules", "summary", "detailed_summary", "report"),
    *("dag", "rulegraph", "filegraph", "d3dag", "unlock", "list_changes", "list_input_changes"),
    *("list_params_changes", "list_code_changes", "list_version_changes", "list_untracked"),
    *("list_conda_envs", "print_compilation", "cleanup_metadata", "containerize", "archive"),
)
# What `tempfile` puts between the dot and the suffix of a file that is being written.
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\..*)?")
WAIT = 2.0  # seconds between two looks
PATIENCE = 3.0  # seconds: most dry runs, and a run that was just killed, hold a folder no longer
RUN_VARIABLE = "SDOR_RUN"  # tells a job which run it is of
ROOM = 64 << 20  # bytes: less is full, since the workflow itself must keep its books
_held: list[IO[str]] = []


def only_looks(options: Mapping[str, Any]) -> bool:
    """Whether a Snakemake command line, given as its options by name, runs no job."""
    return any(options.get(name) not in (None, False) for name in LOOKS)


def enter(state_folder: Path, *outputs: Path, repair: bool = True) -> Settled:
    """Hold the folder for this process, and clear away what a killed run left in it.

    The operating system drops the hold when the process ends, however it ends; so locks of
    Snakemake's that are there without a holder are stale. Outputs of jobs that were cut off are
    removed: they are made again, and the same command goes on where the killed one was. Jobs that
    outlived a killed run are cancelled where a cluster runs them, and waited for, because they
    still write; those that were about to begin will find that their run has ended. Results that are
    not what was made are named and set aside.

    Parameters
    ----------
    state_folder : Snakemake's own folder (`.snakemake`) in the working directory.
    outputs : folders that the run writes into.
    repair : False leaves results where they are, whatever is in them.

    Raises
    ------
    SdorError : another run holds the folder, it cannot be written, or its disk is full.
    """
    try:
        run, jobs = _open(state_folder)
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
    alone = _locked(run, PATIENCE)
    if alone is False:
        run.seek(0)
        holder = (run.read().split() or ["unknown"])[0]
        raise SdorError(
            f"another run is at work in {state_folder.parent.resolve()} (process {holder}): "
            "wait for it to end, or stop it"
        )
    os.environ[RUN_VARIABLE] = uuid.uuid4().hex
    sign(state_folder)
    if alone:  # else they may be another's
        orphans = cancel_orphans(state_folder.parent.resolve())
        if orphans:
            say(f"cancelled {len(orphans)} cluster jobs of a killed run: {', '.join(orphans)}")
    _wait_for(jobs)
    for lock in (state_folder / "locks").glob("*"):
        lock.unlink()
    _remove_cut_off(state_folder / "incomplete", state_folder.parent.resolve())
    with suppress(OSError):
        fcntl.flock(jobs, fcntl.LOCK_UN)
    found = settle(repair=repair)
    _tell(found, None if repair else "left as it is; --touch --force takes it over")
    return found


def sign(state_folder: Path) -> None:
    """Write down which process holds the folder, and for which run: for others that come."""
    (state_folder / "sdor.lock").write_text(f"{os.getpid()} {os.environ.get(RUN_VARIABLE, '')}")


def verify(state_folder: Path, *, repair: bool) -> Settled:
    """Read every result and compare it with its record.

    Parameters
    ----------
    repair : set damaged results aside, so that the next run makes them again, and the missing ones.

    Raises
    ------
    SdorError : a run is at work in the folder, or nothing was made in it.
    """
    if not any(RECORDS.rglob("*.json")):
        where = RECORDS.resolve()
        if RESULTS.is_dir():
            raise SdorError(f"{where}: no records; the next run records the results as they are")
        raise SdorError(f"{where}: no records here; go where the results are")
    with _undisturbed(state_folder, PATIENCE) as undisturbed:
        if not undisturbed:
            raise SdorError(
                "a run is at work here, or a job of one: results are still changing; wait for it"
            )
        found = settle(repair=repair, deep=True)
        if repair:
            miss(found.missing)
    _tell(found, None if repair else "--repair has it made again")
    for path in found.missing:
        noted = repair or path in found.to_make
        then = "the next run of its study makes it" if noted else "--repair has it made again"
        say(f"{path}: missing; {then}")
    if found.missing:
        say(f"what is missing and not wanted any more: delete its record in {RECORDS}")
    return found


def look(state_folder: Path) -> Settled:
    """Before a command that only looks: say what a run would find, and change no content.

    Where a run is at work, files and their records are changing: only that is said then.

    Raises
    ------
    SdorError : the folder cannot be written, so that Snakemake cannot keep its books.
    """
    if not RECORDS.is_dir():
        return Settled()
    if not os.access(state_folder if state_folder.exists() else Path(), os.W_OK):
        raise SdorError(f"{state_folder}: cannot be written; mend its rights or look elsewhere")
    with _undisturbed(state_folder, 0) as undisturbed:
        if not undisturbed:
            say("a run is at work here, or a job of one: what follows is soon out of date")
            return Settled()
        found = settle(repair=False)
    _tell(found, "a run sets it aside and makes it again")
    return found


def join(state_folder: Path) -> IO[str] | None:
    """Let later runs see that this job is alive, until the returned file is closed.

    None where the folder cannot be written from here.

    Raises
    ------
    SdorError : the run that this job is of was killed, and another one has begun since.
    """
    try:
        file = (state_folder / "sdor.running.jobs").open("a+")
        fcntl.flock(file, fcntl.LOCK_SH)
        at_work = (state_folder / "sdor.lock").read_text().split()
    except OSError:
        return None
    # On a cluster, orphans are cancelled, and a node may see an old state of a file.
    run = None if os.environ.get(ON_CLUSTER) else os.environ.get(RUN_VARIABLE)
    if run and at_work[1:] != [run]:
        raise SdorError("its run was killed, and another one has begun: leaving")
    return file


def held() -> list[int]:
    """Descriptors of the files that this run holds, for a process that goes on in its place."""
    return [file.fileno() for file in _held[:1]]


def read_failures(path: Path) -> list[str]:
    """The lines that failed jobs left (see `sdor.running.jobs.report_failure`), each once."""
    if not path.is_file():
        return []
    return list(dict.fromkeys(path.read_text().splitlines()))


def _tell(found: Settled, then: str | None) -> None:
    """Name what was found; `then` is what becomes of a damaged file, if it was not set aside."""
    for path in found.damaged:
        why = "not what was made (its SHA-256 differs from its record)"
        say(f"{path}: {why}; {then or f'set aside as {path}{ASIDE}'}")
    for path in found.mixed:
        say(f"{path}: of another execution than what was made with it; they are made again")
    for path in found.outdated:
        say(f"{path}: made from other inputs than are there now; it counts as old")
    for path in found.unreadable:
        say(f"{record_of(path)}: damaged; a run of its study records {path} as it is")
    if found.from_the_future:
        say(
            f"{found.from_the_future} results have times that are still to come (was the clock set "
            "back?); they have the present time now"
        )


def _open(state_folder: Path) -> tuple[IO[str], IO[str]]:
    """The files that a run and its jobs hold."""
    state_folder.mkdir(parents=True, exist_ok=True)
    return (state_folder / "sdor.lock").open("a+"), (state_folder / "sdor.running.jobs").open("a+")


@contextmanager
def _undisturbed(state_folder: Path, patience: float) -> Iterator[bool]:
    """Hold the folder for a while, if neither a run nor jobs of a killed one are at work in it.

    Where it cannot be written, no run can be at work in it from here.
    """
    try:
        run, jobs = _open(state_folder)
    except OSError:
        yield True
        return
    with run, jobs:
        free = _locked(run, patience) is not False and _locked(jobs, patience) is not False
        if free:
            sign(state_folder)
        yield free


def _wait_for(jobs: IO[str]) -> None:
    told = False
    while _locked(jobs) is False:
        if not told:
            say("waiting for jobs of a killed run to end")
            told = True
        time.sleep(WAIT)


def _locked(file: IO[str], patience: float = 0) -> bool | None:
    """Take the file for this process alone; None where the file system knows no locks."""
    latest = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= latest:
                return False
            time.sleep(patience / 10)
        except OSError as error:
            say(f"{file.name}: no lock ({error.strerror}), going on without")
            return None
        else:
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
