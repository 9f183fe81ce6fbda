"""Decoded frames: one `.npy` file a clip, written once and memory-mapped by every later stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from sdor.errors import SdorError
from sdor.files import atomic, damaged
from sdor.study.scenes import Clip, Rectangle, Scene
from sdor.video.decode import Frame, declared_frames, hide, probe, read_clip

# Every open memory map holds a file handle, and systems allow as few as 256 of them.
OPEN_FILES = 100
WINDOW = 16
Indices = npt.NDArray[np.integer[Any]]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """How frames are stored: their size, and what is left out of them.

    Its name, such as "224", "160x120-grey" or "224-unmasked", stands in the files' path.

    Attributes
    ----------
    width, height : pixels.
    grey : colours are left out.
    masked : the scene's masks are blackened.
    """

    width: int
    height: int
    grey: bool = False
    masked: bool = True

    @classmethod
    def named(cls, name: str) -> Self:
        """The view of that name (a ValueError when it is none)."""
        size, *words = name.split("-")
        width, _, height = size.partition("x")
        return cls(int(width), int(height or width), "grey" in words, "unmasked" not in words)


def extract_frames(clip: Clip, masks: Sequence[Rectangle], view: View, output: str | Path) -> int:
    """Decode a clip once into an `.npy` file of shape [frames, height, width, channels], uint8.

    The masks are filled with black at the resolution of the source, so that nothing of what they
    hide is blended into the pixels beside them; then Pillow's bilinear filter makes the frame as
    large as the view. Frames go to the file one by one: a clip of any length takes the same memory.
    A clip without any colour is stored with one channel, also when its files have three equal ones.

    Returns
    -------
    The number of frames.

    Raises
    ------
    SdorError : the clip cannot be decoded, has another number of frames than it should have, ends
        before its range does, or is smaller than a mask.
    """
    count = 0
    channels = 1
    with atomic(output) as temporary, temporary.open("w+b") as file:
        start = _write_header(file, (0, view.height, view.width, channels))
        for frame in read_clip(clip):
            try:
                small = _resized(hide(frame, masks if view.masked else []), view)
            except SdorError as error:
                raise SdorError(f"clip {clip.name}: {error}") from error
            if channels == 1 and not _is_grey(small):
                _widen(file, start, count, view.height * view.width)
                channels = 3
            file.write(_with_channels(small, channels).tobytes())
            count += 1
        _check_count(clip, count)
        # NumPy pads the header for growth of the first axis, so the final one fits into its place.
        file.seek(0)
        if _write_header(file, (count, view.height, view.width, channels)) != start:
            raise ValueError(f"{output}: the header of {count} frames is longer than that of none")
    return count


def stored_frames(path: str | Path) -> int:
    """The number of frames in a file that `extract_frames` wrote (only its header is read)."""
    return _read_header(Path(path))[0]


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
        if clip.frames is not None and counts[clip.name] != clip.frames:
            raise SdorError(_unexpected_count(clip, counts[clip.name]))
    rows = [
        {
            "clip": clip.name,
            "source": clip.source,
            "first": clip.first,
            "last": clip.first + counts[clip.name] - 1,
            "split": clip.split,
            "fps": _fps(clip),
            "frames": counts[clip.name],
            "labelled": clip.ground_truth is not None,
        }
        for clip in scene.clips
    ]
    return pd.DataFrame(rows)


class FrameStore:
    """The frames of a scene, numbered through from 0 in the scene's order; read on demand.

    Parameters
    ----------
    files : the clips' `.npy` files by clip name, in the scene's order.

    Attributes
    ----------
    clips : clip names.
    clip_of, frame_of : (frames,) arrays: position in `clips`, and frame of that clip from 0.
    shape : (height, width, channels) of the frames that come out: 1 channel when all clips are
        grey, else 3, with grey clips repeated.
    nbytes : size of all frames as they come out.

    Raises
    ------
    SdorError : a file is damaged, or does not fit to the others.
    """

    def __init__(self, files: Mapping[str, str | Path]) -> None:
        if not files:
            raise ValueError("a frame store needs at least one clip")
        self.clips = tuple(files)
        self._paths = [Path(path) for path in files.values()]
        shapes = [_read_header(path) for path in self._paths]
        for path, shape in zip(self._paths, shapes, strict=True):
            if shape[1:3] != shapes[0][1:3]:
                raise SdorError(
                    f"{path}: frames of {shape[2]}x{shape[1]} pixels, but {self._paths[0]} has "
                    f"{shapes[0][2]}x{shapes[0][1]}; delete it and run the same command again"
                )
        self.lengths = np.array([shape[0] for shape in shapes])
        self.shape = (*shapes[0][1:3], max(shape[3] for shape in shapes))
        self.nbytes = int(self.lengths.sum() * np.prod(self.shape))
        self.clip_of = np.repeat(np.arange(len(shapes)), self.lengths)
        starts = np.cumsum(self.lengths) - self.lengths
        self.frame_of = np.arange(len(self.clip_of)) - starts[self.clip_of]
        self._starts = starts
        self._open: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.clip_of)

    def index(self) -> pd.DataFrame:
        """Clip and frame (counted from 1) of each row, in the order of the store."""
        names = np.array(self.clips, dtype=object)
        return pd.DataFrame({"clip": names[self.clip_of], "frame": self.frame_of + 1})

    def gather(self, indices: Indices | Sequence[int]) -> Frame:
        """Frames by their number in the store: uint8 [len(indices), height, width, channels]."""
        rows = self._valid(indices)
        frames = np.empty((len(rows), *self.shape), dtype=np.uint8)
        clips = self.clip_of[rows]
        for clip in np.unique(clips):
            here = clips == clip
            frames[here] = self._frames(int(clip))[self.frame_of[rows[here]]]
        return frames

    def window_rows(self, indices: Indices | Sequence[int], frames: int = WINDOW) -> Rows:
        """Numbers of the frames around each index: [len(indices), frames].

        Index i is at position frames // 2 of its window. A window stays in its clip: at the clip's
        ends the first and the last frame are repeated.
        """
        rows = self._valid(indices)
        first = self._starts[self.clip_of[rows]]
        last = first + self.lengths[self.clip_of[rows]] - 1
        offsets = np.arange(frames) - frames // 2
        windows: Rows = rows[:, np.newaxis] + offsets
        return windows.clip(first[:, np.newaxis], last[:, np.newaxis])

    def gather_windows(self, indices: Indices | Sequence[int], frames: int = WINDOW) -> Frame:
        """Windows around each index: uint8 [len(indices), frames, height, width, channels].

        Frames that windows share are read once.
        """
        windows = self.window_rows(indices, frames)
        wanted, position = np.unique(windows, return_inverse=True)
        return self.gather(wanted)[position.reshape(windows.shape)]

    def _valid(self, indices: Indices | Sequence[int]) -> Rows:
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"frame {rows.min()} or {rows.max()} is not in 0 to {len(self) - 1}")
        return rows

    def _frames(self, clip: int) -> npt.NDArray[np.uint8]:
        if clip not in self._open:
            if len(self._open) >= OPEN_FILES:
                self._open.clear()
            try:
                self._open[clip] = np.load(self._paths[clip], mmap_mode="r")
            except (OSError, ValueError, EOFError) as error:
                raise SdorError(damaged(self._paths[clip], error)) from error
        return self._open[clip]


def _resized(frame: Frame, view: View) -> Frame:
    grey = frame.shape[2] == 1
    picture = Image.fromarray(frame[:, :, 0] if grey else frame)
    if view.grey and not grey:
        picture, grey = picture.convert("L"), True
    small = np.asarray(picture.resize((view.width, view.height), Image.Resampling.BILINEAR))
    return small[:, :, np.newaxis] if grey else small


def _is_grey(frame: Frame) -> bool:
    return frame.shape[2] == 1 or bool((frame == frame[:, :, :1]).all())


def _with_channels(frame: Frame, channels: int) -> Frame:
    """A frame without colour as one channel, any other as three."""
    if frame.shape[2] == channels:
        return frame
    return frame[:, :, :1] if channels == 1 else np.repeat(frame, 3, axis=2)


def _widen(file: IO[bytes], start: int, count: int, pixels: int) -> None:
    """Repeat the grey frames of a file to three channels, where they stand.

    From the last to the first: a frame then only covers frames that have been moved already.
    """
    for index in reversed(range(count)):
        file.seek(start + index * pixels)
        grey = np.frombuffer(file.read(pixels), dtype=np.uint8)
        file.seek(start + 3 * index * pixels)
        file.write(np.repeat(grey, 3).tobytes())
    file.seek(start + 3 * count * pixels)


def _check_count(clip: Clip, count: int) -> None:
    """Refuse a clip that is empty, shorter than its range, or cut off."""
    if clip.last is not None and count < clip.last - clip.first + 1:
        raise SdorError(
            f"clip {clip.name}: expected frames {clip.first} to {clip.last} of {clip.source}, "
            f"found only {clip.first + count - 1 if count else _total(clip)} frames in it"
        )
    if count == 0:
        raise SdorError(
            f"clip {clip.name}: expected frames from {clip.first} on, "
            f"found {_total(clip)} frames in {clip.source}"
        )
    if clip.frames is not None:
        if count != clip.frames:
            raise SdorError(_unexpected_count(clip, count))
        return
    declared = declared_frames(clip) if clip.last is None else None
    expected = count if declared is None else declared - clip.first + 1
    if count != expected:
        raise SdorError(
            f"clip {clip.name}: expected {expected} frames ({clip.source} declares {declared}), "
            f"found {count}; copy the file anew, or if it is complete set frames: {count} "
            "for this clip in the scene file"
        )


def _unexpected_count(clip: Clip, count: int) -> str:
    return (
        f"clip {clip.name}: expected {clip.frames} frames (scene file), "
        f"found {count} in {clip.source}; is the copy complete?"
    )


def _total(clip: Clip) -> str:
    """All frames of the source, in words: only for the message that there are too few."""
    declared = declared_frames(clip)
    return "no" if declared is None else str(declared)


def _fps(clip: Clip) -> float:
    if clip.fps is not None:
        return clip.fps
    found = probe(clip.path).fps if clip.kind == "video" else None
    return float("nan") if found is None else found


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> int:
    """Write the `.npy` header; the position behind it, where the frames begin, comes back."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _read_header(path: Path) -> tuple[int, int, int, int]:
    """Shape of the frames in a file, which must be whole."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        size = path.stat().st_size
    except (OSError, ValueError, EOFError) as error:
        raise SdorError(damaged(path, error)) from error
    if dtype != np.uint8 or len(shape) != 4 or shape[0] < 1 or shape[3] not in (1, 3):
        reason = ValueError(f"holds {dtype} of shape {shape}, not frames")
        raise SdorError(damaged(path, reason))
    if size != start + int(np.prod(shape)):
        reason = ValueError(f"{size} bytes, expected {start + int(np.prod(shape))}")
        raise SdorError(damaged(path, reason))
    return shape[0], shape[1], shape[2], shape[3]
