"""Frames out of video files: every frame of one stream, each with its own number and time.

Nothing is believed that a container says of its content: frames are counted as they are decoded,
and each comes with its own timestamp, size and pixel format.
"""

import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.sidedata.sidedata import SideData
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from sdor.video.picture import Doubt, Frame, Picture, UnreadableError

# What the libraries complain of is for `Capture`, and nobody else.
av.logging.set_level(av.logging.WARNING)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
# Pictures in a file that are no video: cover art, thumbnails.
STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
GREY_FORMATS = ("gray", "ya", "mono")
# Lists of other files, whose contents nothing here would look at, in whatever they are called.
LISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD")
# Formats that lead to other files, or are programs.
LEADING = frozenset(("avisynth", "concat", "dash", "dvdvideo", "hls", "imf", "lavfi", "mlv"))
LEADING |= {"rtp", "rtsp", "sdp", "vapoursynth", "vobsub", "webm_dash_manifest"}
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(sorted(av.formats_available - LEADING)),
}
PIPED = {"protocol_whitelist": "pipe"}
REMOTE = "http,https,tcp,tls,udp,rtp,rtsp,rtsps,rtmp,srtp,crypto"  # no file of this machine
SILENCE = 10.0  # seconds without a packet after which a stream has ended
# Containers that list their packets, and those that declare no more than was found in them.
LISTED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
UNDECLARED = ("mpegts", "mpeg")
# Of durations, in frames: they are rounded, and the last frame may have none.
MISSING_FRAMES = 2.5
LONGEST_STEP = 3600.0  # seconds
USUAL_STEP = 0.04  # seconds: where two frames in a row have the same timestamp, right at the start
# Frames within which a guessed time of display may be exchanged with another.
REORDERED = 16
# Seconds before a moment to which a file is wound, one after the other: some wind too far.
WOUND = (0.0, 10.0, math.inf)


def frame_at(
    path: str | Path, time: float, *, stream: int | None = None, bits: int | None = None
) -> tuple[Frame, float] | None:
    """The frame of a video file that is shown at a time (s from frame 1), without all before it.

    Returns
    -------
    frame : as `read_video` gives it. shape : width of one of its pixels in heights.
    None where winding leads to no such frame; `read_video` may still have it.

    Raises
    ------
    UnreadableError : several videos and no `stream`; 16-bit grey, and no `bits`.
    """
    with (
        contextlib.suppress(av.FFmpegError, OSError, ValueError, OverflowError),
        av.open(str(Path(path).absolute()), options=OPTIONS, metadata_errors="ignore") as file,
    ):
        video = _video_stream(path, file, stream)
        # Threads of libav that say something while a file is wound wait for Python for ever.
        video.codec_context.thread_count = 1
        begin = next((stamp for stamp, _ in _stamped(file, video)), math.nan)
        for back in WOUND:
            shown: av.VideoFrame | None = None
            file.seek(int(max(begin, begin + time - back) * av.time_base))
            for stamp, frame in _stamped(file, video):
                if stamp > begin + time + 1e-3:
                    break
                shown = frame
            if shown is not None:
                pixels, shape = _pixels(shown, bits, path), video.sample_aspect_ratio or 1
                turned = pixels.shape[:2] != (shown.height, shown.width)
                return pixels, float(1 / shape if turned else shape)
    return None


def _stamped(file: InputContainer, video: VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
    """Frames from where a file is wound to, with when each is shown (s); damaged ones left out."""
    for packet in file.demux(video):
        with contextlib.suppress(av.FFmpegError):
            for frame in video.codec_context.decode(packet):
                if (stamp := _seconds(video, frame.pts)) is not None:
                    yield stamp, frame


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int) -> bytes:
        """At most so many; none at the end."""


def read_video(
    path: str | Path,
    first: int = 1,
    last: int | None = None,
    *,
    stream: int | None = None,
    bits: int | None = None,
    fps: float | None = None,
    doubts: list[Doubt],
) -> Iterator[Picture]:
    """Frames `first` to `last` (from 1, inclusive; None: to the end) of a video file.

    A few frames are held at a time, and reading stops behind `last`. A frame that cannot be decoded
    keeps its number and time, and the one before stands for it. Frame 1 is the first that can be
    decoded, or the key frame before it that is damaged. Pictures are turned as they are to be
    shown; grey ones stay grey. Times count from frame 1. A video that ends before `last` just ends
    here: who knows how many frames there should be compares.

    Parameters
    ----------
    stream : index of the stream, as ffmpeg counts them; needed where several are video.
    bits : how many bits are used of 16-bit grey video, which does not tell.
    fps : frames per second, where there are no timestamps or they are not to be believed.
    doubts : what is found damaged, and an end before the declared one, is appended.

    Raises
    ------
    UnreadableError : no frame can be decoded; there are no timestamps and no `fps`; several videos
        and no `stream`; or 16-bit grey, and no `bits` or a value beyond them.
    """

    def opened() -> InputContainer:
        with Path(path).open("rb") as content:
            if content.read(64).lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(LISTS):
                raise UnreadableError(f"{path}: is a list of other files; name these as clips")
        return av.open(str(Path(path).absolute()), options=OPTIONS, metadata_errors="ignore")

    yield from _pictures(path, opened, (first, last), stream, bits, fps, doubts)


def read_stream(source: str | Readable, name: str, doubts: list[Doubt]) -> Iterator[Picture]:
    """The frames of a stream as they come, as `read_video` has those of a file.

    Parameters
    ----------
    source : address that libav knows, or what is read from. name : of it in messages.

    Raises
    ------
    UnreadableError : as `read_video`; nothing comes for `SILENCE`.
    """
    live = isinstance(source, str)
    options = {"protocol_whitelist": REMOTE, "rtsp_transport": "tcp"} if live else PIPED

    def opened() -> InputContainer:
        timeout = (SILENCE, SILENCE) if live else None
        return av.open(source, "r", options=options, metadata_errors="ignore", timeout=timeout)

    yield from _pictures(name, opened, (1, None), None, None, None, doubts, live)


def _pictures(
    path: str | Path,
    opened: Callable[[], InputContainer],
    numbers: tuple[int, int | None],
    stream: int | None,
    bits: int | None,
    fps: float | None,
    doubts: list[Doubt],
    live: bool = False,
) -> Iterator[Picture]:
    """The frames of what is opened; where nothing else tells when a live one is of, its arrival."""
    number, (first, last) = 0, numbers
    try:
        # Opening it reads the first packets.
        with av.logging.Capture() as said:
            file = opened()
        with file:
            if words := _complaint([one for one in said if one[1] == file.format.name]):
                doubts.append(Doubt(None, words))
            video = _video_stream(path, file, stream)
            untimed = Flags.no_timestamps in Flags(file.format.flags)
            if fps is None and untimed and not live:
                raise UnreadableError(
                    f"{path}: {file.format.long_name} has no timestamps; give the frames per "
                    "second with the key fps of this clip"
                )
            clock = _Clock(fps, doubts)
            for number, (stamp, frame) in enumerate(_decoded(file, video, doubts), start=1):
                time = clock.at(number, monotonic() if untimed and live else stamp)
                if number >= first:
                    yield Picture(number, time, partial(_pixels, frame, bits, path))
                if number == last:
                    break
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        if number == 0:
            raise UnreadableError(f"{path}: cannot be read as video ({_words(error)})") from error
        doubts.append(Doubt(number + 1, f"reading breaks off ({_words(error)})"))
    if number == 0:
        reason = f" ({doubts[0].words})" if doubts else ""
        raise UnreadableError(f"{path}: no frame of it can be decoded{reason}")


class Declared(NamedTuple):
    """What a video file says of itself, which need not be so.

    Attributes
    ----------
    seconds, frames : how much it is, 0 where it does not say.
    begin : its clock at its first frame (s). metadata : such as `creation_time`.
    """

    seconds: float
    frames: int
    begin: float
    metadata: dict[str, str]


def declared(path: str | Path) -> Declared | None:
    """What a video file says of itself, without decoding it; None where it cannot be opened."""
    try:
        with av.open(str(Path(path).absolute()), options=OPTIONS, metadata_errors="ignore") as file:
            seconds = (file.duration or 0) / av.time_base
            rate = next((one.average_rate for one in file.streams.video), None)
            begin = (file.start_time or 0) / av.time_base
            frames = round(seconds * rate) if rate else 0
            return Declared(seconds, frames, begin, dict(file.metadata))
    except (av.FFmpegError, OSError, ValueError):
        return None


def key_frames(path: str | Path, times: Sequence[float], stream: int | None = None) -> list[Frame]:
    """The key frames before some times (s) of a video file, each once; none where it has no such.

    Only these are decoded: a sample of hours in seconds.
    """
    found: dict[int | None, Frame] = {}
    try:
        with av.open(str(Path(path).absolute()), options=OPTIONS, metadata_errors="ignore") as file:
            video = _video_stream(path, file, stream)
            for time in times:
                file.seek(int((time + (file.start_time or 0) / av.time_base) * av.time_base))
                frame = next(file.decode(video), None)
                if frame is not None and frame.pts not in found:
                    found[frame.pts] = _pixels(frame, None, path)
    except (av.FFmpegError, OSError, ValueError, UnreadableError):
        pass  # whoever looks at all of it says what is wrong
    return [*found.values()]


class _Clock:
    """Times of frames, which never stand still or run back: the last step is taken again there."""

    def __init__(self, fps: float | None, doubts: list[Doubt]) -> None:
        self._fps, self._doubts = fps, doubts
        self._start, self._last, self._step = 0.0, 0.0, USUAL_STEP
        self._is_right = True

    def at(self, number: int, stamp: float | None) -> float:
        """Seconds from frame 1; `stamp` is what the file says, None where it says nothing."""
        if self._fps is not None:
            return (number - 1) / self._fps
        if number == 1:
            self._start = stamp or 0.0
            return 0.0
        time = -math.inf if stamp is None else stamp - self._start
        # A recording that follows another in one file may be taken for a clock that has wrapped.
        if self._last < time < self._last + LONGEST_STEP:
            self._step = time - self._last
        else:
            time = self._last + self._step
            if self._is_right:
                self._doubts.append(Doubt(number, "timestamps stand still or run back", "time"))
            self._is_right = False
        self._last = time
        return time


def _video_stream(path: str | Path, file: InputContainer, wanted: int | None) -> VideoStream:
    """The stream that is meant."""
    if file.format.name.startswith("image2") or file.format.name.endswith("_pipe"):
        raise UnreadableError(f"{path}: is an image; images are given as a folder, with images:")
    found = [one for one in file.streams.video if not one.disposition & STILLS]
    chosen = [one for one in found if wanted in (None, one.index)]
    if len(chosen) == 1:
        if chosen[0].codec_context is None:
            raise UnreadableError(f"{path}: its video is in a coding that cannot be decoded here")
        return chosen[0]
    if not found:
        raise UnreadableError(f"{path}: no video stream in this file")
    known = [one for one in found if one.codec_context is not None]
    listed = "; ".join(f"{one.index}: {one.name} {one.width}x{one.height}" for one in known)
    raise UnreadableError(
        f"{path}: has {len(found)} video streams ({listed}); choose one with the key stream"
        if wanted is None
        else f"{path}: stream: {wanted} is no video stream of it; it has {listed}"
    )


class _Step(NamedTuple):
    """What came of one packet of the video; of the end of the file, the frames still held back.

    Attributes
    ----------
    stamp : when the packet's frame is shown (s), as the file has it; None where it has not.
    is_counted : whether a frame of it is to be expected.
    is_lost : whether the decoder refused it.
    is_last : whether all frames of the packets before are out: the file ends, or begins anew.
    fault : what the libraries said of it; empty where all is well.
    """

    stamp: float | None
    frames: list[av.VideoFrame]
    is_counted: bool = False
    is_lost: bool = False
    is_last: bool = False
    fault: str = ""


def _decoded(
    file: InputContainer, video: VideoStream, doubts: list[Doubt]
) -> Iterator[tuple[float | None, av.VideoFrame]]:
    """Timestamp (s) and frame, in the order of display; those that are lost are stood for.

    The frame of a packet is lost where the decoder refused it, or, once there was damage, where
    none comes out at its time (without any, the packet was never to be seen).
    """
    count = 0
    before: av.VideoFrame | None = None
    expected: list[tuple[float, bool, str]] = []  # stamp, whether that frame is lost, fault
    is_damaged = False
    for steps, time, frame in _shown(_steps(file, video, doubts), video):
        for step in steps:
            if step.is_counted and (step.stamp is not None or step.is_lost or step.fault):
                stamp = -math.inf if step.stamp is None else step.stamp
                heappush(expected, (stamp, step.is_lost, step.fault))
            elif step.fault:
                doubts.append(Doubt(max(count, 1), step.fault))
            is_damaged |= bool(step.fault)
        while expected and (frame is None or time is None or expected[0][0] <= time):
            stamp, is_lost, fault = heappop(expected)
            if fault:
                doubts.append(Doubt(count + 1, fault))
            lacks = is_lost or (is_damaged and stamp > -math.inf)
            if stamp != time and lacks and (stand_in := before or frame):
                count += 1
                yield stamp, stand_in
        if frame is None:
            continue
        count += 1
        if frame.is_corrupt and not is_damaged:
            doubts.append(Doubt(count, "damaged"))
        yield time, frame
        before = frame


def _shown(
    steps: Iterator[_Step], video: VideoStream
) -> Iterator[tuple[list[_Step], float | None, av.VideoFrame | None]]:
    """Each frame with its time, and the steps since the one before; at an end the steps alone.

    Some containers (AVI) have the order of decoding only; libav then gives the frames times that
    are right as a whole, and exchanged among neighbours. Frames come in the order of display.
    """
    frames: deque[av.VideoFrame] = deque()
    stamps: list[float] = []
    taken: list[_Step] = []
    for step in steps:
        taken.append(step)
        for frame in step.frames:
            frames.append(frame)
            if (stamp := _seconds(video, frame.pts)) is not None:
                heappush(stamps, stamp)
        while len(frames) > (0 if step.is_last else REORDERED):
            yield taken, heappop(stamps) if stamps else None, frames.popleft()
            taken = []
        if step.is_last:
            yield taken, None, None
            taken = []


def _steps(file: InputContainer, video: VideoStream, doubts: list[Doubt]) -> Iterator[_Step]:
    """The packets of the video, one by one, decoded.

    A recording may begin in the middle: what comes before the first key frame, or is shown before
    it, is not counted.
    """
    # One thread: what goes wrong is then known to be of this packet.
    video.codec_context.thread_count = 1
    packets = file.demux()
    begin, order, is_end, count, end = math.inf, -math.inf, False, 0, 0.0
    while not is_end:
        frames: list[av.VideoFrame] = []
        rest: list[av.VideoFrame] | None = None
        stamp, of_video, is_lost = None, None, False
        with av.logging.Capture() as said:
            try:
                packet = next(packets, None)
                is_end = packet is None
                # An empty packet is a frame that a recorder left out, not the end.
                if packet is not None and packet.size:
                    shown = packet.dts if packet.pts is None else packet.pts
                    stamp = _seconds(packet.stream, shown)
                    of_video = packet if packet.stream_index == video.index else None
                    end = max(end, (stamp or 0.0) + (_seconds(packet.stream, packet.duration) or 0))
                if of_video and of_video.dts is not None:
                    # Several recordings, one after the other: the decoder gives out the one before.
                    if of_video.dts < order and of_video.is_keyframe:
                        rest, begin = video.codec_context.decode(None), math.inf
                        video.codec_context.flush_buffers()
                    order = of_video.dts
                if of_video or is_end:
                    count += of_video is not None
                    frames = video.codec_context.decode(of_video)
            except (av.FFmpegError, OSError) as error:
                said.append((av.logging.ERROR, "", _words(error)))
                is_lost = of_video is not None
        if rest is not None:
            yield _Step(None, rest, is_last=True)
        if begin == math.inf and (frames or (of_video and of_video.is_keyframe)):
            begin = -math.inf if stamp is None else stamp
        is_counted = of_video is not None and not of_video.is_discard
        is_counted &= begin < math.inf and (stamp is None or stamp >= begin)
        fault = _complaint(said) if begin < math.inf else ""
        yield _Step(stamp, frames, is_counted, is_lost, is_end, fault)
    if words := _missing(file, video, count, end):
        doubts.append(Doubt(None, words, "end"))


def _missing(file: InputContainer, video: VideoStream, count: int, end: float) -> str:
    """What of a file is not there that it declares, in words; empty where all is.

    Parameters
    ----------
    count : packets of the video. end : when the last of all its streams' ends (s).
    """
    seconds = (file.duration or 0) / av.time_base
    if file.format.name in LISTED:
        listed = sum(1 for entry in video.index_entries if entry.size)
        if count < listed:
            return f"has {count} of the {listed} frames that it declares"
        # What an AVI file lacks at its end is in its header alone, with frames that were left out.
        rate = video.average_rate if file.format.name == "avi" else None
        seconds = float(video.frames / rate) if rate else 0.0
    if file.format.name in UNDECLARED or end >= seconds - MISSING_FRAMES * end / max(count - 1, 1):
        return ""
    return f"ends at {end:.2f} s of the {seconds:.2f} s that it declares"


def _complaint(said: list[tuple[int, str, str]]) -> str:
    """The first message (level, library, text) that tells of damage; empty where none does."""
    for level, _, text in said:
        if level <= av.logging.ERROR or text.startswith("Packet corrupt"):
            return " ".join(text.split())
    return ""


def _seconds(stream: Stream, ticks: int | None) -> float | None:
    if ticks is None or stream.time_base is None:
        return None
    return float(ticks * stream.time_base)


def _pixels(frame: av.VideoFrame, bits: int | None, path: str | Path) -> Frame:
    """A frame as it is to be shown: uint8 [height, width, 1 (grey) or 3 (RGB)]."""
    name = frame.format.name
    if name.startswith("gray16"):
        samples = frame.to_ndarray(format="gray16le").astype(np.uint16)
        if bits is None or samples.max() >> bits:
            raise UnreadableError(
                f"{path}: 16-bit grey with values up to {samples.max()}, bits in use: {bits}; say "
                "how many are with the key bits of this clip: 10, 12, 14 or 16"
            )
        pixels = (samples >> (bits - 8)).astype(np.uint8)
    else:
        kind = "gray" if name.startswith(GREY_FORMATS) else "rgb24"
        try:
            pixels = frame.to_ndarray(format=kind).astype(np.uint8, copy=False)
        except (av.FFmpegError, ValueError) as error:
            words = f"pictures of {name} cannot be converted ({_words(error)})"
            raise UnreadableError(f"{path}: {words}") from error
    if isinstance(matrix := frame.side_data.get("DISPLAYMATRIX"), SideData):
        # Where one unit to the right and one down of the stored picture are shown.
        right, down = np.frombuffer(bytes(matrix), dtype=np.int32).reshape(3, 3)[:2, :2]
        if abs(right[1]) > abs(right[0]):
            pixels, right, down = pixels.swapaxes(0, 1), down, right
        pixels = pixels[:: -1 if down[1] < 0 else 1, :: -1 if right[0] < 0 else 1]
    return np.ascontiguousarray(np.atleast_3d(pixels))


def _words(error: Exception) -> str:
    """What a library says, in one line."""
    log = getattr(error, "log", None)
    words = log[2] if log else getattr(error, "strerror", None) or str(error)
    return " ".join(words.split())
