"""Marks as CSV, of a page or by hand: what is read, which line holds, and what is refused."""

import csv
import re
from dataclasses import replace

import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.method.marks import (
    HEADER,
    Mark,
    csv_of,
    gone_marks,
    gone_words,
    lengths_of,
    parsed,
    read_marks,
    seen_clips,
    widened,
)

CLIPS = pd.DataFrame({"clip": ["gate", "yard"], "frames": [100, 50]})
MARK = Mark(
    id="m1",
    at="2026-03-01T10:00:00+00:00",
    by="kim",
    event="e1",
    clip="gate",
    frame=30,
    first=20,
    last=40,
    time=1.25,
    label="anomaly",
    ranking="r1",
    note="a cart",
)


def read(folder, *texts, clips=CLIPS):
    paths = [folder / f"round{number}.csv" for number in range(1, len(texts) + 1)]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_marks(paths, clips)


def labels(marks):
    return {(one.clip, one.frame): one.label for one in marks.itertuples()}


def test_a_page_s_line_has_all_that_is_learnt_from(tmp_path):
    marks = read(tmp_path, HEADER + csv_of([MARK]))
    assert marks.to_dict("records") == [
        {
            "clip": "gate",
            "frame": 30,
            "first": 20,
            "last": 40,
            "time": 1.25,
            "label": 1,
            "event": "e1",
            "round": 1,
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        "clip,frame,label\ngate,3,normal\nyard,4,anomaly\n",
        "clip,frame,label\ngate,3,normal\nyard,4,anomaly",
        b"\xef\xbb\xbfclip,frame,label\r\ngate,3,normal\r\nyard,4,anomaly\r\n",
        ' Clip , FRAME, "label"\n\n gate , 3 , Normal \n,,\nyard,4, anomaly\n\n',
        'note,label,frame,clip\n"well, no",normal,3,gate\n,anomaly,4,yard\n',
    ],
)
def test_three_columns_by_hand_are_enough(tmp_path, text):
    marks = read(tmp_path, text)
    assert labels(marks) == {("gate", 3): 0, ("yard", 4): 1}
    assert (marks["first"] == marks["frame"]).all()
    assert (marks["last"] == marks["frame"]).all()
    assert marks["time"].isna().all()


def test_without_marks_the_columns_are_there(tmp_path):
    some = read(tmp_path, HEADER + csv_of([MARK]))
    for none in (read(tmp_path), read(tmp_path, ""), read(tmp_path, HEADER)):
        assert none.empty
        assert none.dtypes.equals(some.dtypes)


@pytest.mark.parametrize("text", ["", "\n", "clip,frame,label\n", "\ufeff" + HEADER])
def test_a_person_s_round_without_marks_is_refused(tmp_path, text):
    path = tmp_path / "round1.csv"
    path.write_text(text)
    with pytest.raises(SdorError, match=r"round1\.csv: holds no marks; write some into it .*take"):
        read_marks([path], CLIPS, may_be_empty=False)
    path.write_text("clip,frame,label\ngate,3,skip\n")
    assert read_marks([path], CLIPS, may_be_empty=False).empty


def test_the_last_line_about_an_event_holds_and_the_later_round(tmp_path):
    again = replace(MARK, id="m2", label="normal")
    assert labels(read(tmp_path, HEADER + csv_of([MARK, again]))) == {("gate", 30): 0}
    for word in ("none", "skip"):
        taken_back = replace(MARK, id="m2", label=word)
        other = replace(MARK, id="m3", event="e2", frame=31)
        first, second = HEADER + csv_of([MARK, other]), HEADER + csv_of([taken_back])
        assert labels(read(tmp_path, HEADER + csv_of([MARK, taken_back]))) == {}
        assert labels(read(tmp_path, first, second)) == {("gate", 31): 1}
    later = read(tmp_path, HEADER + csv_of([MARK]), HEADER + csv_of([replace(again, frame=35)]))
    assert labels(later) == {("gate", 35): 0}
    assert later["round"].tolist() == [2]
    by_hand = read(tmp_path, HEADER + csv_of([MARK]), "clip,frame,label\ngate,30,normal\n")
    assert labels(by_hand) == {("gate", 30): 0}


def test_a_page_s_marks_of_clips_that_a_recorder_deleted_are_left_out_and_counted(tmp_path, caplog):
    gone = replace(MARK, id="m2", event="e2", clip="old", last=900)
    back = replace(gone, id="m3", event="e3", label="none")
    assert labels(read(tmp_path, HEADER + csv_of([gone, back, MARK]))) == {("gate", 30): 1}
    assert caplog.messages == ["1 mark is of a clip that is gone"]
    assert gone_marks([tmp_path / "round1.csv"], CLIPS) == 1
    assert gone_words(3) == "3 marks are of clips that are gone"


def test_marks_by_hand_of_clips_that_were_seen_once_are_left_out_too(tmp_path):
    seen = tmp_path / "watch/clips.json"
    assert seen_clips(seen, ["gate", "old"]) == {"gate", "old"}
    assert seen_clips(seen, ["yard"]) == {"gate", "old", "yard"}  # another list has been made
    path = tmp_path / "round1.csv"
    path.write_text("clip,frame,label\nold,900,anomaly\ngate,3,normal\n")
    assert labels(read_marks([path], CLIPS, seen_clips(seen, []))) == {("gate", 3): 0}
    assert gone_marks([path], CLIPS, seen_clips(seen, [])) == 1
    path.write_text("clip,frame,label\ngate,3,normal\nolt,900,anomaly\n")
    with pytest.raises(SdorError, match=r"round1\.csv: line 3: clip: there is no olt; mend"):
        read_marks([path], CLIPS, seen_clips(seen, []))
    for damaged in ("", "3", "[[]"):
        seen.write_text(damaged)
        assert seen_clips(seen, ["gate"]) == {"gate"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clip;frame;label\ngate;3;normal\n", "line 1: no column clip; separate the cells by com"),
        ("clip,frame\ngate,3\n", "line 1: no column label; the first line names the columns"),
        ("gate,3,normal\n", "line 1: no column clip; the first line names the columns"),
        ("clip,frame,label\n\ngate,3,odd\n", "line 3: label: 'odd' is not one of anomaly, normal"),
        ("clip,frame,label\ngate,0,normal\n", "line 2: frame: '0' is no frame"),
        ("clip,frame,label\ngate,2.5,normal\n", "line 2: frame: '2.5' is no frame"),
        ("clip,frame,label\ngate,²,normal\n", "line 2: frame: '²' is no frame"),
        ("clip,frame,label\n,2,normal\n", "line 2: clip: name one"),
        ("clip,frame,label\ngate,2\n", "line 2: label: '' is not one of"),
        ("clip,frame,label\nfence,2,normal\n", "line 2: clip: there is no fence; mend the name"),
        ("clip,frame,label\ngate,101,normal\n", "line 2: frame: 101, and clip gate has 100 frames"),
        ("clip,frame,last,label\ngate,9,101,normal\n", "line 2: last: 101, and clip gate has 100"),
        (
            "clip,frame,first,label\ngate,9,10,normal\n",
            "line 2: frame: 9 is not between first",
        ),
        ("clip,frame,time,label\ngate,9,nan,normal\n", "line 2: time: 'nan' is no number of sec"),
        ("clip,frame,label,note\ngate,9,normal,a,b\n", "line 2: 5 cells under 4 columns; put a"),
        ('clip,frame,label\ngate,9,"normal"x\n', "line 2: .*; mend the line"),
        (
            "clip,frame,label\ngate,9,normal\ngate,9,anomaly\n",
            "line 3: clip gate, frame 9: anom",
        ),
        (
            "clip,frame,label,event\ngate,9,normal,a\ngate,9,anomaly,b\n",
            "line 3: .* and line 2 s",
        ),
        ("clip,frame,label\n".encode("utf-16"), "not text in UTF-8; save it as CSV in UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, text, words):
    with pytest.raises(SdorError, match=f"^{re.escape(str(tmp_path))}/round1.csv: {words}"):
        read(tmp_path, text)


def test_a_file_that_is_gone_is_one_line(tmp_path):
    with pytest.raises(SdorError, match=r"round1\.csv: cannot be read \(No such file"):
        read_marks([tmp_path / "round1.csv"], CLIPS)


def test_no_cell_is_a_formula_and_each_reads_as_it_was(tmp_path):
    notes = ['=HYPERLINK("x")', "+1", "-1", "@a", "'=1", "''@", "'tis", 'say "no", twice', "ünï"]
    marks = [replace(MARK, id=f"-{n}", by="=b", note=note) for n, note in enumerate(notes)]
    text = HEADER + csv_of(marks)
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert [mark for _, mark in parsed(text, tmp_path)] == marks


def test_a_mark_is_one_line_whatever_its_note(tmp_path):
    hostile = replace(MARK, note='a\nb\r\n"c"\x00\u2028d\ud800', by="\t=1\n")
    text = HEADER + csv_of([hostile])
    assert text.count("\n") == 2
    assert len(text.splitlines()) == 2
    assert [mark for _, mark in parsed(text, tmp_path)] == [
        replace(hostile, note='a b "c" d?', by="=1")
    ]


def test_a_mark_stands_for_the_frames_around_it(tmp_path):
    index = pd.DataFrame({"clip": ["gate"] * 12 + ["yard"] * 4})
    index["frame"] = [*range(1, 13), *range(1, 5)]
    assert lengths_of(index).to_numpy().tolist() == [["gate", 12], ["yard", 4]]
    rounds = "clip,frame,label\nyard,4,normal\ngate,2,anomaly\ngate,6,normal\n"
    later = "clip,frame,label\ngate,7,anomaly\ngate,11,anomaly\n"
    marks = widened(read(tmp_path, rounds, later, clips=lengths_of(index)), index, 2)
    # Gate 4 lies in the middle of 2 and 6; 7 was marked itself, 8 belongs to 6 of the first round.
    of_gate = marks[marks["clip"] == "gate"].set_index("frame").sort_index()
    assert of_gate["label"].tolist() == [1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1]
    assert of_gate.index[of_gate["picked"]].tolist() == [2, 6, 7, 11]
    assert of_gate.index[of_gate["round"] == 2].tolist() == [7, 9, 10, 11, 12]
    assert marks.loc[marks["clip"] == "yard", "frame"].tolist() == [2, 3, 4]
    assert marks["round"].is_monotonic_increasing


def test_of_frames_of_which_some_are_looked_at_the_nearest_is_marked(tmp_path):
    index = pd.DataFrame({"clip": "gate", "frame": [1, 11, 21, 31]})
    rounds = "clip,frame,label\ngate,9,anomaly\ngate,28,anomaly\n"
    later = "clip,frame,label\ngate,30,normal\n"
    marks = widened(read(tmp_path, rounds, later, clips=lengths_of(index)), index, 10)
    assert dict(zip(marks["frame"], marks["label"], strict=True)) == {1: 1, 11: 1, 21: 1, 31: 0}
