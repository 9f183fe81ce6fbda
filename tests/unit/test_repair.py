import subprocess
from argparse import ArgumentParser

import pytest

from sdor import repair as module
from sdor.errors import SdorError
from sdor.records import Record, Settled
from sdor.repair import layers, repair, without_targets

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
    for name in ("dryrun", "touch", "forceall", "summary"):
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

    def start(command):
        started.append(command[3:])
        return 0

    monkeypatch.setattr(module, "_run", start)
    return started


def mend(line, found=None):
    found = Settled(to_make=[FRAMES, OTHER]) if found is None else found
    repair(found, line.split(), parse=parse, is_output=lambda path: path == FRAMES)


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
    ],
)
def test_runs_that_want_something_else_leave_them(runs, line, said, capsys):
    mend(line)
    assert runs == []
    assert said in capsys.readouterr().err


def test_nothing_is_started_where_nothing_is_damaged(runs):
    mend("--cores 8", Settled(to_make=[OTHER]))
    assert runs == []


def test_what_others_were_made_from_comes_first():
    def record(*made_from):
        return Record("", 0, 0, "", [], dict.fromkeys(made_from))

    records = {
        "frames": record("video"),
        "features": record("frames"),
        "initial": record("features"),
        "other": record("elsewhere"),
    }
    found = layers(["initial", "other", "frames"], records)
    assert found == [["other", "frames"], ["initial"]]
    assert layers(["initial", "unknown"], records) == [["initial", "unknown"]]


def test_a_failure_ends_the_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess.Popen, "wait", lambda _: 1)
    monkeypatch.setattr(module.sys, "executable", "false")
    with pytest.raises(SdorError, match="not made again"):
        mend("--cores 8")
