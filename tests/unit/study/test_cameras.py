"""Which files of a recorder's folder become whose clips, and what is said of the others."""

import os
import re
import time
from pathlib import Path

import pytest

from sdor.command import main
from sdor.errors import SdorError
from sdor.study import sources
from sdor.study.cameras import Cameras, Left, cameras_of, find_camera, find_cameras, scene_file
from sdor.study.scenes import load_scene
from sdor.study.sources import is_usable_name

OLD = time.time() - 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recordings").mkdir()
    return tmp_path / "recordings"


def record(folder: Path, *names: str, at: float = OLD, text: str = "video") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        os.utime(folder / name, (at, at))


def sources_of(cameras: Cameras) -> dict[str, list[str]]:
    return {name: [clip.source for clip in it.clips] for name, it in cameras.scenes.items()}


def test_files_in_the_folder_are_one_camera_called_like_it(folder, monkeypatch):
    record(folder, "2.mp4", "10.MP4", "1.avi", "notes.txt", "1.jpg", "README", ".3.mp4", "._1.avi")
    record(folder, "yard/1.mp4", "yard/2.mp4", "empty/notes.txt", "@eaDir/1.avi")
    found = find_cameras(folder)
    assert sources_of(found) == {"recordings": ["1.avi", "2.mp4", "10.MP4"]}
    assert found.left == (
        Left("yard", "not looked at, as 1.avi makes the folder itself the camera", "recordings"),
        Left(
            "", "passed over, as not called like video: 1.jpg, README, empty/notes.txt, notes.txt"
        ),
    )
    scene = found.scenes["recordings"]
    assert scene.clips[0].path == folder / "1.avi"
    assert [clip.name for clip in scene.clips] == ["1", "2", "10"]
    assert (scene.root, scene.description) == (folder, "recordings")
    monkeypatch.chdir(folder)
    assert list(find_cameras(".").scenes) == ["recordings"]
    monkeypatch.setenv("HOME", str(folder.parent))
    assert find_cameras("~/recordings") == found


def test_else_each_folder_with_video_at_any_depth_is_one(folder):
    record(folder, "yard/1.mp4", "gate 2/a/b/c/1.mkv", "gate 2/1.mkv", "gate 10/1.mkv", "x/1.txt")
    found = find_cameras(folder)
    assert sources_of(found) == {
        "gate_2": ["1.mkv", "a/b/c/1.mkv"],
        "gate_10": ["1.mkv"],
        "yard": ["1.mp4"],
    }
    gate = found.scenes["gate_2"]
    assert [clip.name for clip in gate.clips] == ["1", "a_b_c_1"]
    assert (gate.root, gate.description) == (folder / "gate 2", "gate 2")
    assert found.left == (Left("", "passed over, as not called like video: x/1.txt"),)


@pytest.mark.parametrize(
    "day", ["2026-11-26", "20261126", "2026/11/26", "2026-11/26", "2026_11_26", "20261126AM"]
)
def test_a_folder_of_a_day_is_no_camera(folder, day):
    record(folder, f"gate/{day}/13/05.12.mp4", f"{day}/13/yard/05.12.mp4", f"{day}/yard/1.mp4")
    found = find_cameras(folder)
    assert {name: len(own) for name, own in sources_of(found).items()} == {"gate": 1, "yard": 2}
    assert found.scenes["yard"].root == folder
    assert found.scenes["yard"].clips[0].source == f"{day}/13/yard/05.12.mp4"
    record(folder, f"{day}/13/05.12.mp4")
    assert list(sources_of(find_cameras(folder))) == ["recordings"]
    assert list(sources_of(find_cameras(folder / "gate"))) == ["gate"]


def test_a_clips_name_stays_when_the_next_hour_has_its_file_name_too(folder):
    record(folder, "gate/13/05.12.mp4")
    before = find_cameras(folder).scenes["gate"].clips
    record(folder, "gate/14/05.12.mp4")
    assert find_cameras(folder).scenes["gate"].clips[:1] == before


def test_what_is_still_written_is_left_and_empty_files_are_told(folder):
    now = time.time()
    record(folder, "gate/1.mp4", "gate/a/2.mp4", at=now - 61)
    record(folder, "gate/3.mp4", at=now - 59)
    record(folder, "gate/4.mp4", at=now - 300, text="")
    record(folder, "new/1.mp4", at=now, text="")
    record(folder, "ahead/1.mp4", at=now + 9000)  # by a clock of its own
    found = find_cameras(folder, now=now)
    assert sources_of(found) == {"ahead": ["1.mp4"], "gate": ["1.mp4", "a/2.mp4"]}
    left = "still being written: left for the next run"
    assert found.left == (
        Left("gate/3.mp4", left, "gate"),
        Left("gate/4.mp4", "an empty file", "gate"),
        Left("new/1.mp4", left),
    )
    # What came after a run began is not its own, whenever a job of it looks.
    assert sources_of(find_cameras(folder, now=now - 2)) == {"ahead": ["1.mp4"]}
    assert len(find_cameras(folder, settled=30, now=now).scenes["gate"].clips) == 3


def test_jobs_find_the_cameras_at_one_look_and_a_camera_that_is_gone_has_no_clips(
    folder, monkeypatch
):
    record(folder, "gate/1.mp4", "yard/1.mp4")
    looks = list[Path]()

    def counted(root, **how):
        looks.append(root)
        return find_cameras(root, **how)

    monkeypatch.setattr("sdor.study.cameras.find_cameras", counted)
    config, now = {"videos": str(folder)}, time.time()
    found = cameras_of(["gate", "yard", "hall"], config, now)
    assert looks == [folder]
    assert [(one.name, len(one.clips)) for one in found] == [("gate", 1), ("yard", 1), ("hall", 0)]
    assert find_camera("yard", config, now) == found[1]
    with pytest.raises(SdorError, match=r"recordings: the camera hall is gone from there$"):
        find_camera("hall", config, now)


def test_links_are_followed_and_nothing_is_taken_twice(folder, tmp_path):
    record(folder, "gate/1.mp4", "gate/2.mp4")
    record(tmp_path, "disk/1.mp4")
    (folder / "a").symlink_to("gate")
    (folder / "disk").symlink_to(tmp_path / "disk")
    (folder / "gate/round").symlink_to(folder)
    (folder / "gate/gone.mp4").symlink_to("nowhere.mp4")
    (folder / "gate/0.mp4").symlink_to("1.mp4")
    os.link(folder / "gate/2.mp4", folder / "gate/3.mp4")
    os.mkfifo(folder / "gate/4.mp4")  # is not opened
    found = find_cameras(folder)
    assert sources_of(found) == {"disk": ["1.mp4"], "gate": ["1.mp4", "2.mp4"]}
    assert tuple(map(str, found.left)) == (
        "gate/0.mp4: the same as gate/1.mp4",
        "gate/3.mp4: the same as gate/2.mp4",
        "gate/gone.mp4: cannot be read (No such file or directory)",
        "passed over, as not called like video: gate/4.mp4",
    )


def test_what_cannot_be_read_is_told(folder, monkeypatch):
    record(folder, "gate/1.mp4", "shut/1.mp4", os.fsdecode(b"gate/\xff.mp4"))
    listed = os.listdir

    def refuse(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(sources.os, "listdir", refuse)
    found = find_cameras(folder)
    assert sources_of(found) == {"gate": ["1.mp4"]}
    assert tuple(map(str, found.left)) == (
        r"'gate/\udcff.mp4': cannot be read (its name is no UTF-8 text)",
        "shut: cannot be read (Permission denied)",
    )


def test_names_are_usable_and_distinct(folder):
    record(folder, *(f"{name}/1.mp4" for name in ("Вход", "Gate", "gate", "a b", "a?b", "Logs")))
    record(folder, f"{'x' * 150}/1.mp4", "yard/1.mp4", "yard/1.avi", "yard/день.mp4", "{a}/1.mp4")
    found = find_cameras(folder)
    assert len(found.scenes) == 9
    assert all(map(is_usable_name, found.scenes))
    assert len({name.casefold() for name in found.scenes}) == 9
    titles = {scene.description: name for name, scene in found.scenes.items()}
    assert titles["Logs"] == "camera_Logs"
    assert titles["Вход"].startswith("camera_")
    assert titles["a b"].startswith("a_b_")
    names = [clip.name for clip in found.scenes["yard"].clips]
    assert all(map(is_usable_name, names))
    assert len(set(names)) == 3


def test_a_folder_without_video_is_one_line(folder):
    with pytest.raises(
        SdorError, match=r"^videos: /no/such: no such folder; give one that .*video$"
    ):
        find_cameras("/no/such", key="videos")
    with pytest.raises(SdorError, match=r"^/no/such: no such folder"):
        scene_file("/no/such")
    with pytest.raises(SdorError, match=r"recordings: no video .* at any depth \(empty\)$"):
        find_cameras(folder)
    record(folder, "gate/1.mp4", at=time.time())
    record(folder, "notes.txt")
    with pytest.raises(SdorError) as caught:
        find_cameras(folder)
    assert str(caught.value) == (
        f"{folder}: 1 file may still be written: wait a minute, and run the same command again; no "
        "other video to look at, at any depth (gate/1.mp4: still being written: left for the next "
        "run; passed over, as not called like video: notes.txt)"
    )
    record(folder, *(f"gate/{number}.mp4" for number in range(9)), text="")
    with pytest.raises(SdorError, match=r"gate/2\.mp4: an empty file; 7 more like these\)$"):
        find_cameras(folder)


def test_days_of_short_files_are_found_at_once(folder):
    for name in ("gate", "yard", "hall"):
        hours = [f"{name}/2026-11-26/{hour:02}" for hour in range(24)]
        record(folder, *(f"{hour}/{minute:02}.12.mp4" for hour in hours for minute in range(60)))
    began = time.process_time()
    found = find_cameras(folder)
    assert time.process_time() - began < 5  # 0.4 s, and up to 2 beside others
    assert [len(scene.clips) for scene in found.scenes.values()] == [1440] * 3
    assert found.scenes["gate"].clips[61].name == "2026-11-26_01_01_12"


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["1.mp4", "2.MP4"], "*.mp4"),
        (["1.mp4", "2.avi"], "*"),
        (["2026-11-26/1.mp4"], "**/*.mp4"),
        (['2026-11-26/it\'s "1": {a}.mp4', "2026-11-27/#2 день.avi"], "**/*"),
    ],
)
def test_a_scene_file_for_a_folder_is_accepted(folder, tmp_path, files, pattern):
    gate = folder / "gate: #1 'x'"
    record(gate, *files)
    (tmp_path / "gate.yaml").write_text(text := scene_file(gate))
    assert f'- video: "{pattern}"' in text
    scene = load_scene(tmp_path / "gate.yaml", "elsewhere")
    assert [clip.path for clip in scene.clips] == sorted(gate / name for name in files)
    assert (scene.root, scene.description, scene.masks) == (gate, gate.name, ())
    filled = re.sub("^#(?=masks|  -)", "", text, flags=re.M)
    (tmp_path / "gate.yaml").write_text(filled)
    changed = load_scene(tmp_path / "gate.yaml", "elsewhere")
    assert sorted(clip.last or 0 for clip in changed.clips) == [0] * (len(files) - 1) + [1500]
    assert len(changed.masks) == 1
    assert scene_file(folder) == text


def test_the_command_prints_a_scene_file_or_one_line(folder, capsys):
    assert main(["scene", str(folder)]) == 1
    assert capsys.readouterr() == (
        "",
        f"sdor: {folder}: no video to look at, at any depth (empty)\n",
    )
    record(folder, "1.mp4", at=time.time())
    assert main(["scene", str(folder)]) == 0
    assert capsys.readouterr() == (scene_file(folder), "")


def test_a_scene_file_is_of_one_camera(folder):
    record(folder, "gate/1.mp4", "yard/1.mp4")
    with pytest.raises(
        SdorError, match=r"recordings: holds 2 cameras \(gate, yard\); give that of one, or"
    ):
        scene_file(folder)
    record(folder, "hall/labels.mp4")
    with pytest.raises(SdorError, match=r"labels\.mp4 is called like ground truth"):
        scene_file(folder / "hall")
