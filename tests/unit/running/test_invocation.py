import fcntl
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from sdor.command import main
from sdor.errors import SdorError
from sdor.running import invocation
from sdor.running.cluster import ON_CLUSTER
from sdor.running.invocation import (
    RUN_VARIABLE,
    enter,
    join,
    look,
    only_looks,
    read_failures,
    verify,
)
from sdor.running.records import Settled, write_records


@pytest.fixture(autouse=True)
def released(monkeypatch):
    monkeypatch.setenv(RUN_VARIABLE, "")
    yield
    while invocation._held:
        invocation._held.pop().close()


def marker(folder, output):
    """Mark an output as begun, as Snakemake does: its name in base64, cut into parts if long."""
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[start : start + 254] for start in range(0, len(name), 254)]
    path = folder.joinpath(*[f"@{part}" for part in parts[:-1]], parts[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


@pytest.mark.parametrize("name", ["results/a.parquet", "results/" + "long/" * 80 + "a.npy"])
def test_outputs_that_were_cut_off_and_stale_locks_go(tmp_path, name):
    state = tmp_path / ".snakemake"
    (state / "locks").mkdir(parents=True)
    (state / "locks" / "0.input.lock").write_text("results/a.parquet\n")
    begun = marker(state / "incomplete", name)
    kept = tmp_path / "results" / "kept.parquet"
    for path in (tmp_path / name, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    enter(state)
    assert not list((state / "locks").iterdir())
    assert not begun.exists()
    assert not (tmp_path / name).exists()
    assert kept.exists()


def test_a_folder_that_was_cut_off_goes_whole(tmp_path):
    marker(tmp_path / ".snakemake" / "incomplete", "results/masks")
    (tmp_path / "results" / "masks").mkdir(parents=True)
    (tmp_path / "results" / "masks" / "1.png").write_text("half")
    enter(tmp_path / ".snakemake")
    assert not (tmp_path / "results" / "masks").exists()


def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path):
    state = tmp_path / ".snakemake"
    code = f"""
import sys, time
from pathlib import Path
from sdor.running.invocation import enter
enter(Path({str(state)!r}))
print("in", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(invocation.__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "in\n"
    (state / "locks").mkdir(exist_ok=True)
    (state / "locks" / "0.input.lock").write_text("a\n")
    with pytest.raises(SdorError, match=f"another run is at work .*process {holder.pid}"):
        enter(state)
    assert (state / "locks" / "0.input.lock").exists()
    # However the holder ends, the folder is free again.
    holder.kill()
    holder.communicate()
    enter(state)
    assert not (state / "locks" / "0.input.lock").exists()


def test_verify_reads_everything_and_removes_only_when_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SdorError, match="no records here; go where the results are"):
        verify(Path(".snakemake"), repair=False)
    output = Path("results/a.npy")
    output.parent.mkdir()
    with pytest.raises(SdorError, match="the next run records the results"):
        verify(Path(".snakemake"), repair=False)
    output.write_text("content")
    write_records([str(output)], [])
    assert verify(Path(".snakemake"), repair=False).damaged == []
    before = output.stat().st_mtime_ns
    output.write_text("Content")
    os.utime(output, ns=(before, before))
    assert main(["verify"]) == 1
    said = capsys.readouterr()
    assert "results/a.npy: not what was made" in said.err
    assert said.out == "1 results read: 1 damaged\n"
    assert output.exists()
    assert main(["verify", "--repair"]) == 1
    assert not output.exists()
    assert "set aside as results/a.npy.damaged" in capsys.readouterr().err
    assert main(["verify"]) == 1
    said = capsys.readouterr()
    assert "results/a.npy: missing; the next run of its study makes it" in said.err
    assert said.out == "0 results read: 1 missing\n"
    output.write_text("content")
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == "1 results read: all as they were made\n"


def test_verify_tells_its_own_usage(capsys):
    with pytest.raises(SystemExit):
        main(["verify", "--bogus"])
    assert "usage: sdor verify" in capsys.readouterr().err


def test_verify_and_looks_wait_for_nobody(tmp_path, monkeypatch, capsys):
    """Neither says anything of results that a run, or a job of a killed one, still writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(invocation, "PATIENCE", 0.1)
    state = Path(".snakemake")
    output = Path("results/a.npy")
    output.parent.mkdir()
    output.write_text("content")
    write_records([str(output)], [])
    output.write_text("other content")
    for name in ("sdor.lock", "sdor.running.jobs"):
        state.mkdir(exist_ok=True)
        with (state / name).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            assert look(state) == Settled()
            with pytest.raises(SdorError, match="a run is at work here, or a job of one"):
                verify(state, repair=False)
    said = capsys.readouterr().err
    line = "sdor: a run is at work here, or a job of one: what follows is soon out of date\n"
    assert said == 2 * line
    assert look(state).to_make == [str(output)]
    assert "a run sets it aside" in capsys.readouterr().err


def test_a_job_whose_run_was_killed_leaves_when_another_has_begun(tmp_path, monkeypatch):
    state = tmp_path / ".snakemake"
    enter(state)
    join(state).close()
    first = os.environ[RUN_VARIABLE]
    invocation._held.pop(0).close()
    enter(state)
    join(state).close()
    monkeypatch.setenv(RUN_VARIABLE, first)
    with pytest.raises(SdorError, match="another one has begun"):
        join(state)
    monkeypatch.setenv(ON_CLUSTER, "yes")
    join(state).close()
    # Started by hand, without a run.
    monkeypatch.delenv(RUN_VARIABLE)
    join(state).close()


@pytest.mark.parametrize(
    ("line", "looks"),
    [
        ("--cores 8 all", False),
        ("--cores 8 -n", True),
        ("-np --cores 1", True),
        ("-nq", True),
        ("-p --cores 1", False),
        ("--list-changes code", True),
        ("-pn", True),
        ("--dry-run", True),
        ("--report=x.html", True),
        ("--lint", True),
        ("--delete-all-output", False),
        ("--cores 2 --touch", False),
        ("", False),
    ],
)
def test_command_lines_that_only_look(line, looks):
    options = vars(get_argument_parser().parse_args(line.split()))
    assert only_looks(options) is looks


def test_failures_are_told_once(tmp_path):
    assert read_failures(tmp_path / "none.txt") == []
    (tmp_path / "f.txt").write_text("a\nb\na\n")
    assert read_failures(tmp_path / "f.txt") == ["a", "b"]
