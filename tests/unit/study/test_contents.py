import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.errors import SdorError
from sdor.study import contents
from sdor.study.contents import copies, fingerprints, sha256_of
from sdor.study.scenes import load_scene

TRUTH = {"ucsd": "set/list.m", "pixel_masks": {"folder": "set/{clip}_gt", "optional": True}}
FILES = {
    "cam1.avi": b"0123456789" * 20_000,
    "set/Test1/1.png": b"one",
    "set/Test1/2.png": b"two",
    "set/Test2/1.png": b"three",
    "set/Test2_gt/1.png": b"mask",
    "set/list.m": b"TestVideoFile{end+1}.gt_frame = [1:2];",
}
CLIPS = [{"images": "set/Test[0-9]", "ground_truth": TRUTH}, {"video": "cam1.avi"}]


@pytest.fixture
def data(tmp_path):
    """A video, two folders of images, masks for one of them, and a list of labels."""
    for name, content in FILES.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(content)
    return tmp_path / "data"


@pytest.fixture
def read(monkeypatch):
    """Names of the files that were read. The clock is ahead, so that no file is a young one."""
    names, clock, digest = [], time.time_ns, hashlib.file_digest
    monkeypatch.setattr(time, "time_ns", lambda: clock() + 10 * contents.TICK)

    def noted(file, kind):
        names.append(Path(file.name).name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    return names


def replace_in_place(file: Path, content: bytes) -> None:
    """Other contents of the same size, with the same time of the last change."""
    time.sleep(0.02)  # a file's clock ticks a hundred times a second or more
    before = file.stat()
    assert len(content) == before.st_size
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def prints(scene_file, root, cache):
    """The fingerprints as they get into the parameters of rules: as JSON."""
    sources, labels = fingerprints([load_scene(scene_file, root)], cache)
    return json.loads(json.dumps([list(sources.values()), labels["gate"]]))


def test_fingerprints_survive_a_move_and_tell_every_change(data, write_scene, tmp_path):
    file, cache = write_scene(clips=CLIPS), tmp_path / "cache.json"
    before = prints(file, data, cache)
    assert str(tmp_path) not in json.dumps(before)
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
    assert prints(file, moved, cache) == before
    changes = {
        "set/Test1/2.png": (0, 0),
        "set/Test2/1.png": (0, 1),
        "cam1.avi": (0, 2),
        "set/list.m": (1, 0),
        "set/Test2_gt/1.png": (1, 1),
    }
    for name, (part, clip) in changes.items():
        original = (moved / name).read_bytes()
        middle = len(original) // 2
        replace_in_place(moved / name, original[:middle] + b"%" + original[middle + 1 :])
        after = prints(file, moved, cache)
        assert after[part][clip] != before[part][clip], name
        replace_in_place(moved / name, original)
        assert prints(file, moved, cache) == before
    (moved / "set/Test1/2.png").rename(moved / "set/Test1/3.png")
    assert prints(file, moved, cache)[0][0] != before[0][0]
    parts = [{}, {"first": 2}, {"last": 3}, {"stream": 1}, {"ground_truth": {"ranges": [[1, 2]]}}]
    of_parts = [prints(write_scene(clips=[CLIPS[1] | one]), data, cache) for one in parts]
    assert all(of_parts.count(one) == 1 for one in of_parts)


def test_arrays_boxes_and_lists_are_labels_by_content(data, write_scene, tmp_path):
    columns = ["frame", "x", "y", "width", "height"]
    files = {"labels.npy": b"labels", "masks.mat": b"masks", "boxes.txt": b"boxes", "list": b"list"}
    for name, content in files.items():
        (data / name).write_bytes(content)
    boxes = {"boxes": "boxes.txt", "columns": columns}
    masks = {"arrays": "masks.mat", "variable": "volLabel"}
    arrays = {"arrays": "labels.npy", "pixel_masks": masks}
    clips = [
        {"video": "cam1.avi", "name": "a", "ground_truth": arrays},
        {"video": "cam1.avi", "name": "b", "ground_truth": {"list": "list", "pixel_masks": boxes}},
    ]
    file, cache = write_scene(clips=clips), tmp_path / "cache.json"
    before = prints(file, data, cache)
    for place, name in ((0, "labels.npy"), (0, "masks.mat"), (1, "boxes.txt"), (1, "list")):
        replace_in_place(data / name, files[name].upper())
        frames, labels = prints(file, data, cache)
        assert frames == before[0]
        assert [now != then for now, then in zip(labels, before[1], strict=True)] == [
            place == 0,
            place == 1,
        ]
        replace_in_place(data / name, files[name])
        assert prints(file, data, cache) == before
    masks["variable"] = "other"
    assert prints(write_scene(clips=clips), data, cache)[1][0] != before[1][0]


def test_a_file_is_read_once_and_again_when_it_may_be_another(data, write_scene, tmp_path, read):
    clips = [*CLIPS, {"video": "cam1.avi", "name": "b", "first": 10}]
    file, cache = write_scene(clips=clips), tmp_path / "state" / "cache.json"
    first = prints(file, data, cache)
    assert sorted(read) == sorted(Path(name).name for name in FILES)
    read.clear()
    assert prints(file, data, cache) == first
    assert read == []
    # The same bytes under a new time are read, and are the same.
    os.utime(data / "cam1.avi", (1, 1))
    assert prints(file, data, cache) == first
    assert read == ["cam1.avi"]
    read.clear()
    replace_in_place(data / "set/Test2_gt/1.png", b"ksam")
    assert prints(file, data, cache) != first
    assert read == ["1.png"]
    read.clear()
    # Another file of the same size and times, renamed into place.
    shutil.copy2(data / "cam1.avi", data / "other")
    os.replace(data / "other", data / "cam1.avi")
    prints(file, data, cache)
    assert read == ["cam1.avi"]


def test_a_young_file_is_not_trusted(data, tmp_path, monkeypatch):
    file, cache = data / "cam1.avi", tmp_path / "cache.json"
    sha256_of([file], cache)
    assert json.loads(cache.read_text()) == {}
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 2 * contents.TICK)
    sha256_of([file], cache)
    assert list(json.loads(cache.read_text())) == [str(file)]
    os.utime(file, ns=(now, now + 2 * contents.TICK))
    sha256_of([file], cache)
    assert json.loads(cache.read_text()) == {}


TREES = st.dictionaries(
    st.sampled_from(["1.png", "2.png", "12.png", "1 2.png", "1\n2.png"]),
    st.binary(max_size=3),
    min_size=1,
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(TREES, TREES)
def test_folders_are_alike_only_if_names_and_contents_are(tmp_path_factory, one, other):
    parent = tmp_path_factory.mktemp("trees")
    for name, tree in (("one", one), ("other", other), ("again", dict(reversed(one.items())))):
        (parent / name).mkdir()
        for file, content in tree.items():
            (parent / name / file).write_bytes(content)
    found = sha256_of([parent / "one", parent / "other", parent / "again"], parent / "cache.json")
    first, second, again = found.values()
    assert first == again
    assert (first == second) == (one == other)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([b"x", b"y", b"zz"])), min_size=2))
def test_what_is_remembered_is_what_is_there(tmp_path_factory, writes):
    """Files that are written again within one tick of their clock, their times set back."""
    parent = tmp_path_factory.mktemp("writes")
    files = [parent / "a", parent / "b"]
    for file in files:
        file.write_bytes(b"x")
    for number, (name, content) in enumerate(writes):
        (parent / name).write_bytes(content)
        os.utime(parent / name, (1, 1))
        found = sha256_of(files, parent / "cache.json")
        assert found == sha256_of(files, parent / f"none{number}.json")


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\x00", b"[]", b'{"a": 1}', b'{"a": [1, 2, 3]}', b"{" * 100_000]
)
def test_a_damaged_memory_is_done_without(data, tmp_path, damage):
    cache = tmp_path / "cache.json"
    expected = sha256_of([data / "cam1.avi"], cache)
    cache.write_bytes(damage)
    assert sha256_of([data / "cam1.avi"], cache) == expected
    json.loads(cache.read_text())
    for other in (tmp_path, cache / "cache.json"):  # cannot be written
        assert sha256_of([data / "cam1.avi"], other) == expected


@pytest.mark.usefixtures("read")
def test_files_that_are_gone_are_forgotten_and_those_of_another_study_are_not(data, tmp_path):
    cache = tmp_path / "cache.json"
    a, b, c = data / "cam1.avi", data / "set/list.m", data / "set/Test1/1.png"
    sha256_of([a, b], cache)
    a.unlink()
    sha256_of([c], cache)
    assert set(json.loads(cache.read_text())) == {str(b), str(c)}


@pytest.mark.usefixtures("read")
def test_what_was_read_is_kept_when_it_is_stopped(data, tmp_path, monkeypatch, capsys):
    a, b, cache = data / "cam1.avi", data / "set/list.m", tmp_path / "cache.json"
    digest = hashlib.file_digest

    def stop(file, kind):
        if Path(file.name) == b:
            raise OSError(5, "Input/output error")
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", stop)
    monkeypatch.setattr(contents, "WORTH_SAYING", 100_000)
    with pytest.raises(SdorError, match=r"list\.m: cannot be read \(Input/output error"):
        sha256_of([a, b], cache)
    assert "sdor: reading 0.0 GB of video once" in capsys.readouterr().err
    assert list(json.loads(cache.read_text())) == [str(a)]
    os.mkfifo(data / "set/Test1/3.png")
    with pytest.raises(SdorError, match=r"Test1/3\.png: is no file"):
        sha256_of([data / "set/Test1"], cache)


def test_the_demo_is_known_by_its_settings(tmp_path, write_scene):
    truth = {"csv": "{clip}.csv", "frame": "frame", "anomalous": "anomalous"}
    truth |= {"pixel_masks": "{clip}_gt"}
    clips = [{"video": "clip01.avi", "ground_truth": truth}]
    found = [
        prints(write_scene(demo={"seed": seed}, clips=clips), tmp_path, tmp_path / "cache.json")
        for seed in (7, 8, 7)
    ]
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
    assert not (tmp_path / "cache.json").exists()


def test_frames_that_count_twice_are_told(tmp_path, write_scene):
    for name, content in {"a.mp4": "x", "b.mp4": "y", "c.mp4": "x", "d.mp4": "z"}.items():
        (tmp_path / name).write_text(content)
    ranges = [("1", 1, 9), ("2", 9, "end"), ("3", 10, 20)]
    parts = [{"video": "d.mp4", "name": n, "first": a, "last": b} for n, a, b in ranges]

    def told(clips):
        scene = load_scene(write_scene(clips=clips), tmp_path)
        return copies(scene, fingerprints([scene], tmp_path / "cache.json")[0])

    assert told([{"video": "*.mp4"}, *parts]) == [
        "a and c have frames in common, which count more than once",
        "1, 2 and 1 more have frames in common, which count more than once",
    ]
    parts[1] |= {"stream": 1}
    assert told(parts) == []
    for number in range(3000):
        (tmp_path / f"n{number}.avi").touch()
    assert told([{"video": "*.avi"}]) == [
        "n0, n1 and 2,998 more have frames in common, which count more than once"
    ]


def test_what_cannot_be_read_stops_a_benchmark_and_no_archive(tmp_path, write_scene):
    (tmp_path / "loop").symlink_to("loop")
    for folder, name, target in (("a", "2.png", "gone"), ("b", "2.png", "../loop")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"one")
        (tmp_path / folder / name).symlink_to(target)
    for name in ("c/1.jpg", "c/001.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    words = {
        "a": r"a/2\.png: cannot be read \(No such",
        "b": r"b/2\.png: cannot be read \(Too many",
        "c": r"1\.jpg and 001\.tif would be the same frame",
    }
    cache = tmp_path / "cache.json"
    scene = load_scene(write_scene(clips=[{"images": "[abc]"}]), tmp_path)
    found = fingerprints([scene], cache)[0]
    digests = [found["gate", name]["sha256"] for name in "abc"]
    assert digests[0] == digests[1] != digests[2] == "unreadable"
    for name, message in words.items():
        clips = [{"images": name, "ground_truth": "normal"}]
        benchmark = load_scene(write_scene("benchmark", clips=clips), tmp_path)
        with pytest.raises(SdorError, match=message):
            fingerprints([scene, benchmark], cache)
    (tmp_path / "a/gone").write_bytes(b"two")
    assert fingerprints([scene], cache)[0]["gate", "a"] != found["gate", "a"]


@pytest.mark.usefixtures("read")
def test_what_was_read_is_kept_every_few_gigabytes(data, tmp_path, monkeypatch):
    cache, seen, digest = tmp_path / "cache.json", [], hashlib.file_digest

    def noted(file, kind):
        seen.append(len(json.loads(cache.read_text())) if cache.exists() else 0)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", noted)
    monkeypatch.setattr(contents, "REMEMBERED_EVERY", 8)
    sha256_of([data / name for name in FILES], cache)
    # 200,000, then 3, 3 and 5, then 4 and more bytes.
    assert seen == [0, 1, 1, 1, 4, 4]


def test_a_file_with_another_inode_is_the_same(tmp_path, read, monkeypatch):
    file, cache = tmp_path / "a.avi", tmp_path / "cache.json"
    file.write_bytes(b"x")
    sha256_of([file], cache)
    about = list(file.stat())
    stat = Path.stat

    def mounted_again(path, **options):
        found = stat(path, **options)
        about = list(found)
        about[1] += 1  # st_ino
        return os.stat_result(
            about, {"st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": found.st_ctime_ns}
        )

    monkeypatch.setattr(Path, "stat", mounted_again)
    assert file.stat().st_ino == about[1] + 1
    sha256_of([file], cache)
    assert read == ["a.avi"]
