import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from sdor.video.labels import frame_labels, parse_ucsd

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
    counts: dict[str, int], times: Sequence[float] | None = None, size: tuple[int, int] = (6, 4)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was read: a row a clip, and a row a frame; times are unknown if not given."""
    clips = pd.DataFrame({"clip": list(counts), "frames": list(counts.values())})
    rows = [
        (name, number, times[number - 1] if times else np.nan)
        for name, count in counts.items()
        for number in range(1, count + 1)
    ]
    times_table = pd.DataFrame(rows, columns=["clip", "frame", "time"]).assign(sampled=True)
    return clips.assign(width=size[0], height=size[1]), times_table


def digits(labels: Iterable[int]) -> str:
    return "".join(map(str, labels))


def answer(
    clip: Clip, truth: GroundTruth, count: int = 10, times: Sequence[float] | None = None
) -> str:
    """The labels, one digit a frame, or the line by which they are refused."""
    scene = Scene(name="gate", root=clip.path.parent, clips=(replace(clip, ground_truth=truth),))
    try:
        table, _ = audit(scene, *tables_of({clip.name: count}, times))
    except SdorError as error:
        message = str(error)
        assert message.startswith(f"clip {clip.name}: ")
        assert len(message.splitlines()) == 1
        assert len(message) < 500
        return message
    assert table["frame"].tolist() == list(range(1, count + 1))
    assert set(table["clip"]) == {clip.name}
    assert table["anomalous"].dtype == np.int8
    return digits(table["anomalous"])


@pytest.mark.parametrize(
    ("part", "ranges", "expected"),
    [
        (None, [], "0000000000"),
        (None, [(2, 3), (9, None)], "0110000011"),
        (None, [(11, None)], "expected ranges within frames 1 to 10, found 11 to end"),
        ((101, 110), [(101, 102), (110, None)], "1100000001"),
        ((101, 110), [(0, 102)], "expected ranges within frames 1 to end, found 0 to 102"),
        ((11, 20), [(5, 25)], "1111111111"),
        ((21, None), [(25, 31)], "expected ranges within frames 1 to 30, found 25 to 31"),
        ((21, None), [(31, None)], "expected ranges within frames 1 to 30, found 31 to end"),
    ],
)
def test_ranges_of_a_clip_or_of_the_video_that_it_is_a_part_of(clip, part, ranges, expected):
    if part:
        clip = replace(clip, first=part[0], last=part[1])
    truth = GroundTruth(Ranges(tuple(ranges)), numbering="source" if part else "clip")
    assert expected in answer(clip, truth)


THREE = "".join(f"F{{end+1}}.gt_frame = [{frame}];\n" for frame in (1, 2, 3))
IN_ORDER = [(1, 2, 3), (0, 1, 2), (None, None, None), (14, 15, 16)]
DOUBTFUL = [(2, 3, 4), (1, 3, 2), (None, 1, None), (1, 2, 3, 4), (2, 4), (0, 1), (2, 2), (None,)]


@pytest.mark.parametrize("numbers", [*IN_ORDER, (3,), (3, 2), *DOUBTFUL])
def test_clips_of_a_list_by_place_or_by_number(clip, tmp_path, numbers):
    path = tmp_path / "list.m"
    path.write_text(THREE)
    for place in range(1, len(numbers) + 1):
        entry = place if numbers in IN_ORDER else numbers[place - 1]
        expected = digits(int(n == entry) for n in range(1, 11))
        if numbers in DOUBTFUL:
            expected = f"expected {len(numbers)} entries (one a clip, in order), found 3"
        assert expected in answer(clip, GroundTruth(UcsdList(path, place, numbers)))


def test_the_whole_list_serves_some_of_the_clips(tmp_path):
    for name in ("Test002", "Test003"):
        save_images(tmp_path / name, [50] * 4)
    (tmp_path / "list.m").write_text(THREE)
    (tmp_path / "gate.yaml").write_text(
        "clips:\n  - images: Test*\n    ground_truth: {ucsd: list.m}\n"
    )
    scene = load_scene(tmp_path / "gate.yaml", tmp_path)
    table, _ = audit(scene, *tables_of({"Test002": 4, "Test003": 4}))
    assert digits(table["anomalous"]) == "01000010"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[61:180]", [(61, 180)]),
        ("[5:90, 140:200]", [(5, 90), (140, 200)]),
        ("[ 5 : 90  6; 7 ]", [(5, 90), (6, 6), (7, 7)]),
        ("5:90;", [(5, 90)]),
        ("[5:90, ... the first\n 140:200]; % and a remark [1:2]", [(5, 90), (140, 200)]),
        ("...\r\n  [4 ...\r\n];", [(4, 4)]),
        ("[4];\n%{\nF{end+1}.gt_frame = [9];\n%}", [(4, 4)]),
        ("[]", []),
    ],
)
def test_lists_as_people_write_them(tmp_path, written, expected):
    path = tmp_path / "list.m"
    text = f"F = {{}};\n%  F{{end+1}}.gt_frame = [1]; Stra\xdfe\nF{{end+1}}.gt_frame = {written}\n"
    for more in ("F{end + 1}.gt_frame = [2:3]", "F{2}.gt_frame = 2:3;\n", "F(2).gt_frame=[2:3],"):
        path.write_bytes((text + more).encode("latin-1"))
        assert parse_ucsd(path) == [expected, [(2, 3)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F{3}.gt_frame = 4", "line 3: expected entry 2 of one UCSD list, found 'F{3}"),
        ("B{end+1}.gt_frame = [4];\n", "line 3: expected entry 2 of one UCSD list, found 'B"),
        ("F{end+1}.gt_frame = 4\n5\n", "line 4: expected entry 3 of one UCSD list, found '5'"),
        ("F = {};\n", "line 3: expected entry 2 of one UCSD list, found 'F = {};'"),
        ("F{end+1}.gt_frame = [2:9] + 1;\n", "found 'F{end+1}.gt_frame = [2:9] + 1;'"),
        ("F{end+1}.gt_frame = [2 9;\nF{end+1}.gt_frame = [2];\n", "line 3: expected entry 2"),
        *(
            (f"F{{2}}.gt_frame = [{wrong}];", "line 3: expected entry 2 of one UCSD list, found")
            for wrong in ("a:9", "1:2:9", "-1", "1.5", "9" * 5000)
        ),
        ("F{2}.gt_frame = [5:2];", "entry 2: expected ranges within frames 1 to 10, found 5 to 2"),
        ("F{2}.gt_frame = [0:4];", "entry 2: expected ranges within frames 1 to 10, found 0 to 4"),
        ("% nothing", "expected 2 entries (one a clip, in order), found 1"),
    ],
)
def test_what_is_not_understood_in_a_list_is_refused(clip, tmp_path, text, message):
    path = tmp_path / "list.m"
    path.write_text(f"\nF{{end+1}}.gt_frame = [2];\n{text}")
    assert message in answer(clip, GroundTruth(UcsdList(path, 2, (1, 2))))


RANGE_COLUMNS = RangeTable(Path(), "from", "to", (("file", "Test001"),))
FRAME_COLUMNS = FrameTable(Path(), "n", "is")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xef\xbb\xbffile,from,to\r\nTest001,2,3\r\n", "0110000000"),
        (b"file,from,to\rTest001,2,3\r", "0110000000"),
        (b"file , from , to\n Test001 , 2 ,3 \n", "0110000000"),
        (b'"file","from","to"\n"Test001","2","3"\n', "0110000000"),
        (b"file,from,to\nTest001,2.0,3.00\n", "0110000000"),
        (b"file,from,to\nTest001,002,3\n\n,,\n  \n", "0110000000"),
        (b"\nfile,from,to,\nTest001,2,3,\n", "0110000000"),
        (b'file,from,to,remark\nTest001,2,3,"a ""runner"", late"\n', "0110000000"),
        (b",file,from,to\n0,Test001,2,3\n1,Test002,5,6\n", "0110000000"),
        ("file,from,to,wer\nTest001,2,3,Müller\nTest001,,,\n".encode(), "0110000000"),
        ("file,from,to\nTest001,2,3,\n", "line 2: expected 3 cells, as the first .*, found 4"),
        ("file,from,to,\nTest001,2,3\n", "line 2: expected 4 cells, .*, found 3"),
        ('file,from,to\n"Test001,2,3\nTest002,2,3"\n', "line 2: not a row of CSV in one line"),
        ('file,from,to\nTest001",2,3\n', "line 2: not a row of CSV .*a quote"),
        ("file,from,from,to\nTest001,2,2,3\n", "each once, found 'file, from, from, to'"),
        ("file;from;to\nTest001;2;3\n", "expected a column from .*, found file;from;to"),
        ("\n\n", "expected the columns' names in the first line"),
        ("file,from,to\nTest001,2,1e3\n", "line 2: to: '1e3' is not a number of frames"),
        ("file,from,to\nTest001,\uff12,3\n", "line 2: from: .* is not a number of frames"),
        ("file,from,to\nTest001,2.5,3\n", r"line 2: from: '2\.5' .* need unit: seconds"),
        ("file,from,to\nTest001,2," + "9" * 5000 + "\n", "line 2: to: '9999"),
        ("file,from,to\nTest001,0,3\n", "line 2: from: '0' .* frames count from 1"),
        ("file,from,to\nTest001,,3\n", "line 2: from: '' is not a number of frames"),
        ("file,from,to\nTest001,2,99999999999\n", "line 2: expected ranges .* 2 to 99999999999"),
        ("file,from,to\nTest001.avi,2,3\n", "but with Test001.avi: write it alike"),
        ("file,from,to\nTest002,2,3\n", "no row with file = Test001; .* say others: normal"),
        ("file\nMüller\n".encode("latin-1"), "line 2: not text in UTF-8; expected a table"),
        ("file,from,to\n".encode("utf-16"), "line 1: not text in UTF-8"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', }\n", "line 1: not text in UTF-8"),
        (b"MATLAB 5.0 MAT-file, Platform: posix \0\0\0\1IM", "line 1: not text in UTF-8"),
    ],
)
def test_tables_are_understood_or_refused_by_line(clip, tmp_path, text, expected):
    path = tmp_path / "gt.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = answer(clip, GroundTruth(replace(RANGE_COLUMNS, path=path)))
    assert re.fullmatch(f"(.*gt.csv: .*)?{expected}.*", found), found


def rows_of(numbers: Iterable[int], anomalous: Sequence[int] = ()) -> list[str]:
    return [f"{number},{int(number in anomalous)}" for number in numbers]


@pytest.mark.parametrize(
    ("part", "rows", "expected"),
    [
        (None, rows_of(range(1, 11), (8, 9, 10)), "0000000111"),
        (None, [f"{number},{number == 4}" for number in range(1, 11)], "0001000000"),
        (None, rows_of(range(1, 10)), "expected 10 rows, one for each n from 1 to 10, found 9"),
        (None, rows_of(range(1, 12)), "expected 10 rows, one for each n from 1 to 10, found 11"),
        (None, ["1,0", "1,0"], "line 3: expected n 2 with 0 or 1 in is, found 1"),
        (None, ["1e0,1"], "line 2: n: '1e0' is not a number of frames"),
        (None, ["0,0", "1,0"], "line 2: n: '0' is not a number of frames; frames count from 1"),
        # Counted from 0, every label would be one frame late.
        ((11, 20), rows_of(range(30)), "line 2: n: '0' is not a number of frames"),
        ((11, 20), rows_of([*range(1, 15), *range(16, 31)]), "line 16: expected n 15 with"),
        ((11, 20), rows_of([*range(1, 15), 16, 15, *range(17, 31)]), "line 16: expected n 15 with"),
        # The clip goes to the video's end, which is at frame 20.
        ((11, None), rows_of(range(1, 31)), "10 rows, one for each n from 11 to 20, found 20"),
        *(
            (None, [f"1,{cell}"], f"expected n 1 with 0 or 1 in is, found 1 with '{cell}'")
            for cell in ("2", "nan", "", "0.5", "-1")
        ),
    ],
)
def test_table_of_frames(clip, tmp_path, part, rows, expected):
    path = tmp_path / "gt.csv"
    path.write_text("\n".join(["n,is", *rows]))
    if part:
        clip = replace(clip, first=part[0], last=part[1])
    truth = GroundTruth(replace(FRAME_COLUMNS, path=path), numbering="source" if part else "clip")
    assert expected in answer(clip, truth)


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
    assert digits(table["anomalous"]) == "0110000011" + "0" * 10
    assert summary["rows_of_no_clip"] == {f"{tmp_path.name}/gt.csv": 1}
    path.write_text("file,n,is\nelsewhere.avi,1,0\na10.avi,1,1\n")
    table, _ = audit(scene_of(clip, rows, ["a10", "a11"]), *tables_of({"a10": 1, "a11": 3}))
    assert digits(table["anomalous"]) == "1000"


NAMES_OF_A11 = [
    *("A11.avi", "a011.avi", "a11.mp4", "a11", "set/a11.avi", "set\\a11.avi"),
    "\uff41\uff11\uff11.avi",
]


@pytest.mark.parametrize("name", NAMES_OF_A11)
def test_a_clip_is_not_normal_because_its_name_is_written_otherwise(clip, tmp_path, name):
    path = tmp_path / "gt.csv"
    path.write_text(f"file,from,to\na10.avi,2,3\n{name},2,3\n", encoding="utf-8")
    scene = scene_of(clip, replace(RANGE_COLUMNS, path=path), ["a10", "a11"])
    with pytest.raises(SdorError, match=r"clip a11: .* no row with file = a11\.avi, but"):
        audit(scene, *tables_of({"a10": 10, "a11": 10}))


def test_a_table_that_lists_no_clip_of_the_scene_is_refused(clip, tmp_path):
    path = tmp_path / "gt.csv"
    scene = scene_of(clip, replace(RANGE_COLUMNS, path=path), ["a10"])
    for row, message in (("elsewhere.avi,1,4\n", "no row is of a clip"), ("", "no row with file")):
        path.write_text(f"file,from,to\n{row}")
        with pytest.raises(SdorError, match=rf"gt\.csv: {message}"):
            audit(scene, *tables_of({"a10": 10}))


# Ten frames at 30 a second, of a part of a video; rounded to milliseconds as Matroska does.
TIMES = [round(4 + frame / 30, 3) for frame in range(10)]


@pytest.mark.parametrize(
    ("numbering", "last", "limits", "expected"),
    [
        ("source", None, (4.0, 4.1), "1111000000"),
        ("source", None, (4.05, 4.06667), "0010000000"),
        ("source", None, (4.2, 4.333), "0000001111"),
        ("source", None, (0, 4.0), "1000000000"),
        # Before and behind a part are other parts.
        ("source", 130, (0, 3.9), "0000000000"),
        ("source", 130, (5, None), "0000000000"),
        ("source", 130, (4.11, 4.12), "no frame of the clip lies within 4.11 to 4.12 seconds"),
        ("clip", None, (0.0, 0.1), "1111000000"),
        ("clip", None, (0.29, None), "0000000001"),
        ("clip", None, (0.1, 0.4), "expected ranges within seconds 0 to 0.366, found 0.1 to 0.4"),
        ("clip", None, (12.5, None), "ranges within seconds 0 to 0.366, found 12.5 to end"),
        ("clip", None, (0.34, None), "no frame of the clip lies within 0.34 to end seconds"),
    ],
)
def test_ranges_in_seconds(clip, tmp_path, numbering, last, limits, expected):
    part = replace(clip, first=121, last=last)
    path = tmp_path / "gt.csv"
    path.write_text(f"from,to\n{limits[0]},{limits[1] or 'end'}\n")
    for labels in (Ranges((limits,)), RangeTable(path, "from", "to")):
        truth = GroundTruth(labels, numbering=numbering, unit="seconds")
        assert expected in answer(part, truth, times=TIMES)


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
    found = {name: digits(rows["anomalous"]) for name, rows in table.groupby("clip")}
    assert found == {"one": "000000001", "two": "11110000001", "still": "01100"}


def test_seconds_need_times_and_numbers(clip, tmp_path):
    path = tmp_path / "gt.csv"
    truth = GroundTruth(RangeTable(path, "from", "to"), unit="seconds")
    path.write_text("from,to\n0.1,0.2\n")
    assert "give fps: for this clip" in answer(clip, truth)
    assert "give fps: for this clip" in answer(clip, truth, times=[*TIMES[:-1], np.nan])
    for cell in ("0:01", "1e-1", "nan", "-1", '"0,1"', "0.1s"):
        path.write_text(f"from,to\n{cell},end\n")
        message = f"gt.csv: line 2: from: '{cell.strip(chr(34))}' is not a number of seconds"
        assert message in answer(clip, truth, times=TIMES)


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
few = settings(deadline=None, derandomize=True, max_examples=25)


@few
@given(
    some_ranges,
    st.sampled_from([None, (1, None), (11, 20), (21, None), (31, 40)]),
    st.sampled_from([25, 29.97, 12.5]),
)
def test_labels_come_back_equal_from_every_format(tmp_path_factory, ranges, part, fps):
    """Of 40 frames, which are a clip from frame 101, or the video of which a part is the clip."""
    folder = tmp_path_factory.getbasetemp() / "formats"
    folder.mkdir(exist_ok=True)
    expected = digits(any(first <= n <= last for first, last in ranges) + 0 for n in range(1, 41))
    (folder / "ranges.csv").write_text(as_csv(written(ranges, NAMES[1])))
    rows = [["n", "is"], *([str(n), label] for n, label in enumerate(expected, 1))]
    (folder / "frames.csv").write_text(as_csv(rows))
    (folder / "list.m").write_text(
        f"F{{end+1}}.gt_frame = [{', '.join(f'{first}:{last}' for first, last in ranges)}];\n"
    )
    stamps = [((first - 1) / fps, (last - 1) / fps) for first, last in ranges]
    cells = [[f"{first:.6f}", f"{last:.6f}"] for first, last in stamps]
    (folder / "seconds.csv").write_text(as_csv([["from", "to"], *cells]))
    times = [(frame if part else 100 + frame) / fps for frame in range(40)]
    first, last = part or (101, None)
    clip = Clip("part", "video", folder, "long.avi", first=first, last=last)
    if part:
        times, expected = times[first - 1 : last], expected[first - 1 : last]
    for labels, unit in (
        (Ranges(tuple(ranges)), "frames"),
        (RangeTable(folder / "ranges.csv", "from", "to", (("file", NAMES[1]),)), "frames"),
        (FrameTable(folder / "frames.csv", "n", "is"), "frames"),
        (UcsdList(folder / "list.m", 1, (None,)), "frames"),
        (Ranges(tuple(stamps)), "seconds"),
        (RangeTable(folder / "seconds.csv", "from", "to"), "seconds"),
    ):
        truth = GroundTruth(labels, None, "source" if part else "clip", unit)
        assert answer(clip, truth, len(times), times) == expected, labels


def damaged(rows: list[list[str]], quoting: Literal[0, 1]) -> Iterator[str]:
    """A table with one comma or quote more or less, at every place."""
    text = as_csv(rows, quoting)
    for sign in ',"':
        for place in range(len(text)):
            # A comma within quotes makes another name, and no damage that a table could show.
            if sign == '"' or text[:place].count('"') % 2 == 0:
                yield text[:place] + sign + text[place:]
                if text[place] == sign:
                    yield text[:place] + text[place + 1 :]


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
            found = frame_labels(clip, np.zeros(10), {}, []).tolist()
        except SdorError as error:
            found = re.fullmatch(r".*gt\.csv: .*", str(error)) and "refused"
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
        answer(clip, GroundTruth(labels, unit=unit), 10, TIMES)


def test_labels_go_by_the_numbers_of_images_where_one_lacks(clip, tmp_path):
    """Six frames: 005.png, the fifth, lacks among the images; among the masks too, or not."""
    for folder, values in (("holed", [50] * 6), ("all_gt", [0, 0, 0, 0, 0, 1])):
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
        assert answer(holed, truth, 6) == "000001", truth


def test_disagreement_of_labels_and_masks_is_counted(clip, tmp_path):
    folder = save_images(tmp_path / "gt", [0, 0, 255, 255, 255, 0, 0, 0, 0, 0])
    labelled = replace(clip, ground_truth=GroundTruth(Ranges(((1, 4),)), folder))
    plain = replace(clip, name="Test002")
    scene = Scene(name="gate", root=tmp_path, clips=(labelled, plain))
    table, summary = audit(scene, *tables_of({"Test001": 10, "Test002": 10}))
    assert digits(table["anomalous"]) == "1111000000"
    assert summary == {
        "scene": "gate",
        "clips": 2,
        "labelled_clips": 1,
        "frames": 20,
        "labelled_frames": 10,
        "anomalous_frames": 4,
        "disagreements": {"Test001": {"labelled_without_mask": 2, "mask_without_label": 1}},
        "rows_of_no_clip": {},
        "remarks": [],
    }
    json.dumps(summary)


def test_masks_of_another_number_or_size_are_refused(clip, tmp_path):
    few = save_images(tmp_path / "few", [255] * 9)
    message = answer(clip, GroundTruth(Ranges(()), few))
    assert message.endswith("few: expected 10 pixel masks, found 9")
    wide = save_images(tmp_path / "wide", [255] * 10, size=(7, 4))
    message = answer(clip, GroundTruth(None, wide))
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


def test_a_scene_without_labels_has_an_empty_table_also_if_a_clip_could_not_be_read(clip, tmp_path):
    scene = Scene(name="gate", root=tmp_path, clips=(clip, replace(clip, name="broken")))
    table, summary = audit(scene, *tables_of({"Test001": 10}))
    assert list(table.columns) == ["clip", "frame", "anomalous"]
    assert table["anomalous"].dtype == np.int8
    assert (len(table), summary["clips"], summary["labelled_clips"]) == (0, 1, 0)
    assert summary["frames"] == 10


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
