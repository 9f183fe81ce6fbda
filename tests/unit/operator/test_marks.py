"""Marks are on the disk when the answer is given, once each, whoever is killed meanwhile."""

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import sdor
from sdor.errors import SdorError
from sdor.method.marks import HEADER, Mark, csv_of, read_marks
from sdor.operator.marks import MarkBook, OtherRoundError

MARK = Mark(id="m1", event="e1", clip="gate", frame=30, first=20, last=40, label="anomaly")

# Forks a writer that says on its standard output which marks it was told are written, kills it, and
# forks the next, which begins with the mark that nobody was told of. Two write in turn at a time.
WRITERS = """
import os, random, signal, sys, time
from pathlib import Path
from sdor.method.marks import Mark
from sdor.operator.marks import MarkBook, OtherRoundError

folder, kills = Path(sys.argv[1]), int(sys.argv[2])

def write(name, begin, told):
    book = MarkBook(folder)
    for number in range(begin, 10**9):
        ids = [f"{name}-{number}-{part}" for part in range(3)]
        book.append(
            Mark(id=one, event=one, clip="gate", frame=1, first=1, last=1, label="normal",
                 note="n" * 3000) for one in ids
        )
        os.write(told, "".join(f"{one}\\n" for one in ids).encode())

told = {"a": [], "b": []}
for turn in range(kills):
    started = {}
    for name in told:
        out, into = os.pipe()
        if not (child := os.fork()):
            try:
                write(name, len(told[name]) // 3, into)
            finally:
                os._exit(1)
        os.close(into)
        started[name] = child, out
    time.sleep(random.uniform(0.005, 0.06))
    for name, (child, out) in started.items():
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(out) as file:
            told[name] += file.read().splitlines()
print("\\n".join(told["a"] + told["b"]))
"""


def ids(book):
    return [mark.id for mark in book.lines()]


def test_what_was_acknowledged_outlives_fifty_kills_and_nothing_is_doubled(tmp_path):
    command = [sys.executable, "-c", WRITERS, str(tmp_path), "25"]
    environment = {**os.environ, "PYTHONPATH": str(Path(sdor.__file__).parents[1])}
    written = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=environment, text=True
    )
    told = written.stdout.split()
    found = Counter(ids(MarkBook(tmp_path)))
    assert len(told) > 50
    assert set(told) <= set(found)
    assert set(found.values()) == {1}


def test_a_torn_line_is_cut_off_and_nothing_else(tmp_path):
    book = MarkBook(tmp_path)
    marks = [
        MARK,
        replace(MARK, id="m2", event="e2", note='"no", she said'),
        replace(MARK, id="m3"),
    ]
    book.append(marks)
    whole = book.path.read_bytes()
    for size in range(0, len(whole), 5):
        book.path.write_bytes(whole[:size])
        left = MarkBook(tmp_path)
        assert ids(left) == ["m1", "m2", "m3"][: max(whole[:size].count(b"\n") - 1, 0)]
        left.append(marks)
        assert book.path.read_bytes() == whole


def test_a_mark_that_comes_twice_is_written_once(tmp_path):
    book = MarkBook(tmp_path)
    book.append([MARK, MARK])
    book.append([replace(MARK, id=" m1\n"), replace(MARK, id="m2")])
    MarkBook(tmp_path).append([MARK])
    assert ids(book) == ["m1", "m2"]
    assert book.path.read_text() == HEADER + csv_of([MARK, replace(MARK, id="m2")])


def test_two_books_see_each_other_s_marks_and_rounds(tmp_path):
    one, other = MarkBook(tmp_path), MarkBook(tmp_path)
    assert one.marks() == other.marks() == one.rounds() == []
    assert not tmp_path.joinpath("open.csv").exists()
    one.append([MARK])
    other.append([replace(MARK, id="m2", event="e2")])
    one.append([replace(MARK, id="m3", label="normal")])
    assert [(mark.event, mark.label) for mark in other.marks()] == [
        ("e2", "anomaly"),
        ("e1", "normal"),
    ]
    other.append([replace(MARK, id="m4", event="e2", label="none")])
    assert [mark.id for mark in one.marks()] == ["m3"]
    assert ids(one) == ["m1", "m2", "m3", "m4"]
    path = one.finish()
    assert path == tmp_path / "round1.csv"
    assert other.marks() == []
    other.append([replace(MARK, id="m1", event="e5")])
    assert [mark.event for mark in one.marks()] == ["e5"]
    assert one.rounds() == other.rounds() == [path]


def test_a_round_is_finished_with_marks_only_and_overwrites_none(tmp_path):
    book = MarkBook(tmp_path)
    with pytest.raises(SdorError, match=r"open\.csv: nothing is marked as an anomaly or as normal"):
        book.finish()
    book.append([replace(MARK, label="skip")])
    book.append([replace(MARK, id="m2"), replace(MARK, id="m3", label="none")])
    with pytest.raises(SdorError, match="nothing is marked"):
        book.finish()
    others = [tmp_path / f"round{number}.csv" for number in (1, 2)]
    for path in others:
        path.write_text("by hand")
    book.append([replace(MARK, id="m4")], 3)
    for act in (book.finish, partial(book.append, [replace(MARK, id="m5")])):
        with pytest.raises(OtherRoundError, match=r"round 2 is .*/round2\.csv\); round 3 is op"):
            act(2)
    with pytest.raises(OtherRoundError, match=r"round 4 is not open: .* and round 3 is; put them"):
        book.finish(4)
    assert book.finish(3) == tmp_path / "round3.csv"
    assert [path.read_text() for path in others] == ["by hand"] * 2
    assert book.rounds() == [*others, tmp_path / "round3.csv"]
    (tmp_path / "round7.csv").write_text("")
    with pytest.raises(SdorError, match=r"there is no round4\.csv"):
        book.append([replace(MARK, id="m6")], 4)


def test_a_round_that_could_not_be_learnt_from_is_not_finished(tmp_path):
    book = MarkBook(tmp_path)
    book.append([MARK, replace(MARK, id="m2", event="e2", label="normal")])
    with pytest.raises(SdorError, match=r"open\.csv: line 3: .*: normal, and line 2 says"):
        book.finish()
    assert len(book.marks()) == 2


def test_a_file_by_hand_gets_all_columns_with_the_next_mark(tmp_path):
    book = MarkBook(tmp_path)
    text = "clip,frame,label\r\ngate,3,normal\r\ngate,4,anomaly"
    book.path.write_text(text)
    assert [mark.frame for mark in book.marks()] == [3, 4]
    assert book.path.read_bytes() == text.encode()
    book.append([MARK])
    assert [mark.frame for mark in MarkBook(tmp_path).marks()] == [3, 4, 30]
    assert book.path.read_text().startswith(HEADER)
    marks = read_marks([book.finish()], pd.DataFrame({"clip": ["gate"], "frames": [50]}))
    assert marks["label"].tolist() == [0, 1, 1]


def test_wrong_lines_are_named_and_nothing_is_written(tmp_path):
    book = MarkBook(tmp_path / "gate")
    with pytest.raises(SdorError, match="label: 'odd' is not one of"):
        book.append([MARK, replace(MARK, id="m2", label="odd")])
    assert not book.folder.exists()
    book.append([MARK])
    with book.path.open("a") as file:
        file.write("one,two\n")
    for action in (book.marks, book.finish, lambda: book.append([replace(MARK, id="m2")])):
        with pytest.raises(SdorError, match=r"open\.csv: line 3: label: '' is not one of"):
            action()


def test_a_disk_that_is_full_takes_a_mark_whole_or_not_at_all(tmp_path, monkeypatch):
    book = MarkBook(tmp_path)
    book.append([MARK])
    whole, write = book.path.read_bytes(), os.write

    def full(handle, content):
        if len(content) <= 5:
            raise OSError(28, "No space left on device")
        return write(handle, content[:-5])

    with monkeypatch.context() as patched:
        patched.setattr("sdor.operator.marks.os.write", full)
        with pytest.raises(SdorError, match=r"open\.csv: cannot write here \(No space left"):
            book.append([replace(MARK, id="m2")])
    assert book.path.read_bytes() == whole
    book.append([replace(MARK, id="m2")])
    assert ids(book) == ["m1", "m2"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "feedback").write_text("")
    with pytest.raises(SdorError, match=r"feedback/gate/\.lock: cannot write here"):
        MarkBook(tmp_path / "feedback" / "gate").append([MARK])


def test_a_mark_among_ten_thousand_takes_no_longer_than_a_key_may(tmp_path):
    book = MarkBook(tmp_path)
    book.append(replace(MARK, id=str(number), event=str(number)) for number in range(10_000))
    took = []
    for number in range(20):
        began = time.perf_counter()
        book.append([replace(MARK, id=f"m{number}", event=f"e{number}")])
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.02
    assert len(book.marks()) == 10_020


def test_who_may_not_write_the_folder_reads_its_whole_lines_and_changes_nothing(tmp_path):
    MarkBook(tmp_path).append([MARK])
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").mkdir()  # like another user's, it cannot be opened
    path = tmp_path / "open.csv"
    whole = path.read_bytes()
    path.write_bytes(whole + b"m2,at,")  # which another process is writing
    book = MarkBook(tmp_path)
    assert ids(book) == ["m1"]
    assert path.read_bytes() == whole + b"m2,at,"
    with pytest.raises(SdorError, match="cannot write here"):
        book.append([replace(MARK, id="m3")])
