"""A clip as a video to look at: heat over the picture, and below it the score and the present."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any

import cv2
import ffmpeg
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from sdor.errors import SdorError
from sdor.files import atomic
from sdor.method.events import SMOOTHING, UNLIKE, find_events
from sdor.method.flow import ACROSS, DOWN, FINE
from sdor.operator.archive import Seen
from sdor.operator.camera import masks_of
from sdor.operator.look import Eye, Looks, look
from sdor.operator.model import MARGIN, CameraModel
from sdor.operator.previews import DENSEST, RED, outline
from sdor.progress import track
from sdor.study.scenes import Clip, Rectangle
from sdor.study.settings import EventSettings
from sdor.video.clock import clock_of
from sdor.video.decode import declared
from sdor.video.ffmpeg import ffmpeg_binary, last_lines
from sdor.video.frames import read_clip
from sdor.video.picture import Frame, Picture
from sdor.video.timeline import Timeline, seconds_of

WIDEST = 640  # pixels
TEXT, CURVE, PAD = 22, 74, 4  # pixels: height of the line of text and of the curve, and around it
PIECE = 3000  # rows that are scored at a time: five minutes
EVENTS = EventSettings(budget=20, per="scene", lead=3.0)
SOFT = 0.7  # cells by which it is blurred
# What has the full colour, on the ordinal scale, at least: a quiet clip stays quiet.
LEAST_HEAT = 3.0
RARE = 0.999  # quantile of the archive's scores where a line is drawn
GROUND, LATER, PAST, WORDS = (24, 26, 30), (120, 126, 134), (236, 238, 240), (208, 212, 218)
EVENT, STRONG = (52, 54, 48), (104, 48, 34)  # behind the curve: an event, one unlike the rest
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.42)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What the first pass finds of a clip.

    Attributes
    ----------
    seconds, score : (n,) of rows, ten a second. heat : (n, 24, 36) from 0 up, in a file.
    fps, size : of its pictures; width and height.
    """

    seconds: FloatArray
    score: FloatArray
    heat: NDArray[np.float16]
    fps: float
    size: tuple[int, int]

    def at(self, time: float, values: NDArray[Any]) -> Any:
        """Values (n, …) of the rows at a second, linear in time."""
        after = min(int(np.searchsorted(self.seconds, time)), len(self.seconds) - 1)
        before = max(after - 1, 0)
        share = np.interp(time, self.seconds[[before, after]], (0.0, 1.0))
        return (1 - share) * values[before] + share * values[after]


def overlay(clip: Clip, model: CameraModel, eye: Eye, output: Path, threads: int = 1) -> int:
    """Write a clip as H.264 with heat, curve, clock and events; returns its number of frames.

    The curve, and the number beside it, are the score that events are found on, smoothed in time.
    Masks are outlined.

    The clip is read twice: it is scored first, so that all of it has one scale. Frames are as large
    as its own, at most `WIDEST` pixels wide. What is kept of an hour are a megabyte of scores.

    Raises
    ------
    UnreadableError : nothing of the clip can be read.
    SdorError : the output is the clip itself, or cannot be written; or there is no ffmpeg.
    """
    if output.resolve() == clip.path.resolve():
        raise SdorError(f"{output}: is the clip itself; give another --output")
    told = declared(clip.path) if clip.kind == "video" else None
    clock = clock_of(clip.path, told.metadata if told else {})
    with tempfile.TemporaryFile() as spool, atomic(output) as temporary:
        scored = score_clip(clip, model, eye, spool, threads)
        draw = drawer(scored, clock, model.about["quantiles"], masks_of(model))
        pictures = track(read_clip(clip, []), unit="frame", label=f"overlay of {clip.name}")
        return write_video(map(draw, pictures), scored.fps, temporary)


def score_clip(
    clip: Clip, model: CameraModel, eye: Eye, spool: IO[bytes], threads: int = 1
) -> Scored:
    """Look at a clip and score it, some minutes at a time, each with what lies around them.

    Parameters
    ----------
    spool : where the heat maps are kept.

    Raises
    ------
    SdorError : nothing of the clip can be read.
    """
    seen, seconds, score = Seen(read_clip(clip, [])), [], []
    for looks, own in _pieces(look(seen, eye, threads)):
        table, places = model.score(looks, looks.time)
        heat = model.heat(looks, looks.time, places, np.arange(own.start, own.stop))
        spool.write(heat.astype(np.float16).tobytes())
        seconds.append(looks.time[own])
        score.append(table["score"].to_numpy()[own])
    spool.flush()
    times = np.concatenate(seconds)
    shape = (len(times), FINE * DOWN, FINE * ACROSS)
    maps: NDArray[np.float16] = np.memmap(spool, np.float16, "r+", shape=shape)
    facts = seen.facts()
    size = facts["width"], facts["height"]
    return Scored(times, np.concatenate(score), maps, facts["fps"], size)


def _pieces(parts: Iterator[Looks]) -> Iterator[tuple[Looks, slice]]:
    """`PIECE` rows at a time, with `MARGIN` around; and which of these rows nobody had yet."""
    waiting, count, own = list[Looks](), 0, 0
    for part in chain(parts, [None]):
        if part is not None:
            waiting.append(part)
            count += len(part)
            if count - own < PIECE:
                continue
        looks = Looks.joined(waiting)
        last = np.inf if part is None else looks.time[-1] - MARGIN
        end = int(np.searchsorted(looks.time, last))
        yield looks, slice(own, end)
        start = int(np.searchsorted(looks.time, looks.time[end - 1] - MARGIN))
        waiting, count, own = [looks.between(start, len(looks))], len(looks) - start, end - start


def drawer(
    scored: Scored,
    clock: datetime | None,
    quantiles: Sequence[float],
    masks: Sequence[Rectangle] = (),
) -> Callable[[Picture], Frame]:
    """What draws a picture of the clip, of even width and height.

    Parameters
    ----------
    clock : of the clip's first frame. quantiles : of the scores of the model's archive.
    masks : hidden from the model, in pixels of the clip.
    """
    scale = min(1.0, WIDEST / scored.size[0])
    width, height = (max(2, 2 * round(side * scale / 2)) for side in scored.size)
    strip = _Strip(scored, width, quantiles)
    full = max(LEAST_HEAT, float(np.quantile(scored.heat.max(axis=(1, 2)), RARE)))
    lines = Image.new("RGBA", (width, height))
    outline(lines, masks, scored.size)
    dashes = np.asarray(lines)
    dashed = dashes[..., 3].nonzero()
    colour = np.full((height, width, 3), RED, dtype=np.uint8)

    def draw(picture: Picture) -> Frame:
        time = seconds_of(picture.number, picture.time)
        shown = np.broadcast_to(picture.pixels, (*picture.pixels.shape[:2], 3))
        small = cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA)
        heat = (scored.at(time, scored.heat) / full).astype(np.float32)
        heat = cv2.resize(cv2.GaussianBlur(heat, (0, 0), SOFT), (width, height), None, 0, 0, 2)
        opacity = DENSEST * np.clip(heat, 0, 1)
        made = np.empty((height + TEXT + CURVE, width, 3), dtype=np.uint8)
        made[:height] = cv2.blendLinear(colour, small, opacity, 1 - opacity)
        made[dashed] = dashes[dashed][:, :3]
        strip.draw(made[height:], time, _words(time, clock))
        return made

    return draw


class _Strip:
    """The line of text and the curve, below the picture."""

    def __init__(self, scored: Scored, width: int, quantiles: Sequence[float]) -> None:
        self._scored, self._events, self._width = scored, _events(scored), width
        score = self._score = _smoothed(scored)
        rare = [float(np.interp(RARE, np.linspace(0, 1, len(quantiles)), quantiles))] * bool(
            quantiles
        )
        self._low, self._high = min([score.min(), *rare]), max([score.max(), *rare])
        columns, first = np.unique(self._across(scored.seconds), return_index=True)
        points = np.stack([columns, self._down(np.maximum.reduceat(score, first))], axis=1)
        self._strips = list[Frame]()
        for line in (LATER, PAST):
            strip = np.full((TEXT + CURVE, width, 3), GROUND, dtype=np.uint8)
            for event in self._events.itertuples():
                left, right = self._across(np.array([event.begin, event.end]))
                strip[TEXT:, left : right + 1] = STRONG if event.group == UNLIKE else EVENT
            strip[self._down(np.array([rare])), ::4] = LATER
            cv2.polylines(strip, [points], False, line, 1, cv2.LINE_AA)
            self._strips.append(strip)

    def draw(self, onto: Frame, time: float, words: str) -> None:
        """Draw it as it is at a moment."""
        score = float(self._scored.at(time, self._score))
        (x,), (y,) = self._across(np.array([time])), self._down(np.array([score]))
        later, past = self._strips
        onto[:], onto[:, : x + 1] = later, past[:, : x + 1]
        onto[TEXT:, x] = RED
        cv2.circle(onto, (int(x), int(y)), 3, RED, -1, cv2.LINE_AA)
        told, events = f"score {score:.1f}", self._events
        for number in events["rank"][(events["begin"] <= time) & (time <= events["end"])]:
            told = f"event {number}, {told}"
        wide = cv2.getTextSize(told, *FONT, 1)[0][0]
        for text, left in ((words, PAD), (told, self._width - wide - PAD)):
            cv2.putText(onto, text, (left, TEXT - 7), *FONT, WORDS, 1, cv2.LINE_AA)

    def _across(self, seconds: FloatArray) -> NDArray[np.int32]:
        ends = self._scored.seconds[[0, -1]]
        return np.interp(seconds, ends, (0, self._width - 1)).round().astype(np.int32)

    def _down(self, score: FloatArray) -> NDArray[np.int32]:
        rows = (TEXT + CURVE - PAD, TEXT + PAD)
        return np.interp(score, (self._low, self._high), rows).round().astype(np.int32)


def write_video(frames: Iterator[Frame], fps: float, output: Path) -> int:
    """Write RGB frames, of even sizes, as H.264; returns their number.

    Raises
    ------
    SdorError : ffmpeg fails, or there is none.
    """
    count, first = 0, next(frames)
    size = f"{first.shape[1]}x{first.shape[0]}"
    given = {"format": "rawvideo", "pix_fmt": "rgb24", "s": size, "framerate": fps}
    wanted = {"vcodec": "libx264", "preset": "veryfast", "crf": 21, "pix_fmt": "yuv420p"}
    stream = ffmpeg.input("pipe:", **given).output(str(output), movflags="+faststart", **wanted)
    stream = stream.global_args("-loglevel", "error").overwrite_output()
    process = stream.run_async(ffmpeg_binary(), pipe_stdin=True, pipe_stderr=True)
    try:
        with contextlib.suppress(BrokenPipeError):  # ffmpeg ended, and says why
            for frame in chain([first], frames):
                process.stdin.write(frame.data)
                count += 1
        _, words = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise SdorError(f"no video: ffmpeg fails: {last_lines(words.decode(errors='replace'))}")
    return count


def _smoothed(scored: Scored) -> FloatArray:
    """(n,) the score as `find_events` smooths it."""
    rows = np.arange(len(scored.score))
    timeline = Timeline(("",), np.zeros_like(rows), scored.seconds)
    return timeline.smoothed(scored.score, rows, SMOOTHING).astype(np.float64)


def _events(scored: Scored) -> pd.DataFrame:
    """The events of the clip."""
    rows = {"clip": "", "frame": np.arange(len(scored.score)), "time": scored.seconds}
    table = pd.DataFrame({**rows, "stretch": 0, "seconds": scored.seconds, "score": scored.score})
    return find_events(table, EVENTS)


def _words(time: float, clock: datetime | None) -> str:
    """The clock, or else the time in the file."""
    if clock:
        return f"{clock + timedelta(seconds=time):%Y-%m-%d %H:%M:%S}"
    return str(timedelta(seconds=int(time)))
