"""What a moment looks like: its peak frame with the heat map, and a silent loop that browsers play.

Both are small enough that a page of fifty moments stays below 10 MB.
"""

import io
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sdor.errors import SdorError
from sdor.study.scenes import Clip, Rectangle
from sdor.video.decode import OPTIONS, frame_at
from sdor.video.ffmpeg import ffmpeg_binary, last_lines
from sdor.video.frames import read_clip
from sdor.video.picture import Frame, UnreadableError
from sdor.video.sampling import ROUNDING
from sdor.video.timeline import UNKNOWN_RATE

logger = logging.getLogger("sdor")

PICTURE, LOOP = 480, 320  # pixels of the longer side
PICTURE_BYTES, LOOP_BYTES = 45_000, 100_000  # at most
QUALITIES = (82, 70, 55, 40, 25)  # of a JPEG, until it is small enough
RATE = 12.5  # frames a second of a loop
SHORTEST = 1.0  # seconds of a loop, also of a moment that is one frame
RED, DENSEST = (255, 45, 30), 0.6  # of the heat map, and its opacity where it is 1
DASH = 6  # pixels
# As wide or as high as a loop may be, the other even as H.264 wants it, and pixels square.
SCALE = {
    "w": f"if(gte(dar,1),{LOOP},2*max(1,round({LOOP // 2}*dar)))",
    "h": f"if(gte(dar,1),2*max(1,round({LOOP // 2}/dar)),{LOOP})",
}

Heat = NDArray[np.floating[Any]]


class Span(NamedTuple):
    """Some of a clip, from one second of its source to another."""

    clip: Clip
    begin: float
    end: float


def picture(
    clip: Clip, frame: int, time: float, heat: Heat | None, masks: Sequence[Rectangle] = ()
) -> bytes:
    """A frame as a JPEG of at most `PICTURE` pixels and `PICTURE_BYTES`, in its true shape.

    All of it is shown; what the method does not see is outlined.

    Parameters
    ----------
    frame, time : its number in the source, from 1, and seconds from the source's first.
    heat : (rows, columns) over the whole frame, from 0 to 1; laid over it in red.

    Raises
    ------
    UnreadableError : the frame cannot be read.
    """
    found = None
    # By a rate that the scene file tells, times are not those of the file.
    if clip.kind == "video" and clip.fps is None and math.isfinite(time):
        found = frame_at(clip.path, time, stream=clip.stream, bits=clip.bits)
    if found is None:
        found = next(read_clip(replace(clip, first=frame, last=frame), [])).pixels, 1.0
    pixels, shape = found
    height, width = pixels.shape[:2]
    return drawn(pixels, _scaled(width * shape, height, PICTURE), heat, masks, (width, height))


def drawn(
    pixels: Frame,
    size: tuple[int, int],
    heat: Heat | None,
    masks: Sequence[Rectangle],
    whole: tuple[int, int],
) -> bytes:
    """A frame as a JPEG of some width and height; `whole` are those that the masks are told in."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    image = image.resize(size, Image.Resampling.LANCZOS)
    if heat is not None:
        image.paste(RED, mask=opacity(heat, size))
    outline(image, masks, whole)
    for quality in QUALITIES:
        memory = io.BytesIO()
        image.save(memory, "JPEG", quality=quality, optimize=True)
        if memory.tell() <= PICTURE_BYTES:
            break
    return memory.getvalue()


def opacity(heat: Heat, size: tuple[int, int]) -> Image.Image:
    """How dense the colour of heat (rows, columns; 0 to 1) is: not where it is as in most of it."""
    share = np.clip(heat - np.median(heat), 0.0, 1.0)
    mask = Image.fromarray((255 * DENSEST * share).astype(np.uint8))
    return mask.resize(size, Image.Resampling.BICUBIC)


def outline(image: Image.Image, masks: Sequence[Rectangle], size: tuple[int, int]) -> None:
    """Draw what the method does not see onto a picture; `size` is that of its source, in pixels."""
    across, down = image.width / size[0], image.height / size[1]
    for mask in masks:
        corners = [mask.x * across, mask.y * down]
        corners += [(mask.x + mask.width) * across - 1, (mask.y + mask.height) * down - 1]
        _dashed(ImageDraw.Draw(image), *corners)


def preview(pieces: Sequence[Span]) -> bytes:
    """Pieces of clips, one after another, as an MP4 that is small and without sound.

    It is H.264 in 4:2:0 whatever the sources have. Files that are gone are passed over, unless all
    are, and so are pieces too short for a frame.

    Raises
    ------
    SdorError : nothing of them can be read, or there is no ffmpeg.
    """
    pieces = [one for one in pieces if one.clip.path.exists()] or pieces
    pieces = [one for one in pieces if one.end - one.begin >= 1 / RATE] or pieces[-1:]
    seconds = sum(one.end - one.begin for one in pieces)
    if seconds < SHORTEST:
        *rest, last = pieces
        pieces = [*rest, last._replace(end=last.end + SHORTEST - seconds)]
        seconds = SHORTEST
    if all(one.clip.kind == "video" and one.clip.fps is None for one in pieces):
        sources = [_input(one) for one in pieces]
        joined = ffmpeg.concat(*map(_sized, sources)) if len(sources) > 1 else sources[0]
        try:
            return encoded(joined, seconds)
        except ffmpeg.Error:  # of damage, or another shape, that frame by frame is no hindrance
            pass
    frames = _frames_of(pieces)
    name = pieces[0].clip.name
    first = next(frames, None)
    if first is None:
        raise SdorError(f"clip {name}: no frame of it is at {pieces[0].begin:.1f} s")
    height, width = first.shape[:2]
    raw = {"format": "rawvideo", "pix_fmt": "rgb24", "s": f"{width}x{height}", "framerate": RATE}
    content = b"".join(frame.tobytes() for frame in chain([first], frames))
    try:
        return encoded(ffmpeg.input("pipe:", **raw), seconds, content)
    except ffmpeg.Error as error:
        words = last_lines(error.stderr.decode(errors="replace"))
        raise SdorError(f"clip {name}: ffmpeg makes no preview of it: {words}") from error


def encoded(source: Any, seconds: float, content: bytes | None = None) -> bytes:
    """What ffmpeg makes of a source (ffmpeg.Error: it fails, or nothing comes out)."""
    # x264 spends what its buffer has at first, 0.9 of it, and what flows in: here another half.
    half = int(8 * LOOP_BYTES / 1.9)
    wanted = {"vcodec": "libx264", "preset": "fast", "crf": 27, "pix_fmt": "yuv420p"}
    wanted |= {"maxrate": int(half / seconds), "bufsize": half, "movflags": "+faststart"}
    wanted |= dict.fromkeys(("an", "sn", "dn")) | {"map_metadata": -1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "loop.mp4")
        stream = _sized(source).output(str(path), **wanted).global_args("-loglevel", "error")
        _, words = stream.run(ffmpeg_binary(), input=content, quiet=True, overwrite_output=True)
        made = path.read_bytes()
    if b"avc1" not in made:  # a file without frames is no failure to ffmpeg
        raise ffmpeg.Error("ffmpeg", b"", words)
    return made


def _input(piece: Span) -> Any:
    """A piece of a file, as ffmpeg reads it."""
    clip, begin, end = piece
    path = str(clip.path.absolute())
    source = ffmpeg.input(path, ss=begin, t=max(end - begin, 0.0), **OPTIONS)
    return source if clip.stream is None else source[str(clip.stream)]


def _sized(source: Any) -> Any:
    """A source at the rate and size of a loop; one that is so stays as it is."""
    return source.filter("fps", RATE).filter("scale", **SCALE).filter("setsar", 1)


def _frames_of(pieces: Sequence[Span]) -> Iterator[Frame]:
    """The frames of what can be read, all as large as the first."""
    size, failure = None, None
    for one in pieces:
        try:
            for frame in _frames(*one):
                size = size or frame.shape[1::-1]
                yield np.asarray(Image.fromarray(frame).resize(size))
        except UnreadableError as error:
            failure = error
    if failure and not size:
        raise failure


def _frames(clip: Clip, begin: float, end: float) -> Iterator[Frame]:
    """`RATE` frames a second of a clip, RGB, at the size of a loop, read one by one."""
    if clip.kind == "images":
        rate = clip.fps or UNKNOWN_RATE
        first, last = (int(seconds * rate + ROUNDING) + 1 for seconds in (begin, end))
        clip = replace(clip, fps=rate, first=max(first, clip.first), last=last)
    due = begin
    for one in read_clip(clip, []):
        if one.time > end:
            break
        if due <= one.time + ROUNDING:
            height, width = one.pixels.shape[:2]
            image = Image.fromarray(np.broadcast_to(one.pixels, (height, width, 3)))
            frame = np.asarray(image.resize(_scaled(width, height, LOOP)))
        while due <= one.time + ROUNDING:
            yield frame
            due += 1 / RATE


def _scaled(width: float, height: float, side: int) -> tuple[int, int]:
    """The size of a picture whose longer side is so many pixels."""
    longer = max(width, height)
    return max(2, round(side * width / longer)), max(2, round(side * height / longer))


def _dashed(draw: ImageDraw.ImageDraw, *corners: float) -> None:
    """A thin dashed rectangle, seen on dark and bright ground."""
    left, top, right, bottom = corners
    for place, start in enumerate(np.arange(left, right, DASH)):
        for y in (top, bottom):
            draw.line((start, y, min(start + DASH, right), y), ("white", "black")[place % 2])
    for place, start in enumerate(np.arange(top, bottom, DASH)):
        for x in (left, right):
            draw.line((x, start, x, min(start + DASH, bottom)), ("white", "black")[place % 2])
