"""The command of a watchlist: which is noted, and how it is given back where its folder is."""

import os
import shutil

import pytest

from sdor.errors import SdorError
from sdor.running.noted import (
    COMMAND,
    asks_for_list,
    command_folder,
    is_noted,
    lacking,
    note_command,
    require_videos,
    watchlist_command,
)


@pytest.mark.parametrize(
    "words",
    [
        ["--cores", "2", "watchlist", "--config", "videos=/rec/it's here"],
        ["-s", "../Snakefile", "results/gate/watchlist.html", "-c1", "--rerun-triggers", "mtime"],
    ],
)
def test_the_command_of_a_watchlist_is_kept_word_by_word(tmp_path, words):
    assert asks_for_list(["/env/bin/snakemake", *words])
    note_command(["/env/bin/snakemake", *words], folder=tmp_path)
    assert is_noted(tmp_path)
    assert watchlist_command(tmp_path, "/other") == ["snakemake", *words]


@pytest.mark.parametrize(
    "words",
    [
        "--cores all all a=watchlist",
        "-d runs/watchlist all",
        "-R look watchlist",  # both are names of rules to force
        "watchlist --touch",
        "watchlist -l",
        "watchlist --dag",
        "watchlist --report=list.html",
        "--until look watchlist",
        "--unlock watchlist",
    ],
)
def test_other_commands_make_no_list(words):
    assert not asks_for_list(["snakemake", *words.split()])


@pytest.mark.parametrize(
    "words",
    ["-F -c1", "-c1 --forceall", "-Fc1", "-f -c1 -R look rank", "--forcerun=look -c1"],
)
def test_what_was_forced_once_is_not_forced_after_each_round(tmp_path, words):
    note_command(["snakemake", "watchlist", *words.split()], folder=tmp_path)
    assert watchlist_command(tmp_path) == ["snakemake", "watchlist", "-c1"]


def test_a_command_is_run_where_its_user_did(tmp_path, monkeypatch):
    home, run = tmp_path / "home", tmp_path / "home/run"
    run.mkdir(parents=True)
    monkeypatch.chdir(run)
    monkeypatch.setenv("PWD", str(home))
    note_command(["snakemake", "watchlist"])
    assert command_folder() == run
    for given in (["--directory", "run"], ["-drun"], ["-d", str(run)], ["--directory=run"]):
        note_command(["snakemake", *given, "watchlist"])
        assert command_folder() == home
        assert watchlist_command() == ["snakemake", *given, "watchlist"]


def test_the_command_of_a_folder_that_was_copied_is_for_the_copy(tmp_path, monkeypatch):
    home, run = tmp_path / "home", tmp_path / "home/run"
    run.mkdir(parents=True)
    monkeypatch.setenv("PWD", str(home))
    copy = tmp_path / "copy"
    for given, there in {
        ("--directory", "run"): ["--directory", str(copy)],
        (f"--directory={run}",): [f"--directory={copy}"],
        ("-drun",): [f"-d{copy}"],
    }.items():
        note_command(["snakemake", *given, "watchlist"], folder=run)
        shutil.copytree(run, copy)
        assert watchlist_command(copy) == ["snakemake", *there, "watchlist"]
        assert command_folder(copy) == home
        shutil.rmtree(copy)
    home.rename(tmp_path / "moved")
    moved = tmp_path / "moved/run"
    assert watchlist_command(moved) == ["snakemake", f"-d{moved}", "watchlist"]
    assert command_folder(moved) == moved


def test_a_shells_folder_that_is_not_where_the_run_began_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("PWD", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    note_command(["snakemake", "-d", "run", "watchlist"], folder=tmp_path / "run")
    assert command_folder(tmp_path / "run") == tmp_path / "run"
    assert watchlist_command(tmp_path / "run")[2] == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "videos", "missing"),
    [
        ("--cores 2 watchlist --config videos=../rec", "../rec", "../rec"),
        ("-s ../Snakefile watchlist", "", "../Snakefile"),
        ("-s../Snakefile -c1 watchlist", "", "../Snakefile"),
        ("--snakefile=../Snakefile watchlist", "", "../Snakefile"),
        ("-s there watchlist -c1", "there", ""),
        ("-s there --configfile there ../own.yaml -c1 watchlist", "", "../own.yaml"),
        ("--configfile=../own.yaml --snakefile there watchlist", "", "../own.yaml"),
        ("watchlist -c1", "", "Snakefile"),
    ],
)
def test_what_a_command_names_and_a_copy_elsewhere_has_not_is_found(
    tmp_path, words, videos, missing
):
    home = tmp_path / "home/run"
    copy = tmp_path / "else/where/run"
    for name in ("there", "Snakefile", "../Snakefile", "../rec", "../own.yaml"):
        home.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    note_command(["snakemake", *words.split()], videos, home)
    assert lacking(home) == ""
    shutil.copytree(home, copy)
    if missing == "Snakefile":
        (copy / missing).unlink()
    assert lacking(copy) == (os.path.normpath(copy / missing) if missing else "")
    assert lacking(tmp_path) == ""


def test_a_list_of_a_folder_of_video_keeps_the_demo_away(tmp_path):
    require_videos(tmp_path)
    words = ["snakemake", "--cores", "8", "watchlist", "--config"]
    note_command([*words, "videos=/rec"], "/rec", tmp_path)
    command = "snakemake --cores 8 watchlist --config videos=/rec$"
    with pytest.raises(SdorError, match=f"videos: is not given, .* /rec, .* by: {command}"):
        require_videos(tmp_path)
    note_command(words[:-1], "", tmp_path)
    require_videos(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"argv": "rm"}', '{"argv": []}'])
def test_without_a_command_that_is_known_one_is_made(tmp_path, content):
    if content is not None:
        os.makedirs(tmp_path / COMMAND.parent)
        (tmp_path / COMMAND).write_text(content)
    assert not is_noted(tmp_path)
    made = ["snakemake", "--cores", "all", "watchlist"]
    assert watchlist_command(tmp_path) == made
    assert command_folder(tmp_path) == tmp_path
    assert watchlist_command(tmp_path, "/rec") == [*made, "--config", "videos=/rec"]
