import os
import sys
from functools import partial
from pathlib import Path

import pytest

from sdor.errors import SdorError
from sdor.running import cluster
from sdor.running.cluster import ask, cancel_orphans

OURS = "sdor_12345678-1234-4321-abcd-1234567890ab"
# A cluster of one file: a line for each job, and scancel takes lines out.
SQUEUE = """
import sys, pathlib
print(pathlib.Path(QUEUE).read_text(), end="")
"""
SCANCEL = """
import sys, pathlib
queue = pathlib.Path(QUEUE)
kept = [row for row in queue.read_text().splitlines() if row.split("|")[0] not in sys.argv[1:]]
queue.write_text("".join(row + "\\n" for row in kept))
with pathlib.Path(QUEUE + ".cancelled").open("a") as file:
    print(*sys.argv[1:], file=file)
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A working directory from which jobs were submitted."""
    folder = tmp_path / "work here"
    (folder / ".snakemake/slurm_logs").mkdir(parents=True)
    return folder


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts commands on the PATH; returns the file that is the queue."""
    folder, queue = tmp_path / "bin", tmp_path / "queue"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(cluster, "WAIT", 0.01)

    def install(*rows: str, **commands: str) -> Path:
        queue.write_text("".join(f"{row}\n" for row in rows))
        for name, code in commands.items():
            path = folder / name
            path.write_text(f"#!{sys.executable}\nQUEUE = {str(queue)!r}\n{code}")
            path.chmod(0o755)
        return queue

    return install


def test_a_cluster_that_does_not_answer_stops_before_the_first_job(install, tmp_path):
    assert cancel_orphans(tmp_path, on_cluster=True) == []  # there is none
    install(squeue=SQUEUE)
    assert cancel_orphans(tmp_path, on_cluster=True) == []
    install(squeue="import sys\nsys.exit('slurm_load_jobs error: Unable to contact controller')")
    with pytest.raises(SdorError, match=r"Unable to contact controller.*is its controller up"):
        cancel_orphans(tmp_path, on_cluster=True)


def test_only_own_jobs_of_this_folder_are_cancelled(install, folder):
    others = [f"12|other_1|{folder}", f"15|sdor_test|{folder}", f"13|{OURS}|{folder.parent}"]
    rows = [f"10|{OURS}|{folder}", *others, f"11|{OURS}|{folder}"]
    queue = install(*rows, squeue=SQUEUE, scancel=SCANCEL)
    assert cancel_orphans(folder, on_cluster=False) == ["10", "11"]
    assert queue.read_text().splitlines() == others
    assert Path(f"{queue}.cancelled").read_text() == "10 11\n"
    assert cancel_orphans(folder, on_cluster=False) == []


def test_the_folder_by_another_name(install, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    install(f"10|{OURS}|{tmp_path / 'link'}", squeue=SQUEUE, scancel=SCANCEL)
    assert cancel_orphans(folder, on_cluster=False) == ["10"]


def test_a_job_that_comes_up_late_is_cancelled_too(install, folder):
    scancel = f"""{SCANCEL}
if "10" in sys.argv:
    queue.write_text(queue.read_text() + {f"11|{OURS}|{folder}"!r} + "\\n")
"""
    install(f"10|{OURS}|{folder}", squeue=SQUEUE, scancel=scancel)
    assert cancel_orphans(folder, on_cluster=False) == ["10", "11"]


def test_nothing_without_slurm_or_submissions(install, folder, tmp_path, capsys):
    install(f"10|{OURS}|{folder}")
    assert cancel_orphans(folder, on_cluster=False) == []
    install(squeue="raise SystemExit('must not be asked')")
    assert cancel_orphans(tmp_path, on_cluster=False) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("squeue", "said"),
    [
        ("import time; time.sleep(60)", "squeue gave no answer within 1 s"),
        ("import sys; sys.exit('squeue: error: no controller')", "(squeue: error: no controller)"),
        ("import os; os._exit(1)", "squeue failed (exit status 1)"),
    ],
)
def test_a_cluster_without_an_answer_is_one_line(
    install, folder, squeue, said, monkeypatch, capsys
):
    monkeypatch.setattr(cluster, "ask", partial(ask, seconds=1.0))
    install(squeue=squeue, scancel=SCANCEL)
    assert cancel_orphans(folder, on_cluster=False) == []
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sdor: jobs of a killed run may still be at work: ")
    assert said in lines[0]


def test_a_job_that_does_not_end_is_named(install, folder, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "END", 0.5)
    install(f"10|{OURS}|{folder}", squeue=SQUEUE, scancel="raise SystemExit(1)")
    assert cancel_orphans(folder, on_cluster=False) == ["10"]
    assert "SLURM jobs 10 were cancelled and are still there" in capsys.readouterr().err


def test_jobs_of_other_users_are_not_asked_for(install, folder):
    squeue = "import sys, pathlib; pathlib.Path(QUEUE).write_text(' '.join(sys.argv[1:]))"
    queue = install(squeue=squeue)
    assert cancel_orphans(folder, on_cluster=False) == []
    assert f"--user={os.getuid()}" in queue.read_text().split()


@pytest.mark.usefixtures("install")
def test_programs_that_are_absent_broken_or_hang(tmp_path):
    shell = {"fails": "echo first >&2; echo last word >&2; exit 3", "silent": "exit 4"}
    shell |= {"good": "/bin/cat", "hangs": "/bin/sleep 60"}  # its child holds the pipe
    for name, script in shell.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin/garbage").write_bytes(b"\x7fELF nonsense")
    for path in (tmp_path / "bin").iterdir():
        path.chmod(0o755)
    assert ask("good", given=b"heard") == "heard"
    for name, words in {
        "absent": "absent: No such file",
        "fails": "fails failed .last word",
        "silent": "silent failed .exit status 4",
        "garbage": "garbage: Exec format error",
        "hangs": "hangs gave no answer within 0.3 s",
    }.items():
        with pytest.raises(SdorError, match=words):
            ask(name, seconds=0.3)
