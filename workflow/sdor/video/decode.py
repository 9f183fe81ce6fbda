"""Frames out of video files: every frame of one stream, each with its own number and time.

Nothing is believed that a container says of its content: frames are counted as they are decoded,
and each comes with its own timestamp, size and pixel format.
"""

import logging
import math
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.format import Flags
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
# A playlist that is called .mp4 must reach neither into other files nor into the network.
OPTIONS = {"protocol_whitelist": "file"}
# Many AVI files declare a frame more than they have, and the last frame may have no duration.
MISSING_FRAMES = 2.5
USUAL_STEP = 0.04  # seconds: where two frames in a row have the same timestamp, right at the start


def read_video(
    path: str | Path,
    first: int = 1,
    last: int | None = None,
    *,
    stream: int | None = None,
    fps: float | None = None,
    doubts: list[Doubt],
) -> Iterator[Picture]:
    """Frames `first` to `last` (from 1, inclusive; None: to the end) of a video file.

    One frame is held at a time and reading stops behind `last`. A frame that cannot be decoded
    keeps its number and time, and the one before stands for it. Frame 1 is the first that can be
    decoded, or the key frame before it that is damaged. Pictures are turned as they are to be
    shown; grey ones stay grey. Times count from frame 1. A video that ends before `last` just ends
    here: who knows how many frames there should be compares.

    Parameters
    ----------
    stream : index of the stream, as ffmpeg counts them; needed where several are video.
    fps : frames per second, where there are no timestamps or they are not to be believed.
    doubts : what is found damaged, and an end before the declared one, is appended.

    Raises
    ------
    UnreadableError : no frame can be decoded; there are no timestamps and no `fps`; or the file has
        several videos and no `stream` chooses one.
    """
    number = 0
    try:
        # Opening it reads the first packets.
        with av.logging.Capture() as said:
            file = av.open(str(Path(path).absolute()), options=OPTIONS, metadata_errors="ignore")
        with file:
            if words := _complaint([one for one in said if one[1] == file.format.name]):
                doubts.append(Doubt(None, words))
            video = _video_stream(path, file, stream)
            if fps is None and Flags.no_timestamps in Flags(file.format.flags):
                raise UnreadableError(
                    f"{path}: {file.format.long_name} has no timestamps; give the frames per "
                    "second with the key fps of this clip"
                )
            clock = _Clock(fps)
            for number, (stamp, frame) in enumerate(_decoded(file, video, doubts), start=1):
                time = clock.at(number, stamp)
                if number >= first:
                    yield Picture(number, time, _pixels(frame))
                if number == last:
                    break
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        if number == 0:
            raise UnreadableError(f"{path}: cannot be read as video ({_words(error)})") from error
        doubts.append(Doubt(number + 1, f"reading breaks off ({_words(error)})"))
    if number == 0:
        reason = f" ({doubts[0].words})" if doubts else ""
        raise UnreadableError(f"{path}: no frame of it can be decoded{reason}")


class _Clock:
    """Times of frames, which never stand still or run back: the last step is taken again there."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._start, self._last, self._step = 0.0, 0.0, USUAL_STEP

    def at(self, number: int, stamp: float | None) -> float:
        """Seconds from frame 1; `stamp` is what the file says, None where it says nothing."""
        if self._fps is not None:
            return (number - 1) / self._fps
        if number == 1:
            self._start = stamp or 0.0
            return 0.0
        time = -math.inf if stamp is None else stamp - self._start
        if time > self._last:
            self._step = time - self._last
        else:
            time = self._last + self._step
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
    listed = "; ".join(f"{one.index}: {one.name} {one.width}x{one.height}" for one in found)
    raise UnreadableError(
        f"{path}: has {len(found)} video streams ({listed}); choose one with the key stream"
        if wanted is None
        else f"{path}: stream: {wanted} is no video stream of it; it has {listed}"
    )


class _Step(NamedTuple):
    """What came of one packet of the video; of the end of the file, the frames still held back.

    Attributes
    ----------
    stamp : of the packet (s), where it has one.
    is_order : whether this is not when its frame is shown, but only when it is decoded.
    is_lost : whether the decoder refused it.
    fault : what the libraries said of it; empty where all is well.
    """

    stamp: float | None
    is_order: bool
    frames: list[av.VideoFrame]
    is_lost: bool = False
    fault: str = ""


def _decoded(
    file: InputContainer, video: VideoStream, doubts: list[Doubt]
) -> Iterator[tuple[float | None, av.VideoFrame]]:
    """Timestamp (s) and frame, in the order of display; those that are lost are stood for.

    A refused packet has lost the frame of its own timestamp, unless one with that timestamp comes
    after all. Refused packets before the first key frame are not counted: such a recording begins
    in the middle.
    """
    count = 0
    before: av.VideoFrame | None = None
    lost: list[float] = []
    ordered: list[float] = []
    for step in _steps(file, video, doubts):
        if step.is_lost:
            heappush(lost, -math.inf if step.stamp is None else step.stamp)
        elif step.is_order and step.stamp is not None:
            heappush(ordered, step.stamp)
        for frame in step.frames:
            # Times of decoding are those of display in another order.
            time = heappop(ordered) if ordered else _seconds(video, frame.pts)
            while lost and (time is None or lost[0] < time):
                count += 1
                yield heappop(lost), before or frame
            if lost and lost[0] == time:
                heappop(lost)
            count += 1
            if frame.is_corrupt and not step.fault:
                doubts.append(Doubt(count, "damaged"))
            yield time, frame
            before = frame
        if step.fault and (count or lost):
            doubts.append(Doubt(max(count, 1), step.fault))
    while lost and before:
        yield heappop(lost), before


def _steps(file: InputContainer, video: VideoStream, doubts: list[Doubt]) -> Iterator[_Step]:
    """The packets of the video, one by one, decoded."""
    # One thread: what goes wrong is then known to be of this packet.
    video.codec_context.thread_count = 1
    packets = file.demux()
    begun, is_end, count, end = False, False, 0, 0.0
    while not is_end:
        frames: list[av.VideoFrame] = []
        stamp, is_order, of_video, is_lost = None, False, None, False
        with av.logging.Capture() as said:
            try:
                packet = next(packets, None)
                is_end = packet is None
                # An empty packet is a frame that a recorder left out, not the end.
                if packet is not None and packet.size:
                    # What libav gives as times of display in an AVI file is a guess.
                    is_order = packet.pts is None or file.format.name == "avi"
                    stamp = _seconds(packet.stream, packet.dts if is_order else packet.pts)
                    of_video = packet if packet.stream_index == video.index else None
                    # What a file declares as a whole ends with the last of its streams.
                    if stamp is not None and (of_video or video.duration is None):
                        end = max(end, stamp + (_seconds(packet.stream, packet.duration) or 0.0))
                if of_video or is_end:
                    count += of_video is not None
                    frames = video.codec_context.decode(of_video)
            except (av.FFmpegError, OSError) as error:
                said.append((av.logging.ERROR, "", _words(error)))
                if of_video and not of_video.is_discard:
                    is_lost = begun or of_video.is_keyframe
        begun = begun or bool(frames) or is_lost
        yield _Step(stamp, is_order and of_video is not None, frames, is_lost, _complaint(said))
    declared = _declared_end(file, video)
    if declared and end < declared - MISSING_FRAMES * end / max(count - 1, 1):
        words = f"ends at {end:.2f} s of the {declared:.2f} s that it declares"
        doubts.append(Doubt(None, words, "end"))


def _complaint(said: list[tuple[int, str, str]]) -> str:
    """The first message (level, library, text) that tells of damage; empty where none does."""
    for level, _, text in said:
        if level <= av.logging.ERROR or text.startswith("Packet corrupt"):
            return " ".join(text.split())
    return ""


def _declared_end(file: InputContainer, video: VideoStream) -> float | None:
    """Seconds after which the video ends, or the whole file, as the file has it."""
    # The duration of an AVI file is of what is there; its header counts what should be.
    if file.format.name == "avi" and video.frames and video.average_rate:
        return float(video.frames / video.average_rate)
    if video.duration is not None and video.time_base is not None:
        return float(video.duration * video.time_base)
    return file.duration and file.duration / av.time_base


def _seconds(stream: Stream, ticks: int | None) -> float | None:
    if ticks is None or stream.time_base is None:
        return None
    return float(ticks * stream.time_base)


def _pixels(frame: av.VideoFrame) -> Frame:
    """A frame as it is to be shown: uint8 [height, width, 1 (grey) or 3 (RGB)]."""
    grey = frame.format.name.startswith(GREY_FORMATS)
    pixels = np.atleast_3d(frame.to_ndarray(format="gray" if grey else "rgb24"))
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


def _words(error: Exception) -> str:
    """What a library says, in one line."""
    log = getattr(error, "log", None)
    words = log[2] if log else getattr(error, "strerror", None) or str(error)
    return " ".join(words.split())
