"""Previews: the right frame, in its true shape, and a loop that every browser plays."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sdor.operator.previews import LOOP_BYTES, PICTURE_BYTES, Span, picture, preview
from sdor.study.scenes import Clip, Rectangle
from sdor.video.picture import UnreadableError

RED = (255, 0, 0)


def shades(count: int, height: int = 48, width: int = 96) -> np.ndarray:
    """Grey frames, each brighter than the one before by 4."""
    levels = 20 + 4 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def clip_of(path: Path, **about: object) -> Clip:
    return Clip("gate", "images" if path.is_dir() else "video", path, path.name, **about)


def folder_of(path: Path, frames: np.ndarray) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(path / f"{number:03}.png")
    return path


def opened(jpeg: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    return image


def looked_at(loop: bytes) -> tuple[av.VideoStream, list[np.ndarray]]:
    """The one stream of an MP4, and its frames in grey."""
    with av.open(io.BytesIO(loop)) as file:
        (stream,) = file.streams
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(stream)]
    assert stream.codec_context.name == "h264"
    assert stream.codec_context.pix_fmt == "yuv420p"
    assert loop.index(b"moov") < loop.index(b"mdat")
    return stream, frames


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mp4", "ts"])
def test_the_frame_is_the_one_of_its_time(tmp_path, write_video, suffix):
    coding = ("-c:v", "ffv1") if suffix == "mkv" else ("-c:v", "mpeg4", "-bf", "2", "-q:v", "2")
    if suffix == "ts":
        coding = ("-c:v", "libx264", "-g", "10", "-crf", "10")
    path = write_video(tmp_path / f"a.{suffix}", shades(50), *coding, fps=10)
    for number in (1, 2, 23, 50):
        found = opened(picture(clip_of(path), number, (number - 1) / 10, None))
        # Neighbours are 4 apart.
        assert np.asarray(found).mean() == pytest.approx(16 + 4 * number, abs=1.9)


def test_pictures_are_in_their_true_shape(tmp_path, write_video):
    frames = shades(3, height=96, width=80)
    wide = write_video(tmp_path / "a.mkv", frames, "-c:v", "ffv1", "-aspect", "4:3")
    assert opened(picture(clip_of(wide), 1, 0.0, None)).size == (480, 360)
    stream, _ = looked_at(preview([Span(clip_of(wide), 0, 0.1)]))
    assert (stream.width, stream.height) == (320, 240)
    folder = folder_of(tmp_path / "tall", frames)
    assert opened(picture(clip_of(folder), 1, np.nan, None)).size == (400, 480)
    stream, _ = looked_at(preview([Span(clip_of(folder), 0, 0.1)]))
    assert (stream.width, stream.height) == (268, 320)  # 267, if it were even


def test_heat_is_red_where_it_is_high_and_masks_are_outlined(tmp_path):
    folder = folder_of(tmp_path / "a", shades(1, height=360, width=480) + 100)
    heat = np.full((24, 36), 0.2)
    heat[6:12, 18:27] = 1.0
    masks = [Rectangle(20, 200, 100, 60)]
    pixels = np.asarray(opened(picture(clip_of(folder), 1, np.nan, heat, masks))).astype(int)
    redness = pixels[..., 0] - pixels[..., 2]
    assert redness[100:170, 250:350].min() > 60
    assert np.abs(redness[:80]).max() < 10
    edge = pixels[200, 20:120].mean(axis=1)
    assert edge.min() < 60
    assert edge.max() > 200
    # What the mask hides from the method is still to be seen.
    assert pixels[210:250, 30:110].mean() == pytest.approx(120, abs=2)
    # The same scale for all of a camera: what is a third of its highest is so much fainter.
    third = opened(picture(clip_of(folder), 1, np.nan, heat / 3))
    fainter = np.asarray(third).astype(int)[100:170, 250:350]
    share = (fainter[..., 0] - fainter[..., 2]).mean() / redness[100:170, 250:350].mean()
    assert share == pytest.approx(1 / 3, abs=0.05)
    plain = np.asarray(opened(picture(clip_of(folder), 1, np.nan, np.zeros((24, 36)))))
    assert np.ptp(plain) < 4


@pytest.mark.parametrize("kind", ["video", "images", "rated"])
def test_loops_show_what_leads_to_a_moment(tmp_path, write_video, kind):
    if kind == "images":
        clip = clip_of(folder_of(tmp_path / "a", shades(50)), fps=10.0)
    else:
        # With a sound track that must not be there later, in a coding that browsers do not play.
        sound = ("-f", "lavfi", "-i", "sine=d=5", "-c:v", "mpeg4", "-q:v", "2", "-c:a", "aac")
        path = write_video(tmp_path / "a.mkv", shades(50), *sound, fps=10)
        clip = clip_of(path, fps=10.0 if kind == "rated" else None)
    stream, frames = looked_at(preview([Span(clip, 1.5, 4.0)]))
    assert len(frames) / stream.average_rate == pytest.approx(2.5, abs=0.2)
    # Frames 16 to 41; the colours of video leave out the darkest and the brightest levels.
    assert frames[0].mean() == pytest.approx(16 + 4 * 16, abs=4)
    assert frames[-1].mean() == pytest.approx(16 + 4 * 40, abs=6)
    assert np.diff([frame.mean() for frame in frames]).min() > -1


def test_previews_of_noise_are_small(tmp_path, write_video):
    noise = np.random.default_rng(1).integers(0, 255, (330, 30, 40, 3), dtype=np.uint8)
    scaled = ("-vf", "scale=320:240:flags=neighbor", "-c:v", "libx264", "-preset", "ultrafast")
    clip = clip_of(write_video(tmp_path / "a.mp4", noise, *scaled, fps=10))
    assert 1000 < len(picture(clip, 3, 0.2, None)) <= PICTURE_BYTES
    for end in (1.0, 33.0):
        assert LOOP_BYTES / 4 < len(preview([Span(clip, 0, end)])) <= LOOP_BYTES


def test_what_cannot_be_read_is_said(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(UnreadableError, match=r"a\.mp4: cannot be read"):
        picture(clip_of(path), 1, 0.0, None)
    with pytest.raises(UnreadableError, match=r"a\.mp4: cannot be read"):
        preview([Span(clip_of(path), 0, 1)])


def test_a_broken_place_does_not_hide_a_moment(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", shades(50), "-c:v", "mpeg4", "-g", "5", fps=10)
    content = bytearray(path.read_bytes())
    middle = content.index(b"idx1") // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    found = opened(picture(clip_of(path), 45, 4.4, None))
    assert np.asarray(found).mean() == pytest.approx(16 + 4 * 45, abs=5)
    _, frames = looked_at(preview([Span(clip_of(path), 0.0, 4.9)]))
    assert frames[-1].mean() == pytest.approx(16 + 4 * 49, abs=10)


@pytest.mark.parametrize("case", ["alike", "another shape", "rated"])
def test_a_loop_goes_on_over_the_border_of_files(tmp_path, write_video, case):
    frames, coding = shades(50), ("-c:v", "mpeg4", "-q:v", "2")
    first = write_video(tmp_path / "1.mkv", frames[:30], *coding, fps=10)
    # As large as the first, twice as large, or of another shape.
    frames = frames[:, :, :48] if case == "another shape" else frames.repeat(2, 1).repeat(2, 2)
    second = write_video(tmp_path / "2.mkv", frames[30:], *coding, fps=10)
    rate = 10.0 if case == "rated" else None
    pieces = [Span(clip_of(first), 1.5, 3.0), Span(clip_of(second, fps=rate), 0.0, 1.0)]
    brief = Span(clip_of(second), 1.0, 1.01)
    gone = Span(clip_of(tmp_path / "gone.mkv"), 0.0, 9.0)
    stream, found = looked_at(preview([gone, *pieces, brief]))
    assert (stream.width, stream.height) == (320, 160)
    assert len(found) / stream.average_rate == pytest.approx(2.5, abs=0.2)
    levels = [frame.mean() for frame in found]
    # Frames 16 to 40 of both together: none is left out, or shown twice.
    assert levels[0] == pytest.approx(16 + 4 * 16, abs=4)
    assert levels[-1] == pytest.approx(16 + 4 * 40, abs=6)
    assert np.diff(levels).min() > -1
    assert np.diff(levels).max() < 9
