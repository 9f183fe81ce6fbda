"""Which files become clips, what they are called, and what is said of the others."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.io import PeriodicityDetector

from sdor.errors import SdorError
from sdor.study import sources
from sdor.study.scenes import Scene, load_scene
from sdor.study.sources import (
    distinct_names,
    find_sources,
    image_files,
    is_usable_name,
    names_from,
    natural_key,
)

FEW = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(name))


def video(root: Path, pattern: str, *, benchmark: bool = False) -> tuple[list[str], dict[str, str]]:
    """What a pattern finds and what it passes over, relative to the root."""
    found, over = find_sources(root, pattern, "video", "gate", benchmark=benchmark)
    said = {str(one.relative_to(root)): why for one, why in over.items()}
    return [str(one.relative_to(root)) for one in found], said


def test_a_pattern_matches_endings_in_any_case_and_lists_what_it_cannot_use(root):
    touch(root, "a1.mp4", "a2.MP4", "a3.Mp4", "a4.mkv", "A5.mp4", "b.mp4", ".a.mp4")
    (root / "a8.mp4").mkdir()
    (root / "a9.mp4").symlink_to("gone.mp4")
    os.mkfifo(root / "a10.mp4")  # is not opened
    assert video(root, "a*.mp4") == (
        ["a1.mp4", "a2.MP4", "a3.Mp4"],
        {
            "a8.mp4": "not a file of video",
            "a9.mp4": "cannot be read (No such file or directory)",
            "a10.mp4": "not a file of video",
        },
    )
    assert video(root, "a1.MP4")[0] == ["a1.mp4"]
    assert video(root, ".*.mp4") == ([".a.mp4"], {})
    with pytest.raises(SdorError, match=r"gate\.video: \*\.mp4 matches a9\.mp4: cannot .*mend it"):
        video(root, "*.mp4", benchmark=True)


def test_a_pattern_without_an_ending_takes_what_is_called_like_video(root):
    touch(root, "entrance.avi", "entrance.txt", "entrance.mat", "entrance.png", "entrance")
    found, over = video(root, "entrance*")
    assert found == ["entrance", "entrance.avi"]
    assert over == {
        "entrance.mat": "not called like a video",
        "entrance.png": "an image, not a video",
        "entrance.txt": "not called like a video",
    }
    assert video(root, "entrance.mat")[0] == ["entrance.mat"]


def test_links_are_followed_and_nothing_is_found_twice(root, tmp_path):
    touch(root, "b/1.mp4", "c/2.mp4")
    os.link(root / "c/2.mp4", root / "c/3.mp4")
    touch(tmp_path, "elsewhere/3.mp4")
    (root / "a").symlink_to("c")  # sorts before the folder itself
    (root / "b" / "loop").symlink_to("..")
    (root / "b" / "self").symlink_to(".")
    (root / "b" / "out").symlink_to(tmp_path / "elsewhere")
    (root / "nowhere").symlink_to("nowhere")
    twice = {"c/3.mp4": "the same as c/2.mp4"}
    assert video(root, "**/*.mp4") == (["b/1.mp4", "b/out/3.mp4", "c/2.mp4"], twice)
    twice |= dict.fromkeys(["a/2.mp4", "a/3.mp4"], "the same as c/2.mp4")
    assert video(root, "*/*.mp4") == (["b/1.mp4", "c/2.mp4"], twice)
    assert video(root, "a/*.mp4")[0] == ["a/2.mp4"]
    # What systems leave behind, and what is hidden, is passed over silently.
    touch(root, "._c.mp4", ".DS_Store", "Thumbs.db", "__MACOSX/a.mp4", "@eaDir/a.mp4", ".x/b.mp4")
    for pattern in ("**/*", "**"):
        assert video(root, pattern)[0] == ["b/1.mp4", "b/out/3.mp4", "c/2.mp4"]


def test_folders_of_images_are_found_at_any_depth(root):
    touch(root, "1.png", "a/1.png", "a/b/1.webp", "c/1.txt", "d.mp4")

    def images(pattern: str) -> list[str]:
        found, over = find_sources(root, pattern, "images", "gate", benchmark=True)
        assert not over
        return [str(one.relative_to(root)) for one in found]

    assert images("**") == [".", "a", "a/b"]
    assert images(".") == ["."]
    assert images("a*") == ["a"]
    with pytest.raises(SdorError, match=r"matches c: cannot be read \(no images in this folder\)"):
        images("[ac]")


def test_what_cannot_be_opened_is_one_line(root, monkeypatch):
    touch(root, "open/a.mp4", "shut/b.mp4")
    listdir = os.listdir

    def refuse(folder):
        if Path(folder).name == "shut":
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    monkeypatch.setattr(sources.os, "listdir", refuse)
    over = {"shut": "cannot be read (Permission denied)"}
    assert video(root, "**/*.mp4") == (["open/a.mp4"], over)
    with pytest.raises(SdorError, match=r"nothing of use .*\(shut: cannot be read \(Permission"):
        video(root, "shut/*.mp4")


def test_a_name_that_is_no_text_is_shown_with_its_bytes(root, write_scene):
    touch(root, "a.mp4", "caf\udce9.mp4", "two\nlines.mp4", "d\udce9p\udcf4t/b.mp4")
    scene = load_scene(write_scene(clips=[{"video": "**/*.mp4"}]), root)
    assert [clip.source for clip in scene.clips] == ["a.mp4"]
    assert set(scene.passed_over) == {
        r"'caf\udce9.mp4': cannot be read (its name is no UTF-8 text)",
        r"'two\nlines.mp4': cannot be read (its name has control characters in it)",
        r"'d\udce9p\udcf4t/b.mp4': cannot be read (its name is no UTF-8 text)",
    }
    with pytest.raises(SdorError, match=r"caf\\udce9\.mp4.*no UTF-8 text") as error:
        video(root, "caf*.mp4")
    str(error.value).encode()
    (root / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(SdorError, match=r"data: 'caf\\udce9\.png' is no UTF-8 text; rename"):
        image_files(root)
    with pytest.raises(SdorError, match=r"gate\.yaml: root: .*d\\udce9p.* is no UTF-8"):
        load_scene(write_scene(clips=[{"video": "b.mp4"}]), root / "d\udce9p\udcf4t")
    with pytest.raises(SdorError, match=r"root: .*two\\nlines' has control characters"):
        load_scene(write_scene(clips=[{"video": "b.mp4"}]), root / "two\nlines")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"video": "imgs/*.jpg"}, r"\(imgs/1\.jpg: an image.*\); .*images takes folders"),
        ({"video": "a.gif"}, r"a\.gif: an image, not a video"),
        ({"video": "imgs"}, r"imgs: not a file of video\); .*folder/\* for those of a folder"),
        ({"images": "*.avi"}, r"\*\.avi matches nothing of use.*not a folder of images"),
        ({"video": "gone.avi"}, r"gone\.avi: cannot be read \(No such file"),
        ({"video": "?.avi", "first": 2}, r"clips\.0\.first: 2: is for one clip, and \?\.avi ma"),
        ({"video": "~/a.avi"}, r"'~/a\.avi' must be relative to the scene's root"),
        ({"video": "a\0.avi"}, "must be relative to the scene's root"),
    ],
)
def test_what_is_given_as_something_else_is_told_how_to_write_it(root, write_scene, entry, message):
    touch(root, "imgs/1.jpg", "imgs/2.jpg", "one.tif", "a.avi", "b.avi", "t.csv", "a.gif")
    (root / "gone.avi").symlink_to("nowhere.avi")
    with pytest.raises(SdorError, match=message) as error:
        load_scene(write_scene(clips=[entry]), root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "masks", ["T1_gt", "T1-mask", "T1_masks", "groundtruth", "T1 ground truth", "labels", "gt2"]
)
def test_folders_called_like_ground_truth_are_no_clips_of_a_pattern(root, write_scene, masks):
    touch(root, "T1/1.tif", f"{masks}/1.tif", "T2/1.tif")
    with pytest.raises(SdorError, match=rf"\* matches .*T2.*, of which {masks} is called like gr"):
        load_scene(write_scene(clips=[{"images": "*"}]), root)
    assert len(load_scene(write_scene(clips=[{"images": "T[0-9]"}]), root).clips) == 2
    assert len(load_scene(write_scene(clips=[{"images": masks}]), root).clips) == 1


def test_a_folder_above_says_it_too_and_a_file_as_well_but_not_every_word(root):
    touch(root, "frames/1/1.tif", "masks/1/1.tif", "a.avi", "a_gt.avi")
    with pytest.raises(SdorError, match="of which masks/1 is called like ground truth"):
        find_sources(root, "*/*", "images", "gate", benchmark=False)
    with pytest.raises(SdorError, match=r"of which a_gt\.avi is called like ground truth"):
        video(root, "*.avi")
    others = [f"{name}.mp4" for name in ("bitumask", "GT-7", "labelled", "right", "unmasked")]
    touch(root, *others)
    assert video(root, "*.mp4")[0] == others


def test_folders_that_are_masks_of_a_clip_are_no_clips(root, write_scene):
    touch(root, "T1/1.tif", "T1x/1.tif")
    masks = {"folder": "{clip}x", "optional": True}
    clips = [{"images": "T*", "ground_truth": {"pixel_masks": masks}}]
    with pytest.raises(SdorError, match=r"gate\.yaml: T1x would be a clip, and is the pixel_masks"):
        load_scene(write_scene(clips=clips), root)


def test_a_file_with_an_entry_of_its_own_is_left_out_of_patterns(root, write_scene):
    touch(root, "a.mp4", "b.mp4", "c.mp4")
    (root / "d.mp4").symlink_to("b.mp4")
    own = {"video": "b.mp4", "frames": 7}
    scene = load_scene(write_scene(clips=[{"video": "*.mp4", "count": 3}, own]), root)
    found = [(clip.name, clip.frames) for clip in scene.clips]
    assert found == [("a", None), ("c", None), ("b", 7)]
    (root / "x.mp4").symlink_to("a.mp4")
    scene = load_scene(write_scene(clips=[{"video": "*.mp4"}, {"video": "x.mp4"}]), root)
    assert [clip.name for clip in scene.clips] == ["b", "c", "x"]
    assert scene.passed_over == (
        "a.mp4: the same has an entry of its own",
        "d.mp4: the same as b.mp4",
    )


def names(root: Path, write_scene, *files: str, **more: object) -> list[str]:
    touch(root, *files)
    entry = {"video": "**/*", **more}
    return [clip.name for clip in load_scene(write_scene(clips=[entry]), root).clips]


def test_files_have_names_of_their_own_with_signs_of_file_names(root, write_scene):
    assert names(root, write_scene, "摄像头1.mp4", "摄像头2.mp4") == ["_1", "_2"]
    found = names(root, write_scene, "相机1.mp4", "东门.mp4", "西门.mp4")
    assert len(set(found)) == 5
    assert all(map(is_usable_name, found))
    found = names(root, write_scene, "2024-01-01/00.mp4", "2024-01-02/00.mp4", "2024-01-02/01.mp4")
    assert found[:3] == ["2024-01-01_00", "2024-01-02_00", "01"]


def test_files_of_one_name_with_one_table_are_refused(root, write_scene):
    touch(root, "x/00.csv", "00.csv")
    truth = {"csv": "{clip}.csv", "frame": "n", "anomalous": "is"}
    with pytest.raises(SdorError, match=r"a/00\.mp4 and b/00\.mp4 would have the same ground tr"):
        names(root, write_scene, "a/00.mp4", "b/00.mp4", ground_truth=truth)


def test_a_home_folder_is_found(root, write_scene, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    touch(root, "a.mp4", "a.csv")
    truth = {"csv": "~/data/{clip}.csv", "frame": "n", "anomalous": "is"}
    clips = [{"video": "a.mp4", "ground_truth": truth}]
    scene = load_scene(write_scene(clips=clips, root="~/data"), "/nowhere")
    assert (scene.root, scene.clips[0].ground_truth.labels.path) == (root, root / "a.csv")


FILE_NAMES = st.one_of(
    st.text("aAbé头1_- .", min_size=1, max_size=5),
    st.builds("".join, st.lists(st.sampled_from(["ab", "头", "_", "x"]), min_size=18, max_size=40)),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["a" * 30, "ab" * 25, "头" * 60, "x_gt", "labels", "a" * 120]),
)
ENDINGS = st.sampled_from([".mp4", ".MP4", ".mkv", ".txt", "", ".jpg", ".tar.gz"])
FOLDERS = st.sampled_from(["", "day1/", "day2/", "day1/Deep.er/"])


def scene_or_line(file: Path, root: Path) -> Scene | str:
    try:
        return load_scene(file, root)
    except SdorError as error:
        return str(error)


@FEW
@given(
    st.lists(st.builds("{}{}{}".format, FOLDERS, FILE_NAMES, ENDINGS), max_size=8),
    st.sampled_from(["*", "**/*", "**/*.mp4", "*.mp4", "day?/*"]),
)
def test_every_file_is_a_clip_or_listed_or_the_scene_is_refused(tmp_path_factory, files, pattern):
    folder = tmp_path_factory.mktemp("any")
    root = folder / "data"
    root.mkdir()
    there = set()
    for name in files:
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
        except OSError:  # no name of a file, or a folder's
            continue
        there.add(path.relative_to(root).as_posix())
    file = folder / "gate.yaml"
    file.write_text(f"clips: [{{video: '{pattern}'}}]")
    scene = scene_or_line(file, root)
    if isinstance(scene, str):
        assert "\n" not in scene
        return
    called = [clip.name for clip in scene.clips]
    assert len({name.casefold() for name in called}) == len(called)
    assert all(map(is_usable_name, called))
    sources_of = {clip.source for clip in scene.clips}
    assert sources_of <= there
    said = "\n".join(scene.passed_over)
    for name in there - sources_of:
        deep, path = name.count("/"), Path(name)
        looked = {"*": deep == 0, "*.mp4": deep == 0, "day?/*": deep == 1}.get(pattern, True)
        meant = path.suffix.lower() == ".mp4" or not pattern.endswith(".mp4")
        if looked and meant and not path.name.startswith("."):
            assert name in said or ascii(name)[1:-1] in said, name


@FEW
@given(
    st.lists(st.builds("{}{}{}".format, FOLDERS, FILE_NAMES, ENDINGS), unique=True), st.randoms()
)
def test_names_are_one_each_in_any_order(files, random):
    def called(files: list[str]) -> dict[str, str]:
        choices = [names_from(Path(name).stem, name) for name in files]
        return dict(zip(files, distinct_names(choices), strict=True))

    first = called(files)
    assert len({name.casefold() for name in first.values()}) == len(files)
    assert all(map(is_usable_name, first.values()))
    assert called(random.sample(files, len(files))) == first


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.text("ab_1", max_size=4),
    st.text("ab_1", min_size=1, max_size=5),
    st.integers(1, 25),
    st.text("ab", max_size=1),
)
def test_a_usable_name_is_no_periodic_wildcard(begin, part, times, end):
    name = begin + part * times + end
    if PeriodicityDetector().is_periodic(name):
        assert not is_usable_name(name)
    elif len(name) <= 100 and any(sign.isalnum() for sign in name):
        assert is_usable_name(name)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), unique=True), st.randoms())
def test_natural_order_is_the_order_of_the_numbers(numbers, random):
    names = [f"frame{number}.png" for number in random.sample(numbers, len(numbers))]
    assert sorted(names, key=natural_key) == [f"frame{number}.png" for number in sorted(numbers)]


def test_image_files_are_the_images_only(tmp_path):
    touch(tmp_path, "10.TIF", "2.tif", "1.jpeg", "._1.tif", "Thumbs.db", ".DS_Store")
    (tmp_path / "3.tif").mkdir()
    assert [file.name for file in image_files(tmp_path)] == ["1.jpeg", "2.tif", "10.TIF"]
    (tmp_path / "2.png").touch()
    with pytest.raises(SdorError, match=r"2\.png and 2\.tif|2\.tif and 2\.png"):
        image_files(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SdorError, match="no images"):
        image_files(tmp_path / "empty")
