"""A picture of a clip, as every reader gives it, and what was doubtful on the way to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sdor.errors import SdorError
from sdor.study.scenes import Clip, Rectangle

Frame = npt.NDArray[np.uint8]  # [height, width, channels], channels = 1 (grey) or 3 (RGB)
Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True)
class Picture:
    """One frame of a source.

    Attributes
    ----------
    number : of the frame in its source, from 1.
    time : seconds from the source's beginning; NaN where nothing tells.
    convert : gives `pixels`; a frame that nobody looks at costs its decoding only.
    """

    number: int
    time: float
    convert: Callable[[], Frame]

    @cached_property
    def pixels(self) -> Frame:
        """uint8 [height, width, channels].

        Where the frame itself cannot be read, those of the one before stand for it (of the first
        that can be read, where there is none before).

        Raises
        ------
        UnreadableError : it cannot be converted.
        """
        return self.convert()


class Doubt(NamedTuple):
    """Something in a source that a benchmark must not pass over, and a camera's archive may.

    Attributes
    ----------
    frame : number in the source, from 1; None where it is about the whole of it.
    words : what is wrong, in words for the user.
    kind : "end": it has less than it declares; "count": it has not the frames that the scene file
        says; "time": its timestamps are no times; "damage": all else.
    """

    frame: int | None
    words: str
    kind: Literal["damage", "end", "count", "time"] = "damage"

    def __str__(self) -> str:
        return self.words if self.frame is None else f"near frame {self.frame}: {self.words}"


class UnreadableError(SdorError):
    """Nothing of a clip can be read: an archive goes on without it."""


def hide(frame: Frame, masks: Sequence[Rectangle]) -> Frame:
    """The frame with black rectangles over the masks.

    Raises
    ------
    UnreadableError : a mask reaches beyond the picture; the message starts with the mask.
    """
    height, width = frame.shape[:2]
    frame = frame.copy() if masks else frame
    for mask in masks:
        right, bottom = mask.x + mask.width, mask.y + mask.height
        if right > width or bottom > height:
            raise UnreadableError(
                f"mask x {mask.x} to {right}, y {mask.y} to {bottom} "
                f"reaches beyond the picture of {width}x{height} pixels"
            )
        frame[mask.y : bottom, mask.x : right] = 0
    return frame


def scaled(mask: Rectangle, given: Size, shown: Size) -> Rectangle:
    """A mask of pictures of the size `given`, over one of the size `shown`: all that it covers."""
    (across, down), (width, height) = given, shown
    left, right = mask.x * width // across, -(-(mask.x + mask.width) * width // across)
    top, bottom = mask.y * height // down, -(-(mask.y + mask.height) * height // down)
    return Rectangle(left, top, right - left, bottom - top)


@contextmanager
def fault_of(clip: Clip) -> Iterator[None]:
    """Put the clip's name in front of what an SdorError says, once."""
    try:
        yield
    except SdorError as error:
        start = f"clip {clip.name}: "
        raise type(error)(start + str(error).removeprefix(start)) from error
