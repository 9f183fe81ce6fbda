from pathlib import Path

import pytest
import yaml

from sdor.errors import SdorError
from sdor.study.scenes import (
    ArrayFile,
    BoxTable,
    Clip,
    DataNotFound,
    FrameTable,
    GroundTruth,
    Ranges,
    RangeTable,
    Rectangle,
    UcsdList,
    load_scene,
)

SCENES = Path(__file__).parents[3] / "config" / "scenes"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four video files, three image folders with masks for one, a list and a table."""
    root = tmp_path / "data"
    root.mkdir()
    for name in ("cam1.avi", "cam2.avi", "cam10.avi", "long.mkv", "Crowd.avi"):
        (root / name).write_bytes(name.encode())
    for folder in ("Test1", "Test2", "Test10", "Test2_gt"):
        (root / "set" / folder).mkdir(parents=True)
        for number in (1, 2, 10):
            (root / "set" / folder / f"{number}.tif").write_bytes(b"x" * number)
    (root / "set" / "list.m").write_text("TestVideoFile{end+1}.gt_frame = [1:2];")
    (root / "table.csv").write_text("file,from,to\n")
    return root


def test_files_become_clips_in_natural_order(data, write_scene):
    mask = {"x": 0, "y": 2, "width": 176, "height": 32}
    scene = load_scene(write_scene(clips=[{"video": "cam*.avi"}], masks=[mask]), data)
    assert (scene.name, scene.masks) == ("gate", (Rectangle(x=0, y=2, width=176, height=32),))
    assert [clip.name for clip in scene.clips] == ["cam1", "cam2", "cam10"]
    path = data / "cam10.avi"
    assert scene.clips[2] == Clip(name="cam10", kind="video", path=path, source="cam10.avi")


def test_folders_become_clips_and_their_entry_tells_the_rest(data, write_scene):
    entry = {
        "images": "set/Test*[0-9]",
        "count": 3,
        "split": "test",
        "ground_truth": {
            "ucsd": "set/list.m",
            "pixel_masks": {"folder": "set/{clip}_gt", "optional": True},
        },
    }
    scene = load_scene(write_scene(clips=[entry]), data)
    assert [clip.name for clip in scene.clips] == ["Test1", "Test2", "Test10"]
    assert [clip.source for clip in scene.clips] == ["set/Test1", "set/Test2", "set/Test10"]
    truths = [clip.ground_truth for clip in scene.clips]
    assert truths[2] == GroundTruth(UcsdList(data / "set/list.m", 3, (1, 2, 10)))
    assert [truth.pixel_masks for truth in truths] == [None, data / "set/Test2_gt", None]


def test_clips_are_sampled_as_their_scene_says_or_they_themselves(data, write_scene):
    clips = [{"video": "cam*.avi"}, {"images": "set/Test2", "fps": 25, "sample_fps": 2.5}]
    file = write_scene(clips=clips, sample_fps=5)
    assert [clip.sample_fps for clip in load_scene(file, data).clips] == [5, 5, 5, 2.5]
    without = write_scene(clips=clips[:1])
    assert {clip.sample_fps for clip in load_scene(without, data).clips} == {None}


def test_two_ranges_of_one_video(data, write_scene):
    truth = {"ranges": [[15100, 15200], [16000, "end"]], "numbering": "source"}
    clips = [
        {"name": "train", "video": "long.*", "last": 15000, "ground_truth": "normal"},
        {"name": "test", "video": "long.*", "first": 15001, "last": "end", "ground_truth": truth},
    ]
    train, test = load_scene(write_scene(clips=clips), data).clips
    assert (train.first, train.last, train.path) == (1, 15000, data / "long.mkv")
    assert (test.first, test.last, test.path) == (15001, None, data / "long.mkv")
    assert train.ground_truth == GroundTruth(Ranges(()))
    assert test.ground_truth == GroundTruth(
        Ranges(((15100, 15200), (16000, None))), None, numbering="source"
    )


JOINED = {"video": "Crowd.avi", "sequences": 2}


def joined_scene(write_scene, *files):
    clips = [
        {"video": file, "sequence": number, "frames": 5, "ground_truth": {"ranges": [[3, "end"]]}}
        for number, file in enumerate(files, start=1)
    ]
    return write_scene(joined=JOINED, clips=clips)


def test_joined_file_stands_in_for_missing_ones_under_the_same_names(data, write_scene):
    scene = load_scene(joined_scene(write_scene, "cam1.avi", "cam2.avi"), data)
    assert scene.joined is None
    assert [(clip.source, clip.sequence) for clip in scene.clips] == [
        ("cam1.avi", None),
        ("cam2.avi", None),
    ]
    scene = load_scene(joined_scene(write_scene, "cam1.avi", "gone.avi"), data)
    assert scene.joined.path == data / "Crowd.avi"
    assert [(clip.name, clip.source, clip.sequence, clip.frames) for clip in scene.clips] == [
        ("cam1", "Crowd.avi", 1, None),
        ("gone", "Crowd.avi", 2, None),
    ]
    assert scene.clips[1].ground_truth == GroundTruth(Ranges(((3, None),)))


def test_demo_scene_needs_no_files(tmp_path, write_scene):
    truth = {"csv": "{clip}.csv", "frame": "frame", "anomalous": "anomalous"}
    file = write_scene(
        demo={"seed": 7}, clips=[{"video": "clip01.avi", "ground_truth": truth}], root="ignored"
    )
    rendered = tmp_path / "video"
    scene = load_scene(file, tmp_path, demo_folder=rendered)
    clip = scene.clips[0]
    assert clip.path == rendered / "clip01.avi"
    assert clip.ground_truth.labels.path == rendered / "clip01.csv"
    other = write_scene("other", demo={"seed": 8}, clips=[{"video": "clip01.avi"}])
    assert load_scene(other, tmp_path, demo_folder=rendered).clips[0].rendered != clip.rendered
    assert str(load_scene(file, tmp_path).clips[0].path) == "results/gate/video/clip01.avi"


def test_nothing_there_is_told_from_something_missing(data, write_scene):
    with pytest.raises(DataNotFound, match=f"scene gate: data not found under {data}"):
        load_scene(write_scene(clips=[{"video": "a.avi"}, {"video": "b*.avi"}]), data)
    with pytest.raises(SdorError, match=r"clips\.1: no file .*/data/b\.avi") as error:
        load_scene(write_scene(clips=[{"video": "cam1.avi"}, {"video": "b.avi"}]), data)
    assert not isinstance(error.value, DataNotFound)


VIDEO = {"video": "cam1.avi"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"clips": [{"vidoe": "a"}]}, r"clips\.0\.vidoe: unknown key \(did you mean video\?\)"),
        ({"clips": [{**VIDEO, "first": 9, "last": 8}]}, r"last: \[9, 8\] ends before it begins"),
        ({"clips": [{**VIDEO, "last": "edn"}]}, r"last: 'edn' is not 'end' or a whole number"),
        ({"clips": [{**VIDEO, "last": 9, "frames": 8}]}, r"clips\.0\.frames: 8 is not 1 to 9"),
        (
            {"clips": [{"video": "cam*.avi", "name": "a"}]},
            r"name: a: is for one .*matches 3 \(cam1",
        ),
        ({"clips": [{"video": "cam*.avi", "count": 4}]}, r"count: 4: cam\*\.avi matches 3 \(cam1"),
        ({"clips": [VIDEO, VIDEO]}, r"cam1\.avi and cam1\.avi would have the same name; list"),
        (
            {"clips": [{**VIDEO, "name": "a"}, {"video": "cam2.avi", "name": "A"}]},
            r"cam1\.avi and cam2\.avi would have the same name",
        ),
        ({"clips": [{**VIDEO, "name": "ab" * 20}]}, "name: 'abab.*ab' is not a usable name"),
        ({"clips": [{"video": "/cam1.avi"}]}, "must be relative to the scene's root"),
        ({"clips": [{"images": "set/Test2", "stream": 1}]}, r"clips\.0: stream is one of a video"),
        (
            {"clips": [VIDEO, {"images": "set/Test2"}], "sample_fps": 5},
            r"clips\.1\.sample_fps: 5: images have no times; say how many a second .* with fps",
        ),
        ({"clips": [{**VIDEO, "sample_fps": 0}]}, r"clips\.0\.sample_fps: 0"),
        ({"clips": [{**VIDEO, "sequence": 1}]}, "sequence is for scenes with the key joined"),
        ({"clips": [VIDEO], "joined": JOINED}, "the key sequence is missing"),
        ({"clips": [{**VIDEO, "sequence": 1, "first": 2}], "joined": JOINED}, "is taken whole"),
        ({"clips": [{**VIDEO, "sequence": 3}], "joined": JOINED}, "3: joined.sequences is 2"),
        ({"clips": [{"video": "**.avi"}]}, r"clips\.0\.video: .*\*\*\.avi.* only, as in"),
        ({"clips": [{"video": "clip11.avi"}], "demo": {}}, r"'clip11\.avi' is not one of .*clip10"),
        ({"clips": [{"video": "clip01.avi", "name": "a"}], "demo": {}}, "leave out name"),
        ({"clips": [{"video": "clip01.avi"}] * 2, "demo": {}}, "one by one, each once"),
    ],
)
def test_faults_of_a_scene_file_are_one_clear_line(data, write_scene, document, message):
    file = write_scene(**document)
    with pytest.raises(SdorError, match=message) as error:
        load_scene(file, data, demo_folder=data)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("norml", "'norml' is not 'normal' or a mapping"),
        ({"rnges": []}, r"ground_truth\.rnges: unknown key \(did you mean ranges\?\)"),
        ({"ranges": [[5, 4]]}, r"\[5, 4\] ends before it begins"),
        ({"ucsd": "set/none.m"}, "clip cam1: no file .*none.m"),
        ({"csv": "a" * 300, "frame": "a", "anomalous": "b"}, "clip cam1: no file"),
        ({"pixel_masks": "{clip}_gt"}, "clip cam1: no folder .*cam1_gt"),
        ({"csv": "table.csv"}, "name the columns of csv"),
        ({"csv": "a", "first": "a", "last": "b", "where": {"c": 1.10}}, r"where\.c: 1\.1 is not"),
        ({"csv": "table.csv", "first": "a", "anomalous": "b"}, "lacks a column of csv: first and"),
        ({"csv": "a", "frame": "a", "anomalous": "b", "others": "normal"}, "others is for clips"),
        ({"ranges": [[1, 4.5]]}, r"ranges\.0\.1: 4\.5 is not 'end' or a whole number"),
        ({"pixel_masks": "set", "unit": "seconds"}, "in seconds .unit. as ranges only"),
        ({"arrays": "a.npy", "ranges": []}, "give one of ranges, ucsd, csv, list and arrays"),
        ({"arrays": "a.npz"}, r"arrays: 'a\.npz' is neither a \.npy nor a \.mat file"),
        ({"arrays": "{clip}.npy"}, "clip cam1: no file .*cam1.npy"),
        ({"ranges": [], "variable": "a"}, "the key arrays is missing"),
        ({"ranges": [], "where": {"a": "b"}}, "where says which rows of csv or list"),
        ({"arrays": "a.npy", "others": "normal"}, "others is for clips that a table"),
        ({"pixel_masks": {"arrays": "a.npy", "folder": "a"}}, "one of folder, arrays and boxes"),
        ({"pixel_masks": {"arrays": "{clip}.mat"}}, r"pixel_masks\.arrays: clip cam1: no file"),
        ({"pixel_masks": {"boxes": "table.csv"}}, "pixel_masks: the key columns is missing"),
        (
            {"pixel_masks": {"boxes": "table.csv", "columns": [*"xy", "frame", "width", "x"]}},
            "name each once of frame, x or center_x, y or center_y, width, height",
        ),
    ],
)
def test_faults_of_ground_truth_are_one_clear_line(data, write_scene, truth, message):
    file = write_scene(clips=[{**VIDEO, "ground_truth": truth}])
    with pytest.raises(SdorError, match=message) as error:
        load_scene(file, data)
    assert str(error.value).startswith(f"{file}: clips.0.ground_truth")


@pytest.mark.parametrize(
    ("truth", "of_several"),
    [
        ({"ranges": [[3, 9]]}, False),
        ({"ranges": [[1, "end"]], "unit": "seconds"}, False),
        ({"csv": "table.csv", "first": "from", "last": "to"}, False),
        ({"csv": "table.csv", "frame": "n", "anomalous": "is", "where": {"file": "cam1"}}, False),
        ({"pixel_masks": "set"}, False),
        ({"ranges": []}, True),
        ({"ranges": [[1, "end"]]}, True),
        ({"ranges": [[0, "end"]], "unit": "seconds"}, True),
    ],
)
def test_only_what_may_hold_for_every_clip_is_said_of_several(data, write_scene, truth, of_several):
    one = [{"video": "cam1.avi", "ground_truth": truth}]
    assert len(load_scene(write_scene(clips=one), data).clips) == 1
    file = write_scene(clips=[{"video": "cam*.avi", "ground_truth": truth}])
    if of_several:
        assert len(load_scene(file, data).clips) == 3
    else:
        with pytest.raises(SdorError, match=r"are for one clip, not 3|would have the same ground"):
            load_scene(file, data)


def test_ranges_of_one_video_share_labels_that_number_it_and_never_masks(data, write_scene):
    table = {"csv": "table.csv", "frame": "n", "anomalous": "is"}
    source = {"numbering": "source"}
    parts = [
        {"video": "cam1.avi", "name": "a", "last": 10},
        {"video": "cam1.avi", "name": "b", "first": 11, "last": 20},
    ]

    def load(*truths, clips=parts, **more):
        both = [clip | {"ground_truth": one} for clip, one in zip(clips, truths, strict=True)]
        return load_scene(write_scene(clips=both, **more), data)

    same = r"cam1\.avi and cam1\.avi would have the same ground truth.*"
    assert load(table | source, table | source)
    for truths in ((table, table), (table | source, table), (table, table | source)):
        with pytest.raises(SdorError, match=same + "numbering: source"):
            load(*truths)
    masks = {"pixel_masks": "set/Test2_gt"}
    with pytest.raises(SdorError, match=same):
        load(masks | source, masks | source)
    again = [parts[0], parts[0] | {"name": "b"}]
    assert load(table | masks, table | masks, clips=again)
    (data / "cam1.avi").unlink()
    joined = [{"video": "cam1.avi", "sequence": 1}, {"video": "gone.avi", "sequence": 2}]
    for truth in (table, table | source, masks):
        with pytest.raises(SdorError, match=r"Crowd\.avi and Crowd\.avi would have the same gr"):
            load(truth, truth, clips=joined, joined=JOINED)


def test_clips_may_have_a_list_each_with_all_signs_of_their_names(data, write_scene):
    for name in ("cam1", "cam2", "cam10", "cam 1.of 2"):
        (data / f"{name}.m").touch()
    (data / "cam 1.of 2.avi").touch()
    clips = [{"video": "cam*.avi", "ground_truth": {"ucsd": "{clip}.m"}}]
    found = load_scene(write_scene(clips=clips), data).clips
    assert [clip.name for clip in found] == ["cam1", "cam2", "cam10", "cam_1_of_2"]
    assert found[2].ground_truth.labels == UcsdList(data / "cam10.m", 1, (10,))
    assert found[3].ground_truth.labels == UcsdList(data / "cam 1.of 2.m", 1, (2,))


def test_labels_are_ranges_tables_or_masks(data, write_scene):
    path = data / "table.csv"
    whose = {"csv": "table.csv", "where": {"file": "{clip}.avi"}, "others": "normal"}
    seconds = {"unit": "seconds", "numbering": "source"}
    cases = [
        ({"video": "cam1.avi"}, {"csv": "table.csv", "frame": "n", "anomalous": "is"}),
        ({"video": "cam2.avi"}, {**whose, "first": "from", "last": "to", **seconds}),
        ({"video": "cam10.avi"}, {"ranges": [[0, 2], [2.5, "end"]], "unit": "seconds"}),
        ({"images": "set/Test2"}, {"pixel_masks": "set/{clip}_gt"}),
    ]
    clips = [{**clip, "ground_truth": truth} for clip, truth in cases]
    found = [clip.ground_truth for clip in load_scene(write_scene(clips=clips), data).clips]
    rows = RangeTable(path, "from", "to", (("file", "cam2.avi"),), True)
    assert found == [
        GroundTruth(FrameTable(path, "n", "is")),
        GroundTruth(rows, None, "source", "seconds"),
        GroundTruth(Ranges(((0, 2), (2.5, None))), None, "clip", "seconds"),
        GroundTruth(None, data / "set/Test2_gt"),
    ]


def test_labels_are_arrays_lists_or_boxes_by_name_or_number(data, write_scene):
    columns = ["frame", "x", "y", "width", "height"]
    for name in ("1_label.mat", "2_label.mat", "cam10.npy", "videos.txt", "cam10.txt"):
        (data / name).touch()
    arrays = {"arrays": "{number}_label.mat", "variable": "volLabel"}
    boxes, others = {"boxes": "{clip}.txt", "columns": columns}, {"others": "normal"}
    cases = [
        ({"video": "cam[12].avi"}, {"list": "videos.txt", "pixel_masks": arrays, **others}),
        (
            {"video": "cam10.avi"},
            {"arrays": "{clip}.npy", "pixel_masks": {**boxes, "optional": True}},
        ),
        ({"video": "long.mkv"}, {"list": "videos.txt", "where": {"class": "Long"}}),
    ]
    clips = [{**clip, "ground_truth": truth} for clip, truth in cases]
    found = [clip.ground_truth for clip in load_scene(write_scene(clips=clips), data).clips]
    rows = [
        RangeTable(data / "videos.txt", "first", "last", (where,), others, "list")
        for where, others in [
            (("video", "cam1.avi"), True),
            (("video", "cam2.avi"), True),
            (("class", "Long"), False),
        ]
    ]
    assert found == [
        GroundTruth(rows[0], ArrayFile(data / "1_label.mat", "volLabel")),
        GroundTruth(rows[1], ArrayFile(data / "2_label.mat", "volLabel")),
        GroundTruth(ArrayFile(data / "cam10.npy"), BoxTable(data / "cam10.txt", tuple(columns))),
        GroundTruth(rows[2]),
    ]
    (data / "cam10.txt").unlink()
    scene = load_scene(write_scene(clips=clips[1:2]), data)
    assert not scene.has_pixel_masks
    clips[2]["ground_truth"] = {"arrays": "{number}.npy"}
    with pytest.raises(SdorError, match=r"\{number\}\.npy: clip long ends in no number; use"):
        load_scene(write_scene(clips=clips[2:]), data)
    same = {"video": "cam*.avi", "ground_truth": {"pixel_masks": {"arrays": "cam10.npy"}}}
    with pytest.raises(SdorError, match="would have the same ground truth"):
        load_scene(write_scene(clips=[same]), data)


@pytest.mark.parametrize("name", ["my scene", "tables", "benchmarks", "a.b"])
def test_scene_names_are_folder_names(data, write_scene, name):
    with pytest.raises(SdorError, match=f"{name}.yaml"):
        load_scene(write_scene(name, clips=[VIDEO]), data)


def test_every_shipped_scene_is_valid(tmp_path):
    files = sorted(SCENES.glob("*.yaml"))
    cameras = {f"shanghaitech{number:02d}" for number in range(1, 13)}
    others = {"plaza", "ped1", "ped2", "umn1", "umn2", "umn3", "avenue", "street-scene"}
    assert cameras | others <= {file.stem for file in files}
    for file in files:
        if "demo" in yaml.safe_load(file.read_text()):
            assert load_scene(file, tmp_path, demo_folder=tmp_path).clips
        else:
            with pytest.raises(DataNotFound):
                load_scene(file, tmp_path)


@pytest.mark.data
def test_released_ped2_is_found_in_its_order(data_root):
    scene = load_scene(SCENES / "ped2.yaml", data_root)
    assert [clip.name for clip in scene.clips[:2]] == ["Train001", "Train002"]
    assert scene.clips[-1].name == "Test012"
    assert len(scene.clips) == 28
