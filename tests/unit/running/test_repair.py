import os
import signal
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path

import pytest

from sdor.errors import SdorError
from sdor.running import repair as module
from sdor.running.records import Record, Settled, write_records
from sdor.running.repair import first_folder, layers, repair, without_targets

FRAMES, OTHER = "results/yard/frames/a.npy", "results/gone/frames/b.npy"


def parse(arguments):
    """Options of Snakemake's kind: some of them swallow what follows."""
    parser = ArgumentParser()
    parser.add_argument("targets", nargs="*", default=set())
    parser.add_argument("--cores", "-c")
    parser.add_argument("--configfile", nargs="+")
    for name in ("until", "omit-from", "forcerun", "allowed-rules"):
        parser.add_argument(f"--{name}", nargs="+", default=[])
    parser.add_argument("--batch")
    parser.add_argument("--directory")
    for name in ("dryrun", "touch", "forceall", "summary", "dag"):
        parser.add_argument(f"--{name}", action="store_true")
    return vars(parser.parse_args(list(arguments)))


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("--cores 8 all", "--cores 8"),
        ("all --cores 8", "--cores 8"),
        ("--cores 8", "--cores 8"),
        ("a b --cores 8 --configfile x", "--cores 8 --configfile x"),
        ("--cores 8 --configfile x -- a b", "--cores 8 --configfile x"),
        ("frames -c 2 --until frames", "-c 2 --until frames"),
        ("-c 2 --until frames -- frames", "-c 2 --until frames"),
    ],
)
def test_targets_are_told_from_options(given, left):
    assert without_targets(given.split(), parse) == left.split()


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """The runs that are started; nothing is run."""
    monkeypatch.chdir(tmp_path)
    started = []

    def start(command, folder):
        assert folder == tmp_path
        started.append(command[3:])
        return 0

    monkeypatch.setattr(module, "_run", start)
    return started


def mend(line, found=None):
    found = Settled(to_make=[FRAMES, OTHER]) if found is None else found
    Path(".snakemake").mkdir(exist_ok=True)
    repair(
        found,
        line.split(),
        parse(line.split()),
        parse=parse,
        is_output=lambda path: path.startswith("results/yard"),
        state_folder=Path(".snakemake"),
    )


@pytest.mark.parametrize("line", ["--cores 8 all", "--cores 8 --dryrun -- all"])
def test_what_this_study_makes_is_made_first(runs, line):
    mend(line)
    kept = [option for option in line.split() if option not in ("all", "--")]
    assert runs == [[*kept, "--force", "--", FRAMES]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--cores 8 --until frames", "a run without --until makes again what is damaged"),
        ("--cores 8 --forcerun train", "a run without --forcerun makes again what is damaged"),
        ("--cores 8 --forceall", ""),
        ("--cores 8 --touch", ""),
        ("--summary", ""),
        ("--dag --dryrun", ""),
        ("results/yard/clips.parquet", "that nothing here needs are left: results/yard/frames"),
    ],
)
def test_runs_that_want_something_else_leave_them(runs, line, said, capsys):
    mend(line)
    assert runs == []
    assert said in capsys.readouterr().err


def test_nothing_is_started_where_nothing_is_damaged(runs):
    mend("--cores 8", Settled(to_make=[OTHER]))
    assert runs == []


def record(*made_from, siblings=()):
    return Record("", 0, 0, "", list(siblings), dict.fromkeys(made_from))


def test_what_others_were_made_from_comes_first():
    records = {
        "frames": record("video"),
        "features": record("frames"),
        "initial": record("features"),
        "history": record("initial", siblings=["model", "history"]),
        "model": record("initial", siblings=["model", "history"]),
        "metrics": record("model"),
        "other": record("elsewhere"),
    }
    found = layers(["initial", "other", "frames"], records)
    assert found == [["other", "frames"], ["initial"]]
    # What was made with a source is made by the same job.
    assert layers(["metrics", "history"], records) == [["history"], ["metrics"]]
    assert layers(["initial", "unknown"], records) == [["initial", "unknown"]]


def test_files_that_are_asked_for_have_what_they_were_made_from_repaired(runs):
    features = "results/yard/features.parquet"
    Path(features).parent.mkdir(parents=True)
    Path(features).write_text("features")
    write_records([features], [FRAMES], {"stage": "features"})
    beside = "results/yard/other.npy"
    for _ in range(2):
        mend(f"--cores 8 {features}", Settled(to_make=[FRAMES, beside]))
        # Of an adopted one, nobody knows.
        write_records([features], [])
    repaired = ([FRAMES], [FRAMES, beside])
    assert runs == [["--cores", "8", "--force", "--", *paths] for paths in repaired]


def test_the_folder_that_snakemake_was_started_in(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / "study" / "mine.yaml").touch()
    assert first_folder({"directory": "study", "configfile": ["study/mine.yaml"]}) == tmp_path
    assert first_folder({"profile": ["study"]}) == tmp_path
    assert first_folder({"configfile": [tmp_path / "study" / "mine.yaml"]}) == Path.cwd()
    assert first_folder({"directory": None}) == Path.cwd()
    monkeypatch.setenv("PWD", "/nowhere")
    assert first_folder({"directory": "study"}) is None


def test_a_failure_ends_the_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module.sys, "executable", "false")
    with pytest.raises(SdorError, match="not all of them were made again"):
        mend("--cores 8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_stops_the_run_stops_the_repair(number, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.1)
    told = threading.Timer(0.5, os.kill, (os.getpid(), number))
    told.start()
    assert module._run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path) != 0
    told.join()
