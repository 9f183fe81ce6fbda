import errno
import os
import time
from pathlib import Path

import pytest

from sdor.errors import SdorError
from sdor.running import records
from sdor.running.records import (
    RECORDS,
    adopt,
    bring_back,
    miss,
    note_times,
    read_record,
    remember,
    settle,
    sha256_of,
    take_over,
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


def test_a_changed_byte_is_found_and_the_file_is_set_aside():
    Path(FRAMES).write_text("frameZ")
    before = mtime(FEATURES)
    for _ in range(2):
        assert settle(repair=False).damaged == [FRAMES]
        assert Path(FRAMES).read_text() == "frameZ"
        # What a dry run then plans is what is left to do once it is made again.
        assert mtime(FRAMES) < before
    found = settle()
    assert found.damaged == found.to_make == [FRAMES]
    assert not Path(FRAMES).exists()
    assert Path(f"{FRAMES}.damaged").read_text() == "frameZ"
    # It is told once, and stays to be made until it is there.
    again = settle()
    assert (again.damaged, again.to_make, again.missing) == ([], [FRAMES], [FRAMES])
    make(FRAMES, "frames")
    assert mtime(FRAMES) > before
    assert settle() == records.Settled(recorded=2)
    assert mtime(FRAMES) < mtime(FEATURES) == before


def test_what_was_made_again_otherwise_keeps_its_new_time():
    Path(FRAMES).unlink()
    settle()
    make(FRAMES, "other frames")
    settle()
    assert mtime(FRAMES) > mtime(FEATURES)
    # The same content from other inputs: it must be seen to have followed them.
    Path(FEATURES).unlink()
    settle()
    make(FEATURES, "features", inputs=[FRAMES])
    settle()
    assert mtime(FEATURES) > mtime(FRAMES)


def test_what_was_made_again_keeps_its_time_where_all_that_follows_was_too():
    before = mtime(FEATURES)
    Path(FRAMES).unlink()
    settle()
    make(FRAMES, "frames")
    make(FEATURES, "features", inputs=[FRAMES])
    assert settle() == records.Settled(recorded=2)
    assert before < mtime(FRAMES) < mtime(FEATURES)


def test_what_was_made_again_gets_its_time_back_for_followers_of_unknown_making():
    for path in (FRAMES, FEATURES):
        (RECORDS / Path(path).relative_to("results").parent / f"{Path(path).name}.json").unlink()
    adopt({FRAMES, FEATURES}.__contains__)
    before = mtime(FRAMES)
    Path(FRAMES).unlink()
    settle()
    make(FRAMES, "frames")
    settle()
    assert mtime(FRAMES) == before


def test_damage_after_it_was_made_again_is_not_hidden_by_its_earlier_time():
    Path(FRAMES).unlink()
    settle()
    make(FRAMES, "frames")
    Path(FRAMES).write_text("frameZ")
    assert settle().damaged == [FRAMES]


def test_links_to_nowhere_are_damaged_or_nothing():
    Path(FRAMES).unlink()
    Path(FRAMES).symlink_to("nowhere")
    Path("results/yard/other").symlink_to("nowhere")
    assert settle().damaged == [FRAMES]
    assert adopt(lambda _: True) == ["results/yard"]


def test_a_damaged_file_that_came_back_from_a_backup_is_taken():
    before = mtime(FRAMES)
    Path(FRAMES).write_text("frameZ")
    settle()
    Path(FRAMES).write_text("frames")
    for _ in range(2):
        assert settle() == records.Settled(recorded=2)
        assert mtime(FRAMES) == before


def test_a_deleted_file_is_missing_and_made_again_only_if_it_is_missed():
    Path(FRAMES).unlink()
    found = settle()
    assert (found.missing, found.to_make, found.recorded) == ([FRAMES], [], 1)
    miss(found.missing)
    assert settle().to_make == [FRAMES]


def test_a_file_that_the_disk_does_not_give_back_is_damaged(monkeypatch):
    def fail(_):
        raise OSError(number, os.strerror(number))

    os.utime(FRAMES)
    monkeypatch.setattr(records, "file_sha256", fail)
    number = errno.EACCES
    with pytest.raises(SdorError, match=r"a\.npy: cannot be read \(Permission denied\)"):
        settle()
    number = errno.EIO
    assert settle().damaged == [FRAMES]


def test_what_a_person_touches_is_taken_as_it_is():
    Path(FRAMES).write_text("mine")
    take_over([FRAMES], [])
    take_over([FEATURES], [FRAMES])
    assert settle() == records.Settled(recorded=2)
    assert read_record(FEATURES).made_from == {FRAMES: sha256_of(FRAMES)}
    assert read_record(FEATURES).about == {"stage": "test"}


def test_times_that_a_file_system_rounds_are_noted(monkeypatch):
    exact = records._set_time
    monkeypatch.setattr(records, "_set_time", lambda path, ns: exact(path, ns // 10**9 * 10**9))
    os.utime(FRAMES)
    settle()
    monkeypatch.setattr(records, "file_sha256", None)  # nothing is read a second time
    assert settle() == records.Settled(recorded=2)


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
    assert settle().mixed == []
    Path(pair[0]).write_text(kept[0])
    (RECORDS / "yard" / "model.json").write_text(record)
    found = settle()
    assert found.mixed == found.to_make == pair


def test_times_to_come_become_the_present_in_their_order():
    later = time.time_ns() + DAY
    for place, path in enumerate((FRAMES, FEATURES)):
        os.utime(path, ns=(later + place, later + place))
    note_times([FRAMES, FEATURES])
    assert settle().from_the_future == 2
    assert mtime(FRAMES) < mtime(FEATURES) <= time.time_ns()
    assert settle().from_the_future == 0
    # The clock is set back before a stage that reads the second alone: their order stays.
    for place, path in enumerate((FRAMES, FEATURES)):
        os.utime(path, ns=(later + place, later + place))
    note_times([FRAMES, FEATURES])
    bring_back([FEATURES, "data/video.avi"])
    assert mtime(FRAMES) < mtime(FEATURES) <= time.time_ns()


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


def test_a_broken_record_is_told_and_written_anew():
    broken = RECORDS / "yard" / "frames" / "a.npy.json"
    broken.write_text(broken.read_text().replace("[", "null, [").replace("null, [", "null", 1))
    assert read_record(FRAMES) is None
    broken.write_text("{")
    Path("results/yard/frames/notes.txt").write_text("mine")
    assert read_record(FRAMES) is None
    found = settle()
    assert (found.unreadable, found.damaged) == ([FRAMES], [])
    assert adopt(lambda path: path.endswith("y")) == [FRAMES]
    assert settle() == records.Settled(recorded=2)
    assert adopt(lambda path: path.endswith("y")) == []
    # Of a file that is gone, it is of no use.
    (RECORDS / "yard" / "frames" / "a.npy.json").write_text("{")
    Path(FRAMES).unlink()
    assert settle() == settle() == records.Settled(recorded=1)


def test_a_lost_record_is_taken_from_what_was_made_with_it():
    pair = ["results/yard/model", "results/yard/scores"]
    for path in pair:
        Path(path).write_text("content")
    write_records(pair, [FRAMES], {"stage": "train"})
    before = read_record(pair[0])
    (RECORDS / "yard" / "model.json").unlink()
    assert adopt(pair.__contains__) == pair[:1]
    assert read_record(pair[0]) == before
    assert settle().mixed == []


def test_folders_are_recorded_as_a_whole_and_by_products_not_at_all():
    for name in ("yard/masks/1.png", "logs/a.log", "benchmarks/a.tsv"):
        path = Path("results") / name
        path.parent.mkdir(parents=True)
        path.write_text("one")
    outputs = {"results/yard/masks", "results/yard/masks/1.png"}
    products = {"results/logs/a.log", "results/benchmarks/a.tsv"}
    assert adopt((outputs | products).__contains__) == ["results/yard/masks"]
    assert set(remember()) == {FRAMES, FEATURES, "results/yard/masks"}
