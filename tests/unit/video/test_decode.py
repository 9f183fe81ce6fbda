"""Every frame of a video comes back with its own number and time, whatever the file says of itself.

Numbers are painted into the pictures as eight black or white blocks, one a bit, which survive any
codec, size and turn.
"""

import random
import subprocess
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.errors import SdorError
from sdor.video.decode import declared, frame_at, key_frames, read_video
from sdor.video.ffmpeg import ffmpeg_binary
from sdor.video.picture import Doubt, UnreadableError

BITS = 8
CODECS = {
    "mkv": ["ffv1", "libx264", "mpeg4", "mjpeg"],
    "mp4": ["libx264", "mpeg4", "libx265"],
    "mov": ["libx264", "mjpeg"],
    "avi": ["mpeg4", "mjpeg", "libx264"],
    "ts": ["libx264", "mpeg2video"],
    "mpg": ["mpeg2video"],
    "webm": ["libvpx-vp9", "libvpx"],
    "flv": ["flv1"],
    "wmv": ["wmv2"],
}


def painted(count: int, height: int = 64, width: int = 96, start: int = 1) -> np.ndarray:
    """Pictures of noise with their numbers, from `start`, across the middle of their upper half."""
    noise = np.random.default_rng(3).integers(60, 180, (count, height, width, 3), dtype=np.uint8)
    for index, number in enumerate(range(start, start + count)):
        for bit in range(BITS):
            columns = slice(bit * width // BITS, (bit + 1) * width // BITS)
            noise[index, : height // 2, columns] = 255 * (number >> bit & 1)
    return noise


def number_in(pixels: np.ndarray) -> int:
    """The number that is painted into a picture."""
    height, width = pixels.shape[:2]
    row = pixels[height // 4].mean(axis=1)
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum(int(row[middle] > 127) << bit for bit, middle in enumerate(middles))


def mux(
    path: Path,
    pictures: list[np.ndarray],
    times: list[float],
    codec: str = "ffv1",
    tick: Fraction = Fraction(1, 1000),
    pix_fmt: str = "",
) -> Path:
    """Write pictures with the timestamps that they are given (s)."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt or ("bgr0" if codec == "ffv1" else "yuv420p")
        stream.time_base = stream.codec_context.time_base = tick
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / tick), tick
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def read(path: Path, *limits: int | None, **how: object) -> tuple[list[int], list[float], list]:
    """Numbers in the pictures, times, and doubts; the readers' own numbers must be in order."""
    doubts: list[Doubt] = []
    pictures = list(read_video(path, *limits, doubts=doubts, **how))
    first = limits[0] if limits else 1
    assert [one.number for one in pictures] == list(range(first, first + len(pictures)))
    return [number_in(one.pixels) for one in pictures], [one.time for one in pictures], doubts


def copied(source: Path, target: Path, *options: str, before: tuple[str, ...] = ()) -> Path:
    """The streams of a file in another."""
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", *before, "-i", str(source)]
    subprocess.run([*command, "-c", "copy", *options, str(target)], check=True)
    return target


def test_lossless_video_comes_back_exactly(tmp_path, write_video):
    frames = painted(7)
    found = list(read_video(write_video(tmp_path / "a.mkv", frames), doubts=[]))
    assert found[0].pixels.dtype == np.uint8
    np.testing.assert_array_equal([one.pixels for one in found], frames)
    grey = painted(4)[..., :1]
    found = list(read_video(write_video(tmp_path / "a.avi", grey), doubts=[]))
    np.testing.assert_array_equal([one.pixels for one in found], grey)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_stream_gives_its_numbers_and_times(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(sorted(CODECS)))
    codec = data.draw(st.sampled_from(CODECS[suffix]))
    count = data.draw(st.integers(2, 40))
    rate = data.draw(st.sampled_from(["25", "30000/1001", "24"]))
    between = data.draw(st.sampled_from([0, 2])) if codec in ("libx264", "mpeg4") else 0
    height, width = data.draw(st.sampled_from([(64, 96), (66, 98), (90, 130)]))
    folder = tmp_path_factory.mktemp("any")
    (folder / "raw").write_bytes(painted(count, height, width).tobytes())
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate]
    quality = ["-q:v", "3"] if not codec.startswith("lib") else ["-b:v", "2M"]
    coding = ["-c:v", "flv" if codec == "flv1" else codec, "-pix_fmt", "yuv420p", "-g", "12"]
    if codec == "ffv1":
        coding, quality = ["-c:v", "ffv1"], []
    if codec == "mjpeg":
        coding = ["-c:v", "mjpeg"]
    coding += ["-bf", str(between)] if between else []
    coding += ["-x265-params", "log-level=none"] if codec == "libx265" else []
    path = folder / f"a.{suffix}"
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", *raw, "-i", str(folder / "raw")]
    subprocess.run([*command, *coding, *quality, str(path)], check=True)
    numbers, times, doubts = read(path)
    assert numbers == list(range(1, count + 1))
    assert doubts == []
    # Matroska, FLV and ASF have milliseconds.
    expected = np.arange(count) / float(Fraction(rate))
    np.testing.assert_allclose(times, expected, atol=0.0011)
    first = data.draw(st.integers(1, count))
    last = data.draw(st.integers(first, count))
    numbers, part, _ = read(path, first, last)
    assert numbers == list(range(first, last + 1))
    np.testing.assert_array_equal(part, times[first - 1 : last])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(steps=st.lists(st.integers(1, 9000), min_size=1, max_size=20))
def test_any_rate_of_frames_keeps_each_time(tmp_path_factory, steps):
    times = np.cumsum([0, *steps]) / 1000
    frames = list(painted(len(times)))
    folder = tmp_path_factory.mktemp("rate")
    for name, codec in (("a.mkv", "ffv1"), ("a.mp4", "mpeg4")):
        numbers, found, doubts = read(mux(folder / name, frames, list(times), codec))
        assert numbers == list(range(1, len(times) + 1))
        np.testing.assert_allclose(found, times, atol=0.0011)
        assert doubts == []


@pytest.mark.parametrize(("first", "last"), [(3, 5), (20, None), (18, 40), (21, 30)])
def test_ranges_are_counted_and_have_the_times_of_the_source(tmp_path, write_video, first, last):
    path = write_video(tmp_path / "a.mkv", painted(20), fps=10)
    numbers, times, _ = read(path, first, last)
    assert numbers == list(range(first, min(last or 20, 20) + 1))
    np.testing.assert_allclose(times, [(number - 1) / 10 for number in numbers], atol=0.0011)


@pytest.mark.parametrize("name", ["-i.mkv", "a:b.mkv", "%03d 'x' [1].mkv", "pipe:", "ä.mkv"])
def test_any_file_name_is_a_file_name(tmp_path, write_video, monkeypatch, name):
    write_video(tmp_path / "a.mkv", painted(2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read(Path(name))[0] == [1, 2]


@pytest.mark.parametrize(
    ("shown", "options"),
    [
        (lambda picture: picture, ()),
        (lambda picture: np.rot90(picture, 1), ("-display_rotation", "90")),
        (lambda picture: np.rot90(picture, 2), ("-display_rotation", "180")),
        (lambda picture: np.rot90(picture, 3), ("-display_rotation", "270")),
        (lambda picture: picture[:, ::-1], ("-display_hflip",)),
        (lambda picture: picture[::-1], ("-display_vflip",)),
        (lambda picture: picture.swapaxes(0, 1), ("-display_rotation", "270", "-display_hflip")),
    ],
)
def test_pictures_are_turned_and_mirrored_as_they_are_to_be_shown(
    tmp_path, write_video, shown, options
):
    flat = write_video(tmp_path / "flat.mp4", painted(2), "-c:v", "mpeg4", "-q:v", "2")
    path = copied(flat, tmp_path / "turned.mp4", before=options)
    for one, stored in zip(read_video(path, doubts=[]), read_video(flat, doubts=[]), strict=True):
        np.testing.assert_array_equal(one.pixels, shown(stored.pixels))


@pytest.mark.parametrize(("bits", "factor"), [(12, 16), (16, 256)])
def test_deep_grey_video_asks_for_its_bits(tmp_path, bits, factor):
    grey = painted(3).mean(axis=3).astype(np.uint16)
    raw = ["-f", "rawvideo", "-pix_fmt", "gray16le", "-s", "96x64", "-i", "pipe:"]
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", *raw, "-c:v", "ffv1"]
    path = tmp_path / "a.mkv"
    subprocess.run([*command, str(path)], input=(grey * factor).tobytes(), check=True)
    with pytest.raises(UnreadableError, match=r"a\.mkv: 16-bit grey .* key bits of this clip"):
        read(path)
    found = [one.pixels[:, :, 0] for one in read_video(path, bits=bits, doubts=[])]
    np.testing.assert_array_equal(found, grey)
    if bits == 16:
        with pytest.raises(UnreadableError, match="bits in use: 12"):
            read(path, bits=12)


def test_a_stream_that_changes_size_is_counted_through(tmp_path):
    """A camera that switches from day to night: other size, other format, one stream."""
    rate = "libx264", Fraction(1, 25)
    day = mux(tmp_path / "day.ts", list(painted(9)), [i / 25 for i in range(9)], *rate)
    grey = painted(8, 96, 160, start=10).mean(axis=3, keepdims=True).astype(np.uint8)
    dark = list(np.repeat(grey, 3, axis=3))
    night = mux(tmp_path / "night.ts", dark, [1 + i / 25 for i in range(8)], *rate, "yuv444p")
    both = tmp_path / "both.ts"
    both.write_bytes(day.read_bytes() + night.read_bytes())
    numbers, times, _ = read(both)
    assert numbers == list(range(1, 18))
    assert (np.diff(times) > 0).all()
    assert read(both, 12, 14)[0] == [12, 13, 14]
    sizes = {one.pixels.shape[:2] for one in read_video(both, doubts=[])}
    assert sizes == {(64, 96), (96, 160)}
    with av.open(str(both)) as file:
        assert {one.format.name for one in file.decode(video=0)} == {"yuv420p", "yuv444p"}


def test_a_cover_is_not_the_video(tmp_path, write_video):
    plain = write_video(tmp_path / "a.mp4", painted(5), "-c:v", "mpeg4", "-q:v", "2")
    cover = write_video(tmp_path / "cover.png", painted(1, start=77), "-frames:v", "1")
    path = tmp_path / "b.mp4"
    streams = ["-i", str(cover), "-i", str(plain), "-map", "0", "-map", "1", "-c", "copy"]
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", *streams]
    subprocess.run([*command, "-disposition:v:0", "attached_pic", str(path)], check=True)
    assert read(path)[0] == [1, 2, 3, 4, 5]


def test_of_two_videos_one_must_be_chosen(tmp_path, write_video):
    wide = write_video(tmp_path / "wide.mp4", painted(5), "-c:v", "mpeg4", "-q:v", "2")
    small = write_video(tmp_path / "small.mp4", painted(4, 32, 48, 9), "-c:v", "mpeg4")
    path = tmp_path / "two.mkv"
    streams = ["-i", str(wide), "-i", str(small), "-map", "0", "-map", "1", "-c", "copy"]
    subprocess.run([ffmpeg_binary(), "-y", "-loglevel", "error", *streams, str(path)], check=True)
    listed = r"0: mpeg4 96x64; 1: mpeg4 48x32\); choose one with the key stream"
    with pytest.raises(UnreadableError, match=rf"two\.mkv: has 2 video streams \({listed}"):
        read(path)
    assert read(path, stream=0)[0] == [1, 2, 3, 4, 5]
    assert read(path, stream=1)[0] == [9, 10, 11, 12]
    with pytest.raises(UnreadableError, match="stream: 2 is no video stream of it; it has 0: m"):
        read(path, stream=2)


@pytest.mark.parametrize(("suffix", "codec"), [("h264", "libx264"), ("mjpeg", "mjpeg")])
def test_a_video_without_timestamps_asks_for_its_rate(tmp_path, write_video, suffix, codec):
    path = write_video(tmp_path / f"a.{suffix}", painted(6), "-c:v", codec)
    with pytest.raises(UnreadableError, match=rf"a\.{suffix}: .*key fps of this clip"):
        read(path)
    numbers, times, _ = read(path, fps=12.5)
    assert numbers == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(times, np.arange(6) / 12.5)


def test_a_given_rate_counts_more_than_the_timestamps(tmp_path, write_video):
    path = write_video(tmp_path / "a.mkv", painted(20), fps=25)
    np.testing.assert_allclose(read(path, 11, 20, fps=5)[1], np.arange(10, 20) / 5)


def test_times_that_run_back_go_on_with_the_last_step(tmp_path, write_video):
    """Two recordings one after the other in one transport stream."""
    one = write_video(tmp_path / "one.ts", painted(10), "-c:v", "mpeg2video", fps=10)
    two = write_video(tmp_path / "two.ts", painted(5, start=11), "-c:v", "mpeg2video", fps=10)
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    numbers, times, _ = read(both)
    assert numbers == list(range(1, 16))
    np.testing.assert_allclose(times, np.arange(15) / 10, atol=1e-6)


def packets(path: Path) -> list[tuple[int, int]]:
    """Place and size in the file of each packet of its video."""
    with av.open(str(path)) as file:
        return [(one.pos, one.size) for one in file.demux(video=0) if one.size]


@pytest.mark.parametrize("lost", [5, 12, 19])
def test_after_a_damaged_packet_the_numbers_are_right(tmp_path, write_video, lost):
    path = write_video(tmp_path / "a.mov", painted(20), "-c:v", "mjpeg", fps=10)
    content = bytearray(path.read_bytes())
    place, size = packets(path)[lost]
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    numbers, times, doubts = read(path)
    expected = list(range(1, 21))
    expected[lost] = lost
    assert numbers == expected
    np.testing.assert_allclose(times, np.arange(20) / 10, atol=1e-6)
    assert [doubt.frame for doubt in doubts] == [lost + 1]


def test_a_damaged_first_frame_is_counted(tmp_path, write_video):
    path = write_video(tmp_path / "a.mov", painted(5), "-c:v", "mjpeg")
    content = bytearray(path.read_bytes())
    place, size = packets(path)[0]
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    assert read(path)[0] == [2, 2, 3, 4, 5]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("lost", [1, 2, 20, 38])
def test_numbers_are_right_after_damage_among_frames_that_come_late(
    tmp_path, write_video, codec, lost
):
    """With B-frames a decoder gives out its frames late, and of some packets none, silently."""
    coding = ["-c:v", codec, "-pix_fmt", "yuv420p", "-bf", "2", "-g", "12"]
    coding += ["-x265-params", "log-level=none"] if codec == "libx265" else ["-q:v", "2"]
    path = write_video(tmp_path / "a.mp4", painted(40), *coding, fps=10)
    content = bytearray(path.read_bytes())
    place, size = packets(path)[lost]
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    numbers, times, doubts = read(path)
    np.testing.assert_allclose(times, np.arange(40) / 10, atol=1e-6)
    assert doubts
    # From the second key frame after it on, nothing is left of the damage.
    key = 12 * (lost // 12 + 2)
    assert numbers[key:] == list(range(key + 1, 41))


def test_timestamps_that_stand_still_are_told(tmp_path, write_video):
    plain = write_video(tmp_path / "a.mkv", painted(10), fps=10)
    path = copied(plain, tmp_path / "still.mkv", "-bsf:v", "setts=pts=0:dts=0")
    assert read(path)[2] == [Doubt(2, "timestamps stand still or run back", "time")]
    assert read(path, fps=10)[2] == []


def test_a_chunk_that_lacks_inside_an_avi_file_is_told(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", painted(20), "-c:v", "mjpeg")
    content = bytearray(path.read_bytes())
    place, size = packets(path)[9]
    content[place - 8 : place + size] = bytes(size + 8)
    path.write_bytes(content)
    numbers, _, doubts = read(path)
    assert len(numbers) == 19
    assert Doubt(None, "has 19 of the 20 frames that it declares", "end") in doubts


def test_a_video_that_begins_late_is_held_to_its_frames(tmp_path, write_video):
    coding = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2")
    plain = write_video(tmp_path / "a.mp4", painted(30), *coding, fps=10)
    late = copied(
        plain, tmp_path / "late.mp4", "-movflags", "faststart", before=("-itsoffset", "3")
    )
    assert read(late)[::2] == ([*range(1, 31)], [])
    end = packets(late)[17][0]
    late.write_bytes(late.read_bytes()[:end])
    assert Doubt(None, "has 17 of the 30 frames that it declares", "end") in read(late)[2]


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile inner.mkv\n", "#EXTM3U\n#EXTINF:1,\n"]
)
def test_lists_of_other_files_are_no_videos(tmp_path, write_video, text):
    write_video(tmp_path / "inner.mkv", painted(3))
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(UnreadableError, match=r"list\.mp4: is a list of other files"):
        read(tmp_path / "list.mp4")


LISTED = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ninner.ts\n#EXT-X-ENDLIST\n",
    "list.mp4": "ffconcat version 1.0\nfile inner.ts\n",
    "dash.mp4": '<!-- --><MPD profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static">'
    '<Period><AdaptationSet mimeType="video/mp2t"><Representation id="1"><BaseURL>inner.ts'
    "</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", LISTED)
def test_nobody_is_led_to_other_files(tmp_path, write_video, name):
    write_video(tmp_path / "inner.ts", painted(20), "-c:v", "mpeg2video", "-pix_fmt", "yuv420p")
    assert declared(tmp_path / "inner.ts")
    path = tmp_path / name
    path.write_text(LISTED[name])
    assert frame_at(path, 0.2) is None
    assert declared(path) is None
    assert key_frames(path, [0.2]) == []
    with pytest.raises(UnreadableError):
        read(path)


def test_damage_inside_a_picture_is_told(tmp_path, write_video):
    options = ("-c:v", "mpeg4", "-q:v", "2", "-g", "100")
    path = write_video(tmp_path / "a.avi", painted(20), *options)
    content = bytearray(path.read_bytes())
    place, size = packets(path)[10]
    content[place + size // 2 : place + size] = bytes(size - size // 2)
    path.write_bytes(content)
    numbers, _, doubts = read(path)
    assert len(numbers) == 20
    assert doubts[0].kind == "damage"
    assert doubts[0].frame == 11


def test_good_files_of_odd_kinds_are_not_doubted(tmp_path, write_video):
    options = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "6", "-bf", "2")
    plain = write_video(tmp_path / "plain.mp4", painted(30), *options, fps=10)
    cut = copied(plain, tmp_path / "cut.mp4", before=("-ss", "1.04"))
    numbers, times, doubts = read(cut)
    assert numbers == list(range(numbers[0], 31))
    assert 11 <= numbers[0] <= 12
    assert times[0] == 0
    assert doubts == []
    flags = ("-movflags", "frag_keyframe+empty_moov")
    assert read(copied(plain, tmp_path / "fragments.mp4", *flags))[::2] == ([*range(1, 31)], [])
    with_sound = ["-f", "lavfi", "-i", "sine=d=9", "-c:v", "copy", str(tmp_path / "sound.mkv")]
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", "-i", str(plain)]
    subprocess.run([*command, *with_sound], check=True)
    assert read(tmp_path / "sound.mkv")[::2] == ([*range(1, 31)], [])


def test_frames_that_a_recorder_left_out_are_no_damage(tmp_path, write_video):
    """An AVI file has an empty chunk in the place of each."""
    path = write_video(tmp_path / "a.avi", painted(20), "-c:v", "mjpeg", fps=10)
    content = path.read_bytes()
    start, index = content.index(b"movi") + 4, content.rindex(b"idx1")
    chunks, place = [], start
    while content[place : place + 4] == b"00dc":
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        chunks.append(content[place : place + 8 + size + size % 2])
        place += len(chunks[-1])
    assert len(chunks) == 20
    for gone in (7, 8, 13):
        chunks[gone] = b"00dc\0\0\0\0"
    body = b"".join(chunks)
    entries, at = b"", 4
    for chunk in chunks:
        size = int.from_bytes(chunk[4:8], "little")
        entries += b"00dc" + (16).to_bytes(4, "little") + at.to_bytes(4, "little")
        entries += size.to_bytes(4, "little")
        at += len(chunk)
    head = bytearray(content[:start])
    head[start - 8 : start - 4] = (len(body) + 4).to_bytes(4, "little")
    tail = b"idx1" + len(entries).to_bytes(4, "little") + entries
    assert content[index:][:4] == b"idx1"
    path.write_bytes(bytes(head) + body + tail)
    numbers, times, doubts = read(path)
    assert numbers == [one for one in range(1, 21) if one not in (8, 9, 14)]
    np.testing.assert_allclose(times, [(one - 1) / 10 for one in numbers], atol=1e-6)
    assert doubts == []


def test_one_frame_too_many_in_the_header_is_no_damage(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", painted(20), "-c:v", "mjpeg")
    content = bytearray(path.read_bytes())
    for key, offset in ((b"avih", 24), (b"strh", 40)):
        place = content.index(key) + offset
        assert int.from_bytes(content[place : place + 4], "little") == 20
        content[place : place + 4] = (21).to_bytes(4, "little")
    path.write_bytes(content)
    assert read(path)[::2] == ([*range(1, 21)], [])


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mpg", "webm", "ts", "mp4", "flv", "wmv"])
def test_cut_off_files_are_told(tmp_path, write_video, suffix):
    codec = CODECS[suffix][0].replace("flv1", "flv")
    options = ["-c:v", codec] if codec == "ffv1" else ["-c:v", codec, "-pix_fmt", "yuv420p"]
    fast = ["-movflags", "faststart"] if suffix == "mp4" else []
    whole = write_video(tmp_path / f"whole.{suffix}", painted(40, 96, 128), *options, *fast)
    half = tmp_path / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert read(whole)[::2] == ([*range(1, 41)], [])
    numbers, _, doubts = read(half)
    assert 5 < len(numbers) < 40
    assert doubts
    assert all("\n" not in str(doubt) and "0x0" not in str(doubt) for doubt in doubts)


def test_a_cut_between_two_frames_is_told_by_what_the_file_declares(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", painted(20), "-c:v", "mjpeg", fps=10)
    content = path.read_bytes()
    start = content.index(b"movi")
    for _ in range(13):
        start = content.index(b"00dc", start + 1)
    path.write_bytes(content[:start])
    numbers, _, doubts = read(path)
    assert numbers == list(range(1, 13))
    assert doubts == [Doubt(None, "ends at 1.20 s of the 2.00 s that it declares", "end")]


def test_other_files_are_no_videos(tmp_path, write_video):
    (tmp_path / "a.avi").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    sound = [ffmpeg_binary(), "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=1"]
    subprocess.run([*sound, str(tmp_path / "sound.mkv")], check=True)
    write_video(tmp_path / "still.png", painted(1), "-frames:v", "1")
    nothing = write_video(tmp_path / "nothing.mkv", painted(3))
    content = nothing.read_bytes()
    nothing.write_bytes(content[: packets(nothing)[0][0]])
    for name in (
        "a.avi",
        "empty.mp4",
        "list.mp4",
        "sound.mkv",
        "still.png",
        "no.mp4",
        "nothing.mkv",
    ):
        with pytest.raises(UnreadableError, match=name) as error:
            read(tmp_path / name)
        assert "\n" not in str(error.value)


def test_reading_stops_with_its_reader(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", painted(50), "-c:v", "mpeg4")
    for _ in range(300):
        reader = read_video(path, doubts=[])
        next(reader)
        reader.close()
    # Handles and threads of readers that were left would have run out.
    assert threading.active_count() < 20


def test_damage_anywhere_is_an_answer_or_one_line(tmp_path, write_video):
    """Truncated at every kilobyte, and with broken bytes in the header and behind it."""
    luck = random.Random(5)
    for suffix in ("mp4", "avi", "mkv", "ts"):
        codec = CODECS[suffix][-1] if suffix == "mkv" else CODECS[suffix][0]
        fast = ["-movflags", "faststart"] if suffix == "mp4" else []
        coding = ["-c:v", codec, *([] if codec == "mjpeg" else ["-pix_fmt", "yuv420p"])]
        path = write_video(tmp_path / f"a.{suffix}", painted(12), *coding, *fast)
        content = path.read_bytes()
        variants = [content[:end] for end in range(0, len(content), 1024)]
        for reach in (600, 3000, len(content)):
            for _ in range(12):
                spoilt = bytearray(content)
                for _ in range(luck.randrange(1, 20)):
                    spoilt[luck.randrange(reach)] = luck.randrange(256)
                variants.append(bytes(spoilt))
        for number, variant in enumerate(variants):
            spoilt_file = tmp_path / f"b{number}.{suffix}"
            spoilt_file.write_bytes(variant)
            try:
                numbers, said = [one.number for one in read_video(spoilt_file, doubts=[])], ""
            except SdorError as error:
                numbers, said = [], str(error)
            assert numbers == list(range(1, len(numbers) + 1))
            assert bool(numbers) != (spoilt_file.name in said)
            assert "\n" not in said
            spoilt_file.unlink()
