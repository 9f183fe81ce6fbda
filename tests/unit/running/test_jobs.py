import json
import logging
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdor import progress
from sdor.errors import SdorError
from sdor.files import CHECKPOINT
from sdor.progress import track
from sdor.running.jobs import job
from sdor.running.manifest import entry_file
from sdor.running.run import faults

LOG = Path("results/logs/a.log")
OUTPUT = Path("results/yard/a.npy")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDOR_RUN", raising=False)
    before, handlers = signal.getsignal(signal.SIGTERM), list(progress.logger.handlers)
    yield tmp_path
    progress.logger.handlers[:] = handlers
    signal.signal(signal.SIGTERM, before)


def script(*outputs):
    """What a script gets from Snakemake, as far as jobs look at it."""
    return SimpleNamespace(log=[str(LOG)], input=[], output=[str(path) for path in outputs])


def test_a_job_says_and_logs_one_line_and_writes_down_what_it_made(capsys):
    with job(script(OUTPUT), "frames of a/b") as work:
        OUTPUT.parent.mkdir()
        OUTPUT.write_bytes(b"content")
        work.summary = "7 frames"
    said = capsys.readouterr().err
    assert re.fullmatch(r"sdor: frames of a/b: done in \d+\.\d s; 7 frames\n", said)
    assert said.removeprefix("sdor: ") in LOG.read_text()
    assert json.loads(entry_file(OUTPUT).read_text())["job"] == "frames of a/b"
    assert faults() == []


@pytest.mark.parametrize(
    ("error", "leaves", "fault", "logged"),
    [
        (
            SdorError("clip b:\n  too short"),
            SystemExit,
            f"frames of a/b: clip b: too short (log: {LOG})",
            "ERROR frames of a/b: clip b: too short",
        ),
        (
            KeyError("clip"),
            KeyError,
            f"frames of a/b: a bug (KeyError): its traceback is in {LOG}",
            "Traceback",
        ),
        (KeyboardInterrupt(), SystemExit, None, "stopped; the same command goes on from here"),
    ],
)
def test_a_job_that_fails_leaves_one_line_and_no_entry(error, leaves, fault, logged, capsys):
    def fail():
        with job(script(OUTPUT), "frames of a/b"):
            OUTPUT.parent.mkdir()
            OUTPUT.write_bytes(b"content")
            raise error

    with pytest.raises(leaves) as caught:
        fail()
    assert faults() == ([fault] if fault else [])
    assert logged in LOG.read_text()
    assert not entry_file(OUTPUT).exists()
    if isinstance(error, SdorError):
        assert caught.value.code == 1
        assert capsys.readouterr().err == f"sdor: {fault}\n"


def test_a_job_that_is_told_to_end_ends_and_is_named():
    with pytest.raises(SystemExit) as caught, job(script(), "frames of a/b"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert "ended without a message: killed, or out of memory or time" in faults()[0]


def test_a_job_sweeps_what_its_killed_forerunner_was_writing():
    folder = OUTPUT.parent
    folder.mkdir(parents=True)
    mine = [folder / ".a.k3jd_9xz.npy", folder / f".{CHECKPOINT.replace('.', '.12345678.')}"]
    others = [folder / ".b.k3jd_9xz.npy", folder / ".a.k3jd_9xz.parquet", folder / "a.k3jd_9xz.npy"]
    for path in (*mine, *others):
        path.touch()
    masks = folder / ".masks.k3jd_9xz"
    masks.mkdir()
    with job(script(OUTPUT, folder / "masks"), "frames of a/b"):
        assert sorted(folder.iterdir()) == sorted(others)


def test_a_log_that_cannot_be_written_is_one_line(capsys):
    Path("results").write_text("a file")
    with pytest.raises(SystemExit), job(script(), "frames of a/b"):
        raise AssertionError("must not be reached")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sdor: frames of a/b: results/logs/a.log: cannot write here")


def test_long_work_logs_a_line_a_minute(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def work():
        for item in range(4):
            now[0] += 31
            yield item

    with caplog.at_level(logging.INFO, logger="sdor"):
        assert list(track(work(), total=4, unit="frame", label="features")) == [0, 1, 2, 3]
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("features:  50%")
    assert "2/4 [01:02<01:02" in caplog.messages[0]
