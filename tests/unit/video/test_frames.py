import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdor.errors import SdorError
from sdor.study.scenes import Clip, GroundTruth, Ranges, Rectangle, Scene
from sdor.video.frames import View, clips_table, extract_frames
from sdor.video.store import FrameStore, stored_frames


def video_clip(path: Path, **more: object) -> Clip:
    return Clip(**{"name": "door", "kind": "video", "path": path, "source": path.name, **more})


def noise(count: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, 24, 32, channels), dtype=np.uint8)


def test_frames_are_masked_then_resized(tmp_path, write_video):
    frames = noise(5)
    clip = video_clip(write_video(tmp_path / "a.mkv", frames))
    mask = Rectangle(x=3, y=0, width=10, height=7)
    assert extract_frames(clip, [mask], View(16, 16), tmp_path / "door.npy") == 5
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


def test_a_long_clip_takes_no_more_memory(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", np.zeros((600, 48, 64, 3), np.uint8), "-c:v", "mpeg4")
    extract_frames(video_clip(path), [], View(8, 8), tmp_path / "warm.npy")
    tracemalloc.start()
    extract_frames(video_clip(path), [], View(96, 96), tmp_path / "door.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The clip is 600 grey frames of 96x96, 5.5 MB; the pipe's buffer is 1 MB.
    assert stored_frames(tmp_path / "door.npy") == 600
    assert peak < 3e6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"frames": 21}, r"clip door: expected 21 frames \(scene file\), found 20 in a\.avi"),
        ({"first": 11, "last": 21}, r"expected frames 11 to 21 of a\.avi, found only 20 frames"),
        ({"first": 31, "last": 40}, r"expected frames 31 to 40 of a\.avi, found only 20 frames"),
        ({"first": 21}, r"expected frames 21 to the end of a\.avi, found only 20 frames"),
    ],
)
def test_clips_that_are_too_short_are_refused_and_leave_no_file(
    tmp_path, write_video, more, message
):
    path = write_video(tmp_path / "a.avi", noise(20), "-c:v", "mjpeg")
    with pytest.raises(SdorError, match=message):
        extract_frames(video_clip(path, **more), [], View(16, 16), tmp_path / "out" / "door.npy")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_video_with_fewer_frames_than_it_declares_is_refused(tmp_path, write_video):
    """The cut falls between two frames, where ffmpeg sees nothing wrong."""
    path = write_video(tmp_path / "a.avi", noise(20), "-c:v", "mjpeg")
    content = path.read_bytes()
    start = content.index(b"movi")
    for _ in range(13):
        start = content.index(b"00dc", start + 1)
    path.write_bytes(content[:start])
    with pytest.raises(SdorError, match=r"clip door: .*a\.avi declares 20\), found 12") as error:
        extract_frames(video_clip(path), [], View(16, 16), tmp_path / "door.npy")
    assert "set frames: 12" in str(error.value)
    assert (
        extract_frames(video_clip(path, frames=12), [], View(16, 16), tmp_path / "door.npy") == 12
    )


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
    table = clips_table(scene, {"train": 12, "test": 8, "images": 3})
    expected = pd.DataFrame(
        {
            "clip": ["train", "test", "images"],
            "source": ["long.avi", "long.avi", "set/images"],
            "first": [1, 13, 1],
            "last": [12, 20, 3],
            "split": ["train", "test", ""],
            "fps": [30.0, 15.0, np.nan],
            "frames": [12, 8, 3],
            "labelled": [True, False, False],
        }
    )
    pd.testing.assert_frame_equal(table, expected)
