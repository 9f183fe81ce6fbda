"""Frames out of video: each clip is decoded once into one `.npy` file of the frame store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import numpy as np
import pandas as pd
from PIL import Image

from sdor.errors import SdorError
from sdor.files import atomic
from sdor.study.scenes import Clip, Rectangle, Scene
from sdor.video.decode import probe, read_clip
from sdor.video.picture import Frame

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


def extract_frames(clip: Clip, masks: Sequence[Rectangle], view: View, output: str | Path) -> int:
    """Decode a clip once into an `.npy` file of shape [frames, height, width, channels], uint8.

    The masks are filled with black at the resolution of the source, so that nothing of what they
    hide is blended into the pixels beside them; for the rest see `store_frames`.

    Returns
    -------
    The number of frames.

    Raises
    ------
    SdorError : the clip cannot be decoded, has another number of frames than it should have, ends
        before its range does, or is smaller than a mask.
    """

    def frames() -> Iterator[Frame]:
        count = 0
        for frame in read_clip(clip, masks if view.masked else ()):
            yield frame
            count += 1
        _check_count(clip, count)

    return store_frames(frames(), view, output)


def store_frames(frames: Iterable[Frame], view: View, output: str | Path) -> int:
    """Write pictures as an `.npy` file of the frame store; returns how many there were.

    Pillow's bilinear filter makes each as large as the view. They go to the file one by one: a clip
    of any length takes the same memory. A clip without any colour is stored with one channel, also
    when its pictures have three equal ones.

    Parameters
    ----------
    frames : uint8 (height, width, channels), 1 channel or 3.
    """
    count, channels = 0, 1
    with atomic(output) as temporary, temporary.open("w+b") as file:
        file.seek(HEADER)
        for frame in frames:
            small = _resized(frame, view)
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


def clips_table(scene: Scene, counts: Mapping[str, int]) -> pd.DataFrame:
    """One row a clip, in the scene's order: what was decoded, from where, and what is known of it.

    Parameters
    ----------
    scene : with its clips located, if they come out of a joined video.
    counts : decoded frames of each clip, by name.

    Returns
    -------
    DataFrame: clip, source, first, last (frames of the source, from 1), split ("train", "test" or
    ""), fps (NaN when unknown), frames, labelled.
    """
    for clip in scene.clips:
        _check_expected(clip, counts[clip.name])
    rows = [
        {
            "clip": clip.name,
            "source": clip.source,
            "first": clip.first,
            "last": clip.first + counts[clip.name] - 1,
            "split": clip.split,
            "fps": clip.fps or probe(clip.path).fps,
            "frames": counts[clip.name],
            "labelled": clip.ground_truth is not None,
        }
        for clip in scene.clips
    ]
    return pd.DataFrame(rows).astype({"fps": float})


def _resized(frame: Frame, view: View) -> Frame:
    """A frame as large as the view; with one channel when it has no colour."""
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


def _check_count(clip: Clip, count: int) -> None:
    """Refuse a clip that is empty, shorter than its range, or cut off."""
    declared = probe(clip.path).frames
    if count < (1 if clip.last is None else clip.last - clip.first + 1):
        total = clip.first + count - 1 if count else declared or "no"
        raise SdorError(
            f"clip {clip.name}: expected frames {clip.first} to {clip.last or 'the end'} of "
            f"{clip.source}, found only {total} frames in it"
        )
    _check_expected(clip, count)
    expected = count if declared is None else declared - clip.first + 1
    if clip.frames is None and clip.last is None and count != expected:
        raise SdorError(
            f"clip {clip.name}: expected {expected} frames ({clip.source} declares {declared}), "
            f"found {count}; copy the file anew, or if it is complete set frames: {count} "
            "for this clip in the scene file"
        )


def _check_expected(clip: Clip, count: int) -> None:
    if clip.frames not in (None, count):
        raise SdorError(
            f"clip {clip.name}: expected {clip.frames} frames (scene file), "
            f"found {count} in {clip.source}; is the copy complete?"
        )
