"""Runs that are killed at the worst moments: the same command ends with the same results."""

import os
import signal
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
import yaml
from workplace import leftovers

PATIENCE = 300  # seconds
RUN = "results/yard/tiny/seed0"


@contextmanager
def running(workplace, *arguments):
    """A run; what is left of it in the end is killed."""
    process = workplace.start(*arguments)
    try:
        yield process
    finally:
        kill_all(process)


def kill_all(process):
    """The machine is gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition, process):
    latest = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < latest, "what is waited for did not come"
        assert process.poll() is None, "the run ended before what is waited for"
        time.sleep(0.002)


def training(process):
    """The process of the job that trains."""
    jobs = psutil.Process(process.pid).children(recursive=True)
    return max(jobs, key=lambda child: child.memory_info().rss)


@pytest.mark.nightly
def test_three_kills_change_nothing(begun, undisturbed):
    first, second = (begun.folder / RUN / f"iteration{t}" for t in (1, 2))
    logs = [begun.folder / f"results/logs/yard/tiny/seed0/iteration{t}/train.log" for t in (1, 2)]

    # Everything at once, in the middle of a training.
    with running(begun) as process:
        wait_until((first / "checkpoint.pt").exists, process)
        kill_all(process)
    assert not (first / "scores.parquet").exists()

    # Snakemake alone. The job that outlives it is held up, so that the next run meets it.
    with running(begun) as process:
        wait_until((second / "checkpoint.pt").exists, process)
        orphan = training(process)
        orphan.suspend()
        process.kill()
        process.wait()
    assert "resumed after epoch 1" in logs[0].read_text()

    # One job, as when memory is short: the run ends by itself and names it with its log.
    with running(begun) as process:
        wait_until(lambda: "the same job of a killed run is still at work" in begun.said(), process)
        waiting = training(process)
        refused = begun.run()
        assert refused.returncode == 1
        assert (
            f"sdor: another run is at work in {begun.folder} (process {process.pid})"
            in refused.stdout
        )
        orphan.resume()
        wait_until(lambda: logs[1].exists() and "resumed" in logs[1].read_text(), process)
        waiting.kill()
        assert process.wait() == 1
    fault = [line for line in begun.said().splitlines() if line.startswith("sdor: failed: ")]
    assert fault == [
        "sdor: failed: training of yard/tiny/seed0, t = 2: ended without a message: killed, or out "
        "of memory or time (log: results/logs/yard/tiny/seed0/iteration2/train.log)"
    ]

    done = begun.run()
    assert done.returncode == 0, done.stdout
    expected, found = undisturbed.content(), begun.content()
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert leftovers(begun) == []
    assert "Nothing to be done" in begun.run().stdout
    assert begun.sdor("verify").returncode == 0


def test_killed_in_the_middle_of_a_frame_extraction(lean, write_video):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (1500, 48, 64, 1), dtype=np.uint8)
    write_video(lean.folder / "data" / "yard" / "long.avi", frames)
    scene = {"root": "yard", "clips": [{"video": "long.avi"}]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    target = lean.folder / "results/yard/frames/64/long.npy"
    name = str(target.relative_to(lean.folder))
    with running(lean, name) as process:
        wait_until(
            lambda: any(file.stat().st_size > 0 for file in target.parent.glob(".long.*")), process
        )
        kill_all(process)
    assert not target.exists()
    done = lean.run(name)
    assert done.returncode == 0, done.stdout
    assert "profiles/default" in done.stdout
    assert leftovers(lean) == []
    first = target.read_bytes()
    assert len(np.load(target)) == 1500
    target.unlink()
    assert lean.run(name).returncode == 0
    assert target.read_bytes() == first
