import logging

import pytest

from sdor import jobs
from sdor.errors import SdorError
from sdor.jobs import job, track


def test_a_users_fault_is_one_line_everywhere(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SDOR_FAILURES", str(tmp_path / "failures.txt"))
    log = tmp_path / "logs" / "a.log"

    def fail():
        with job(log, "frames of a/b"):
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
        with job(tmp_path / "a.log", "frames of a/b"):
            raise KeyError("clip")

    with pytest.raises(KeyError):
        fail()
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_a_job_logs_how_long_it_took(tmp_path):
    with job(tmp_path / "a.log", "frames of a/b"):
        pass
    assert "frames of a/b: done in 0.0 s" in (tmp_path / "a.log").read_text()


def test_long_work_logs_a_line_a_minute(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])

    def work():
        for item in range(4):
            now[0] += 31
            yield item

    with caplog.at_level(logging.INFO, logger="sdor"):
        assert list(track(work(), total=4, unit="frame", label="features")) == [0, 1, 2, 3]
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("features:  50%")
    assert "2/4 [01:02<01:02" in caplog.messages[0]
