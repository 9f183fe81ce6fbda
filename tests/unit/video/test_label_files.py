"""Labels and masks as data sets bring them: arrays, boxes, lists; by audit and localisation."""

import pickle
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from sdor.errors import SdorError
from sdor.evaluation.localisation import localise
from sdor.study.scenes import (
    ArrayFile,
    BoxTable,
    Clip,
    GroundTruth,
    Masks,
    Ranges,
    RangeTable,
    Scene,
    load_scene,
)
from sdor.video.audit import audit
from sdor.video.masks import pixel_mask, read_pixel_masks

SCENES = Path(__file__).parents[3] / "config" / "scenes"
FRAMES, HEIGHT, WIDTH = 10, 8, 12
COLUMNS = ("frame", "track", "x", "y", "width", "height")
CENTRED = ("frame", "track", "center_x", "center_y", "width", "height")
LABELS = [0, 0, 1, 1, 0, 0, 0, 0, 1, 1]
LIST = RangeTable(Path(), "first", "last", (("video", "Test001.avi"),), kind="list")


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return Clip("Test001", "video", tmp_path / "Test001.avi", "Test001.avi", split="test")


def drawn() -> np.ndarray:
    """Masks of a box that moves to the right in the anomalous frames."""
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    for frame in np.flatnonzero(LABELS):
        masks[frame, 2:5, frame : frame + 3] = 1
    return masks


def save_cells(path: Path, cells: object, name: str = "volLabel", **others: object) -> Path:
    """A MATLAB file with a cell array of 1 x frames."""
    array = np.empty((1, len(cells)), dtype=object)
    array[0, :] = list(cells)
    savemat(path, {name: array, **others})
    return path


def audited(clip: Clip, truth: GroundTruth, count: int = FRAMES) -> tuple[str, list[str]]:
    """The labels, one digit a frame, with the remarks."""
    scene = Scene("gate", clip.path.parent, (replace(clip, ground_truth=truth),))
    table = pd.DataFrame({"clip": ["Test001"], "frames": count, "width": WIDTH, "height": HEIGHT})
    times = pd.DataFrame({"clip": "Test001", "frame": np.arange(count) + 1, "time": np.nan})
    times["sampled"] = True
    labels, summary = audit(scene, table, times)
    return in_digits(labels["anomalous"]), summary["remarks"]


def refused(clip: Clip, truth: GroundTruth, count: int = FRAMES) -> str:
    """The line by which they are refused."""
    with pytest.raises(SdorError) as error:
        audited(clip, truth, count)
    line = str(error.value)
    assert line.startswith(f"clip Test001: {clip.path.parent}")
    assert len(line.splitlines()) == 1
    return line


def in_digits(labels: object) -> str:
    return "".join(str(int(label)) for label in labels)


@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_an_array_has_a_label_a_frame(clip, tmp_path, shape, dtype):
    array = np.array(LABELS, dtype=dtype).reshape(shape)
    np.save(tmp_path / "a.npy", array)
    savemat(tmp_path / "a.mat", {"gt": array, "other": [[5]]})
    for file in (ArrayFile(tmp_path / "a.npy"), ArrayFile(tmp_path / "a.mat", "gt")):
        assert audited(clip, GroundTruth(file)) == (in_digits(LABELS), [])


def test_parts_of_a_video_share_the_array_of_the_whole(clip, tmp_path):
    np.save(tmp_path / "a.npy", np.array(LABELS))
    truth = GroundTruth(ArrayFile(tmp_path / "a.npy"), numbering="source")
    assert audited(replace(clip, first=3, last=6), truth, 4) == ("1100", [])
    assert audited(replace(clip, first=8), truth, 3) == ("011", [])
    (found, (remark,)) = audited(replace(clip, first=8), truth, 5)
    assert found == "01111"
    assert "3 labels for 5 frames" in remark
    assert "0 labels for 4 frames; expected" in refused(replace(clip, first=11), truth, 4)


def kinds_of_masks(folder: Path) -> dict[str, Masks]:
    """The same masks in every form."""
    masks, path = drawn(), folder / "pictures"
    path.mkdir()
    for number, mask in enumerate(masks, start=1):
        Image.fromarray(mask * 255).save(path / f"{number:03d}.png")
    np.save(folder / "whole.npy", masks)
    np.save(folder / "white.npy", masks * np.uint8(255))
    np.save(folder / "late.npy", np.moveaxis(masks, 0, 2).astype(float))
    savemat(folder / "whole.mat", {"masks": np.moveaxis(masks, 0, 2)})
    frames = np.flatnonzero(LABELS)
    corners = [f"{frame + 1},0,{frame},2,3,3" for frame in frames]
    centres = [f"Test001/{frame + 1:05d}.jpg 7 {frame + 1.5} 3.5 3 3" for frame in frames]
    # One box may be drawn as two that overlap.
    (folder / "a.csv").write_text("\r\n".join([*corners, f"{frames[0] + 1};0;{frames[0]};2;1;1"]))
    (folder / "b.txt").write_text("\n" + "\n".join(centres) + "\n")
    return {
        "folder": path,
        "npy": ArrayFile(folder / "whole.npy"),
        "white": ArrayFile(folder / "white.npy"),
        "frames last": ArrayFile(folder / "late.npy"),
        "cells": ArrayFile(save_cells(folder / "1_label.mat", masks), "volLabel"),
        "the only variable": ArrayFile(folder / "whole.mat"),
        "corners": BoxTable(folder / "a.csv", COLUMNS),
        "centres": BoxTable(folder / "b.txt", CENTRED),
    }


def test_masks_of_every_kind_are_the_same_to_audit_and_localisation(clip, tmp_path):
    maps = np.random.default_rng(0).random((FRAMES, 4, 6), dtype=np.float32)
    table = pd.DataFrame({"clip": ["Test001"], "frames": FRAMES, "width": WIDTH, "height": HEIGHT})
    times = pd.DataFrame({"clip": ["Test001"] * FRAMES, "sampled": True})
    size, measured = (WIDTH, HEIGHT), {}
    for kind, masks in kinds_of_masks(tmp_path).items():
        truth = GroundTruth(None, masks)
        assert audited(clip, truth) == (in_digits(LABELS), []), kind
        read = np.array(list(read_pixel_masks(clip, masks, FRAMES, size, [])))
        assert read.dtype == bool
        assert (read == drawn()).all(), kind
        assert (pixel_mask(clip, masks, 4, FRAMES, size) == drawn()[3]).all()
        scene = Scene("gate", tmp_path, (replace(clip, ground_truth=truth),))
        measured[kind] = localise(scene, table, times, maps, draws=0)
    assert measured["folder"].counts["regions"] == 4
    assert len({str(one) for one in measured.values()}) == 1


def writers(folder: Path) -> dict[str, Callable[[int], GroundTruth]]:
    """Ground truth that ends with so many frames, in every form; all but the first is anomalous."""

    def labels(count: int) -> np.ndarray:
        return (np.arange(count) > 0).astype(np.uint8)

    def masks(count: int) -> np.ndarray:
        found = np.zeros((count, HEIGHT, WIDTH), dtype=np.uint8)
        found[1:, 2, 3] = 1
        return found

    def saved(name: str, array: np.ndarray) -> ArrayFile:
        np.save(folder / name, array)
        return ArrayFile(folder / name)

    def boxes(count: int) -> BoxTable:
        rows = [f"{frame} 0 3 2 1 1\n" for frame in range(2, count + 1)]
        (folder / "b.txt").write_text("".join(rows))
        return BoxTable(folder / "b.txt", COLUMNS)

    def listed(count: int) -> RangeTable:
        (folder / "l.txt").write_text(f"Test001.avi  Abuse  2  {count}  -1  -1\n")
        return replace(LIST, path=folder / "l.txt")

    cells = folder / "c.mat"
    return {
        "labels": lambda count: GroundTruth(saved("a.npy", labels(count))),
        "masks": lambda count: GroundTruth(None, saved("m.npy", masks(count))),
        "cells": lambda count: GroundTruth(None, ArrayFile(save_cells(cells, masks(count)))),
        "boxes": lambda count: GroundTruth(None, boxes(count)),
        "list": lambda count: GroundTruth(listed(count)),
    }


@pytest.mark.parametrize("kind", ["labels", "masks", "cells", "boxes", "list"])
def test_up_to_two_frames_at_the_end_are_bridged_and_told(clip, tmp_path, kind):
    write, whole = writers(tmp_path)[kind], "0111111111"
    # Without a label for the last frames nothing tells that boxes or ranges should go on.
    sparse = kind in ("boxes", "list")
    assert audited(clip, write(FRAMES)) == (whole, [])
    for more in (1, 2, 3, -1, -2, -3):
        truth = write(FRAMES + more)
        if more > 2 or (more < -2 and not sparse):
            line = refused(clip, truth)
            assert f"{FRAMES + more}" in line
            assert f"{FRAMES}" in line
            assert "expected" in line
        elif more < 0 and sparse:
            assert audited(clip, truth) == (whole[:more] + "0" * -more, [])
        else:
            labels, (remark,) = audited(clip, truth)
            assert labels == whole
            assert remark.startswith(f"clip Test001: {tmp_path}")
            assert f"{FRAMES + more} " in remark
            assert f"{FRAMES} frames" in remark
            ends = (
                "last label stands" if more < 0 else "cut there" if kind == "list" else "left out"
            )
            assert ends in remark


def with_value(value: float, dtype: type = float) -> np.ndarray:
    array = drawn().astype(dtype)
    array[4, 3, 2] = value
    return array


ARRAYS = {
    "a value": (np.array([0, 1, 2, 0, 0, 0, 0, 0, 0, 0]), "0 or 1 .*, found 2 as number 3"),
    "NaN": (np.array([0, np.nan] * 5), "found nan as number 2"),
    "a negative": (np.array([-1, 0] * 5), "found -1 as number 1"),
    "text": (np.array(["0"] * 10), "values of type <U1"),
    "times": (np.zeros(10, "datetime64[s]"), "values of type datetime64"),
    "masks": (
        drawn(),
        "expected a label a frame, found an array of 10 x 8 x 12; masks are pixel_m",
    ),
    "one value": (np.array(1), "expected a label a frame, found an array of one value"),
    "nothing": (np.zeros(0), "0 labels for 10 frames|cannot be read as an array"),
}
MASKS = {
    "another size": (drawn()[:, :, 1:], "frame 1: expected .* 8 x 12 like the clip, found 8 x 11"),
    "labels": (np.array(LABELS), "expected masks as an array of frames x .*, found an array of 10"),
    "a value": (with_value(2), "frame 5: expected 0 or 1 or 255 .*, found 2"),
    "NaN": (with_value(np.nan), "frame 5: .* found nan"),
    "inverted": (1 - drawn(), "every mask is mostly anomalous; are they inverted"),
}


@pytest.mark.parametrize(("array", "message"), ARRAYS.values(), ids=ARRAYS)
def test_what_is_no_array_of_labels_is_one_line(clip, tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    assert re.search(message, refused(clip, GroundTruth(ArrayFile(tmp_path / "a.npy"))))


@pytest.mark.parametrize(("array", "message"), MASKS.values(), ids=MASKS)
def test_what_are_no_masks_is_one_line_from_either_file(clip, tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    files = [ArrayFile(tmp_path / "a.npy")]
    if array.ndim == 3:
        files.append(ArrayFile(save_cells(tmp_path / "a.mat", array), "volLabel"))
    for file in files:
        assert re.search(message, refused(clip, GroundTruth(None, file)))


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_never_opened(clip, tmp_path):
    sprung = tmp_path / "sprung"
    np.save(tmp_path / "a.npy", np.array([Trap(sprung)] * 10, dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap(sprung)))
    for name in ("a.npy", "b.npy"):
        found = refused(clip, GroundTruth(ArrayFile(tmp_path / name)))
        assert f"{name}: cannot be read as an array of numbers" in found
        assert not sprung.exists()


def test_files_that_matlab_or_a_disk_left_otherwise_are_one_line(clip, tmp_path):
    path = save_cells(tmp_path / "a.mat", drawn(), other=[[1]])

    def line(variable: str = "volLabel", file: Path = path) -> str:
        return refused(clip, GroundTruth(None, ArrayFile(file, variable)))

    assert line("labels").endswith("no variable labels; name the one with the labels (variable)")
    assert "variables: ['volLabel', 'other']; name the one" in line("")
    assert "found an array of 1 x 1" in line("other")
    savemat(tmp_path / "s.mat", {"volLabel": {"a": 1}})
    assert "expected masks as an array of" in line(file=tmp_path / "s.mat")
    whole = save_cells(path, drawn()).read_bytes()
    for end in (0, 3, 100, 130, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert f"{path}: " in line()
    # What MATLAB writes with -v7.3: HDF5 behind a header of 512 bytes.
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n")
    assert "version 7.3 (HDF5), which is not read; load it in MATLAB and save it" in line()
    np.save(tmp_path / "n.npy", drawn())
    assert "a .npy file has none" in line(file=tmp_path / "n.npy")
    whole = (tmp_path / "n.npy").read_bytes()
    for end in (0, 4, 60, 127, 128, len(whole) - 1):
        (tmp_path / "n.npy").write_bytes(whole[:end])
        assert "n.npy: cannot be read as an array" in line("", tmp_path / "n.npy")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3 0 1 2 3", r"line 2: expected 6 cells \(frame, track, x, .*\), found 5; name all"),
        ("3,0,1,,2,3", "line 2: expected 6 cells"),
        ("0 0 1 2 3 3", "line 2: frame: '0' is neither .*; frames count from 1"),
        ("-1 0 1 2 3 3", "line 2: frame: '-1' is neither"),
        ("1.5 0 1 2 3 3", "line 2: frame: '1.5' is neither"),
        ("3 0 nan 2 3 3", "line 2: x: 'nan' is not a number of pixels"),
        ("3 0 1 1e9 3 3", "line 2: y: '1e9' is not a number"),
        ("3 0 1 2 0 3", "line 2: width: '0' is not a number of pixels; a box has a width and"),
        ("3 0 1 2 3 -3", "line 2: height: '-3' is not a number"),
        ("3 0 12 2 3 3", "line 2: a box of x 12 to 15, y 2 to 5 is outside of the picture of 12x8"),
        ("3 0 -4 2 3 3", "line 2: a box of x -4 to -1, .* is outside"),
        ("3 0 1 2 14 3", "line 2: a box of .* or larger; do columns name what the file has"),
        ("13 0 1 2 3 3", "line 2: a box of frame 13: 13 labels for 10 frames; expected"),
    ],
)
def test_rows_that_are_no_boxes_are_refused_by_line(clip, tmp_path, row, message):
    path = tmp_path / "b.txt"
    path.write_text(f"1 0 1 2 3 3\n{row}\n")
    assert re.search(message, refused(clip, GroundTruth(None, BoxTable(path, COLUMNS))))


def test_boxes_are_cut_at_the_edge_and_a_file_without_any_is_doubtful(clip, tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("1 0 -1 2 3 3\n2 0 10.5 6.5 3 3\n")
    boxes = BoxTable(path, COLUMNS)
    _, (remark,) = audited(clip, GroundTruth(None, boxes))
    assert remark.endswith("beyond the picture are cut there: 2, the first in line 1")
    first, second, *_ = read_pixel_masks(clip, boxes, FRAMES, (WIDTH, HEIGHT), [])
    assert np.argwhere(first).min(axis=0).tolist() == [2, 0]
    assert np.argwhere(first).max(axis=0).tolist() == [4, 1]
    assert np.argwhere(second).tolist() == [[6, 10], [6, 11], [7, 10], [7, 11]]
    path.write_text("\n")
    assert "no box in it; of a clip without, say" in refused(clip, GroundTruth(None, boxes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Test001.avi  Abuse  3  4  9  10\n", in_digits(LABELS)),
        ("Other.avi Arson 1 2 -1 -1\n\nTest001.avi\tAbuse\t3 4 -1 -1 9 10", in_digits(LABELS)),
        ("Test001.avi Normal -1 -1 -1 -1\n", "0" * 10),
        (
            "Test001.avi Abuse 3 4 9\n",
            "line 1: expected a video, its class, and pairs of first and",
        ),
        ("Test001.avi Abuse\n", "line 1: expected a video, its class, and pairs"),
        ("Test001.avi Abuse 3 nan\n", "line 1: expected a video"),
        ("Test001.avi 3 4\n", "line 1: expected a video"),
        ("Test001.avi Abuse 3 -1\n", "line 1: last: '-1' is not a number of frames"),
        ("Test001.avi Abuse 0 4\n", "line 1: first: '0' is not a number of frames; frames count"),
        ("Test001.avi Abuse 5 4\n", "expected ranges within frames 1 to 10, found 5 to 4"),
        ("Test001.avi Abuse 3 13\n", "expected ranges within frames 1 to 10, found 3 to 13"),
        ("test1.mp4 Abuse 3 4\n", r"no row with video = Test001.avi, but with test1.mp4: write"),
        ("Test002.avi Abuse 3 4\n", "no row with video = Test001.avi; .* say others: normal"),
        ("", "no row with video = Test001.avi"),
    ],
)
def test_a_list_of_videos_with_pairs_of_frames(clip, tmp_path, text, expected):
    (tmp_path / "l.txt").write_text(text)
    truth = GroundTruth(replace(LIST, path=tmp_path / "l.txt"))
    if expected.isdigit():
        assert audited(clip, truth) == (expected, [])
    else:
        assert re.search(expected, refused(clip, truth))


def test_a_range_wholly_behind_the_last_frame_is_left_out_and_told(clip, tmp_path):
    (tmp_path / "l.txt").write_text("Test001.avi Abuse 3 4 9 10 11 12\n")
    found, (remark,) = audited(clip, GroundTruth(replace(LIST, path=tmp_path / "l.txt")))
    assert found == in_digits(LABELS)
    assert remark.endswith("line 1: a range to frame 12 of 10 frames; it is cut there")


def test_of_a_large_array_one_mask_is_in_memory_at_a_time(clip, tmp_path):
    masks = np.zeros((200, 240, 320), dtype=np.uint8)
    masks[:, 5, 5] = 1
    np.save(tmp_path / "m.npy", masks)
    del masks
    tracemalloc.start()
    read = read_pixel_masks(clip, ArrayFile(tmp_path / "m.npy"), 200, (320, 240), [])
    assert sum(int(mask.sum()) for mask in read) == 200
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 240 * 320  # of 200 masks


RELEASES = {
    "avenue": ("testing_videos_01", 37, 21),
    "shanghaitech01": ("01_0001", 36, 34),
    "shanghaitech12": ("12_0001", 12, 10),
    "street-scene": ("Test001", 81, 35),
}


def write_release(name: str, root: Path) -> None:
    """A data set of the official folders, small: clips of 10 frames of 12 x 8 pixels."""
    document = yaml.safe_load((SCENES / f"{name}.yaml").read_text())
    root /= document["root"]
    if name == "avenue":
        for kind, count in (("training", 16), ("testing", 21)):
            for number in range(1, count + 1):
                (root / f"{kind}_videos").mkdir(parents=True, exist_ok=True)
                (root / f"{kind}_videos/{number:02d}.avi").touch()
        truth = root / "ground_truth_demo/testing_label_mask"
        truth.mkdir(parents=True)
        for number in range(1, 22):
            save_cells(truth / f"{number}_label.mat", drawn())
    elif name == "street-scene":
        for number in range(1, 47):
            write_images(root / f"Train/Train{number:03d}")
        for number in range(1, 36):
            folder = write_images(root / f"Test/Test{number:03d}")
            rows = [f"{f + 1:03d}.jpg 0 {f + 1.5} 3.5 3 3\n" for f in np.flatnonzero(LABELS)]
            (folder / f"{folder.name}_gt.txt").write_text("".join(rows))
    else:
        camera = name.removeprefix("shanghaitech")
        for folder in ("training/videos", "testing/test_frame_mask", "testing/test_pixel_mask"):
            (root / folder).mkdir(parents=True)
        for number in (1, 2):
            (root / f"training/videos/{camera}_{number:03d}.avi").touch()
        for number in range(1, document["clips"][1]["count"] + 1):
            folder = write_images(root / f"testing/frames/{camera}_{number:04d}")
            np.save(root / f"testing/test_frame_mask/{folder.name}.npy", np.array(LABELS))
            np.save(root / f"testing/test_pixel_mask/{folder.name}.npy", drawn())


def write_images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number:03d}.jpg").touch()
    return folder


@pytest.mark.parametrize("name", RELEASES)
def test_releases_are_found_and_their_labels_read(tmp_path, name):
    write_release(name, tmp_path)
    scene = load_scene(SCENES / f"{name}.yaml", tmp_path)
    first_of_test, clips, tested = RELEASES[name]
    test = [clip for clip in scene.clips if clip.split == "test"]
    assert (test[0].name, len(scene.clips), len(test)) == (first_of_test, clips, tested)
    assert scene.has_pixel_masks
    names = [clip.name for clip in scene.clips]
    table = pd.DataFrame({"clip": names, "frames": FRAMES, "width": WIDTH, "height": HEIGHT})
    times = pd.DataFrame({"clip": np.repeat(names, FRAMES), "time": np.nan, "sampled": True})
    labels, summary = audit(scene, table, times)
    assert summary["anomalous_frames"] == tested * sum(LABELS)
    assert (summary["remarks"], summary["disagreements"]) == ([], {})
    assert in_digits(labels[labels["clip"] == names[-1]]["anomalous"]) == in_digits(LABELS)
    normal = {clip.name for clip in scene.clips if clip.ground_truth == GroundTruth(Ranges(()))}
    assert len(normal) == clips - tested
