import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdor.errors import SdorError
from sdor.study.scenes import Clip, GroundTruth, Ranges, Rectangle, Scene
from sdor.video.audit import audit
from sdor.video.frames import Reading, View, clips_table, extract_clip, extract_frames, read_clip
from sdor.video.picture import Doubt, hide
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline


def video_clip(path: Path, **more: object) -> Clip:
    return Clip(**{"name": "door", "kind": "video", "path": path, "source": path.name, **more})


def noise(count: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, 24, 32, channels), dtype=np.uint8)


def test_frames_are_masked_then_resized(tmp_path, write_video):
    frames = noise(5)
    clip = video_clip(write_video(tmp_path / "a.mkv", frames))
    mask = Rectangle(x=3, y=0, width=10, height=7)
    found = extract_frames(clip, [mask], View(16, 16), tmp_path / "door.npy")
    assert (len(found.times), found.width, found.height) == (5, 32, 24)
    assert found.doubts == ()
    stored = np.load(tmp_path / "door.npy", mmap_mode="r")
    assert stored.dtype == np.uint8
    assert stored.shape == (5, 16, 16, 3)
    frames[:, 0:7, 3:13] = 0
    for source, frame in zip(frames, stored, strict=True):
        expected = Image.fromarray(source).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(frame, np.asarray(expected))


def test_what_a_mask_hides_cannot_be_told_from_the_result(tmp_path, write_video):
    """Nothing of a burnt-in caption may reach the pixels around the mask."""
    plain, captioned = noise(3), noise(3)
    captioned[1:, 2:9, 4:20] = 255
    mask = Rectangle(x=4, y=2, width=16, height=7)
    for name, frames in (("plain", plain), ("captioned", captioned)):
        clip = video_clip(write_video(tmp_path / f"{name}.mkv", frames))
        extract_frames(clip, [mask], View(15, 15), tmp_path / f"{name}.npy")
    assert (tmp_path / "plain.npy").read_bytes() == (tmp_path / "captioned.npy").read_bytes()


def test_grey_video_has_one_channel(tmp_path, write_video):
    clip = video_clip(write_video(tmp_path / "a.avi", noise(3, channels=1)))
    extract_frames(clip, [], View(24, 24), tmp_path / "door.npy")
    assert np.load(tmp_path / "door.npy").shape == (3, 24, 24, 1)


def test_grey_pictures_in_colour_files_have_one_channel(tmp_path, write_video):
    grey = np.repeat(noise(3, channels=1), 3, axis=3)
    clip = video_clip(write_video(tmp_path / "a.mkv", grey))
    extract_frames(clip, [], View(24, 24), tmp_path / "door.npy")
    assert np.load(tmp_path / "door.npy").shape == (3, 24, 24, 1)


def test_colour_that_comes_late_is_not_lost(tmp_path, write_video):
    frames = np.repeat(noise(9, channels=1), 3, axis=3)
    frames[6, 10:20, 10:20] = (200, 0, 0)
    clip = video_clip(write_video(tmp_path / "a.mkv", frames))
    extract_frames(clip, [], View(24, 24), tmp_path / "door.npy")
    expected = [
        np.asarray(Image.fromarray(frame).resize((24, 24), Image.Resampling.BILINEAR))
        for frame in frames
    ]
    np.testing.assert_array_equal(np.load(tmp_path / "door.npy"), expected)


def test_two_decodes_are_the_same_bytes(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", noise(30), "-c:v", "mpeg4", "-bf", "2")
    for name in ("one", "two"):
        extract_frames(video_clip(path), [], View(20, 20), tmp_path / f"{name}.npy")
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()


def test_a_range_of_a_video_is_these_frames(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", noise(30), "-c:v", "mpeg4", "-bf", "2")
    extract_frames(video_clip(path), [], View(20, 20), tmp_path / "all.npy")
    extract_frames(video_clip(path, first=11, last=14), [], View(20, 20), tmp_path / "part.npy")
    extract_frames(video_clip(path, first=29), [], View(20, 20), tmp_path / "rest.npy")
    frames = np.load(tmp_path / "all.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "part.npy"), frames[10:14])
    np.testing.assert_array_equal(np.load(tmp_path / "rest.npy"), frames[28:])


@pytest.mark.parametrize(("rate", "sample"), [(30, 5), (30, 7.5), (7, 3), (4, 10)])
def test_sampled_frames_are_the_first_of_each_period_and_keep_their_numbers(
    tmp_path, write_video, rate, sample
):
    path, files = write_video(tmp_path / "a.avi", noise(40), fps=rate), []
    for name, more in (("all", {}), ("door", {"sample_fps": sample})):
        files = tmp_path / f"{name}.npy", tmp_path / f"{name}.parquet"
        extract_clip(video_clip(path, first=4, last=36, **more), [], View(16, 16), *files)
    # Counted in whole numbers, from the clip's first frame.
    periods = [int(number * sample / rate + 1e-9) for number in range(33)]
    expected = [n + 1 for n, it in enumerate(periods) if n == 0 or it != periods[n - 1]]
    store, rows = FrameStore({"door": files[0]}), np.array(expected) - 1
    assert store.index()["frame"].tolist() == expected
    stored = store.gather(np.arange(len(store)))
    np.testing.assert_array_equal(stored, np.load(tmp_path / "all.npy")[rows])
    for rates in ({}, {"door": float(rate)}):
        timeline = Timeline.read([files[1]], rates)
        pd.testing.assert_frame_equal(timeline.index(), store.index())
        since = timeline.seconds - timeline.seconds[0]
        np.testing.assert_allclose(since, rows / rate, atol=1e-3)
    every = Timeline.of({"door": Reading.read(tmp_path / "all.parquet").times})
    assert every.sampled(sample).tolist() == rows.tolist()


def test_a_sampled_clip_is_held_to_the_frames_of_its_source(tmp_path, write_video):
    """Its number of frames, its labels and its ranges are the source's."""
    path = write_video(tmp_path / "a.avi", noise(40), fps=10)
    truth = GroundTruth(Ranges(((3.05, 3.25), (3.4, 3.55))), numbering="source", unit="seconds")
    clip = video_clip(path, first=11, frames=30, sample_fps=2.5, ground_truth=truth)
    found = readings(tmp_path, clip)
    clips, times, _ = clips_table(scene_of(clip), found)
    assert clips.loc[0, ["first", "last", "frames"]].tolist() == [11, 40, 8]
    assert clips.loc[0, "fps"] == pytest.approx(10)
    assert times["frame"][times["sampled"]].tolist() == [1, 5, 9, 13, 17, 21, 25, 29]
    # Frames 32 and 33 of the source, of which none is sampled, and 35 and 36: 25 in the clip.
    table, summary = audit(scene_of(clip), clips, times)
    assert table["frame"].tolist() == [1, 5, 9, 13, 17, 21, 25, 29]
    assert table["frame"][table["anomalous"] == 1].tolist() == [25]
    assert summary["labelled_frames"] == 8
    with pytest.raises(SdorError, match=r"expected 29 frames .* found 30"):
        clips_table(scene_of(replace(clip, frames=29)), found)


def test_a_long_clip_takes_no_more_memory(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", np.zeros((600, 48, 64, 3), np.uint8), "-c:v", "mpeg4")
    extract_frames(video_clip(path), [], View(8, 8), tmp_path / "warm.npy")
    tracemalloc.start()
    extract_frames(video_clip(path), [], View(96, 96), tmp_path / "door.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The clip is 600 grey frames of 96x96, 5.5 MB.
    assert np.load(tmp_path / "door.npy", mmap_mode="r").shape == (600, 96, 96, 1)
    assert peak < 1e6


def scene_of(*clips: Clip) -> Scene:
    return Scene(name="gate", root=Path(), clips=clips)


def readings(tmp_path: Path, *clips: Clip) -> dict[str, Reading]:
    """What the clips give when they are read, by way of their files."""
    found = {}
    for clip in clips:
        files = tmp_path / f"{clip.name}.npy", tmp_path / f"{clip.name}.parquet"
        extract_clip(clip, [], View(16, 16), *files)
        found[clip.name] = Reading.read(files[1])
        assert len(np.load(files[0], mmap_mode="r")) == found[clip.name].sampled.sum()
    return found


NORMAL = GroundTruth(Ranges(()))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"frames": 21}, r"clip door: expected 21 frames \(scene file\), found 20 in a\.avi"),
        ({"first": 11, "last": 21}, r"expected frames 11 to 21 \(scene file\), found 10 in a\.avi"),
        ({"first": 31, "last": 40}, r"clip door: .*a\.avi: ends before frame 31"),
        ({"first": 21}, r"clip door: .*a\.avi: ends before frame 21"),
    ],
)
def test_clips_that_are_too_short_are_refused_in_a_benchmark(tmp_path, write_video, more, message):
    path = write_video(tmp_path / "a.avi", noise(20), "-c:v", "mjpeg")
    clip = video_clip(path, ground_truth=NORMAL, **more)
    with pytest.raises(SdorError, match=message):
        clips_table(scene_of(clip), readings(tmp_path, clip))


def test_a_cut_off_video_is_refused_in_a_benchmark_and_used_in_an_archive(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", noise(20), "-c:v", "mjpeg")
    content = path.read_bytes()
    start = content.index(b"movi")
    for _ in range(13):
        start = content.index(b"00dc", start + 1)
    path.write_bytes(content[:start])
    clip = video_clip(path, ground_truth=NORMAL)
    too_early = r"clip door: a\.avi: ends at 0\.48 s of the 0\.80"
    with pytest.raises(SdorError, match=too_early) as error:
        clips_table(scene_of(clip), readings(tmp_path, clip))
    assert "set frames: 12 for this clip in the scene file" in str(error.value)
    for more in ({"frames": 12}, {"damaged": "accept"}, {"ground_truth": None}):
        settled = video_clip(path, **{"ground_truth": NORMAL, **more})
        clips, _, remarks = clips_table(scene_of(settled), readings(tmp_path, settled))
        assert clips["frames"].tolist() == [12]
        assert remarks == ["clip door: ends at 0.48 s of the 0.80 s that it declares"]


def test_one_bad_file_stops_a_benchmark_and_no_archive(tmp_path, write_video):
    good = video_clip(write_video(tmp_path / "a.mkv", noise(5)), name="good")
    (tmp_path / "b.mp4").write_text("no video")
    bad = video_clip(tmp_path / "b.mp4", name="bad")
    found = readings(tmp_path, bad, good)
    clips, times, remarks = clips_table(scene_of(bad, good), found)
    assert clips["clip"].tolist() == ["good"]
    assert times["clip"].unique().tolist() == ["good"]
    assert len(remarks) == 1
    assert remarks[0].startswith(f"not read: clip bad: {tmp_path}/b.mp4: cannot be read as video (")
    store = FrameStore({name: tmp_path / f"{name}.npy" for name in ("bad", "good")})
    assert store.clips == ("good",)
    assert len(store) == 5
    labelled = video_clip(good.path, name="good", ground_truth=NORMAL)
    with pytest.raises(SdorError, match=r"clip bad: .*b\.mp4: cannot be read"):
        clips_table(scene_of(bad, labelled), found)
    with pytest.raises(SdorError, match=r"scene gate: nothing of it can be read \(clip bad"):
        clips_table(scene_of(bad), found)
    with pytest.raises(SdorError, match="no frame of bad could be read"):
        FrameStore({"bad": tmp_path / "bad.npy"})


def test_damage_before_a_range_is_told(tmp_path, write_video):
    """It reaches into the range, up to the next key frame."""
    coding = ("-c:v", "mpeg4", "-q:v", "2", "-g", "100")
    path = write_video(tmp_path / "a.avi", noise(40), *coding)
    content = bytearray(path.read_bytes())
    place = content.index(b"00dc", len(content) // 3)
    content[place + 60 : place + 200] = bytes(140)
    path.write_bytes(content)
    found = extract_frames(video_clip(path, first=30), [], View(16, 16), tmp_path / "door.npy")
    assert len(found.times) == 11
    assert found.doubts[0].frame < 30


def test_images_that_ask_for_the_scene_file_stop_a_benchmark_and_no_archive(tmp_path):
    pictures = [np.full((4, 5), value, np.uint8) for value in (1, 2, 3)]
    asked = {
        "good": {"1.png": pictures[0], "2.png": None, "3.png": pictures[2]},
        "twice": {"1.bmp": pictures[0], "001.png": pictures[1]},
        "deep": {"1.png": pictures[0], "2.png": np.full((4, 5), 4000, np.uint16)},
    }
    clips = []
    for name, files in asked.items():
        (tmp_path / name).mkdir()
        for file, picture in files.items():
            if picture is None:
                (tmp_path / name / file).symlink_to("gone")
            else:
                Image.fromarray(picture).save(tmp_path / name / file)
        clips.append(Clip(name=name, kind="images", path=tmp_path / name, source=name))
    found = readings(tmp_path, *clips)
    table, _, remarks = clips_table(scene_of(*clips), found)
    assert table[["clip", "frames"]].to_numpy().tolist() == [["good", 3]]
    stood_for, twice, deep = remarks
    assert "clip good: near frame 2:" in stood_for
    assert "No such file" in stood_for
    assert re.match(r"not read: clip twice: .*1\.bmp and 001\.png would be the same frame", twice)
    assert re.match(r"not read: clip deep: .*2\.png: 16-bit .* add bits: 12", deep)
    labelled = replace(clips[0], ground_truth=NORMAL, damaged="accept")
    with pytest.raises(SdorError, match=r"^clip deep: .* add bits: 12"):
        clips_table(scene_of(labelled, clips[2]), found)


def test_many_doubts_are_told_in_a_few_lines():
    doubts = tuple(Doubt(number, "damaged") for number in range(9, 2, -1))
    found = Reading(np.arange(3.0), np.ones(3, bool), 4, 3, doubts)
    *_, remarks = clips_table(scene_of(video_clip(Path("a.avi"))), {"door": found})
    assert remarks[:2] == ["clip door: near frame 9: damaged", "clip door: near frame 8: damaged"]


def test_masks_follow_a_picture_that_changes_its_size(tmp_path, write_video):
    """Two sizes in one stream, as of a camera that switches; a mask of the first one's pixels."""
    sizes = {"big": (48, 64), "small": (24, 32)}
    for name, (height, width) in sizes.items():
        white = np.full((6, height, width, 3), 255, np.uint8)
        coding = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-qp", "1")
        write_video(tmp_path / f"{name}.ts", white, *coding)
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join((tmp_path / f"{name}.ts").read_bytes() for name in sizes))
    mask = Rectangle(0, 0, 64, 24)
    found = extract_frames(video_clip(both), [mask], View(8, 8), tmp_path / "door.npy")
    assert Doubt(7, "the picture changes to 32x24 pixels under the masks") in found.doubts
    assert (found.width, found.height) == (64, 48)
    halves = np.load(tmp_path / "door.npy").astype(int).mean(axis=(2, 3))
    assert halves.shape == (12, 8)
    assert (halves[:, :3] < 5).all()
    assert (halves[:, 5:] > 250).all()


def test_times_are_those_of_the_source(tmp_path, write_video):
    path = write_video(tmp_path / "a.mkv", noise(20), fps=10)
    part = video_clip(path, name="part", first=11)
    rated = video_clip(path, name="rated", first=11, fps=5.0)
    scene = scene_of(part, rated)
    clips, times, remarks = clips_table(scene, readings(tmp_path, part, rated))
    assert remarks == []
    np.testing.assert_allclose(clips["begin"], [1.0, 2.0])
    np.testing.assert_allclose(clips["fps"], [10.0, 5.0])
    expected = [1 + np.arange(10) / 10, 2 + np.arange(10) / 5]
    np.testing.assert_allclose(times["time"], np.concatenate(expected), atol=1e-6)
    assert times["frame"].tolist() == [*range(1, 11), *range(1, 11)]


def test_a_sequence_of_a_joined_video_must_be_located_first(tmp_path):
    clip = Clip(name="a", kind="video", path=tmp_path / "all.avi", source="all.avi", sequence=2)
    with pytest.raises(ValueError, match="sequence 2"):
        next(read_clip(clip, []))


def test_hidden_regions_are_black_and_end_where_they_should():
    frame = np.full((4, 6, 3), 9, dtype=np.uint8)
    hidden = hide(frame, [Rectangle(x=1, y=2, width=3, height=2)])
    expected = [[9] * 6, [9] * 6, [9, 0, 0, 0, 9, 9], [9, 0, 0, 0, 9, 9]]
    for channel in range(3):
        assert hidden[:, :, channel].tolist() == expected
    assert (frame == 9).all()


@pytest.mark.parametrize(
    "mask", [Rectangle(4, 0, 3, 1), Rectangle(0, 3, 1, 2), Rectangle(9, 9, 1, 1)]
)
def test_masks_beyond_the_picture_are_refused(mask):
    with pytest.raises(SdorError, match="beyond the picture of 6x4 pixels"):
        hide(np.zeros((4, 6, 1), np.uint8), [mask])


def test_a_mask_outside_of_the_picture_is_refused(tmp_path, write_video):
    clip = video_clip(write_video(tmp_path / "a.mkv", noise(2)))
    with pytest.raises(SdorError, match="clip door: mask x 30 to 34, y 0 to 1 reaches beyond"):
        extract_frames(clip, [Rectangle(30, 0, 4, 1)], View(16, 16), tmp_path / "door.npy")


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    """Clips a (4 grey frames 1..4) and b (2 colour frames 11, 12), frames of 2x3 pixels."""
    np.save(tmp_path / "a.npy", frames_of([1, 2, 3, 4], channels=1))
    np.save(tmp_path / "b.npy", frames_of([11, 12], channels=3))
    return FrameStore({"a": tmp_path / "a.npy", "b": tmp_path / "b.npy"})


def frames_of(values: list[int], channels: int) -> np.ndarray:
    pixels = np.array(values, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(pixels, (len(values), 2, 3, channels))


def test_store_numbers_frames_through_all_clips(store):
    assert len(store) == 6
    assert store.shape == (2, 3, 3)
    assert store.nbytes == 6 * 2 * 3 * 3
    assert store.clips == ("a", "b")
    assert store.clip_of.tolist() == [0, 0, 0, 0, 1, 1]
    assert store.frame_of.tolist() == [0, 1, 2, 3, 0, 1]
    expected = pd.DataFrame({"clip": list("aaaabb"), "frame": [1, 2, 3, 4, 1, 2]})
    pd.testing.assert_frame_equal(store.index(), expected)


def test_gather_keeps_the_order_that_was_asked_for(store):
    frames = store.gather([5, 0, 3, 0, 4])
    assert frames.shape == (5, 2, 3, 3)
    assert frames.dtype == np.uint8
    assert frames[:, 1, 2, :].tolist() == [[v] * 3 for v in (12, 1, 4, 1, 11)]
    assert store.gather([]).shape == (0, 2, 3, 3)


@pytest.mark.parametrize("index", [-1, 6])
def test_gather_knows_its_bounds(store, index):
    with pytest.raises(IndexError):
        store.gather([index])


def test_windows_repeat_the_ends_of_their_clip(store):
    windows = store.gather_windows([0, 3, 4, 5], frames=4)
    assert windows.shape == (4, 4, 2, 3, 3)
    # Two frames before, the frame, one after; b never sees a.
    assert windows[:, :, 0, 0, 0].tolist() == [
        [1, 1, 1, 2],
        [2, 3, 4, 4],
        [11, 11, 11, 12],
        [11, 11, 12, 12],
    ]
    sixteen = store.gather_windows([1])
    assert sixteen[0, :, 0, 0, 0].tolist() == [1] * 8 + [2, 3, 4, 4, 4, 4, 4, 4]


def test_grey_scenes_stay_grey(tmp_path):
    np.save(tmp_path / "a.npy", frames_of([1, 2], channels=1))
    store = FrameStore({"a": tmp_path / "a.npy"})
    assert store.gather([1]).shape == (1, 2, 3, 1)
    assert store.gather_windows([1]).shape == (1, 16, 2, 3, 1)


def test_more_clips_than_files_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr("sdor.video.store.OPEN_FILES", 2)
    for number in range(5):
        np.save(tmp_path / f"{number}.npy", frames_of([number], channels=1))
    store = FrameStore({str(number): tmp_path / f"{number}.npy" for number in range(5)})
    assert store.gather([4, 3, 2, 1, 0, 4])[:, 0, 0, 0].tolist() == [4, 3, 2, 1, 0, 4]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: np.save(path, np.zeros((2, 2, 3, 1), np.float32)),
        lambda path: np.save(path, np.zeros((2, 3), np.uint8)),
    ],
)
def test_damaged_files_are_named(tmp_path, spoil):
    path = tmp_path / "a.npy"
    np.save(path, frames_of([1, 2], channels=1))
    spoil(path)
    with pytest.raises(SdorError, match=r"a\.npy: damaged or missing"):
        FrameStore({"a": path})


def test_files_of_different_size_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 8, 1), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((1, 9, 9, 1), np.uint8))
    with pytest.raises(SdorError, match=r"b\.npy: frames of 9x9 pixels, but .*a\.npy has 8x8"):
        FrameStore({"a": tmp_path / "a.npy", "b": tmp_path / "b.npy"})


def test_clips_table_has_one_row_a_clip(tmp_path, write_video):
    path = write_video(tmp_path / "long.avi", noise(20), fps=30)
    (tmp_path / "images").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "images" / "1.png")
    clips = (
        video_clip(
            path, name="train", last=12, split="train", ground_truth=GroundTruth(Ranges(()))
        ),
        video_clip(path, name="test", first=13, split="test", fps=15.0),
        Clip(name="images", kind="images", path=tmp_path / "images", source="set/images"),
    )
    scene = Scene(name="gate", root=tmp_path, clips=clips)
    found = {clip.name: Reading(np.arange(9) / 30, np.ones(9, bool), 32, 24) for clip in clips}
    found["images"] = Reading(np.full(3, np.nan), np.ones(3, bool), 4, 3)
    found["train"] = Reading(np.arange(12) / 30, np.ones(12, bool), 32, 24)
    table, times, _ = clips_table(scene, found)
    expected = pd.DataFrame(
        {
            "clip": ["train", "test", "images"],
            "source": ["long.avi", "long.avi", "set/images"],
            "first": [1, 13, 1],
            "last": [12, 21, 3],
            "split": ["train", "test", ""],
            "fps": [30.0, 15.0, np.nan],
            "frames": [12, 9, 3],
            "labelled": [True, False, False],
            "width": [32, 32, 4],
            "height": [24, 24, 3],
            "begin": [0.0, 0.8, np.nan],
        }
    )
    pd.testing.assert_frame_equal(table, expected)
    assert times["time"].isna().sum() == 3
