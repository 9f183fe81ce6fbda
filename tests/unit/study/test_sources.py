"""Which files become clips, what they are called, and what is said of the others."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from snakemake.io import PeriodicityDetector

from sdor.errors import SdorError
from sdor.study import sources
from sdor.study.scenes import Scene, load_scene
from sdor.study.sources import distinct_names, find_sources, image_files, is_usable_name, names_from

FEW = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def video(root: Path, pattern: str, *, benchmark: bool = False) -> tuple[list[str], dict[str, str]]:
    """What a pattern finds and what it passes over, relative to the root."""
    found = find_sources(root, pattern, "video", "gate", benchmark=benchmark)
    over = {str(one.relative_to(root)): why for one, why in found.passed_over.items()}
    return [str(one.relative_to(root)) for one in found.sources], over


def test_a_pattern_matches_endings_in_any_case_and_lists_what_it_might_mean(root):
    touch(root, "a1.mp4", "a2.MP4", "a3.Mp4", "a4.mkv", "A5.mp4", "b.mp4", "a6.txt")
    (root / "a8.mp4").mkdir()
    (root / "a9.mp4").symlink_to("gone.mp4")
    assert video(root, "a*.mp4") == (
        ["a1.mp4", "a2.MP4", "a3.Mp4"],
        {
            "a4.mkv": "not called like a*.mp4",
            "A5.mp4": "not called like a*.mp4",
            "a8.mp4": "a folder, not a video",
            "a9.mp4": "a broken link",
        },
    )


def test_hidden_files_are_named_by_patterns_that_begin_with_a_dot_only(root):
    touch(root, ".a.mp4", "b.mp4")
    assert video(root, "*.mp4") == (["b.mp4"], {".a.mp4": "hidden"})
    assert video(root, ".*.mp4") == ([".a.mp4"], {})
    (root / "b.mp4").unlink()
    with pytest.raises(SdorError, match=r"matches nothing of use under .* \(\.a\.mp4: hidden\)"):
        video(root, "*.mp4")


def test_what_systems_leave_behind_is_passed_over_silently(root):
    touch(root, "a.mp4", "._a.mp4", ".DS_Store", "Thumbs.db", "__MACOSX/a.mp4", "@eaDir/a.mp4")
    touch(root, ".cache/b.mp4", "lost+found/c.mp4")
    touch(root, "sub/b.mp4", "sub.mp4/c.mp4")
    over = {"sub.mp4": "a folder, not a video"}
    assert video(root, "**/*") == (["a.mp4", "sub.mp4/c.mp4", "sub/b.mp4"], over)


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


def test_linked_folders_are_followed_and_none_is_seen_twice(root, tmp_path):
    touch(root, "b/1.mp4", "c/2.mp4")
    touch(tmp_path, "elsewhere/3.mp4")
    (root / "a").symlink_to("c")  # sorts before the folder itself
    (root / "b" / "loop").symlink_to("..")
    (root / "b" / "self").symlink_to(".")
    (root / "b" / "out").symlink_to(tmp_path / "elsewhere")
    (root / "nowhere").symlink_to("nowhere")
    assert video(root, "**/*.mp4") == (["b/1.mp4", "b/out/3.mp4", "c/2.mp4"], {})
    assert video(root, "*/*.mp4") == (
        ["b/1.mp4", "c/2.mp4"],
        {"a/2.mp4": "the same file as c/2.mp4"},
    )


def test_one_file_under_two_names_counts_once(root):
    touch(root, "cam10.mp4", "far.mp4")
    (root / "a-latest.mp4").symlink_to("cam10.mp4")
    os.link(root / "far.mp4", root / "near.mp4")
    assert video(root, "*.mp4") == (
        ["cam10.mp4", "far.mp4"],
        {
            "a-latest.mp4": "the same file as cam10.mp4",
            "near.mp4": "the same file as far.mp4",
        },
    )


def test_a_benchmark_refuses_what_an_archive_passes_over(root):
    touch(root, "a.mp4")
    (root / "b.mp4").symlink_to("gone.mp4")
    assert video(root, "*.mp4")[1] == {"b.mp4": "a broken link"}
    with pytest.raises(SdorError, match=r"gate: \*\.mp4 matches b\.mp4: a broken link; mend it"):
        video(root, "*.mp4", benchmark=True)


def test_what_cannot_be_opened_is_one_line(root, monkeypatch):
    touch(root, "open/a.mp4", "shut/b.mp4")
    listdir = os.listdir

    def refuse(folder):
        if Path(folder).name == "shut":
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    monkeypatch.setattr(sources.os, "listdir", refuse)
    assert video(root, "**/*.mp4") == (
        ["open/a.mp4"],
        {"shut": "cannot be read (Permission denied)"},
    )
    with pytest.raises(SdorError, match=r"nothing of use .*\(shut: cannot be read \(Permission"):
        video(root, "shut/*.mp4")
    monkeypatch.setattr(sources.os, "access", lambda path, _: "open" not in str(path))
    with pytest.raises(SdorError, match=r"gate: open/a\.mp4: cannot be read \(Permission denied"):
        video(root, "open/a.mp4")


def test_a_pipe_is_not_opened(root):
    os.mkfifo(root / "a.mp4")
    touch(root, "b.mp4")
    assert video(root, "*.mp4") == (["b.mp4"], {"a.mp4": "neither a file nor a folder"})


def test_a_name_that_is_no_text_is_shown_with_its_bytes(root):
    with open(os.fsencode(root) + b"/caf\xe9.mp4", "w"), open(root / "two\nlines.mp4", "w"):
        pass
    os.mkdir(os.fsencode(root) + b"/d\xe9p\xf4t")
    touch(root, "a.mp4")
    found = find_sources(root, "**/*.mp4", "video", "gate", benchmark=False)
    assert [one.name for one in found.sources] == ["a.mp4"]
    assert set(sources.listed(found.passed_over, root)) == {
        r"'caf\udce9.mp4': its name is no UTF-8 text",
        r"'two\nlines.mp4': its name is no UTF-8 text",
        r"'d\udce9p\udcf4t': its name is no UTF-8 text",
    }
    for pattern in ("caf*.mp4", "caf\udce9.mp4"):
        with pytest.raises(SdorError, match=r"caf\\udce9\.mp4.*no UTF-8 text") as error:
            video(root, pattern)
        str(error.value).encode()


def test_an_image_whose_name_is_no_text_is_one_line(root):
    (root / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(SdorError, match=r"data: 'caf\\udce9\.png' is no UTF-8 text; rename"):
        image_files(root)


def test_a_scene_in_a_folder_that_is_no_text_is_one_line(tmp_path, write_scene):
    data = tmp_path / os.fsdecode(b"d\xe9p\xf4t")
    touch(data, "a.mp4")
    with pytest.raises(SdorError, match=r"gate\.yaml: root: .*d\\udce9p.* is no UTF-8") as error:
        load_scene(write_scene(clips=[{"video": "a.mp4"}]), data)
    str(error.value).encode()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"video": "imgs/*.jpg"}, r"\(imgs/1\.jpg: an image.*\); .*write images: imgs$"),
        ({"video": "imgs/1.jpg"}, r"imgs/1\.jpg: an image, not a video; .*write images: imgs$"),
        ({"video": "one.tif"}, r"one\.tif: an image, not a video; .*write images: \.$"),
        ({"video": "still.gif"}, r"still\.gif: an image, not a video"),
        ({"video": "imgs"}, r"imgs: a folder, not a video; write images: imgs, or video: imgs/\* "),
        ({"video": "im*"}, r"im\* matches nothing of use .*write images: im\*, or video: im\*/\* "),
        ({"images": "a.avi"}, r"a\.avi: a file, not a folder of images; .*write video: a\.avi$"),
        ({"images": "*.avi"}, r"\*\.avi matches nothing of use.*; .*write video: \*\.avi$"),
        ({"images": "imgs/*.jpg"}, r"a clip of images is their folder: write images: imgs$"),
        ({"images": "empty*"}, r"\(empty: no images in this folder\)"),
        ({"video": "gone.avi"}, r"gone\.avi: a broken link$"),
        ({"video": "a.mp4"}, r"matches nothing of use .*\(a\.avi: not called like a\.mp4\)"),
        ({"video": "?.avi", "first": 2}, r"clips\.0\.first: 2: is for one clip, and \?\.avi ma"),
        ({"video": "?.avi", "last": 2}, r"last: 2: .*2 \(a\.avi, b\.avi\); give each an entry"),
        ({"video": ""}, r"'' must be relative to the scene's root"),
        ({"video": "~/a.avi"}, r"'~/a\.avi' must be relative to the scene's root"),
        ({"video": "a\0.avi"}, "must be relative to the scene's root"),
    ],
)
def test_what_is_given_as_something_else_is_told_how_to_write_it(root, write_scene, entry, message):
    touch(root, "imgs/1.jpg", "imgs/2.jpg", "one.tif", "a.avi", "b.avi", "t.csv")
    Image.new("L", (2, 2)).save(root / "still.gif")
    (root / "empty").mkdir()
    (root / "gone.avi").symlink_to("nowhere.avi")
    with pytest.raises(SdorError, match=message) as error:
        load_scene(write_scene(clips=[entry]), root)
    assert "\n" not in str(error.value)


def test_an_animated_gif_is_a_video(root):
    first, second = (Image.new("L", (2, 2), grey) for grey in (0, 255))
    first.save(root / "a.gif", save_all=True, append_images=[second])
    assert video(root, "a.gif") == (["a.gif"], {})


@pytest.mark.parametrize(
    "masks", ["T1_gt", "T1-mask", "T1_masks", "groundtruth", "T1 ground truth", "labels", "gt2"]
)
def test_folders_called_like_ground_truth_are_no_clips_of_a_pattern(root, write_scene, masks):
    touch(root, "T1/1.tif", f"{masks}/1.tif", "T2/1.tif")
    with pytest.raises(SdorError, match=rf"\* matches {masks}, called like .* beside T1, T2; wr"):
        load_scene(write_scene(clips=[{"images": "*"}]), root)
    assert len(load_scene(write_scene(clips=[{"images": "T[0-9]"}]), root).clips) == 2
    assert len(load_scene(write_scene(clips=[{"images": masks}]), root).clips) == 1


def test_a_folder_above_says_it_too_and_a_file_as_well(root):
    touch(root, "frames/1/1.tif", "masks/1/1.tif", "a.avi", "a_gt.avi")
    with pytest.raises(SdorError, match="matches masks/1, called like ground truth"):
        find_sources(root, "*/*", "images", "gate", benchmark=False)
    with pytest.raises(SdorError, match=r"matches a_gt\.avi, called like .* beside a\.avi; write"):
        video(root, "*.avi")


@pytest.mark.parametrize("name", ["weight", "GT-7", "unmasked", "bitumask", "labelled", "right"])
def test_other_names_are_clips(root, name):
    touch(root, f"{name}.avi")
    assert video(root, "*.avi")[0] == [f"{name}.avi"]


def test_folders_that_are_masks_of_a_clip_are_no_clips(root, write_scene):
    touch(root, "T1/1.tif", "T1x/1.tif")
    masked = {"images": "T1", "ground_truth": {"pixel_masks": "{clip}x"}}
    for other in ("T1x", "T*x"):
        with pytest.raises(SdorError, match=r"clips\.1\.images: T.*, of which T1x has pixel_masks"):
            load_scene(write_scene(clips=[masked, {"images": other}]), root)


def test_a_file_with_an_entry_of_its_own_is_left_out_of_patterns(root, write_scene):
    touch(root, "a.mp4", "b.mp4", "c.mp4")
    (root / "d.mp4").symlink_to("b.mp4")
    own = {"video": "b.mp4", "frames": 7}
    scene = load_scene(write_scene(clips=[{"video": "*.mp4", "count": 3}, own]), root)
    assert [(clip.name, clip.frames) for clip in scene.clips] == [
        ("a", None),
        ("c", None),
        ("b", 7),
    ]
    (root / "x.mp4").symlink_to("a.mp4")
    scene = load_scene(write_scene(clips=[{"video": "*.mp4"}, {"video": "x.mp4"}]), root)
    assert [clip.name for clip in scene.clips] == ["b", "c", "x"]
    assert set(scene.passed_over) == {
        "a.mp4: the same as x.mp4",
        "d.mp4: the same file as b.mp4",
    }


def test_what_another_entry_takes_is_not_passed_over(root, write_scene):
    touch(root, "a.mp4", "b.mkv")
    scene = load_scene(write_scene(clips=[{"video": "*.mp4"}, {"video": "*.mkv"}]), root)
    assert scene.passed_over == ()
    assert scene.remarks == []


def test_frames_in_common_are_noted(root, write_scene):
    touch(root, "a.mp4")
    ranges = [("x", 1, 9), ("y", 9, "end"), ("z", 20, 30)]
    clips = [{"video": "a.*", "name": n, "first": a, "last": b} for n, a, b in ranges]
    scene = load_scene(write_scene(clips=clips), root)
    assert scene.notes == (
        "x and y have frames of a.mp4 in common, which count twice",
        "y and z have frames of a.mp4 in common, which count twice",
    )
    clips[1] |= {"stream": 1}
    assert load_scene(write_scene(clips=clips), root).notes == ()


def test_of_many_files_that_are_passed_over_a_run_names_a_few(root, write_scene):
    touch(root, "a.mp4", *(f"{number}.mkv" for number in range(13)))
    remarks = load_scene(write_scene(clips=[{"video": "*.mp4"}]), root).remarks
    assert len(remarks) == 11
    assert remarks[0] == "passed over 0.mkv: not called like *.mp4"
    assert remarks[-1] == "passed over 3 more"


def names(root: Path, write_scene, *files: str, **more: object) -> list[str]:
    touch(root, *files)
    entry = {"video": "**/*", **more}
    return [clip.name for clip in load_scene(write_scene(clips=[entry]), root).clips]


def test_names_that_differ_only_in_signs_of_no_file_name_both_work(root, write_scene):
    assert names(root, write_scene, "摄像头1.mp4", "摄像头2.mp4") == ["_1", "_2"]
    found = names(root, write_scene, "相机1.mp4", "东门.mp4", "西门.mp4")
    assert len(set(found)) == 5
    assert all(map(is_usable_name, found))


def test_names_that_differ_in_case_only_are_told_apart(root, write_scene):
    first, second = names(root, write_scene, "Clip1.mp4", "clip1.mp4")
    assert (first[:6], second[:6]) == ("Clip1_", "clip1_")
    assert first.casefold() != second.casefold()


def test_names_that_snakemake_takes_for_endless_get_digits(root, write_scene):
    (name,) = names(root, write_scene, "a" * 30 + ".mp4")
    assert name.startswith("a" * 30 + "_")


def test_a_scene_of_a_day_of_minutes(root, write_scene):
    files = [f"摄像头/{hour:02}/{minute:02}.mp4" for hour in range(24) for minute in range(60)]
    found = names(root, write_scene, *files)
    assert found[:2] == ["_00_00", "_00_01"]
    assert len(set(found)) == 1440


def test_files_of_one_name_in_many_folders_are_called_by_their_path(root, write_scene):
    files = ["2024-01-01/00.mp4", "2024-01-02/00.mp4", "2024-01-02/01.mp4"]
    assert names(root, write_scene, *files) == ["2024-01-01_00", "2024-01-02_00", "01"]


def test_files_that_differ_in_folder_or_ending_only_are_called_by_it(root, write_scene):
    found = names(root, write_scene, "a.avi", "b.avi", "b.mp4", "sub/a.avi")
    assert found == ["a", "b_avi", "b_mp4", "sub_a"]


def test_files_of_one_name_with_one_table_are_refused(root, write_scene):
    touch(root, "x/00.csv", "00.csv")
    truth = {"csv": "{clip}.csv", "frame": "n", "anomalous": "is"}
    with pytest.raises(SdorError, match=r"a/00\.mp4 and b/00\.mp4 would have the same ground tr"):
        names(root, write_scene, "a/00.mp4", "b/00.mp4", ground_truth=truth)


def test_the_same_file_without_a_name_of_its_own_is_refused(root, write_scene):
    touch(root, "a.mp4")
    clips = [{"video": "a.mp4", "last": 9}, {"video": "a.mp4", "first": 10}]
    with pytest.raises(SdorError, match=r"two clips are called a \(a\.mp4, a\.mp4\); list them"):
        load_scene(write_scene(clips=clips), root)


def test_a_home_folder_is_found(root, write_scene, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    touch(root, "a.mp4", "a.csv")
    truth = {"csv": "~/data/{clip}.csv", "frame": "n", "anomalous": "is"}
    clips = [{"video": "a.mp4", "ground_truth": truth}]
    for scene in (
        load_scene(write_scene(clips=clips, root="~/data"), "/nowhere"),
        load_scene(write_scene(clips=clips, root="data"), "~"),
        load_scene(write_scene(clips=clips, root=str(root)), "/nowhere"),
    ):
        assert scene.root == root
        assert scene.clips[0].ground_truth.labels.path == root / "a.csv"


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
    detector = PeriodicityDetector()
    called = [clip.name for clip in scene.clips]
    assert len({name.casefold() for name in called}) == len(called)
    for name in called:
        assert is_usable_name(name)
        assert not detector.is_periodic(name)
    sources_of = {clip.source for clip in scene.clips}
    assert sources_of <= there
    said = "\n".join(scene.passed_over)
    for name in there - sources_of:
        deep, path = name.count("/"), Path(name)
        looked = {"*": deep == 0, "*.mp4": deep == 0, "day?/*": deep == 1}.get(pattern, True)
        meant = path.suffix.lower() in (".mp4", ".mkv") or not pattern.endswith(".mp4")
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
