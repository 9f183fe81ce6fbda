"""The frame store: one file a clip, decoded once and read at random by every later stage.

Raw frames are a memory-mapped `.npy` file; or they are coded one by one (`sdor.video.coded`).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.files import damaged, read_parquet
from sdor.video.coded import CODED, CodedFrames

# Every open memory map holds a file handle, and systems allow as few as 256 of them.
OPEN_FILES = 100
WINDOW = 16
# Frames that a thread decodes at least: fewer are not worth waking it.
PIECE = 4
Frames = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.integer[Any]]
Rows = npt.NDArray[np.int64]


class FrameStore:
    """The frames of a scene, numbered through from 0 in the scene's order; read on demand.

    Parameters
    ----------
    files : the clips' files by clip name, in the scene's order; what their names end with says how
        they are coded. Those without a frame, of clips that could not be read, are left out.

    Attributes
    ----------
    clips : clip names.
    clip_of, frame_of : (frames,) arrays: position in `clips`, and place among the frames that are
        stored of that clip, from 0.
    shape : (height, width, channels) of the frames that come out: 1 channel when all clips are
        grey, else 3, with grey clips repeated.
    nbytes : size of all frames as they come out.

    Raises
    ------
    SdorError : a file is damaged, or does not fit to the others; or none has a frame.
    """

    def __init__(self, files: Mapping[str, str | Path]) -> None:
        if not files:
            raise ValueError("a frame store needs at least one clip")
        found = {name: _opened(Path(path)).shape for name, path in files.items()}
        shapes = [shape for shape in found.values() if shape[0]]
        if not shapes:
            raise SdorError(f"no frame of {', '.join(files)} could be read; see the log of clips")
        self.clips = tuple(name for name, shape in found.items() if shape[0])
        self._paths = [Path(files[name]) for name in self.clips]
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
        self._starts = np.cumsum(self.lengths) - self.lengths
        self.frame_of = np.arange(len(self.clip_of)) - self._starts[self.clip_of]
        self._coded = any(path.suffix == CODED for path in self._paths)
        self._opened = lru_cache(OPEN_FILES)(_opened)

    def __len__(self) -> int:
        return len(self.clip_of)

    def expect_grey(self, width: int, height: int) -> None:
        """Refuse frames of another size, or in colour (an SdorError)."""
        if self.shape != (height, width, 1):
            down, across, channels = self.shape
            raise SdorError(
                f"clip {self.clips[0]}: the stored frames are {across}x{down} with {channels} "
                f"channel(s), expected {width}x{height} grey; delete them and run the same command "
                "again"
            )

    def index(self) -> pd.DataFrame:
        """Clip and frame (from 1, as its source counts) of each row, in the order of the store.

        Raises
        ------
        SdorError : the table beside a clip's frames is damaged, or tells of other frames.
        """
        names = np.array(self.clips, dtype=object)
        numbers = [*map(_numbers, self._paths, self.lengths)]
        return pd.DataFrame({"clip": names[self.clip_of], "frame": np.concatenate(numbers)})

    def gather(self, indices: Indices | Sequence[int], *, threads: int = 1) -> Frames:
        """Frames by their number in the store: uint8 [len(indices), height, width, channels].

        Parameters
        ----------
        threads : that decode, where frames are coded.

        Raises
        ------
        SdorError : one of them is damaged.
        """
        rows = self._valid(indices)
        frames = np.empty((len(rows), *self.shape), dtype=np.uint8)
        order = np.argsort(self.clip_of[rows], kind="stable")

        def read(places: Rows) -> None:
            clips = self.clip_of[rows[places]]
            for clip in np.unique(clips):
                here = places[clips == clip]
                frames[here] = self._opened(self._paths[clip])[self.frame_of[rows[here]]]

        shares = min(threads, len(rows) // PIECE)
        if self._coded and shares > 1:
            list(_decoders(threads).map(read, np.array_split(order, shares)))
        else:
            read(order)
        return frames

    def window_rows(self, indices: Indices | Sequence[int], frames: int = WINDOW) -> Rows:
        """Numbers of the frames around each index: [len(indices), frames].

        Index i is at position frames // 2 of its window. A window stays in its clip: at the clip's
        ends the first and the last frame are repeated.
        """
        rows = self._valid(indices)
        clips = self.clip_of[rows]
        first, last = self._starts[clips], self._starts[clips] + self.lengths[clips] - 1
        windows: Rows = rows[:, np.newaxis] + np.arange(frames) - frames // 2
        return windows.clip(first[:, np.newaxis], last[:, np.newaxis])

    def gather_windows(
        self, indices: Indices | Sequence[int], frames: int = WINDOW, *, threads: int = 1
    ) -> Frames:
        """Windows around each index: uint8 [len(indices), frames, height, width, channels].

        Frames that windows share are read once.
        """
        windows = self.window_rows(indices, frames)
        wanted, position = np.unique(windows, return_inverse=True)
        return self.gather(wanted, threads=threads)[position.reshape(windows.shape)]

    def _valid(self, indices: Indices | Sequence[int]) -> Rows:
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"frame {rows.min()} or {rows.max()} is not in 0 to {len(self) - 1}")
        return rows


def _numbers(path: Path, count: int) -> Rows:
    """Numbers of a file's frames in their clip, from 1; all, where no table lies beside it."""
    table = path.with_suffix(".parquet")
    if not table.exists():
        return np.arange(1, count + 1)
    numbers = np.flatnonzero(read_parquet(table, ["sampled"])["sampled"]) + 1
    if len(numbers) != count:
        raise SdorError(damaged(table, ValueError(f"{len(numbers)} of {count} frames")))
    return numbers


@cache
def _decoders(threads: int) -> ThreadPoolExecutor:
    """The threads that decode, of all stores."""
    return ThreadPoolExecutor(threads, "frames")


def _opened(path: Path) -> Frames | CodedFrames:
    """The frames of a file, which must be whole."""
    if path.suffix == CODED:
        return CodedFrames(path)
    try:
        frames: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode="r")
        whole = path.stat().st_size == frames.offset + frames.nbytes
        of_pictures = frames.ndim == 4 and frames.shape[3] in (1, 3) and frames.dtype == np.uint8
        if not whole or not of_pictures:
            raise ValueError(f"not the whole of frames of shape {frames.shape}, {frames.dtype}")
    except (OSError, ValueError, EOFError) as error:
        raise SdorError(damaged(path, error)) from error
    return frames
