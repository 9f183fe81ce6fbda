"""One look at video, as it streams by: all that scores follow from, and no picture is kept.

Of ten frames a second it keeps how the cells move, and of every so many what the places look like.
A day of video becomes a few gigabytes, whatever the size of its pictures.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from sdor.method.flow import ACROSS, DOWN, FINE, HEIGHT, LAG, PARTS, RATE, SIDE, WIDTH, CellMotion
from sdor.method.grid import PLACES, MapArray
from sdor.study.scenes import Rectangle
from sdor.video.frames import View, resized
from sdor.video.picture import Picture, hide
from sdor.video.sampling import ROUNDING, period_of
from sdor.video.timeline import seconds_of

CELLS = View(WIDTH, HEIGHT, grey=True)
CHUNK = 64  # rows that are computed at a time
Grey = NDArray[np.uint8]
See = Callable[[NDArray[np.uint8]], MapArray]


@dataclass(frozen=True)
class Eye:
    """What looks at a camera.

    Attributes
    ----------
    see : the network: pictures (n, size, size, 3) to maps of their places, (n, 49, components).
    size : side of the pictures.
    fps : how many a second it sees, of the ten that are kept; None, or more than these: all ten.
    masks : hidden from all that is computed.
    key : tells its looks from those of another: code, weights, settings, basis.
    """

    see: See
    size: int
    fps: float | None
    masks: tuple[Rectangle, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Looks:
    """What was seen of some frames of a stretch of video, in the order of time.

    Attributes
    ----------
    frame : (n,) numbers in the source. time : (n,) seconds in the source.
    speed, moving, fine, change : of the frames' motion; see `Flow`. `fine` is float16.
    thumb : (n, 12, 18) mean grey of the cells. colour : (n,) mean saturation, 0 to 255.
    looked : (m,) places among the n of the frames that the network looked at.
    maps : (m, 49, components) what their places look like.
    """

    frame: NDArray[np.int64]
    time: NDArray[np.float64]
    speed: NDArray[np.float32]
    moving: NDArray[np.float32]
    fine: NDArray[np.float16]
    change: NDArray[np.float32]
    thumb: NDArray[np.uint8]
    colour: NDArray[np.float32]
    looked: NDArray[np.int64]
    maps: MapArray

    def __len__(self) -> int:
        return len(self.frame)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of them by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Parts that follow each other, as one."""
        starts = np.cumsum([0, *(len(one) for one in parts)])
        moved = [one.looked + start for one, start in zip(parts, starts, strict=False)]
        joined: Any = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(cls)
        }
        return cls(**{**joined, "looked": np.concatenate(moved)})

    def between(self, begin: int, end: int) -> Self:
        """Rows from one place up to another."""
        among = slice(*np.searchsorted(self.looked, [begin, end]))
        cut: Any = {name: one[begin:end] for name, one in self.arrays().items()}
        own = {"looked": self.looked[among] - begin, "maps": self.maps[among]}
        return type(self)(**{**cut, **own})


def look(pictures: Iterable[Picture], eye: Eye, threads: int = 1) -> Iterator[Looks]:
    """Look at pictures as they come, `CHUNK` sampled frames at a time.

    The next frames are decoded, and motion is measured in threads, while the network works.

    Raises
    ------
    UnreadableError : as the pictures are read.
    """
    cv2.setNumThreads(1)  # pairs are shared out among threads, not pixels
    motion, rows = CellMotion(), sampled(pictures, eye)
    maps = np.zeros((0, PLACES, 0), np.float16)  # the first frame is looked at: it tells how wide
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as pool:

        def read() -> Future[list[Row]]:
            return reader.submit(lambda: [*islice(rows, CHUNK)])

        coming = read()
        while chunk := coming.result():
            coming = read()
            flows = pool.map(motion, *zip(*(row.pair for row in chunk), strict=True))
            looked = np.flatnonzero([row.picture is not None for row in chunk])
            pictured = [row.picture for row in chunk if row.picture is not None]
            maps = eye.see(np.stack(pictured)) if pictured else maps[:0]
            yield _looks(chunk, np.stack([*flows]), looked, maps)


class Row(NamedTuple):
    """A sampled frame.

    Attributes
    ----------
    pair : grey picture a tenth of a second before, the grey picture, and seconds between them.
    picture : (size, size, 3) what the network sees; None where it does not look.
    """

    frame: int
    time: float
    pair: tuple[Grey, Grey, float]
    thumb: NDArray[np.uint8]
    colour: float
    picture: NDArray[np.uint8] | None


def sampled(pictures: Iterable[Picture], eye: Eye) -> Iterator[Row]:
    """The first frame of each tenth of a second since the beginning, as `Timeline.sampled` has it.

    Only of these, of those that they are compared with, and of every `fps` that the network sees,
    are pictures converted.
    """
    recent: deque[_Shown] = deque()
    period = look_period = -1.0
    begin = 0.0
    for picture in pictures:
        time = seconds_of(picture.number, picture.time)
        begin = begin if recent else time
        recent.append(_Shown(picture, time, eye))
        while len(recent) > 1 and recent[1].time <= time - LAG + ROUNDING:
            recent.popleft()
        if (now := period_of(time - begin, RATE)) == period:
            continue
        period, shown, before = now, recent[-1], recent[0]
        rate = eye.fps or RATE
        is_looked = (now := period_of(time - begin, rate)) != look_period
        look_period = now
        pair = (before.grey, shown.grey, time - before.time)
        thumb = shown.grey.reshape(DOWN, SIDE, ACROSS, SIDE).mean(axis=(1, 3)).astype(np.uint8)
        picture_seen = shown.seen if is_looked else None
        yield Row(picture.number, time, pair, thumb, shown.saturation, picture_seen)


class _Shown:
    """A picture, converted to what is needed of it, once."""

    def __init__(self, picture: Picture, time: float, eye: Eye) -> None:
        self._picture, self._eye, self.time = picture, eye, time

    @cached_property
    def _hidden(self) -> NDArray[np.uint8]:
        return hide(self._picture.pixels, self._eye.masks)

    @cached_property
    def grey(self) -> Grey:
        """(240, 360)."""
        return resized(self._hidden, CELLS)[..., 0]

    @cached_property
    def seen(self) -> NDArray[np.uint8]:
        """(size, size, 3)."""
        small = resized(self._hidden, View(self._eye.size, self._eye.size))
        return np.broadcast_to(small, (*small.shape[:2], 3))

    @property
    def saturation(self) -> float:
        """Mean of the largest less the smallest of each pixel's colours, of every eighth pixel."""
        some = self._hidden[::8, ::8]
        return float((some.max(axis=2).astype(np.int16) - some.min(axis=2)).mean())


def _looks(
    chunk: Sequence[Row],
    flows: NDArray[np.float32],
    looked: NDArray[np.int64],
    maps: MapArray,
) -> Looks:
    speed, moving, fine, change = np.split(flows, np.cumsum([*PARTS.values()])[:-1], axis=1)
    return Looks(
        frame=np.array([row.frame for row in chunk]),
        time=np.array([row.time for row in chunk]),
        speed=speed.reshape(-1, DOWN, ACROSS),
        moving=moving.reshape(-1, DOWN, ACROSS),
        fine=fine.reshape(-1, FINE * DOWN, FINE * ACROSS).astype(np.float16),
        change=change[:, 0],
        thumb=np.stack([row.thumb for row in chunk]),
        colour=np.array([row.colour for row in chunk], dtype=np.float32),
        looked=looked,
        maps=maps,
    )
