"""Runs killed at random moments, again and again: the same command ends with the same results."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
from workplace import leftovers

KILLS = 20
SEED = 20200614
MOST = 3  # results that a run may finish before it is killed, and the seconds it then lives on
PATIENCE = 60.0  # seconds without any result: the kill comes all the same


def test_twenty_kills_change_nothing(lean, undisturbed):
    rng = random.Random(SEED)
    for number in range(KILLS):
        before = finished(lean)
        process = lean.start()
        wait_for(process, lean, before + rng.randint(0, MOST))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0, MOST))
        kill = rng.choice([kill_all, kill_all, kill_scheduler, kill_a_job])
        kill(process, rng)
        process.wait()
        print(f"{kill.__name__} {number + 1}: {before} results before it, {finished(lean)} after")
    done = lean.run()
    assert done.returncode == 0, done.stdout
    expected, found = undisturbed.content(), lean.content()
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert leftovers(lean) == []
    assert "Nothing to be done" in lean.run().stdout


def finished(workplace):
    """How many results have a record."""
    return len(list((workplace.folder / "results" / "records").rglob("[!.]*.json")))


def wait_for(process, workplace, results):
    """Wait until a run has made so many results, or has ended."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and finished(workplace) < results:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def kill_all(process, rng):  # noqa: ARG001
    """The machine is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_scheduler(process, rng):  # noqa: ARG001
    """Snakemake alone is gone; its jobs go on."""
    process.kill()


def kill_a_job(process, rng):
    """One job is gone, as when memory is short; the run then ends by itself."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        if children:
            rng.choice(children).kill()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        if not psutil.Process(process.pid).children():
            # Nothing was at work: this kill hits Snakemake itself.
            process.kill()
