"""Jobs of ours that a SLURM cluster still runs or keeps in its queue."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from sdor.errors import SdorError, say

# Tells a job that it was submitted to a cluster.
ON_CLUSTER = "SDOR_ON_CLUSTER"
# The profile's prefix (slurm-jobname-prefix), and the random name of a run.
OURS = re.compile("sdor_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Where Snakemake keeps a log of each job that it submits: made before the first submission.
LOGS = Path(".snakemake/slurm_logs")
ANSWER = 30.0  # seconds that a command of the cluster may take
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
    cancelled: list[str] = []
    latest = time.monotonic() + END
    try:
        while (jobs := _jobs_of(folder)) and time.monotonic() < latest:
            # What was just being submitted when the run was killed may come up late.
            if new := [job for job in jobs if job not in cancelled]:
                cancelled += new
                _ask("scancel", *new)
            time.sleep(WAIT)
    except SdorError as error:
        if on_cluster:
            raise SdorError(
                f"SLURM does not answer: {error}; is its controller up? Without "
                "--workflow-profile, the work is done on this machine"
            ) from None
        say(f"jobs of a killed run may still be at work: {error}")
        return cancelled
    if jobs:
        say(f"SLURM jobs {', '.join(jobs)} were cancelled and are still there; going on")
    return cancelled


def _jobs_of(folder: Path) -> list[str]:
    """Ids of this user's jobs from this folder that are in the queue, run, or are ending."""
    listed = _ask("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%j|%Z")
    rows = [line.strip().split("|", 2) for line in listed.splitlines() if line.count("|") > 1]
    return [
        job
        for job, name, directory in rows
        if OURS.fullmatch(name)
        and job != os.environ.get("SLURM_JOB_ID")
        and Path(directory).resolve() == folder.resolve()
    ]


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        raise SdorError(f"{command[0]} gave no answer within {ANSWER:.0f} s") from None
    except OSError as error:
        raise SdorError(f"{command[0]}: {error.strerror}") from None
    # scancel also fails when a job has ended in the meantime: the next look tells.
    if done.returncode and command[0] != "scancel":
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SdorError(f"{command[0]} failed ({reason})")
    return done.stdout
