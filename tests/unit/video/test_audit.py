import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from sdor.errors import SdorError
from sdor.study.scenes import (
    Clip,
    FrameTable,
    GroundTruth,
    Ranges,
    RangeTable,
    Rectangle,
    Scene,
    UcsdList,
    load_scene,
)
from sdor.video.audit import audit
from sdor.video.frames import View, clips_table, extract_frames
from sdor.video.labels import LabelTables, frame_labels, parse_ucsd

SCENES = Path(__file__).parents[3] / "config" / "scenes"


def save_images(folder: Path, values: list[int], size: tuple[int, int] = (6, 4)) -> Path:
    folder.mkdir()
    for number, value in enumerate(values, start=1):
        Image.new("L", size, value).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Ten frames of 6x4 pixels."""
    folder = save_images(tmp_path / "Test001", [50] * 10)
    return Clip(name="Test001", kind="images", path=folder, source="Test001")


def tables_of(
    counts: dict[str, int],
    times: dict[str, Sequence[float]] | None = None,
    size: tuple[int, int] = (6, 4),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was read: a row a clip, and a row a frame; times are unknown if not given."""
    width, height = size
    clips = [
        {"clip": name, "frames": count, "width": width, "height": height}
        for name, count in counts.items()
    ]
    rows = [
        {"clip": name, "frame": frame + 1, "time": times[name][frame] if times else np.nan}
        for name, count in counts.items()
        for frame in range(count)
    ]
    return pd.DataFrame(clips), pd.DataFrame(rows)


def labels_of(
    clip: Clip, truth: GroundTruth, count: int = 10, times: Sequence[float] | None = None
) -> list[int]:
    scene = Scene(name="gate", root=clip.path.parent, clips=(replace(clip, ground_truth=truth),))
    found = tables_of({clip.name: count}, times and {clip.name: times})
    table, _ = audit(scene, *found)
    assert table["frame"].tolist() == list(range(1, count + 1))
    assert set(table["clip"]) == {clip.name}
    assert table["anomalous"].dtype == np.int8
    return table["anomalous"].tolist()


def refused(
    clip: Clip, truth: GroundTruth, count: int = 10, times: Sequence[float] | None = None
) -> str:
    with pytest.raises(SdorError) as error:
        labels_of(clip, truth, count, times)
    message = str(error.value)
    assert message.startswith("clip Test001: ")
    assert "\n" not in message
    return message


def labels_or_words(
    clip: Clip, truth: GroundTruth, count: int, times: Sequence[float] | None = None
) -> list[int] | str:
    try:
        return labels_of(clip, truth, count, times)
    except SdorError as error:
        return str(error)


def test_ranges_are_inclusive_and_may_be_open(clip):
    assert labels_of(clip, GroundTruth(Ranges(()))) == [0] * 10
    assert labels_of(clip, GroundTruth(Ranges(((2, 3), (9, None))))) == [
        0,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
        1,
        1,
    ]


def test_source_numbering_counts_from_the_range_of_the_clip(clip):
    part = replace(clip, first=101, last=110)
    truth = GroundTruth(Ranges(((101, 102), (110, None))), numbering="source")
    assert labels_of(part, truth) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    message = refused(part, GroundTruth(Ranges(((0, 102),)), numbering="source"))
    assert "expected ranges within frames 1 to end, found 0 to 102" in message


# Of 30 frames: one range in each third, one over the edge of the first two, one to the end.
WHOLE_VIDEO = ((3, 4), (9, 12), (15, 15), (25, None))
THIRDS = {
    1: [0, 0, 1, 1, 0, 0, 0, 0, 1, 1],
    11: [1, 1, 0, 0, 1, 0, 0, 0, 0, 0],
    21: [0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
}


@pytest.mark.parametrize("first", THIRDS)
def test_labels_of_a_whole_video_serve_each_part_of_it(clip, tmp_path, first):
    ranges = tmp_path / "ranges.csv"
    ranges.write_text("from,to\n3,4\n9,12\n15,15\n25,\n")
    rows = tmp_path / "rows.csv"
    every = [label for third in THIRDS.values() for label in third]
    rows.write_text("n,is\n" + "".join(f"{n},{label}\n" for n, label in enumerate(every, 1)))
    last = None if first == 21 else first + 9
    part = replace(clip, first=first, last=last)
    for labels in (
        Ranges(WHOLE_VIDEO),
        RangeTable(ranges, "from", "to", ()),
        FrameTable(rows, "n", "is"),
    ):
        truth = GroundTruth(labels, numbering="source")
        assert labels_of(part, truth) == THIRDS[first]


def test_range_over_a_whole_part_fills_it(clip):
    part = replace(clip, first=11, last=20)
    for limits in ((5, 25), (5, None), (11, 20)):
        assert labels_of(part, GroundTruth(Ranges((limits,)), numbering="source")) == [1] * 10


@pytest.mark.parametrize("limits", [(25, 31), (31, None), (31, 40)])
def test_ranges_beyond_the_end_of_the_video_are_refused(clip, limits):
    part = replace(clip, first=21)
    message = refused(part, GroundTruth(Ranges((limits,)), numbering="source"))
    assert f"expected ranges within frames 1 to 30, found {limits[0]} to " in message


@pytest.mark.parametrize("limits", [(5, 11), (11, None), (11, 12)])
def test_ranges_beyond_the_clip_are_refused(clip, limits):
    message = refused(clip, GroundTruth(Ranges((limits,))))
    assert f"expected ranges within frames 1 to 10, found {limits[0]} to " in message


def test_ucsd_list_gives_each_clip_its_entry(clip, tmp_path):
    path = tmp_path / "list.m"
    path.write_text(
        "TestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [1:2, 5];\n"
        "TestVideoFile{end+1}.gt_frame = [10];\n"
    )
    one, two = (UcsdList(path, place, (1, 2)) for place in (1, 2))
    assert labels_of(clip, GroundTruth(one)) == [1, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    assert labels_of(clip, GroundTruth(two)) == [0] * 9 + [1]
    message = refused(clip, GroundTruth(UcsdList(path, 1, (1, 2, 3))))
    assert "list.m: expected 3 entries (one a clip), found 2" in message
    path.write_text("TestVideoFile{end+1}.gt_frame = [5:11];")
    message = refused(clip, GroundTruth(UcsdList(path, 1, (None,))))
    assert "list.m, entry 1: expected ranges within frames 1 to 10, found 5 to 11" in message


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[61:180]", [(61, 180)]),
        ("[5:90, 140:200]", [(5, 90), (140, 200)]),
        ("[5:90 140:200];", [(5, 90), (140, 200)]),
        ("[ 5 : 90 ; 7 ]", [(5, 90), (7, 7)]),
        ("5:90;", [(5, 90)]),
        ("[5:90, ... the first\n 140:200]; % and a remark [1:2]", [(5, 90), (140, 200)]),
        ("[]", []),
    ],
)
def test_matlab_ranges_as_people_write_them(tmp_path, written, expected):
    path = tmp_path / "list.m"
    path.write_text(f"x = {{}};\nx{{end+1}}.gt_frame = {written}\n% x{{end+1}}.gt_frame = [1:2];\n")
    assert parse_ucsd(path) == [expected]


@pytest.mark.parametrize("written", ["[5:2]", "[a:9]", "[1:2:9]", "[0:4]", "[-1]", "[1.5]"])
def test_other_matlab_is_refused_by_entry(tmp_path, written):
    path = tmp_path / "list.m"
    path.write_text(f"x{{1}}.gt_frame = [1:2];\nx{{2}}.gt_frame = {written};\n")
    with pytest.raises(SdorError, match=r"list\.m: entry 2: "):
        parse_ucsd(path)
    path.write_text("% nothing here")
    with pytest.raises(SdorError, match="no gt_frame entry"):
        parse_ucsd(path)


frame_ranges = st.tuples(st.integers(1, 300), st.integers(0, 300)).map(
    lambda r: (r[0], r[0] + r[1])
)


@settings(deadline=None)
@given(st.lists(st.lists(frame_ranges), min_size=1), st.sampled_from([", ", " ", ";", " ,"]))
def test_a_written_list_is_read_back(tmp_path_factory, entries, separator):
    path = tmp_path_factory.getbasetemp() / "list.m"
    lines = [
        f"F{{end+1}}.gt_frame = [{separator.join(f'{first}:{last}' for first, last in entry)}];"
        for entry in entries
    ]
    path.write_text("\r\n".join(lines))
    assert parse_ucsd(path) == entries


def test_table_of_ranges(clip, tmp_path):
    path = tmp_path / "gt.csv"
    path.write_text("file,from,to\nTest001,2,3\nTest002,5,6\nTest001,9,\nTest001,,\n")
    table = RangeTable(path, "from", "to", (("file", "Test001"),))
    assert labels_of(clip, GroundTruth(table)) == [0, 1, 1, 0, 0, 0, 0, 0, 1, 1]
    nobody = replace(table, where=(("file", "Test003"),))
    assert "gt.csv: no row with file = Test003" in refused(clip, GroundTruth(nobody))
    other = replace(table, first="begin")
    assert "expected a column begin, found file, from, to" in refused(clip, GroundTruth(other))
    path.write_text("file,from,to\nTest001,x,3\n")
    assert "gt.csv: line 2: from: 'x' is not a frame's number" in refused(clip, GroundTruth(table))
    path.write_text("file,from,to\nTest001,4,3\n")
    assert "gt.csv: line 2: expected ranges within frames 1 to 10, found 4 to 3" in refused(
        clip, GroundTruth(table)
    )


def test_table_of_frames(clip, tmp_path):
    path = tmp_path / "gt.csv"
    rows = [f"{number},{int(number > 7)}" for number in range(1, 11)]
    truth = GroundTruth(FrameTable(path, "n", "is"))

    def write(lines: list[str]) -> None:
        path.write_text("\n".join(["n,is", *lines]))

    write(rows)
    assert labels_of(clip, truth) == [0] * 7 + [1] * 3
    write(rows[:-1])
    assert "gt.csv: expected 10 rows, one for each n from 1 to 10, found 9" in refused(clip, truth)
    write([*rows, "11,0"])
    assert "gt.csv: expected 10 rows, one for each n from 1 to 10, found 11" in refused(clip, truth)
    write([*rows[:4], "6,0", *rows[5:]])
    assert "gt.csv: line 6: expected n 5, found 6" in refused(clip, truth)
    write([*rows[:9], "10,2"])
    assert "line 11: expected 0 or 1 in is, found '2'" in refused(clip, truth)
    write([f"{number},{number == 4}" for number in range(1, 11)])
    assert labels_of(clip, truth) == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_table_of_frames_that_is_not_of_the_video_is_refused(clip, tmp_path):
    path = tmp_path / "gt.csv"
    truth = GroundTruth(FrameTable(path, "n", "is"), numbering="source")

    def write(numbers: Sequence[int]) -> None:
        path.write_text("n,is\n" + "".join(f"{number},0\n" for number in numbers))

    write(range(1, 31))
    # The clip goes to the video's end, which is at frame 20.
    message = refused(replace(clip, first=11), truth)
    assert "gt.csv: expected 10 rows, one for each n from 11 to 20, found 20" in message
    part = replace(clip, first=11, last=20)
    write([*range(1, 15), *range(16, 31)])
    assert "gt.csv: line 16: expected n 15, found 16" in refused(part, truth)
    write([*range(1, 15), 16, 15, *range(17, 31)])
    assert "gt.csv: line 16: expected n 15, found 16" in refused(part, truth)
    # Counted from 0, every label would be one frame late.
    write(range(30))
    assert "gt.csv: line 2: found n 0; frames count from 1" in refused(part, truth)


RANGE_COLUMNS = RangeTable(Path(), "from", "to", (("file", "Test001"),))
FRAME_COLUMNS = FrameTable(Path(), "n", "is")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbffile,from,to\r\nTest001,2,3\r\n",
        b"file,from,to\rTest001,2,3\r",
        b"file , from , to\n Test001 , 2 ,3 \n",
        b'"file","from","to"\n"Test001","2","3"\n',
        b"file,from,to\nTest001,2.0,3.00\n",
        b"file,from,to\nTest001,002,3\n\n,,\n  \n",
        b"\nfile,from,to,\nTest001,2,3,\n",
        b'file,from,to,remark\nTest001,2,3,"a ""runner"", late"\n',
        b",file,from,to\n0,Test001,2,3\n1,Test002,5,6\n",
        "file,from,to,wer\nTest001,2,3,Müller\n".encode(),
    ],
)
def test_tables_as_people_write_them(clip, tmp_path, text):
    path = tmp_path / "gt.csv"
    path.write_bytes(text)
    truth = GroundTruth(replace(RANGE_COLUMNS, path=path))
    assert labels_of(clip, truth) == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,from,to\nTest001,2,3,\n",
            "line 2: expected 3 cells, as the first line has, found 4",
        ),
        ("file,from,to\nTest000,1,1\nTest001,2\n", "line 3: expected 3 cells, .*, found 2"),
        ("file,from,to\nTest001, the first,2,3\n", "line 2: expected 3 cells, .*, found 4"),
        ("file,from,to,\nTest001,2,3\n", "line 2: expected 4 cells, .*, found 3"),
        ('file,from,to\n"Test001,2,3\nTest002,2,3"\n', "line 2: not a row of CSV in one line"),
        ('file,from,to\nTest001",2,3\n', "line 2: a quote"),
        ('file,from,to\n"Test001" x,2,3\n', "line 2: not a row of CSV in one line"),
        ("file,from,from,to\nTest001,2,2,3\n", "line 1: 2 columns are called from"),
        ("file;from;to\nTest001;2;3\n", "line 1: separated by ;"),
        ("file;from;to\nTest001;2,5;3,5\n", "line 1: separated by ;"),
        ("file\tfrom\tto\nTest001\t2\t3\n", "line 1: separated by tabs"),
        ("5,2,3\n6,2,3\n", "expected a column from, found 5, 2, 3; the first line must have the"),
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("file,from,to\nTest001,NaN,3\n", "line 2: from: 'NaN' is not a frame's number"),
        ("file,from,to\nTest001,2,inf\n", "line 2: to: 'inf' is not a frame's number"),
        ("file,from,to\nTest001,2,1e3\n", "line 2: to: '1e3' is not a frame's number"),
        ("file,from,to\nTest001,2,1_0\n", "line 2: to: '1_0' is not a frame's number"),
        ("file,from,to\nTest001,-2,3\n", "line 2: from: '-2' is not a frame's number"),
        ("file,from,to\nTest001,\uff12,3\n", "line 2: from: .* is not a frame's number"),
        ("file,from,to\nTest001,2.5,3\n", r"line 2: from: '2\.5' .* say unit: seconds"),
        ("file,from,to\nTest001,2," + "9" * 5000 + "\n", "line 2: to: '9999"),
        ("file,from,to\nTest001,2,99999999999\n", "line 2: expected ranges .* 2 to 99999999999"),
        ("file,from,to\nTest001,0,3\n", "found 0 to 3; frames count from 1"),
        ("file,from,to\nTest001,,3\n", "line 2: to is '3', but from is empty"),
        ("file,from,to\nTest001.avi,2,3\n", "but with Test001.avi: write it alike"),
        ("file,from,to\nset/Test001,2,3\n", "but with set/Test001: write it alike"),
        ("file,from,to\nTest002,2,3\n", "no row with file = Test001; .* say others: normal"),
    ],
)
def test_tables_that_are_not_plain_are_refused_by_line(clip, tmp_path, text, message):
    path = tmp_path / "gt.csv"
    path.write_text(text, encoding="utf-8")
    found = refused(clip, GroundTruth(replace(RANGE_COLUMNS, path=path)))
    assert re.search(message, found), found
    assert str(path) in found
    assert len(found) < 500


def bytes_of(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


NOT_TEXT = {
    "a NumPy file": bytes_of(lambda file: np.save(file, np.zeros(10))),
    "a MATLAB file": bytes_of(lambda file: savemat(file, {"gt": np.zeros(10)})),
    "as Excel and NumPy's savez write": bytes_of(lambda file: np.savez(file, gt=np.zeros(10))),
    "a Parquet file": bytes_of(pd.DataFrame({"n": [1], "is": [1]}).to_parquet),
    "text in UTF-16": "n,is\n1,0\n".encode("utf-16"),
    "a binary file": b"\x7fELF\0\0" * 10,
}


@pytest.mark.parametrize("kind", NOT_TEXT)
def test_what_is_no_text_is_said(clip, tmp_path, kind):
    path = tmp_path / "gt.csv"
    path.write_bytes(NOT_TEXT[kind])
    message = refused(clip, GroundTruth(replace(FRAME_COLUMNS, path=path)))
    assert re.search(f"not a text file .it is .*{kind}.; expected a table as text: CSV", message)
    message = refused(clip, GroundTruth(UcsdList(path, 1, (1,))))
    assert f"{kind}); expected a list in MATLAB's language" in message


def test_a_table_in_another_encoding_is_refused_by_line(clip, tmp_path):
    path = tmp_path / "gt.csv"
    truth = GroundTruth(replace(FRAME_COLUMNS, path=path))
    path.write_bytes("n,is,wer\n1,0,Meier\n2,0,Müller\n".encode("latin-1"))
    message = refused(clip, truth)
    assert message.endswith("gt.csv: line 3: not text in UTF-8; save it in UTF-8")
    path.write_bytes(b"n,is\n1,0\n\xe9")
    assert "line 3: not text in UTF-8" in refused(clip, truth)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,0\n1,0\n", "line 3: found n 1 after 1"),
        ("2,0\n1,0\n", "line 2: expected n 1, found 2"),
        ("1,0\n2,0\n1,0\n", "line 4: found n 1 after 2"),
        ("0,0\n1,0\n", "line 2: found n 0; frames count from 1"),
        ("1,nan\n", "line 2: expected 0 or 1 in is, found 'nan'"),
        ("1,\n", "line 2: expected 0 or 1 in is, found ''"),
        ("1,0.5\n", "line 2: expected 0 or 1 in is, found '0.5'"),
        ("1,-1\n", "line 2: expected 0 or 1 in is, found '-1'"),
        ("1e0,1\n", "line 2: n: '1e0' is not a frame's number"),
    ],
)
def test_rows_that_are_no_labels_of_their_frame(clip, tmp_path, rows, message):
    path = tmp_path / "gt.csv"
    path.write_text(f"n,is\n{rows}")
    assert message in refused(clip, GroundTruth(replace(FRAME_COLUMNS, path=path)))


def test_one_table_has_the_rows_of_several_clips(clip, tmp_path):
    path = tmp_path / "gt.csv"
    rows = [(name, frame) for name in ("Test001", "Test002") for frame in range(1, 11)]
    lines = [f"{name},{frame},{int(name == 'Test002')}" for name, frame in rows]
    path.write_text("\n".join(["file,n,is", *lines]))
    for name, label in (("Test001", 0), ("Test002", 1)):
        table = FrameTable(path, "n", "is", (("file", name),))
        assert labels_of(clip, GroundTruth(table)) == [label] * 10


def scene_of(clip: Clip, table: RangeTable | FrameTable, names: Sequence[str]) -> Scene:
    """Clips whose rows are those with their file's name, if the table lists them."""
    clips = []
    for name in names:
        labels = replace(table, where=(("file", f"{name}.avi"),), others_normal=True)
        clips.append(replace(clip, name=name, ground_truth=GroundTruth(labels)))
    return Scene(name="gate", root=table.path.parent, clips=tuple(clips))


def test_clips_that_a_table_does_not_list_may_be_normal(clip, tmp_path):
    path = tmp_path / "gt.csv"
    ranges, rows = replace(RANGE_COLUMNS, path=path), replace(FRAME_COLUMNS, path=path)
    path.write_text("file,from,to\na10.avi,2,3\nelsewhere.avi,1,4\na10.avi,9,\n")
    table, summary = audit(
        scene_of(clip, ranges, ["a10", "a11"]), *tables_of({"a10": 10, "a11": 10})
    )
    assert table["anomalous"].tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 1, 1] + [0] * 10
    assert summary["rows_of_no_clip"] == {f"{tmp_path.name}/gt.csv": 1}
    path.write_text("file,n,is\na10.avi,1,1\n")
    table, _ = audit(scene_of(clip, rows, ["a10", "a11"]), *tables_of({"a10": 1, "a11": 3}))
    assert table["anomalous"].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    "name",
    ["A11.avi", "a011.avi", "a11.mp4", "a11", "set/a11.avi", "a11 .avi", "\uff41\uff11\uff11.avi"],
)
def test_a_clip_is_not_normal_because_its_name_is_written_otherwise(clip, tmp_path, name):
    path = tmp_path / "gt.csv"
    path.write_text(f"file,from,to\na10.avi,2,3\n{name},2,3\n", encoding="utf-8")
    scene = scene_of(clip, replace(RANGE_COLUMNS, path=path), ["a10", "a11"])
    with pytest.raises(SdorError, match=r"clip a11: .* no row with file = a11\.avi, but"):
        audit(scene, *tables_of({"a10": 10, "a11": 10}))


def test_a_table_that_lists_no_clip_of_the_scene_is_refused(clip, tmp_path):
    path = tmp_path / "gt.csv"
    scene = scene_of(clip, replace(RANGE_COLUMNS, path=path), ["a10"])
    for text in ("file,from,to\nelsewhere.avi,1,4\n", "file,from,to\n"):
        path.write_text(text)
        with pytest.raises(SdorError, match=r"gt\.csv: no row is of a clip of this scene"):
            audit(scene, *tables_of({"a10": 10}))


THREE = "".join(f"F{{end+1}}.gt_frame = [{frame}];\n" for frame in (1, 2, 3))


@pytest.mark.parametrize(
    ("numbers", "entries"),
    [
        ((1, 2, 3), [1, 2, 3]),
        ((0, 1, 2), [1, 2, 3]),
        ((None, None, None), [1, 2, 3]),
        ((14, 15, 16), [1, 2, 3]),
        ((None, 2, None), [1, 2, 3]),
        ((3,), [3]),
        ((1, 3), [1, 3]),
        ((3, 2), [3, 2]),
    ],
)
def test_clips_of_a_list_by_place_or_by_number(clip, tmp_path, numbers, entries):
    path = tmp_path / "list.m"
    path.write_text(THREE)
    for place, entry in enumerate(entries, start=1):
        expected = [int(frame == entry) for frame in range(1, 11)]
        assert labels_of(clip, GroundTruth(UcsdList(path, place, numbers))) == expected


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((2, 3, 4), "entry 1 would be that of a clip whose name ends in 2"),
        ((1, 3, 2), "entry 2 would be that of a clip whose name ends in 3"),
        ((None, 1, None), "entry 2 would be that of a clip whose name ends in 1"),
        ((1, 2, 3, 4), r"expected 4 entries \(one a clip\), found 3"),
        ((2, 4), r"expected 2 entries \(one a clip\), found 3; .* number its name ends in"),
        ((0, 1), "expected 2 entries"),
        ((2, 2), "expected 2 entries"),
        ((None, 2), "expected 2 entries"),
        ((None,), "expected 1 entries"),
    ],
)
def test_doubtful_places_in_a_list_are_refused(clip, tmp_path, numbers, message):
    path = tmp_path / "list.m"
    path.write_text(THREE)
    for place in range(1, len(numbers) + 1):
        found = refused(clip, GroundTruth(UcsdList(path, place, numbers)))
        assert re.search(message, found), found


def test_the_whole_list_serves_some_of_the_clips(tmp_path):
    for name in ("Test002", "Test003"):
        save_images(tmp_path / name, [50] * 4)
    (tmp_path / "list.m").write_text(THREE)
    (tmp_path / "gate.yaml").write_text(
        "clips:\n  - images: Test*\n    ground_truth: {ucsd: list.m}\n"
    )
    scene = load_scene(tmp_path / "gate.yaml", tmp_path)
    table, _ = audit(scene, *tables_of({"Test002": 4, "Test003": 4}))
    assert table["anomalous"].tolist() == [0, 1, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "F{1}.gt_frame = [2:3];\nF{2}.gt_frame = [4];\n",
        "clear all; clc;\nF = {};\nF(1).gt_frame = [2:3]; F(2).gt_frame = 4\n",
        "% Stra\xdfe\nF{end+1}.gt_frame = [2:3]; % caf\xe9\nF{end + 1}.gt_frame = [4]",
        "F{end+1}.gt_frame = ...\n  [2:3];\rF{end+1}.gt_frame = [4 ...\r\n];",
    ],
)
def test_lists_as_people_write_them(tmp_path, text):
    path = tmp_path / "list.m"
    path.write_bytes(text.encode("latin-1"))
    assert parse_ucsd(path) == [[(2, 3)], [(4, 4)]]


ENTRY = "F{end+1}.gt_frame = [2];\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F{1}.gt_frame = 2\nF{3}.gt_frame = 4", "line 2: expected entry 2 of F, found 'F{3}"),
        ("F{2}.gt_frame = 2\nF{1}.gt_frame = 4", "line 1: expected entry 1 of F, found 'F{2}"),
        (f"{ENTRY}\nB{{end+1}}.gt_frame = [4];\n", "line 3: expected entry 2 of F, found 'B"),
        (f"{ENTRY}F(1) = [];\n", "line 2: 'F(1) = [];' is not understood"),
        (f"{ENTRY}F{{end}}.name = 'Test001';\n", 'line 2: "F{end}.name = '),
        (f"{ENTRY}F = {{}};\n{ENTRY}", "line 2: 'F = {};' is not understood"),
        (f"F{{end+1}}.gt_frame = [2:9;\n{ENTRY}", "entry 1: 'F{end+1}.gt_frame' is neither"),
        ("F{end+1}.gt_frame = [2:9] + 1;\n", "line 1: 'F{end+1}.gt_frame = [2:9] + 1;' is not"),
        ("file,from,to\nTest001,2,3\n", "line 1: 'file,from,to' is not understood"),
        (f"F{{1}}.gt_frame = [{'9' * 5000}];", "entry 1: '999"),
    ],
)
def test_what_is_not_understood_in_a_list_is_refused(clip, tmp_path, text, message):
    path = tmp_path / "list.m"
    path.write_text(text)
    found = refused(clip, GroundTruth(UcsdList(path, 1, (1,))))
    assert message in found
    assert len(found) < 500


# Ten frames at 30 a second, of a part of a video; rounded to milliseconds as Matroska does.
TIMES = [round(4 + frame / 30, 3) for frame in range(10)]


def seconds(*ranges: tuple[float, float | None], numbering: str = "clip") -> GroundTruth:
    return GroundTruth(Ranges(ranges), None, numbering, "seconds")


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (4.0, 4.1, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
        (4 + 1 / 30, 4 + 2 / 30, [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]),
        (4.05, 4.06667, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        (4.29, None, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        (4.2, 4.333, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]),
        (0, 4.0, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (1, 3, [0] * 10),
    ],
)
def test_ranges_in_seconds(clip, tmp_path, first, last, expected):
    part = replace(clip, first=121)
    truth = seconds((first, last), numbering="source")
    assert labels_of(part, truth, times=TIMES) == expected
    if first >= 4:
        of_clip = seconds((first - 4, None if last is None else last - 4))
        assert labels_of(part, of_clip, times=TIMES) == expected
    path = tmp_path / "gt.csv"
    path.write_text(f"from,to\n{first},{'end' if last is None else last}\n")
    table = replace(truth, labels=RangeTable(path, "from", "to"))
    assert labels_of(part, table, times=TIMES) == expected


def test_seconds_of_a_variable_rate_are_those_of_the_frames(clip):
    times = [0, 0.1, 0.2, 10, 10.1, 10.2, 41.9, 42, 42.1, 42.2]
    assert labels_of(clip, seconds((10.05, 42)), times=times) == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((0.1, 0.4), "expected ranges within seconds 0 to 0.366, found 0.1 to 0.4"),
        ((12, None), "expected ranges within seconds 0 to 0.366, found 12 to end"),
        ((0.34, None), "no frame of the clip lies within 0.34 to end seconds"),
        ((0.11, 0.12), "no frame of the clip lies within 0.11 to 0.12 seconds"),
        ((0.2, 0.1), "found 0.2 to 0.1"),
    ],
)
def test_seconds_that_do_not_fit_to_the_clip_are_refused(clip, limits, message):
    assert message in refused(clip, seconds(limits), times=TIMES)


def test_seconds_before_and_behind_a_part_are_those_of_other_parts(clip):
    part = replace(clip, first=121, last=130)
    for limits in ((0, 3.9), (5, 80), (5, None)):
        assert labels_of(part, seconds(limits, numbering="source"), times=TIMES) == [0] * 10
    between = seconds((4.11, 4.12), numbering="source")
    assert "no frame of the clip lies within" in refused(part, between, times=TIMES)


def test_seconds_hold_for_videos_as_they_are_read(tmp_path):
    """Ten frames a second, then none for 40 s, in two parts; and images whose rate is given."""
    stamps = [*range(0, 1000, 100), *range(41000, 42000, 100)]  # ms
    with av.open(str(tmp_path / "long.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10, width=16, height=16, pix_fmt="gray")
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16), 9 * number, np.uint8), "gray")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    save_images(tmp_path / "still", [50] * 5, size=(16, 16))
    (tmp_path / "gate.yaml").write_text(
        """
clips:
  - {name: one, video: long.mkv, last: 9, ground_truth: &labels
      {ranges: [[0.75, 41.25], [41.85, end]], unit: seconds, numbering: source}}
  - {name: two, video: long.mkv, first: 10, ground_truth: *labels}
  - {images: still, fps: 2, ground_truth: {ranges: [[0.5, 1.2]], unit: seconds}}
"""
    )
    scene = load_scene(tmp_path / "gate.yaml", tmp_path)
    readings = {
        clip.name: extract_frames(clip, (), View(16, 16), tmp_path / "frames.npy")
        for clip in scene.clips
    }
    clips, times, _ = clips_table(scene, readings)
    table, _ = audit(scene, clips, times)
    found = {name: rows["anomalous"].tolist() for name, rows in table.groupby("clip")}
    assert found == {
        "one": [0, 0, 0, 0, 0, 0, 0, 0, 1],
        "two": [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1],
        "still": [0, 1, 1, 0, 0],
    }


def test_seconds_need_times_and_numbers(clip, tmp_path):
    truth = seconds((0.1, 0.2))
    assert "give fps: for this clip" in refused(clip, truth)
    assert "give fps: for this clip" in refused(clip, truth, times=[*TIMES[:-1], np.nan])
    path = tmp_path / "gt.csv"
    table = replace(truth, labels=RangeTable(path, "from", "to"))
    for cell in ("0:01", "1e-1", "nan", "-1", '"0,1"', "0.1s"):
        path.write_text(f"from,to\n{cell},end\n")
        message = refused(clip, table, times=TIMES)
        assert "gt.csv: line 2: from: " in message
        assert "is not a number of seconds" in message


# A comma, quotes and a space in names, and numbers that are alike.
NAMES = ["Test001", 'a "b", c', "x y", "1"]


def written(ranges: Sequence[tuple[int, int]], name: str) -> list[list[str]]:
    """A table of a clip's ranges; each second row is another clip's."""
    rows = [["file", "from", "to", "remark"]]
    for place, (first, last) in enumerate(ranges):
        other = [one for one in NAMES if one != name][place % 3]
        rows += [[name, str(first), str(last), "a, b"], [other, "1", "400", ""]]
    return rows


def as_csv(rows: Sequence[Sequence[str]], quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows(rows)
    return text.getvalue()


some_ranges = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 39)).map(lambda r: (r[0], min(r[0] + r[1], 40))),
    min_size=1,
    max_size=4,
)
few = settings(deadline=None, derandomize=True, max_examples=60)


@few
@given(some_ranges, st.sampled_from(["clip", "source"]), st.sampled_from([25, 29.97, 12.5]))
def test_labels_come_back_equal_from_every_format(tmp_path_factory, ranges, numbering, fps):
    folder = tmp_path_factory.getbasetemp() / "formats"
    folder.mkdir(exist_ok=True)
    expected = [int(any(first <= n <= last for first, last in ranges)) for n in range(1, 41)]
    shift = 100 if numbering == "source" else 0
    here = [(first + shift, last + shift) for first, last in ranges]
    (folder / "ranges.csv").write_text(as_csv(written(here, NAMES[1])))
    rows = [["n", "is"], *([str(n + shift), str(label)] for n, label in enumerate(expected, 1))]
    (folder / "frames.csv").write_text(as_csv(rows))
    (folder / "list.m").write_text(
        f"F{{end+1}}.gt_frame = [{', '.join(f'{first}:{last}' for first, last in here)}];\n"
    )
    times = [(shift + frame) / fps for frame in range(40)]
    stamps = [((first - 1) / fps, (last - 1) / fps) for first, last in here]
    cells = [[f"{first:.6f}", f"{last:.6f}"] for first, last in stamps]
    (folder / "seconds.csv").write_text(as_csv([["from", "to"], *cells]))
    clip = Clip("part", "video", folder, "long.avi", first=1 + shift)
    for labels, unit in (
        (Ranges(tuple(here)), "frames"),
        (RangeTable(folder / "ranges.csv", "from", "to", (("file", NAMES[1]),)), "frames"),
        (FrameTable(folder / "frames.csv", "n", "is"), "frames"),
        (UcsdList(folder / "list.m", 1, (None,)), "frames"),
        (Ranges(tuple(stamps)), "seconds"),
        (RangeTable(folder / "seconds.csv", "from", "to"), "seconds"),
    ):
        truth = GroundTruth(labels, None, numbering, unit)
        assert labels_of(clip, truth, 40, times) == expected, labels


def damaged(rows: list[list[str]], quoting: Literal[0, 1]) -> Iterator[str]:
    """A table with one comma, quote or cell more or less, at every place."""
    text = as_csv(rows, quoting)
    for sign in ',"':
        for place in range(len(text)):
            # A comma within quotes makes another name, and no damage that a table could show.
            if sign == '"' or text[:place].count('"') % 2 == 0:
                yield text[:place] + sign + text[place:]
                if text[place] == sign:
                    yield text[:place] + text[place + 1 :]
    for number, row in enumerate(rows):
        for place in range(len(row)):
            for changed in (row[:place] + row[place + 1 :], [*row[:place], "7", *row[place:]]):
                yield as_csv([*rows[:number], changed, *rows[number + 1 :]], quoting)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_table_gives_the_same_labels_or_one_line(tmp_path, name, quoting):
    path = tmp_path / "gt.csv"
    # Where clips may be left out, nobody misses a row whose name is damaged.
    table = RangeTable(path, "from", "to", (("file", name),), others_normal=True)
    clip = Clip("Test001", "video", path, "long.avi", ground_truth=GroundTruth(table))
    expected = [int(frame in (3, 4, 5, 9)) for frame in range(1, 11)]
    rows = written([(3, 5), (9, 9)], name)
    answers = Counter()
    for text in (as_csv(rows, quoting), *damaged(rows, quoting)):
        path.write_text(text)
        try:
            found = frame_labels(clip, np.zeros(10), LabelTables()).tolist()
        except SdorError as error:
            found = re.fullmatch(r".*gt\.csv: line [0-9]+: .*", str(error)) and "refused"
        answers["equal" if found == expected else found or text] += 1
    assert answers.keys() == {"equal", "refused"}


@few
@given(st.binary(max_size=80), st.sampled_from([b"", b"n,is\n", b"F{end+1}.gt_frame = ["]))
def test_random_bytes_are_labels_or_one_line(tmp_path_factory, noise, beginning):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(beginning + noise)
    clip = Clip("Test001", "video", path, "long.avi")
    for labels, unit in (
        (FrameTable(path, "n", "is"), "frames"),
        (RangeTable(path, "n", "is"), "frames"),
        (RangeTable(path, "n", "is", (("n", "1"),), others_normal=True), "seconds"),
        (UcsdList(path, 1, (1,)), "frames"),
    ):
        found = labels_or_words(clip, GroundTruth(labels, unit=unit), 10, TIMES)
        assert len(found.splitlines() if isinstance(found, str) else [found]) == 1


def test_labels_go_by_the_numbers_of_images_where_one_lacks(clip, tmp_path):
    """Six frames: 005.png, the fifth, lacks among the images; among the masks too, or not."""
    for folder, values in (("holed", [50] * 6), ("all_gt", [0, 0, 0, 0, 0, 9])):
        save_images(tmp_path / folder, values)
    (tmp_path / "holed" / "005.png").unlink()
    save_images(tmp_path / "holed_gt", [0, 0, 0, 0, 9, 9])
    (tmp_path / "holed_gt" / "005.png").unlink()
    (tmp_path / "frames.csv").write_text("n,is\n1,0\n2,0\n3,0\n4,0\n5,0\n6,1\n")
    (tmp_path / "ranges.csv").write_text("from,to\n6,\n")
    (tmp_path / "list.m").write_text("F{end+1}.gt_frame = [6];")
    holed = replace(clip, path=tmp_path / "holed")
    for truth in (
        GroundTruth(Ranges(((6, None),)), tmp_path / "holed_gt"),
        GroundTruth(UcsdList(tmp_path / "list.m", 1, (1,))),
        GroundTruth(RangeTable(tmp_path / "ranges.csv", "from", "to")),
        GroundTruth(FrameTable(tmp_path / "frames.csv", "n", "is")),
        GroundTruth(None, tmp_path / "holed_gt"),
        GroundTruth(None, tmp_path / "all_gt"),
    ):
        assert labels_of(holed, truth, 6) == [0, 0, 0, 0, 0, 1], truth


def test_pixel_masks_alone_are_labels(clip, tmp_path):
    folder = save_images(tmp_path / "gt", [0] * 8 + [255, 1])
    assert labels_of(clip, GroundTruth(None, folder)) == [0] * 8 + [1, 1]


def test_disagreement_of_labels_and_masks_is_counted(clip, tmp_path):
    folder = save_images(tmp_path / "gt", [0, 0, 255, 255, 255, 0, 0, 0, 0, 0])
    labelled = replace(clip, ground_truth=GroundTruth(Ranges(((1, 4),)), folder))
    plain = replace(clip, name="Test002")
    scene = Scene(name="gate", root=tmp_path, clips=(labelled, plain))
    table, summary = audit(scene, *tables_of({"Test001": 10, "Test002": 10}))
    assert table["anomalous"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert summary == {
        "scene": "gate",
        "clips": 2,
        "labelled_clips": 1,
        "frames": 20,
        "labelled_frames": 10,
        "anomalous_frames": 4,
        "disagreements": {"Test001": {"labelled_without_mask": 2, "mask_without_label": 1}},
        "rows_of_no_clip": {},
    }
    json.dumps(summary)


def test_masks_of_another_number_or_size_are_refused(clip, tmp_path):
    few = save_images(tmp_path / "few", [255] * 9)
    message = refused(clip, GroundTruth(Ranges(()), few))
    assert message.endswith("few: expected 10 pixel masks, found 9")
    wide = save_images(tmp_path / "wide", [255] * 10, size=(7, 4))
    message = refused(clip, GroundTruth(None, wide))
    assert message.endswith("001.png: expected 6x4 pixels like the clip, found 7x4")


def test_hidden_regions_outside_of_the_picture_are_refused(clip, tmp_path):
    scene = Scene(
        name="gate",
        root=tmp_path,
        clips=(clip,),
        masks=(Rectangle(0, 0, 6, 4), Rectangle(5, 0, 2, 1)),
    )
    with pytest.raises(SdorError, match=r"clip Test001: mask x 5 to 7, .* picture of 6x4 pixels"):
        audit(scene, *tables_of({"Test001": 10}))


def test_a_clip_that_could_not_be_read_is_no_fault_of_labels(clip, tmp_path):
    scene = Scene(name="gate", root=tmp_path, clips=(clip, replace(clip, name="broken")))
    table, summary = audit(scene, *tables_of({"Test001": 10}))
    assert (len(table), summary["clips"], summary["frames"]) == (0, 1, 10)


def test_a_scene_without_labels_has_an_empty_table(clip, tmp_path):
    table, summary = audit(
        Scene(name="gate", root=tmp_path, clips=(clip,)), *tables_of({"Test001": 10})
    )
    assert list(table.columns) == ["clip", "frame", "anomalous"]
    assert len(table) == 0
    assert table["anomalous"].dtype == np.int8
    assert summary["labelled_clips"] == 0


@pytest.mark.data
def test_ped2_has_1648_anomalous_frames_and_masks_agree(data_root):
    scene = load_scene(SCENES / "ped2.yaml", data_root)
    counts = {clip.name: len(list(clip.path.iterdir())) for clip in scene.clips}
    table, summary = audit(scene, *tables_of(counts, size=(360, 240)))
    assert (len(table), table["anomalous"].sum()) == (4560, 1648)
    assert summary["disagreements"] == {}


@pytest.mark.data
def test_umn_labels_are_those_of_the_table(data_root):
    rows = (data_root / "umn" / "ground_truth.csv").read_text().split()[1:]
    known = {row.split(",")[0].removesuffix(".avi"): row.split(",") for row in rows}
    found = 0
    for name in ("umn1", "umn2", "umn3"):
        scene = load_scene(SCENES / f"{name}.yaml", data_root)
        counts = {clip.name: clip.frames or 0 for clip in scene.clips}
        table, _ = audit(scene, *tables_of(counts, size=(320, 240)))
        for clip, labels in table.groupby("clip"):
            anomalous = labels.loc[labels["anomalous"] == 1, "frame"]
            limits = [str(len(labels)), str(anomalous.min()), str(anomalous.max())]
            assert limits == known[str(clip)][2:5]
            found += 1
    assert found == len(known) == 11


@pytest.mark.data
def test_ped1_list_is_read_whole(data_root):
    entries = parse_ucsd(data_root / "UCSD_Anomaly_Dataset.v1p2/UCSDped1/Test/UCSDped1.m")
    assert len(entries) == 36
    assert entries[4] == [(5, 90), (140, 200)]
    assert sum(last - first + 1 for entry in entries for first, last in entry) == 4045
