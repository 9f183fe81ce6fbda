import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
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
from sdor.video.audit import audit, parse_ucsd

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


def labels_of(clip: Clip, truth: GroundTruth, count: int = 10) -> list[int]:
    scene = Scene(name="gate", root=clip.path.parent, clips=(replace(clip, ground_truth=truth),))
    table, _ = audit(scene, {clip.name: count})
    assert table["frame"].tolist() == list(range(1, count + 1))
    assert set(table["clip"]) == {clip.name}
    assert table["anomalous"].dtype == np.int8
    return table["anomalous"].tolist()


def refused(clip: Clip, truth: GroundTruth, count: int = 10) -> str:
    with pytest.raises(SdorError) as error:
        labels_of(clip, truth, count)
    message = str(error.value)
    assert message.startswith("clip Test001: ")
    assert "\n" not in message
    return message


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
    assert labels_of(clip, GroundTruth(UcsdList(path, 1, 2))) == [1, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    assert labels_of(clip, GroundTruth(UcsdList(path, 2, 2))) == [0] * 9 + [1]
    message = refused(clip, GroundTruth(UcsdList(path, 1, 3)))
    assert "list.m: expected 3 entries (one a clip), found 2" in message
    path.write_text("TestVideoFile{end+1}.gt_frame = [5:11];")
    message = refused(clip, GroundTruth(UcsdList(path, 1, 1)))
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
    path.write_text("nothing here")
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
    assert "gt.csv: from: 'x' is not a whole number" in refused(clip, GroundTruth(table))
    path.write_text("file,from,to\nTest001,4,3\n")
    assert "within frames 1 to 10, found 4 to 3" in refused(clip, GroundTruth(table))


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
    assert "expected n 5 in row 5, found 6" in refused(clip, truth)
    write([*rows[:9], "10,2"])
    assert "expected 0 or 1 in is, found 2 at frame 10" in refused(clip, truth)
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
    assert "gt.csv: expected n 15 in row 15, found 16" in refused(part, truth)
    write([*range(1, 15), 16, 15, *range(17, 31)])
    assert "gt.csv: expected n 15 in row 15, found 16" in refused(part, truth)
    # Counted from 0, every label would be one frame late.
    write(range(30))
    assert "gt.csv: expected n 11 in row 1, found 0" in refused(part, truth)


def test_pixel_masks_alone_are_labels(clip, tmp_path):
    folder = save_images(tmp_path / "gt", [0] * 8 + [255, 1])
    assert labels_of(clip, GroundTruth(None, folder)) == [0] * 8 + [1, 1]


def test_disagreement_of_labels_and_masks_is_counted(clip, tmp_path):
    folder = save_images(tmp_path / "gt", [0, 0, 255, 255, 255, 0, 0, 0, 0, 0])
    labelled = replace(clip, ground_truth=GroundTruth(Ranges(((1, 4),)), folder))
    plain = replace(clip, name="Test002")
    scene = Scene(name="gate", root=tmp_path, clips=(labelled, plain))
    table, summary = audit(scene, {"Test001": 10, "Test002": 10})
    assert table["anomalous"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert summary == {
        "scene": "gate",
        "clips": 2,
        "labelled_clips": 1,
        "frames": 20,
        "labelled_frames": 10,
        "anomalous_frames": 4,
        "disagreements": {"Test001": {"labelled_without_mask": 2, "mask_without_label": 1}},
    }
    json.dumps(summary)


def test_masks_of_another_number_or_size_are_refused(clip, tmp_path):
    few = save_images(tmp_path / "few", [255] * 9)
    message = refused(clip, GroundTruth(Ranges(()), few))
    assert message.endswith("few: expected 10 pixel masks (one a frame), found 9")
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
        audit(scene, {"Test001": 10})


def test_a_scene_without_labels_has_an_empty_table(clip, tmp_path):
    table, summary = audit(Scene(name="gate", root=tmp_path, clips=(clip,)), {"Test001": 10})
    assert list(table.columns) == ["clip", "frame", "anomalous"]
    assert len(table) == 0
    assert table["anomalous"].dtype == np.int8
    assert summary["labelled_clips"] == 0


@pytest.mark.data
def test_ped2_has_1648_anomalous_frames_and_masks_agree(data_root):
    scene = load_scene(SCENES / "ped2.yaml", data_root)
    counts = {clip.name: len(list(clip.path.iterdir())) for clip in scene.clips}
    table, summary = audit(scene, counts)
    assert (len(table), table["anomalous"].sum()) == (4560, 1648)
    assert summary["disagreements"] == {}


@pytest.mark.data
def test_umn_labels_are_those_of_the_table(data_root):
    rows = (data_root / "umn" / "ground_truth.csv").read_text().split()[1:]
    known = {row.split(",")[0].removesuffix(".avi"): row.split(",") for row in rows}
    found = 0
    for name in ("umn1", "umn2", "umn3"):
        scene = load_scene(SCENES / f"{name}.yaml", data_root)
        table, _ = audit(scene, {clip.name: clip.frames or 0 for clip in scene.clips})
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
