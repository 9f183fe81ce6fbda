import json
import os
import shutil
from pathlib import Path

import pytest

from sdor.command import main
from sdor.errors import SdorError
from sdor.running import run
from sdor.running.manifest import MANIFEST, TIMESTAMP, entry_file, verify, write_entries

FRAMES, FEATURES = "results/yard/frames.npy", "results/yard/features.parquet"
SECOND = 10**9  # ns


def make(output, inputs, content):
    """Do as a job does, and touch its output as Snakemake does then."""
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(content)
    write_entries([output], inputs, "a job")
    os.utime(output)


def mtime(path):
    return os.stat(path).st_mtime_ns


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory in which features were made from frames."""
    monkeypatch.chdir(tmp_path)
    make(FRAMES, ["data/a.avi"], "frames")
    make(FEATURES, [FRAMES], "features")
    yield
    while run._held:
        run._held.pop().close()


def test_whole_results_are_left_as_they_are():
    before = mtime(FRAMES)
    assert verify() == {FEATURES: "", FRAMES: ""}
    assert mtime(FRAMES) == before


@pytest.mark.parametrize("content", ["framed", "fra", ""])
def test_damage_is_found_and_removed_when_asked_for(content):
    times = (mtime(FRAMES), mtime(FRAMES))
    Path(FRAMES).write_text(content)
    os.utime(FRAMES, ns=times)
    assert verify() == {FEATURES: "", FRAMES: "not what was made"}
    assert Path(FRAMES).read_text() == content
    verify(repair=True)
    assert verify() == {FEATURES: "", FRAMES: "missing"}


def test_an_entry_that_cannot_be_read_vouches_for_nothing():
    entry_file(FRAMES).write_text("{")
    assert verify()[FRAMES] == "not what was made"


def test_a_link_to_nowhere_is_damage():
    Path(FRAMES).unlink()
    Path(FRAMES).symlink_to("nowhere")
    assert verify(repair=True)[FRAMES] == "not what was made"
    assert not Path(FRAMES).is_symlink()


def test_a_copy_that_lost_its_times_gets_them_back_in_their_order():
    for path, time in ((FRAMES, 9), (FEATURES, 1)):
        os.utime(path, ns=(time * SECOND, time * SECOND))
    verify(repair=True)
    assert SECOND * 9 < mtime(FRAMES) < mtime(FEATURES)


def test_what_is_made_again_with_equal_bytes_gets_its_time_back():
    verify(repair=True)
    before = mtime(FRAMES)
    Path(FRAMES).unlink()
    make(FRAMES, ["data/a.avi"], "frames")
    assert mtime(FRAMES) > mtime(FEATURES)
    verify(repair=True)
    assert mtime(FRAMES) == before
    # Not so where it was made from something newer.
    make(FRAMES, ["data/a.avi"], "other frames")
    make(FEATURES, [FRAMES], "features")
    verify(repair=True)
    assert before < mtime(FRAMES) < mtime(FEATURES)


def test_an_output_of_a_machine_whose_clock_is_behind_is_later_than_its_inputs():
    Path(FEATURES).write_text("other features")
    os.utime(FEATURES, ns=(SECOND, SECOND))
    write_entries([FEATURES], [FRAMES], "a job")
    verify(repair=True)
    assert mtime(FEATURES) > mtime(FRAMES)


def test_a_folder_is_one_output_and_snakemakes_own_file_in_it_none():
    folder = Path("results/yard/masks")
    folder.mkdir()
    (folder / "1.png").write_text("mask")
    (folder / TIMESTAMP).touch()
    write_entries([str(folder)], [], "a job")
    recorded = json.loads(entry_file(folder).read_text())["mtime_ns"]
    os.utime(folder / TIMESTAMP, ns=(SECOND, SECOND))
    assert verify(repair=True)[str(folder)] == ""
    assert mtime(folder / TIMESTAMP) == recorded
    (folder / "2.png").write_text("mask")
    assert verify(repair=True)[str(folder)] == "not what was made"
    assert not folder.exists()


def test_what_lies_elsewhere_has_no_entry():
    Path("mlflow.db").write_text("a store")
    write_entries(["mlflow.db", "results/never_made"], [], "a job")
    assert verify() == {FEATURES: "", FRAMES: ""}


def test_the_command_names_what_is_wrong_and_says_how_it_is_made_again(capsys):
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == "2 results are as they were made, 0 are not\n"
    run._held.pop().close()
    Path(FRAMES).write_text("nonsense")
    Path(FEATURES).unlink()
    assert main(["verify", "--repair"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{FEATURES}: missing", f"{FRAMES}: not what was made"]
    assert lines[-1] == f"snakemake --cores all {FEATURES} {FRAMES} && sdor verify --repair"


def test_results_that_are_read_only_can_be_verified(monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert main(["verify"]) == 0
    assert "2 results are as they were made" in capsys.readouterr().out
    assert not run.LOCK.exists()


def test_without_a_manifest_it_is_said_where_to_go(capsys):
    shutil.rmtree(MANIFEST)
    with pytest.raises(SdorError, match="no manifest here; go where the results are"):
        verify()
    assert main(["verify"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
