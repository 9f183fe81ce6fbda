"""One run of the workflow in one folder: alone in it, and told at its end what its jobs left."""

import fcntl
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sdor.errors import SdorError, say
from sdor.files import atomic, digest, opening
from sdor.running.cluster import ON_CLUSTER, cancel_orphans

STATE, RESULTS = Path(".snakemake"), Path("results")
LOCK = STATE / "sdor.lock"
# A file for each job that has begun: empty once it ended well, else what is to be said of it.
TICKETS = STATE / "sdor" / "jobs"
# A file for each line of a job on another machine, until it was said on this one.
LINES = STATE / "sdor" / "lines"
RUN = "SDOR_RUN"  # tells a job which run it is of: the process of the run, and when it began
NOW = "SDOR_NOW"  # tells a job when the rules of its run were first read
ROUNDS = "SDOR_ROUNDS"  # tells a job how many rounds of marks there were then
ROOM = 64 << 20  # bytes: less is full, since Snakemake must keep its books
LOOK = 2.0  # seconds between two looks for lines
_held: list[BinaryIO] = []  # open, and so locked, until the process ends


def begin(*, on_cluster: bool) -> None:
    """Take the working directory for a run of the workflow.

    Jobs of a killed run are cancelled where SLURM has them; elsewhere, the same job of this run
    waits for them (see `take_ticket`). Jobs that are submitted `on_cluster` say their lines here.

    Raises
    ------
    SdorError : another run is at work here, the results cannot be written, their disk is full, or
        the cluster does not answer.
    """
    require_writable(STATE, RESULTS, room=ROOM)
    locked = hold()
    os.environ[ON_CLUSTER] = "yes" if on_cluster else ""
    # Without a lock, they may be those of another run that is at work.
    if locked and (orphans := cancel_orphans(Path.cwd(), on_cluster=on_cluster)):
        say(f"cancelled {len(orphans)} cluster jobs of a killed run: {', '.join(orphans)}")
    if on_cluster:
        threading.Thread(target=_keep_passing_on, daemon=True).start()


def began() -> float:
    """When the rules of this run were first read, in seconds since 1970.

    Each job reads them again, and is to find the folder of video as they did.
    """
    return float(os.environ.setdefault(NOW, str(time.time())))


def rounds_then(find: Callable[[], Mapping[str, int]]) -> dict[str, int]:
    """How many rounds of marks each camera had when the rules of this run were first read.

    One that is finished meanwhile is for the next run; jobs are not to ask for what it would make.
    """
    if ROUNDS not in os.environ:
        os.environ[ROUNDS] = json.dumps({name: count for name, count in find().items() if count})
    found: dict[str, int] = json.loads(os.environ[ROUNDS])
    return found


def require_writable(*folders: Path, room: int = 0) -> None:
    """Find out whether folders, as far as they are there, can be written, with `room` in bytes.

    Raises
    ------
    SdorError : one cannot.
    """
    for folder in filter(Path.exists, folders):
        if not os.access(folder, os.W_OK):
            raise SdorError(
                f"{folder.resolve()}: cannot be written; change its rights or run elsewhere"
            )
        if (free := shutil.disk_usage(folder).free) < room:
            raise SdorError(
                f"{folder.resolve()}: the disk is full, or nearly so ({free >> 20} MB free, "
                f"{room >> 20} MB wanted); make room for it"
            )


@contextmanager
def one_line_faults() -> Iterator[None]:
    """Show an `SdorError`, or a file that the system refuses, as one line; end with status 1."""
    try:
        yield
    except SdorError as error:
        say(str(error))
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        say(f"{os.fsdecode(error.filename)}: {error.strerror}; check the path and its rights")
        sys.exit(1)


def hold() -> bool:
    """Take the working directory until this process ends; False where there are no locks.

    Raises
    ------
    SdorError : another process has it.
    """
    file, locked = _locked(LOCK)
    if locked is False:
        process = LOCK.read_text().partition(" ")[0]
        raise SdorError(
            f"another run is at work in {Path.cwd()} (process {process}): wait for it to end, or "
            "stop it"
        )
    os.environ[RUN] = f"{os.getpid()} {time.time_ns()}"
    if locked:
        _held.append(file)
        _write(file, os.environ[RUN])
    else:
        say(f"{LOCK}: no locks on this file system: nothing keeps a second run out of the folder")
    return bool(locked)


def is_of_run() -> bool:
    """Whether this process is a job of a run, which reads the rules, too."""
    return RUN in os.environ


def take_ticket(name: str, log: Path) -> BinaryIO:
    """Show that a job is at work, until the returned file is closed; see `leave`.

    If the same job of a killed run is still at work, its end is waited for.

    Raises
    ------
    SdorError : the run that the job is of was killed, and another one has begun since.
    """
    ticket, locked = _locked(TICKETS / digest(str(log).encode()))
    if locked is False:
        say(f"{name}: the same job of a killed run is still at work; waiting for its end")
        fcntl.flock(ticket, fcntl.LOCK_EX)
    run = os.environ.get(RUN, "")
    # On a cluster, orphans are cancelled, and a node may see an old state of a file.
    if run and not os.environ.get(ON_CLUSTER) and LOCK.read_text() not in ("", run):
        raise SdorError(f"{name}: its run was killed, and another one has begun: leaving")
    killed = "ended without a message: killed, or out of memory or time"
    with suppress(OSError):
        _write(ticket, f"{run}\n{name}: {killed} (log: {log})")
    return ticket


def leave(ticket: BinaryIO, fault: str) -> None:
    """Leave what is to be said of a job at the end of the run; "" where it ended well.

    A fault is said now where it cannot be left, or where the end is not ours: as a module.
    """
    run = os.environ.get(RUN, "")
    try:
        _write(ticket, f"{run}\n{fault}" if fault else "")
    except OSError:
        run = ""
    if fault and not run:
        say(fault)


def faults() -> list[str]:
    """What jobs of this run left to be said: their faults, or that they were killed."""
    texts = [path.read_text().partition("\n") for path in TICKETS.glob("*")]
    return sorted(fault for run, _, fault in texts if fault and run == os.environ.get(RUN, ""))


def say_line(line: str) -> None:
    """Say a line of a job: on a cluster, on the machine where Snakemake runs."""
    if not os.environ.get(ON_CLUSTER):
        say(line)
        return
    path = LINES / f"{time.time_ns()}.{os.getpid()}"
    with suppress(OSError, SdorError), atomic(path) as temporary:
        temporary.write_text(line)


def pass_on_lines() -> None:
    """Say what jobs on other machines have left."""
    for path in sorted(LINES.glob("[!.]*")):
        with suppress(OSError):
            line = path.read_text()
            path.unlink()
            say(line)


def _keep_passing_on() -> None:
    while True:
        pass_on_lines()
        time.sleep(LOOK)


def _locked(path: Path) -> tuple[BinaryIO, bool | None]:
    """A file and whether it is locked: False if another process has it, None without locks."""
    with opening(path):
        file = path.open("ab", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return file, False if isinstance(error, BlockingIOError) else None
    return file, True


def _write(file: BinaryIO, text: str) -> None:
    file.truncate(0)
    file.write(text.encode())
