"""Frames out of video: each clip is decoded once into one file of the frame store.

Beside it lies a table of all frames' times, which says which of them are stored, and what was
doubtful as well. Nothing stops here because of that: `clips_table` judges it, when the whole scene
is known.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from sdor.errors import SdorError
from sdor.files import atomic, read_about, read_parquet, write_parquet
from sdor.study.scenes import Clip, Rectangle, Scene
from sdor.video.coded import CODED, write_coded
from sdor.video.decode import read_video
from sdor.video.images import read_images
from sdor.video.picture import Doubt, Frame, Picture, Size, UnreadableError, fault_of, hide, scaled
from sdor.video.sampling import period_of

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# Doubts that are told one by one, of each clip.
TOLD = 5
# Bytes before the frames: how long NumPy's header of any such array is, padded for its growth.
HEADER = 128


@dataclass(frozen=True)
class View:
    """How frames are stored: their size, and what is left out of them.

    Its name, such as "224", "160x120-grey" or "224-unmasked", stands in the files' path.
    """

    width: int  # pixels
    height: int
    grey: bool = False  # colours are left out
    masked: bool = True  # the scene's masks are blackened

    @classmethod
    def named(cls, name: str) -> Self:
        """The view of that name (a ValueError when it is none)."""
        size, *words = name.split("-")
        width, _, height = size.partition("x")
        return cls(int(width), int(height or width), "grey" in words, "unmasked" not in words)


@dataclass(frozen=True)
class Reading:
    """What came of reading a clip.

    Attributes
    ----------
    times : (frames,) seconds from the source's first frame; NaN where nothing tells.
    sampled : (frames,) which of them are stored.
    width, height : of the source's picture in pixels; 0 where none could be read.
    doubts : at most `TOLD`, and one that says how many more.
    failure : why nothing could be read, else empty.
    """

    times: FloatArray
    sampled: BoolArray
    width: int
    height: int
    doubts: tuple[Doubt, ...] = ()
    failure: str = ""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From the table of times that `extract_clip` wrote (SdorError: it is damaged)."""
        about, table = read_about(path), read_parquet(path)
        return cls(
            table["time"].to_numpy(dtype=float),
            table["sampled"].to_numpy(dtype=bool),
            about["width"],
            about["height"],
            tuple(Doubt(*one) for one in about["doubts"]),
            about["failure"],
        )

    def times_of(self, clip: Clip) -> FloatArray:
        """Seconds in the source: by the frame rate of the scene file, where it gives one."""
        if clip.fps is None:
            return self.times
        return (clip.first - 1 + np.arange(len(self.times))) / clip.fps


def extract_clip(
    clip: Clip,
    masks: Sequence[Rectangle],
    view: View,
    frames: str | Path,
    times: str | Path,
    *,
    quality: int | None = None,
) -> Reading:
    """Decode a clip into the file of its frames, and write the table of their times.

    Of a clip of which nothing can be read, both are empty and the table says why.

    Raises
    ------
    SdorError : what the disk does not take.
    """
    try:
        found = extract_frames(clip, masks, view, frames, quality=quality)
    except UnreadableError as error:
        found = Reading(np.zeros(0), np.zeros(0, dtype=bool), 0, 0, failure=str(error))
        store_frames([], view, frames, quality=quality)
    about = {"width": found.width, "height": found.height, "failure": found.failure}
    unit = {"time": "s from the source's first frame", "sampled": "whether it is stored"}
    table = pd.DataFrame({"time": found.times, "sampled": found.sampled})
    write_parquet(times, table, {**unit, **about, "doubts": list(found.doubts)})
    return found


def extract_frames(
    clip: Clip,
    masks: Sequence[Rectangle],
    view: View,
    output: str | Path,
    *,
    quality: int | None = None,
) -> Reading:
    """Decode a clip once into a file of the frame store.

    Where it has a `sample_fps`, the first frame of each such period since its first frame is
    stored, as `Timeline.sampled` has it.

    The masks are filled with black at the resolution of the source, so that nothing of what they
    hide is blended into the pixels beside them; for the rest see `store_frames`.

    Raises
    ------
    UnreadableError : no frame of the clip can be read, or one is smaller than a mask.
    """
    doubts: list[Doubt] = []
    times, sampled = array("d"), bytearray()  # nine bytes a frame: a source may have days of them
    sizes: list[Size] = []  # whenever it changes

    def frames() -> Iterator[Frame]:
        hidden = masks if view.masked else ()
        period = None
        with fault_of(clip):
            for picture in read_clip(clip, doubts):
                times.append(picture.time)
                before = period
                if clip.sample_fps is not None:
                    period = period_of(picture.time - times[0], clip.sample_fps)
                sampled.append(period is None or bool(period != before))
                if not sampled[-1]:
                    continue
                height, width = picture.pixels.shape[:2]
                if (width, height) not in sizes[-1:]:
                    sizes.append((width, height))
                    if hidden and len(sizes) > 1:
                        words = f"the picture changes to {width}x{height} pixels under the masks"
                        doubts.append(Doubt(picture.number, words))
                        hidden = [scaled(mask, sizes[0], (width, height)) for mask in masks]
                yield hide(picture.pixels, hidden)

    store_frames(frames(), view, output, quality=quality)
    # Damage and a wrong clock before a range reach into it.
    kept = np.frombuffer(sampled, dtype=bool)
    return Reading(np.frombuffer(times), kept, *sizes[0], _told(doubts))


def read_clip(clip: Clip, doubts: list[Doubt]) -> Iterator[Picture]:
    """The pictures of a clip at source resolution: `read_video`, `read_images`.

    Raises
    ------
    UnreadableError : nothing of the clip can be read, or only with more in the scene file.
    ValueError : the clip is a sequence of a joined video and not located yet (`sdor.video.cuts`).
    """
    if clip.sequence is not None:
        raise ValueError(f"{clip.name} is sequence {clip.sequence} of a joined video: locate it")
    whole, bits, fps = (clip.path, clip.first, clip.last), clip.bits, clip.fps
    if clip.kind == "images":
        pictures = read_images(*whole, bits=bits, fps=fps, doubts=doubts)
    else:
        pictures = read_video(*whole, stream=clip.stream, bits=bits, fps=fps, doubts=doubts)
    try:
        if (first := next(pictures, None)) is not None:
            yield first
            yield from pictures
            return
    except SdorError as error:  # of images also what only the scene file can settle
        raise UnreadableError(str(error)) from error
    raise UnreadableError(f"{clip.path}: ends before frame {clip.first}, where the clip begins")


def holds_frames(clips: Iterable[Clip], least: int) -> bool:
    """Whether so many frames can be read of some clips; more are not looked at."""
    count = 0
    for clip in clips:
        with suppress(UnreadableError):
            for _ in islice(read_clip(clip, []), least - count):
                count += 1
        if count >= least:
            return True
    return False


def store_frames(
    frames: Iterable[Frame], view: View, output: str | Path, *, quality: int | None = None
) -> int:
    """Write pictures as a file of the frame store; returns how many there were.

    Pillow's bilinear filter makes each as large as the view. They go to the file one by one: a clip
    of any length takes the same memory. A clip without any colour is stored with one channel, also
    when its pictures have three equal ones.

    Parameters
    ----------
    frames : uint8 (height, width, channels), 1 channel or 3.
    output : an `.npy` file of shape [frames, height, width, channels], uint8; or one that is called
        `.arrow`, in which each frame is a JPEG.
    quality : of the JPEGs, up to 100.
    """
    pictures = (resized(frame, view) for frame in frames)
    if Path(output).suffix == CODED:
        assert quality is not None, "of JPEG, there is no quality for all"
        return write_coded(pictures, (view.height, view.width), Path(output), quality)
    count, channels = 0, 1
    with atomic(output) as temporary, temporary.open("w+b") as file:
        file.seek(HEADER)
        for small in pictures:
            if small.shape[2] > channels:
                _widen(file, count, view.height * view.width)
                channels = 3
            file.write(np.broadcast_to(small, (*small.shape[:2], channels)).tobytes())
            count += 1
        file.seek(0)
        shape = (count, view.height, view.width, channels)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        if file.tell() != HEADER:
            raise ValueError(f"{output}: a header of {file.tell()} bytes")
    return count


def clips_table(
    scene: Scene, readings: Mapping[str, Reading]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """What was decoded of a scene, from where, and what is known of it.

    A scene with ground truth is a benchmark, whose numbers must be right: whatever is doubtful in
    one of its clips is refused, unless the scene file settles it. Of others, all that can be read
    is used.

    Parameters
    ----------
    scene : with its clips located, if they come out of a joined video.
    readings : of each clip, by name.

    Returns
    -------
    clips : one row a clip of which something could be read, in the scene's order: clip, source,
        first, last (frames of the source, from 1), split ("train", "test" or ""), fps (the median
        rate of the source; NaN when unknown), frames (those that are stored), labelled, width,
        height (pixels of the source), begin (s in the source, NaN when unknown).
    times : clip, frame (from 1), time (s in the source, NaN when unknown), sampled (whether it is
        stored) of all frames.
    remarks : what was doubtful or could not be read, a line each.

    Raises
    ------
    SdorError : a doubt about a benchmark; nothing can be read of any clip.
    """
    remarks = []
    for clip in scene.clips:
        found = _counted(clip, readings[clip.name])
        if scene.has_ground_truth:
            _refuse_doubts(clip, found)
        remarks += [f"not read: {found.failure}"] if found.failure else []
        remarks += [f"clip {clip.name}: {doubt}" for doubt in found.doubts]
    read = [
        (clip, found, found.times_of(clip))
        for clip in scene.clips
        if not (found := readings[clip.name]).failure
    ]
    if not read:
        failure = readings[scene.clips[0].name].failure
        raise SdorError(f"scene {scene.name}: nothing of it can be read ({failure})")
    clips = pd.DataFrame(
        {
            "clip": clip.name,
            "source": clip.source,
            "first": clip.first,
            "last": clip.first + len(seconds) - 1,
            "split": clip.split,
            "fps": _rate(seconds),
            "frames": int(found.sampled.sum()),
            "labelled": clip.ground_truth is not None,
            "width": found.width,
            "height": found.height,
            "begin": seconds[0],
        }
        for clip, found, seconds in read
    )
    counts = [len(seconds) for *_, seconds in read]
    times = pd.DataFrame(
        {
            "clip": np.repeat(clips["clip"].to_numpy(), counts),
            "frame": np.concatenate([np.arange(count) + 1 for count in counts]),
            "time": np.concatenate([seconds for *_, seconds in read]),
            "sampled": np.concatenate([found.sampled for _, found, _ in read]),
        }
    )
    return clips.astype({"fps": float}), times, remarks


def _counted(clip: Clip, found: Reading) -> Reading:
    """With a doubt, when the clip has not the frames that the scene file says."""
    count, expected = len(found.times), clip.frames
    words = f"expected {expected} frames"
    if clip.last is not None:
        expected = clip.last - clip.first + 1
        words = f"expected frames {clip.first} to {clip.last}"
    if found.failure or expected in (None, count):
        return found
    doubt = Doubt(None, f"{words} (scene file), found {count}", "count")
    return replace(found, doubts=(doubt, *found.doubts))


def _refuse_doubts(clip: Clip, found: Reading) -> None:
    """Raise what is doubtful in a clip of a benchmark, with the key that settles it."""
    if found.failure:
        raise SdorError(found.failure)
    for doubt in found.doubts:
        if doubt.kind == "count":
            raise SdorError(f"clip {clip.name}: {doubt} in {clip.source}; is the copy complete?")
    settled = {"damage", "end", "time"} if clip.damaged == "accept" else set()
    # Who has counted the frames knows that the file is complete, whatever it declares.
    settled |= {"end"} if clip.frames or clip.last else set()
    for doubt in found.doubts:
        if doubt.kind not in settled:
            keys = {"end": f"frames: {len(found.times)}", "time": "fps"}
            raise SdorError(
                f"clip {clip.name}: {clip.source}: {doubt}; put a whole copy in its place, or set "
                f"{keys.get(doubt.kind, 'damaged: accept')} for this clip in the scene file, if it "
                "is to be used as it is"
            )


def _rate(times: FloatArray) -> float:
    """Frames per second: the median."""
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else float("nan")


def _told(doubts: Sequence[Doubt]) -> tuple[Doubt, ...]:
    """Doubts about the whole first, then the first of the frames, and how many more there are."""
    ordered = sorted(doubts, key=lambda one: one.frame or 0)
    more = len(ordered) - TOLD
    return (*ordered[:TOLD], *([Doubt(None, f"and in {more} more places")] if more > 0 else []))


def resized(frame: Frame, view: View) -> Frame:
    """A frame as large as the view (bilinear); with one channel when it has no colour."""
    picture = Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)
    if view.grey:
        picture = picture.convert("L")
    picture = picture.resize((view.width, view.height), Image.Resampling.BILINEAR)
    small = np.atleast_3d(np.asarray(picture))
    return small[:, :, :1] if (small == small[:, :, :1]).all() else small


def _widen(file: IO[bytes], count: int, pixels: int) -> None:
    """Repeat the grey frames of a file to three channels, where they stand.

    From the last to the first: a frame then only covers frames that have been moved already.
    """
    for index in reversed(range(count)):
        file.seek(HEADER + index * pixels)
        grey = np.frombuffer(file.read(pixels), dtype=np.uint8)
        file.seek(HEADER + 3 * index * pixels)
        file.write(np.repeat(grey, 3).tobytes())
    file.seek(HEADER + 3 * count * pixels)
