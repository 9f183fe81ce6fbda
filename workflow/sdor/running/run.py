"""One run of the workflow in one folder: alone in it, and told at its end what its jobs left."""

import fcntl
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sdor.errors import SdorError, say
from sdor.files import atomic, digest
from sdor.running.cluster import ON_CLUSTER, cancel_orphans

STATE, RESULTS = Path(".snakemake"), Path("results")
LOCK = STATE / "sdor.lock"
# A file for each job that has begun: empty once it ended well, else what is to be said of it.
TICKETS = STATE / "sdor" / "jobs"
# A file for each line of a job on another machine, until it was said on this one.
LINES = STATE / "sdor" / "lines"
RUN = "SDOR_RUN"  # tells a job which run it is of
ROOM = 64 << 20  # bytes: less is full, since Snakemake must keep its books
LOOK = 2.0  # seconds between two looks for lines
_held: list[IO[str]] = []  # open, and so locked, until the process ends


def begin(*, on_cluster: bool) -> None:
    """Take the working directory for a run of the workflow.

    Jobs of a killed run are cancelled where SLURM has them; elsewhere, the same job of this run
    waits for them (see `take_ticket`). Jobs that are submitted `on_cluster` say their lines here.

    Raises
    ------
    SdorError : another run is at work here, the results cannot be written, their disk is full, or
        the cluster does not answer.
    """
    require_writable(RESULTS)
    for folder in filter(Path.exists, (STATE, RESULTS)):
        if (free := shutil.disk_usage(folder).free) < ROOM:
            raise SdorError(
                f"{folder.resolve()}: the disk is full ({free >> 20} MB free); make room for it"
            )
    run = hold()
    os.environ[RUN] = run or uuid.uuid4().hex
    os.environ[ON_CLUSTER] = "yes" if on_cluster else ""
    # Without a lock, they may be those of another run that is at work.
    if run and (orphans := cancel_orphans(Path.cwd(), on_cluster=on_cluster)):
        say(f"cancelled {len(orphans)} cluster jobs of a killed run: {', '.join(orphans)}")
    if on_cluster:
        threading.Thread(target=_keep_passing_on, daemon=True).start()


def require_writable(*folders: Path) -> None:
    """Find out whether folders, as far as they are there, can be written.

    Raises
    ------
    SdorError : one cannot.
    """
    for folder in filter(Path.exists, folders):
        if not os.access(folder, os.W_OK):
            raise SdorError(
                f"{folder.resolve()}: cannot be written; change its rights or run elsewhere"
            )


@contextmanager
def one_line_faults() -> Iterator[None]:
    """Show an `SdorError` as one line, and end the process with status 1."""
    try:
        yield
    except SdorError as error:
        say(str(error))
        sys.exit(1)


def hold() -> str | None:
    """Take the working directory until this process ends, however it ends.

    Returns a random name of this hold; None where the file system has no locks.

    Raises
    ------
    SdorError : another process has it.
    """
    file = _open(LOCK)
    locked = _lock(file)
    if locked is None:
        say(f"{LOCK}: no locks on this file system: nothing keeps a second run out of the folder")
        return None
    if not locked:
        process = LOCK.read_text().partition(" ")[0]
        raise SdorError(
            f"another run is at work in {Path.cwd()} (process {process}): wait for it to end, or "
            "stop it"
        )
    _held.append(file)
    _write(file, f"{os.getpid()} {(name := uuid.uuid4().hex)}")
    return name


def take_ticket(name: str, log: Path) -> IO[str]:
    """Show that a job is at work, until the returned file is closed; see `leave`.

    If the same job of a killed run is still at work, its end is waited for.

    Raises
    ------
    SdorError : the run that the job is of was killed, and another one has begun since.
    """
    ticket = _open(TICKETS / digest(str(log).encode()))
    if _lock(ticket) is False:
        say(f"{name}: the same job of a killed run is still at work; waiting for its end")
        fcntl.flock(ticket, fcntl.LOCK_EX)
    # On a cluster, orphans are cancelled, and a node may see an old state of a file.
    if os.environ.get(RUN) and not os.environ.get(ON_CLUSTER):
        at_work = LOCK.read_text().split()[1:]
        if at_work and at_work != [os.environ[RUN]]:
            raise SdorError(f"{name}: its run was killed, and another one has begun: leaving")
    killed = "ended without a message: killed, or out of memory or time"
    leave(ticket, f"{name}: {killed} (log: {log})")
    return ticket


def leave(ticket: IO[str], fault: str) -> None:
    """Leave what is to be said of a job at the end of the run; "" where it ended well."""
    # A full disk was named already; there is no more to do.
    with suppress(OSError):
        _write(ticket, f"{os.environ.get(RUN, '')}\n{fault}" if fault else "")


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


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        raise SdorError(f"{path}: cannot write here ({error.strerror})") from None


def _lock(file: IO[str]) -> bool | None:
    """Lock a file for this process; False if another has it, None where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _write(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()
