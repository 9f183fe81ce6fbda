"""Frames out of video files and image folders: one at a time, every coded frame exactly once."""

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import av
import ffmpeg
import numpy as np

from sdor.errors import SdorError
from sdor.study.scenes import Clip, Rectangle
from sdor.study.sources import image_files
from sdor.video.images import read_images
from sdor.video.picture import Doubt, Frame, Size, fault_of

# One word per token of a PNM header: magic number, width, height, largest value.
PNM_CHANNELS = {b"P5": 1, b"P6": 3}


class Declared(NamedTuple):
    """What a video or a folder of images says of itself; None where it does not tell."""

    frames: int | None
    fps: float | None
    width: int  # pixels of the picture as it is shown
    height: int
    grey: bool  # whether it has no colour channels


def ffmpeg_binary() -> str:
    """Path of ffmpeg: the one on the PATH, else the one in the `imageio-ffmpeg` wheel.

    Raises
    ------
    SdorError : neither is there.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise SdorError(
            "ffmpeg not found: install it (conda install ffmpeg, apt install ffmpeg) "
            "or run pip install imageio-ffmpeg"
        ) from error


def probe(path: str | Path) -> Declared:
    """Look into a container, or a folder of images, and decode its first frame.

    Raises
    ------
    SdorError : it is missing, is no video, or has no frame that can be decoded.
    """
    if Path(path).is_dir():
        files = image_files(Path(path))
        # Of any depth: only the size is asked for.
        height, width, channels = next(read_images(Path(path), bits=16, doubts=[])).pixels.shape
        return Declared(len(files), None, width, height, grey=channels == 1)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SdorError(f"{path}: no video stream in this file")
            stream = container.streams.video[0]
            frame = next(container.decode(stream), None)
            if frame is None:
                raise SdorError(f"{path}: the video has no frames")
            size = frame.width, frame.height
            # ffmpeg turns the frames of a phone's upright video; the rectangles of masks follow it.
            width, height = size[::-1] if frame.rotation % 180 else size
            fps = float(stream.average_rate) if stream.average_rate else None
            grey = frame.format.name.startswith(("gray", "ya", "mono"))
            return Declared(stream.frames or None, fps, width, height, grey)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SdorError(f"{path}: cannot be read as a video ({_one_line(str(error))})") from error


def read_video(path: str | Path, first: int = 1, last: int | None = None) -> Iterator[Frame]:
    """Frames `first` to `last` (from 1, inclusive; None: to the end) of a video file.

    ffmpeg decodes into a pipe; one frame is held at a time and reading stops behind `last`. Frames
    are counted, not timed: a variable frame rate neither drops nor repeats any. Grey video stays
    grey. A video that ends before `last` just ends here: who knows how many frames there should be
    compares.

    Yields
    ------
    uint8 [height, width, channels], channels = 1 (grey) or 3 (RGB).

    Raises
    ------
    SdorError : the file is no video, or ffmpeg meets an error in it; with ffmpeg's last words.
    """
    grey = probe(path).grey
    limits = {} if last is None else {"end_frame": last}
    source = ffmpeg.input(str(Path(path).absolute()))["v:0"]
    frames = source.filter("trim", start_frame=first - 1, **limits)
    # A PNM picture carries its own size, so that no second guess at rotation or cropping is needed.
    output = frames.output(
        "pipe:",
        format="image2pipe",
        vcodec="pgm" if grey else "ppm",
        pix_fmt="gray" if grey else "rgb24",
        **_passthrough(ffmpeg_binary()),
    ).global_args("-xerror", "-nostdin", "-hide_banner", "-loglevel", "error")
    command = ffmpeg.compile(output, cmd=ffmpeg_binary())
    # A file takes any amount of complaints; an unread pipe would stop ffmpeg when it is full.
    with tempfile.TemporaryFile() as complaints:
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=complaints, bufsize=1 << 20
        ) as process:
            assert process.stdout is not None
            try:
                while (frame := _read_pnm(process.stdout)) is not None:
                    yield frame
                process.wait()
            finally:
                process.kill()
        complaints.seek(0)
        words = complaints.read().decode(errors="replace")
    # It also ends well where it met the end of a file too early.
    if process.returncode != 0 or "ended prematurely" in words or "partial file" in words:
        raise SdorError(f"{path}: ffmpeg cannot decode it to the end ({last_lines(words)})")


def read_clip(clip: Clip, masks: Sequence[Rectangle] = ()) -> Iterator[Frame]:
    """The frames of a clip at source resolution, the masks hidden: `read_video`, `read_images`.

    Raises
    ------
    SdorError : as they and `hide` do, with the clip's name in front.
    ValueError : the clip is a sequence of a joined video and not located yet (`sdor.video.cuts`).
    """
    if clip.sequence is not None:
        raise ValueError(f"{clip.name} is sequence {clip.sequence} of a joined video: locate it")
    doubts: list[Doubt] = []
    with fault_of(clip):
        if clip.kind == "images":
            for picture in read_images(
                clip.path, clip.first, clip.last, bits=clip.bits, doubts=doubts
            ):
                if doubts:
                    raise SdorError(doubts[0].words)
                yield hide(picture.pixels, masks)
            return
        for frame in read_video(clip.path, clip.first, clip.last):
            yield hide(frame, masks)


def picture_size(clip: Clip) -> Size:
    """Width and height of the clip's source picture, in pixels."""
    with fault_of(clip):
        found = probe(clip.path)
        return found.width, found.height


def hide(frame: Frame, masks: Sequence[Rectangle]) -> Frame:
    """The frame with black rectangles over the masks.

    Raises
    ------
    SdorError : a mask reaches beyond the picture; the message starts with the mask.
    """
    height, width = frame.shape[:2]
    frame = frame.copy() if masks else frame
    for mask in masks:
        right, bottom = mask.x + mask.width, mask.y + mask.height
        if right > width or bottom > height:
            raise SdorError(
                f"mask x {mask.x} to {right}, y {mask.y} to {bottom} "
                f"reaches beyond the picture of {width}x{height} pixels"
            )
        frame[mask.y : bottom, mask.x : right] = 0
    return frame


def _read_pnm(pipe: IO[bytes]) -> Frame | None:
    """The next PNM picture of the pipe; None at its end or where it breaks off."""
    header = pipe.readline().split() + pipe.readline().split() + pipe.readline().split()
    if len(header) == 4:
        shape = int(header[2]), int(header[1]), PNM_CHANNELS[header[0]]
        pixels = pipe.read(math.prod(shape))
        if len(pixels) == math.prod(shape):
            return np.frombuffer(pixels, dtype=np.uint8).reshape(shape)
    return None


@cache
def _passthrough(binary: str) -> dict[str, str]:
    """The option for "every frame once", which has had two names."""
    said = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version n?([0-9]+)\.([0-9]+)", said)
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return {"vsync" if old else "fps_mode": "passthrough"}


def last_lines(words: str) -> str:
    """The last of ffmpeg's words in one line."""
    # Addresses of the process differ from run to run and say nothing.
    words = re.sub(r" @ 0x[0-9a-f]+", "", words)
    lines = [_one_line(line) for line in words.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or "it gives no reason"


def _one_line(words: str) -> str:
    return " ".join(words.split())
