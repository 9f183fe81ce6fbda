"""Jobs of ours that a SLURM cluster still runs or keeps in its queue."""

import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from sdor.errors import SdorError, say

# Tells a job that it was submitted to a cluster.
ON_CLUSTER = "SDOR_ON_CLUSTER"
# The profile's prefix (slurm-jobname-prefix), and the random name of a run.
OURS = re.compile("sdor_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Where Snakemake keeps a log of each job that it submits: made before the first submission.
LOGS = Path(".snakemake/slurm_logs")
ANSWER = 30.0  # seconds that a program may take
# Seconds until jobs are gone: SLURM sends SIGKILL 30 s after SIGTERM, unless configured.
END = 180.0
WAIT = 1.0  # seconds between two looks


def cancel_orphans(folder: Path, *, on_cluster: bool) -> list[str]:
    """Cancel the jobs that a killed run submitted from a folder, and wait until they are gone.

    Returns their ids. A run that is not `on_cluster` asks only where jobs were ever submitted from
    the folder, and goes on without an answer.

    Raises
    ------
    SdorError : SLURM does not answer, so that jobs could not be submitted either.
    """
    if shutil.which("squeue") is None or not (on_cluster or (folder / LOGS).is_dir()):
        return []
    cancelled: set[str] = set()
    latest = time.monotonic() + END
    try:
        while (jobs := _jobs_of(folder)) and time.monotonic() < latest:
            # What was just being submitted when the run was killed may come up late.
            cancelled.update(jobs)
            with suppress(SdorError):  # where a job has ended meanwhile: the next look tells
                ask("scancel", *jobs)
            time.sleep(WAIT)
    except SdorError as error:
        if on_cluster:
            raise SdorError(
                f"SLURM does not answer: {error}; is its controller up? Without "
                "--workflow-profile, the work is done on this machine"
            ) from None
        jobs = []
        say(f"jobs of a killed run may still be at work: {error}")
    if jobs:
        say(f"SLURM jobs {', '.join(jobs)} were cancelled and are still there; going on")
    return sorted(cancelled)


def ask(*command: str, given: bytes = b"", seconds: float = ANSWER) -> str:
    """What a program says that just tells or ends something, within some seconds.

    Raises
    ------
    SdorError : it is not there, fails, or does not answer.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SdorError(f"{name} gave no answer within {seconds:g} s") from None
    except OSError as error:
        raise SdorError(f"{name}: {error.strerror}") from None
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        lines = (done.stderr.decode(errors="replace").strip() or said.strip()).splitlines()
        reason = (lines or [f"exit status {done.returncode}"])[-1].strip()[:200]
        raise SdorError(f"{name} failed ({reason})")
    return said


def _jobs_of(folder: Path) -> list[str]:
    """Ids of this user's jobs from this folder that are in the queue, run, or are ending."""
    listed = ask("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%j|%Z")
    rows = [line.strip().split("|", 2) for line in listed.splitlines() if line.count("|") > 1]
    return [
        job
        for job, name, directory in rows
        if OURS.fullmatch(name) and Path(directory).resolve() == folder.resolve()
    ]
