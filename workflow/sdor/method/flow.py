"""Motion in the cells of every frame: optical flow between frames a tenth of a second apart.

The flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV
2016). It is kept where the picture really changes: elsewhere flow is a guess from what lies around.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any, Self

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import About, atomic, damaged, open_parquet, schema_metadata
from sdor.progress import track
from sdor.video.store import FrameStore
from sdor.video.timeline import FloatArray, Rows, Timeline

HEIGHT, WIDTH = 240, 360  # pixels of the grey frames
DOWN, ACROSS = 12, 18  # cells, of 20 x 20 pixels
CELLS = DOWN * ACROSS
SIDE = HEIGHT // DOWN
LAG = 0.1  # seconds between the two frames of a pair
RATE = 10.0  # pairs a second
CHANGED = 10  # grey values by which a pixel differs where something moves: below is noise
STRONGEST = 20  # pixels whose mean is a cell's speed
FINE = 2  # smaller cells in each direction, for where in the frame something moves
# Pixels by which the picture as a whole is taken to have moved: less is the flow's own error.
SHAKEN = 0.3
ROW_GROUP = 1024  # frames
PARTS = {"speed": CELLS, "moving": CELLS, "fine": FINE**2 * CELLS, "change": 1}


@dataclass(frozen=True)
class Flow:
    """Motion in the cells of sampled frames.

    Attributes
    ----------
    rows : (n,) numbers of the frames in the scene.
    speed : (n, 12, 18) pixels a second at 360 x 240, of what moves in it; 0 where nothing does.
    moving : (n, 12, 18) share of the cell's pixels that change.
    fine : (n, 24, 36) speed in cells of half the size.
    change : (n,) mean difference of grey values to the frame before, of the whole picture; NaN
        where there is none.
    """

    rows: Rows
    speed: FloatArray
    moving: FloatArray
    fine: FloatArray
    change: FloatArray

    def taken(self, which: Rows) -> Self:
        """With the flow of other frames, by their places, (n,); 0 where those have none."""
        parts = (self.speed, self.moving, self.fine, self.change)
        return type(self)(self.rows, *(np.nan_to_num(one[which]) for one in parts))

    def last(self, rows: Rows) -> Rows:
        """Of other frames, (m,), the places of the last frames with flow before or at each."""
        places: Rows = np.searchsorted(self.rows, rows, side="right") - 1
        return places


class CellMotion:
    """Measures pairs of frames, in any thread."""

    def __init__(self) -> None:
        self._own = local()

    def __call__(
        self, then: NDArray[np.uint8], now: NDArray[np.uint8], seconds: float
    ) -> NDArray[np.float32]:
        """The `PARTS` of one pair of grey frames (240, 360), one after the other.

        Parameters
        ----------
        seconds : between them; where there are none, all is NaN.
        """
        if not seconds:
            return np.full(sum(PARTS.values()), np.nan, dtype=np.float32)
        if not hasattr(self._own, "flow"):
            self._own.flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        return _cells(self._own.flow, then, now, seconds)


def flow_of(store: FrameStore, timeline: Timeline, threads: int = 1) -> Flow:
    """Motion in the cells of the frames, 10 a second.

    Parameters
    ----------
    store : grey frames of 360 x 240 pixels.

    Raises
    ------
    SdorError : the frames have another size, or colour.
    """
    rows = timeline.sampled(RATE)
    parts = np.concatenate([*_batches(store, timeline, rows, threads)])
    return _flow(rows, np.split(parts, np.cumsum([*PARTS.values()])[:-1], axis=1))


def write_flow(
    store: FrameStore, timeline: Timeline, output: Path, *, threads: int = 1, about: About
) -> int:
    """Write `flow_of` as a table of clip, frame and the parts of a `Flow`, as lists.

    Returns
    -------
    How many frames the table has.
    """
    rows = timeline.sampled(RATE)
    index = timeline.index().iloc[rows]
    speed = "pixels a second at 360x240"
    units = {"speed": speed, "moving": "share of a cell", "fine": speed, "change": "grey values"}
    done = 0
    with atomic(output) as temporary:
        writer: pq.ParquetWriter | None = None
        for batch in _batches(store, timeline, rows, threads):
            part = index.iloc[done : done + len(batch)]
            columns: dict[str, Any] = {name: pa.array(part[name]) for name in ("clip", "frame")}
            at = 0
            for name, size in PARTS.items():
                values = np.ascontiguousarray(batch[:, at : at + size])
                columns[name] = pa.FixedSizeListArray.from_arrays(values.reshape(-1), size)
                at += size
            table = pa.table(columns)
            if writer is None:
                schema = table.schema.with_metadata(schema_metadata({**units, **about}))
                writer = pq.ParquetWriter(temporary, schema, compression="zstd")
            writer.write_table(table.cast(writer.schema))
            done += len(batch)
        if writer is not None:
            writer.close()
    return done


def read_flow(path: Path, timeline: Timeline) -> Flow:
    """Read what `write_flow` wrote.

    Raises
    ------
    SdorError : the file is damaged, or of other frames than the timeline.
    """
    rows = timeline.sampled(RATE)
    file = open_parquet(path)
    try:
        table = file.read().select(["clip", "frame", *PARTS])
    except (OSError, KeyError, pa.ArrowException) as error:
        raise SdorError(damaged(path, error)) from error
    index = timeline.index().iloc[rows]
    same = len(table) == len(rows) and all(
        np.array_equal(table[name].to_numpy(), index[name]) for name in ("clip", "frame")
    )
    if not same:
        raise SdorError(f"{path}: not of the frames that are there; delete it and run again")
    return _flow(rows, [table[name].combine_chunks().flatten().to_numpy() for name in PARTS])


def _flow(rows: Rows, parts: Sequence[NDArray[np.float32]]) -> Flow:
    """From its `PARTS`, each (n, values) or one row after the other."""
    speed, moving, fine, change = parts
    whole, half = (-1, DOWN, ACROSS), (-1, FINE * DOWN, FINE * ACROSS)
    return Flow(
        rows, speed.reshape(whole), moving.reshape(whole), fine.reshape(half), change.ravel()
    )


def _batches(
    store: FrameStore, timeline: Timeline, rows: Rows, threads: int
) -> Iterator[NDArray[np.float32]]:
    """The `PARTS` of the rows, side by side, a thousand rows at a time."""
    store.expect_grey(WIDTH, HEIGHT)
    cv2.setNumThreads(1)  # pairs are shared out among threads, not pixels
    motion, before = CellMotion(), timeline.before(rows, LAG)

    starts = range(0, len(rows), ROW_GROUP)
    with ThreadPoolExecutor(threads) as pool:
        for start in track(starts, unit="thousand frames", label="flow"):
            chosen = slice(start, start + ROW_GROUP)
            pairs = np.stack([before[chosen], rows[chosen]])
            seen, places = np.unique(pairs, return_inverse=True)  # each is decoded once
            pictures = store.gather(seen, threads=threads)[..., 0]
            then, now = ((pictures[at] for at in one) for one in places.reshape(pairs.shape))
            seconds = np.diff(timeline.seconds[pairs], axis=0)[0]
            yield np.stack([*pool.map(motion, then, now, seconds.tolist())])


def _cells(
    dis: Any, then: NDArray[np.uint8], now: NDArray[np.uint8], seconds: float
) -> NDArray[np.float32]:
    """The `PARTS` of one pair, one after the other."""
    flow = dis.calc(then, now, None)
    shift = np.median(flow.reshape(-1, 2), axis=0)
    if np.hypot(*shift) > SHAKEN:  # the camera's own motion
        flow = flow - shift
        back = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        moved = cv2.warpAffine(then, back, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        change = cv2.absdiff(now, moved)
    else:
        change = cv2.absdiff(now, then)
    moves = change > CHANGED
    lengths = np.where(moves, np.hypot(flow[..., 0], flow[..., 1]), 0)
    speeds = [
        _strongest(lengths, SIDE // parts, STRONGEST // parts) / seconds for parts in (1, FINE)
    ]
    share = moves.reshape(DOWN, SIDE, ACROSS, SIDE).mean(axis=(1, 3)).ravel()
    return np.concatenate([speeds[0], share, speeds[1], [change.mean()]]).astype(np.float32)


def _strongest(lengths: FloatArray, side: int, count: int) -> FloatArray:
    """Mean of the `count` longest of each square of so many pixels a side, row by row."""
    squares = lengths.reshape(HEIGHT // side, side, WIDTH // side, side).transpose(0, 2, 1, 3)
    pixels = squares.reshape(-1, side * side)
    longest: FloatArray = np.partition(pixels, -count, axis=1)[:, -count:].mean(axis=1)
    return longest
