import fcntl
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import sdor
from sdor.errors import SdorError
from sdor.running import run
from sdor.running.cluster import ON_CLUSTER

LOG = Path("results/logs/a.log")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory, which is let go in the end."""
    monkeypatch.chdir(tmp_path)
    for name in (run.RUN, ON_CLUSTER):
        monkeypatch.setenv(name, "")
    yield tmp_path
    while run._held:
        run._held.pop().close()


def other_process(code):
    """Start a process in the same folder; it says a line when it is ready, and then sleeps."""
    code = (
        f"import time\nfrom sdor.running.run import *\n{code}\nprint(1, flush=True)\ntime.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(sdor.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline()
    return process


def test_a_second_run_is_told_which_process_is_at_work_until_that_is_killed(folder):
    process = other_process("begin(on_cluster=False)")
    words = f"another run is at work in {folder} .process {process.pid}.: wait for it"
    with pytest.raises(SdorError, match=words):
        run.begin(on_cluster=False)
    process.kill()
    process.wait()
    run.begin(on_cluster=False)


def test_where_files_cannot_be_locked_a_run_says_so_and_goes_on(monkeypatch, capsys):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    run.begin(on_cluster=False)
    assert len(capsys.readouterr().err.splitlines()) == 1
    with closing(run.take_ticket("frames", LOG)) as ticket:
        assert run.faults() == [
            f"frames: ended without a message: killed, or out of memory or time (log: {LOG})"
        ]
        run.leave(ticket, "")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("rights", "results: cannot be written"), ("room", "the disk is full.* make room for it")],
)
def test_results_that_cannot_be_written_are_named_before_the_first_job(monkeypatch, fault, words):
    Path("results").mkdir()
    if fault == "rights":
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        monkeypatch.setattr(run, "ROOM", 1 << 62)
    with pytest.raises(SdorError, match=words):
        run.begin(on_cluster=False)


def test_a_job_waits_for_the_same_job_of_a_killed_run(capsys):
    process = other_process(f"ticket = take_ticket('frames', Path({str(LOG)!r}))")
    with closing(run.take_ticket("features", Path("results/logs/b.log"))):
        pass
    assert "waiting" not in capsys.readouterr().err
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
    started = time.monotonic()
    with closing(run.take_ticket("frames", LOG)):
        assert time.monotonic() - started > 0.4
    assert "frames: the same job of a killed run is still at work" in capsys.readouterr().err
    killer.wait()
    process.wait()


def test_a_job_that_begins_after_its_run_was_killed_leaves(monkeypatch):
    run.begin(on_cluster=False)
    with closing(run.take_ticket("frames", LOG)) as ticket:
        run.leave(ticket, "frames: too short")
    mine = os.environ[run.RUN]
    monkeypatch.setenv(run.RUN, "an earlier run")
    with pytest.raises(SdorError, match="frames: its run was killed, and another one has begun"):
        run.take_ticket("frames", LOG)
    assert run.faults() == []
    monkeypatch.setenv(run.RUN, mine)
    assert run.faults() == ["frames: too short"]
    # Jobs on a cluster are cancelled instead.
    monkeypatch.setenv(run.RUN, "an earlier run")
    monkeypatch.setenv(ON_CLUSTER, "yes")
    run.take_ticket("frames", LOG).close()


def test_lines_of_jobs_on_other_machines_are_said_once(monkeypatch, capsys):
    monkeypatch.setenv(ON_CLUSTER, "yes")
    run.say_line("frames: done in 1.0 s")
    run.say_line("features: done in 2.0 s")
    assert capsys.readouterr().err == ""
    for said in ("sdor: frames: done in 1.0 s\nsdor: features: done in 2.0 s\n", ""):
        run.pass_on_lines()
        assert capsys.readouterr().err == said


def test_a_path_that_the_system_refuses_is_one_line(capsys, tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(SystemExit) as caught, run.one_line_faults():
        path.stat()
    assert caught.value.code == 1
    said = f"sdor: {path}: File name too long; check the path and its rights\n"
    assert capsys.readouterr().err == said
    with pytest.raises(OSError, match="no file's"), run.one_line_faults():
        raise OSError("no file's")


def test_jobs_know_when_the_rules_were_first_read():
    before = time.time()
    first = run.began()
    assert before <= first <= time.time()
    assert run.began() == first
    said = "from sdor.running.run import began; print(began())"
    environment = {**os.environ, "PYTHONPATH": str(Path(sdor.__file__).parents[1])}
    assert float(subprocess.check_output([sys.executable, "-c", said], env=environment)) == first
