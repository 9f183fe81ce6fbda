import os
import time
from pathlib import Path

import pytest

from sdor.records import (
    RECORDS,
    bring_back,
    note_times,
    read_record,
    settle,
    sha256_of,
    write_records,
)

FRAMES, FEATURES = "results/yard/frames/a.npy", "results/yard/features/f.parquet"
DAY = 86_400_000_000_000  # ns


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    """Two stages, of which the second reads what the first made."""
    monkeypatch.chdir(tmp_path)
    make(FRAMES, "frames")
    make(FEATURES, "features", inputs=[FRAMES])


def make(path, content, inputs=()):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content)
    write_records([path], inputs, {"stage": "test"})


def mtime(path):
    return Path(path).stat().st_mtime_ns


def test_untouched_results_are_fine():
    assert settle().damaged == []
    assert settle().outdated == []
    assert read_record(FEATURES).made_from == {FRAMES: sha256_of(FRAMES)}


def test_outputs_elsewhere_have_no_record(tmp_path):
    (tmp_path / "other.txt").write_text("x")
    write_records(["other.txt"], ["data/video.avi"])
    assert len(list(RECORDS.rglob("*.json"))) == 2


def test_a_changed_byte_is_found_and_the_file_goes():
    Path(FRAMES).write_text("frameZ")
    assert settle(repair=False).damaged == [FRAMES]
    assert Path(FRAMES).exists()
    assert settle().damaged == [FRAMES]
    assert not Path(FRAMES).exists()
    # Nothing that only finished files would need is made again: so they are old until it is.
    for _ in range(2):
        assert mtime(FEATURES) < DAY
        again = settle()
        assert again.damaged == again.outdated == []
    make(FRAMES, "frames")
    assert settle().outdated == []
    assert mtime(FEATURES) > DAY


def test_a_damaged_file_that_came_back_from_a_backup_is_taken():
    Path(FRAMES).write_text("frameZ")
    settle()
    Path(FRAMES).write_text("frames")
    for _ in range(2):
        assert settle().damaged == []
        assert mtime(FEATURES) > DAY


def test_damage_under_the_old_time_is_found_by_a_deep_look_alone():
    before = mtime(FRAMES)
    Path(FRAMES).write_text("frameZ")
    os.utime(FRAMES, ns=(before, before))
    assert settle(repair=False).damaged == []
    assert settle(repair=False, deep=True).damaged == [FRAMES]


def test_a_copy_without_times_gets_them_back():
    before = mtime(FRAMES), mtime(FEATURES)
    os.utime(FRAMES)
    assert mtime(FRAMES) > mtime(FEATURES)
    settle()
    assert (mtime(FRAMES), mtime(FEATURES)) == before


def test_what_was_made_from_another_input_is_old():
    make(FRAMES, "other frames")
    os.utime(FRAMES, ns=(DAY, DAY))
    note_times([FRAMES])
    # By its time alone the new input looks older than what was made from the old one.
    assert mtime(FRAMES) < mtime(FEATURES)
    assert settle().outdated == [FEATURES]
    assert mtime(FEATURES) < mtime(FRAMES)
    assert Path(FEATURES).read_text() == "features"


def test_the_same_content_made_again_is_not_another_input():
    make(FRAMES, "frames")
    assert settle().outdated == []


def test_outputs_of_two_executions_are_a_mix():
    pair = ["results/yard/model", "results/yard/scores"]
    for content in ("first", "second"):
        for path in pair:
            Path(path).write_text(content)
        write_records(pair, [])
        if content == "first":
            kept = Path(pair[0]).read_text(), read_record(pair[0])
            record = (RECORDS / "yard" / "model.json").read_text()
    assert settle().outdated == []
    Path(pair[0]).write_text(kept[0])
    (RECORDS / "yard" / "model.json").write_text(record)
    assert settle().outdated == pair


def test_times_to_come_become_the_present_in_their_order():
    later = time.time_ns() + DAY
    for place, path in enumerate((FRAMES, FEATURES)):
        os.utime(path, ns=(later + place, later + place))
    note_times([FRAMES, FEATURES])
    assert settle().from_the_future == 2
    assert mtime(FRAMES) < mtime(FEATURES) <= time.time_ns()
    assert settle().from_the_future == 0
    os.utime(FRAMES, ns=(later, later))
    note_times([FRAMES])
    bring_back([FRAMES, "data/video.avi"])
    assert mtime(FRAMES) <= time.time_ns()


def test_a_time_that_was_touched_is_taken_over():
    os.utime(FRAMES, ns=(DAY, DAY))
    note_times([FRAMES, "results/without/record"])
    assert read_record(FRAMES).mtime_ns == DAY
    settle()
    assert mtime(FRAMES) == DAY


def test_folders_count_by_what_is_in_them():
    folder = Path("results/yard/masks")
    folder.mkdir()
    (folder / "1.png").write_text("one")
    write_records([str(folder)], [])
    # Snakemake keeps the folder's time in a file of its own.
    (folder / ".snakemake_timestamp").write_text("")
    os.utime(folder / ".snakemake_timestamp", ns=(DAY, DAY))
    note_times([str(folder)])
    assert settle().damaged == []
    (folder / "1.png").unlink()
    assert settle().damaged == [str(folder)]
    assert not folder.exists()


def test_a_broken_record_counts_as_none():
    (RECORDS / "yard" / "frames" / "a.npy.json").write_text("{")
    assert read_record(FRAMES) is None
    assert settle().damaged == []
