"""Runs killed at random moments, again and again: the same command ends with the same results."""

import os
import random
import signal
import time
from contextlib import suppress

import psutil
from workplace import leftovers

KILLS = 20
LONGEST = 9.0  # seconds that a run may live: Snakemake's start, and a stage or two
SEED = 20200614


def test_twenty_kills_change_nothing(lean, undisturbed):
    rng = random.Random(SEED)
    seen = []
    for _ in range(KILLS):
        process = lean.start()
        lived = rng.uniform(1.0, LONGEST)
        kill = rng.choice([kill_all, kill_all, kill_scheduler, kill_a_job])
        with suppress(Exception):
            process.wait(timeout=lived)
        kill(process, rng)
        process.wait()
        seen.append((kill.__name__, round(lived, 1), len(lean.content())))
    print(*seen, sep="\n")
    done = lean.run()
    assert done.returncode == 0, done.stdout
    expected, found = undisturbed.content(), lean.content()
    assert found.keys() == expected.keys(), seen
    assert [name for name in expected if found[name] != expected[name]] == [], seen
    assert leftovers(lean) == []
    assert "Nothing to be done" in lean.run().stdout


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
