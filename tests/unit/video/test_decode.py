import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from sdor.errors import SdorError
from sdor.study.scenes import Clip, Rectangle
from sdor.video import decode as video
from sdor.video.decode import (
    ffmpeg_binary,
    hide,
    picture_size,
    probe,
    read_clip,
    read_video,
)


def numbered(count: int, height: int = 24, width: int = 32, channels: int = 3) -> np.ndarray:
    """Frames whose every pixel is 5 times the frame's number, with a gradient along x."""
    frames = np.zeros((count, height, width, channels), dtype=np.uint8)
    frames += (5 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    frames += np.arange(width, dtype=np.uint8)[None, None, :, None]
    return frames


def test_lossless_video_comes_back_exactly(tmp_path, write_video):
    frames = numbered(7)
    frames[..., 1] += 40
    path = write_video(tmp_path / "a.mkv", frames)
    read = list(read_video(path))
    assert len(read) == 7
    assert read[0].dtype == np.uint8
    np.testing.assert_array_equal(np.stack(read), frames)


def test_grey_video_stays_grey(tmp_path, write_video):
    frames = numbered(4, channels=1)
    path = write_video(tmp_path / "a.avi", frames)
    assert probe(path).grey
    np.testing.assert_array_equal(np.stack(list(read_video(path))), frames)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, None, range(1, 21)),
        (3, 5, range(3, 6)),
        (20, None, [20]),
        (18, 40, [18, 19, 20]),
        (21, 30, []),
    ],
)
def test_ranges_are_exact_by_number(tmp_path, write_video, first, last, expected):
    path = write_video(tmp_path / "a.mkv", numbered(20))
    read = [int(frame[0, 0, 0]) // 5 + 1 for frame in read_video(path, first, last)]
    assert read == list(expected)


def test_ranges_of_a_video_with_predicted_frames(tmp_path, write_video):
    noise = np.random.default_rng(3).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    options = ("-c:v", "mpeg4", "-bf", "2", "-g", "12", "-q:v", "2")
    path = write_video(tmp_path / "a.avi", noise, *options)
    whole = list(read_video(path))
    assert len(whole) == 40
    np.testing.assert_array_equal(np.stack(list(read_video(path, 17, 30))), np.stack(whole[16:30]))


@pytest.mark.parametrize("name", ["-i.mkv", "a:b.mkv", "%03d 'x' [1].mkv", "pipe:", "ä.mkv"])
def test_any_file_name_is_a_file_name(tmp_path, write_video, name):
    write_video(tmp_path / "a.mkv", numbered(2)).rename(tmp_path / name)
    assert len(list(read_video(tmp_path / name))) == 2


def test_variable_frame_rate_neither_drops_nor_repeats(tmp_path):
    path = tmp_path / "a.mkv"
    times = [0, 40, 41, 42, 1000, 5000]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "gray"
        for picture, time in zip(numbered(6, channels=1), times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture[:, :, 0], format="gray")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    read = [int(frame[0, 0, 0]) // 5 for frame in read_video(path)]
    assert read == [0, 1, 2, 3, 4, 5]


def test_upright_video_is_read_and_probed_upright(tmp_path, write_video):
    flat = write_video(tmp_path / "flat.mp4", numbered(3), "-c:v", "mpeg4")
    turned = tmp_path / "turned.mp4"
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", "-display_rotation", "90"]
    subprocess.run([*command, "-i", str(flat), "-c", "copy", str(turned)], check=True)
    assert next(read_video(turned)).shape == (32, 24, 3)
    info = probe(turned)
    assert (info.width, info.height) == (24, 32)


def test_probe_tells_what_the_container_declares(tmp_path, write_video):
    info = probe(write_video(tmp_path / "a.avi", numbered(9), fps=30))
    assert info == video.Declared(frames=9, fps=30.0, width=32, height=24, grey=False)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mpg", "webm"])
def test_truncated_files_are_named(tmp_path, write_video, suffix):
    codec = {"avi": "mjpeg", "mkv": "ffv1", "mpg": "mpeg2video", "webm": "libvpx"}[suffix]
    noise = np.random.default_rng(3).integers(0, 255, (40, 96, 128, 3), dtype=np.uint8)
    whole = write_video(tmp_path / f"whole.{suffix}", noise, "-c:v", codec)
    half = tmp_path / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert sum(1 for _ in read_video(whole)) == 40
    with pytest.raises(
        SdorError, match=f"half.{suffix}: ffmpeg cannot decode it to the end"
    ) as error:
        list(read_video(half))
    assert "\n" not in str(error.value)
    assert "0x" not in str(error.value)


def test_other_files_are_no_videos(tmp_path):
    (tmp_path / "a.avi").write_text("no video")
    with pytest.raises(SdorError, match=r"a\.avi: cannot be read as a video"):
        probe(tmp_path / "a.avi")
    (tmp_path / "empty.avi").touch()
    with pytest.raises(SdorError, match=r"empty\.avi"):
        list(read_video(tmp_path / "empty.avi"))
    clip = Clip(name="door", kind="video", path=tmp_path / "none.avi", source="none.avi")
    with pytest.raises(SdorError, match=r"clip door: .*none\.avi"):
        list(read_clip(clip))


def test_a_video_without_frames_is_refused(tmp_path, write_video):
    path = tmp_path / "a.mkv"
    full = write_video(tmp_path / "full.mkv", numbered(3))
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", "-i", str(full), "-frames:v", "0"]
    subprocess.run([*command, "-c", "copy", str(path)], check=False)
    with pytest.raises(SdorError, match=r"a\.mkv"):
        list(read_video(path))


def test_reading_stops_with_its_reader(tmp_path, write_video, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        video.subprocess,
        "Popen",
        lambda *args, **kw: started.append(popen(*args, **kw)) or started[-1],
    )
    frames = np.zeros((200, 240, 320, 1), dtype=np.uint8)
    reader = read_video(write_video(tmp_path / "a.avi", frames))
    next(reader)
    assert started[-1].poll() is None
    reader.close()
    assert started[-1].poll() is not None


def test_ffmpeg_comes_from_the_path_first(tmp_path, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg_binary() == str(fake)


def test_without_any_ffmpeg_the_message_says_how_to_get_one(monkeypatch):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

    def none() -> str:
        raise RuntimeError("no ffmpeg exe")

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(SdorError, match="pip install imageio-ffmpeg"):
        ffmpeg_binary()


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("4.4.2-0ubuntu0.22.04.1", "vsync"),
        ("5.0.1", "vsync"),
        ("5.1", "fps_mode"),
        ("n7.1", "fps_mode"),
        ("N-109468-gd39b34123d", "fps_mode"),
    ],
)
def test_old_and_new_ffmpeg_have_other_words_for_every_frame_once(tmp_path, version, option):
    fake = tmp_path / "ffmpeg"
    fake.write_text(f"#!/bin/sh\necho ffmpeg version {version} Copyright\n")
    fake.chmod(0o755)
    assert video._passthrough(str(fake)) == {option: "passthrough"}


def test_size_and_count_of_a_clip(tmp_path, write_video):
    for number in range(3):
        Image.new("L", (6, 4)).save(tmp_path / f"{number}.png")
    images = Clip(name="a", kind="images", path=tmp_path, source="a")
    assert picture_size(images) == (6, 4)
    assert probe(images.path).frames == 3
    path = write_video(tmp_path / "b.avi", numbered(5))
    clip = Clip(name="b", kind="video", path=path, source="b.avi")
    assert picture_size(clip) == (32, 24)
    assert probe(clip.path).frames == 5


def test_a_sequence_of_a_joined_video_must_be_located_first(tmp_path):
    clip = Clip(name="a", kind="video", path=tmp_path / "all.avi", source="all.avi", sequence=2)
    with pytest.raises(ValueError, match="sequence 2"):
        next(read_clip(clip))


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
