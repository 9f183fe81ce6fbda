import hashlib
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdor import progress
from sdor.errors import SdorError
from sdor.progress import track
from sdor.running.jobs import job, percent
from sdor.running.records import read_record


def script(log, *, inputs=(), outputs=()):
    """What a script gets from Snakemake, as far as jobs look at it."""
    return SimpleNamespace(rule="frames", log=[str(log)], input=inputs, output=outputs)


def test_a_users_fault_is_one_line_everywhere(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SDOR_FAILURES", str(tmp_path / "failures.txt"))
    log = tmp_path / "logs" / "a.log"

    def fail():
        with job(script(log), "frames of a/b"):
            raise SdorError("clip b:\n  too short")

    with pytest.raises(SystemExit) as caught:
        fail()
    assert caught.value.code == 1
    line = "frames of a/b: clip b: too short"
    assert capsys.readouterr().err == f"sdor: {line}\n"
    assert line in log.read_text()
    assert (tmp_path / "failures.txt").read_text() == f"{line} (log: {log})\n"


def test_a_bug_keeps_its_traceback(tmp_path):
    def fail():
        with job(script(tmp_path / "a.log"), "frames of a/b"):
            raise KeyError("clip")

    with pytest.raises(KeyError):
        fail()
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_a_job_logs_how_long_it_took(tmp_path):
    with job(script(tmp_path / "a.log"), "frames of a/b"):
        pass
    assert re.search(r"frames of a/b: done in \d+\.\d s\n", (tmp_path / "a.log").read_text())


def test_a_job_records_what_it_made_and_says_its_key_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = Path("results/yard/a.npy")
    with job(script("results/logs/a.log", outputs=[str(output)]), "frames of a/b") as work:
        output.parent.mkdir()
        output.write_bytes(b"content")
        work.figure = "7 frames"
    assert re.search(r"done in \d+\.\d s; 7 frames\n", Path("results/logs/a.log").read_text())
    record = read_record(output)
    assert record.sha256 == hashlib.sha256(b"content").hexdigest()
    assert record.about["stage"] == "frames"
    assert record.about["figure"] == "7 frames"


def test_a_job_of_a_killed_run_leaves_the_next_one_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDOR_STATE", str(tmp_path))
    monkeypatch.setenv("SDOR_RUN", "first")
    (tmp_path / "sdor.lock").write_text("4242 second")
    log = tmp_path / "a.log"
    log.write_text("of the second run")

    def begin():
        with job(script(log), "frames of a/b"):
            raise AssertionError("must not be reached")

    with pytest.raises(SystemExit):
        begin()
    assert "frames of a/b: its run was killed" in capsys.readouterr().err
    assert log.read_text() == "of the second run"


def test_a_job_that_fails_records_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = Path("results/a.npy")

    def fail():
        with job(script("results/logs/a.log", outputs=[str(output)]), "frames of a/b"):
            output.write_bytes(b"half")
            raise SdorError("clip b: too short")

    with pytest.raises(SystemExit):
        fail()
    assert read_record(output) is None


def test_a_key_figure_is_empty_where_nothing_was_measured():
    assert percent("merged AUC", {"value": 0.78449}) == "merged AUC 78.4"
    assert percent("merged AUC", {"value": None, "reason": "no ground truth"}) == ""


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
