"""Pixel masks, wherever they come from: a folder of pictures, an array, or boxes.

One mask is in memory at a time, but for a `.mat` file, which is read as a whole.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from sdor.errors import SdorError
from sdor.study.scenes import ArrayFile, BoxTable, Clip, Masks
from sdor.video.images import Mask, expect_size, pixel_mask_files, read_pixel_mask
from sdor.video.label_files import array_of, bridge, expect_marks, in_words, name_of, text_of
from sdor.video.picture import Size, fault_of

WHITE = 255  # what masks have for 1 that were pictures
# A frame by its number, or by the name of its image.
FRAME = re.compile(r"0*([0-9]{1,15})|(?:.*[^0-9])?0*([0-9]{1,15})\.[A-Za-z]+")
PIXELS = re.compile(r"-?[0-9]{1,9}(\.[0-9]+)?")
Reader = Callable[[int], Mask]


def read_pixel_masks(
    clip: Clip, masks: Masks, frames: int, size: Size, remarks: list[str]
) -> Iterator[Mask]:
    """The ground-truth masks of a clip's frames, in their order: bool [height, width].

    Parameters
    ----------
    size : width and height of the clip's picture, which the masks have, too.
    remarks : gets a line where arrays or boxes do not end with the clip, see `bridge`.

    Raises
    ------
    SdorError : a mask cannot be read, lacks, is too many or of another size; at the end: all look
        inverted.
    """
    background = 0.0
    with fault_of(clip):
        read = _reader(clip, masks, frames, size, remarks)
        for place in range(frames):
            mask = read(place)
            yield mask
            background = max(background, 1 - float(mask.mean()))
        if background < 0.5:
            where = masks.path if isinstance(masks, ArrayFile | BoxTable) else masks
            raise SdorError(f"{where}: every mask is mostly anomalous; are they inverted?")


def pixel_mask(clip: Clip, masks: Masks, frame: int, frames: int, size: Size) -> Mask:
    """The mask of one frame (from 1) of a clip; as `read_pixel_masks`."""
    with fault_of(clip):
        return _reader(clip, masks, frames, size, [])(frame - 1)


def _reader(clip: Clip, masks: Masks, frames: int, size: Size, remarks: list[str]) -> Reader:
    """What gives the mask of the frame at a place, from 0."""
    match masks:
        case ArrayFile():
            return _of_array(masks, frames, size, remarks)
        case BoxTable():
            return _of_boxes(masks, frames, size, remarks)
    files = pixel_mask_files(clip, masks, frames)

    def read(place: int) -> Mask:
        mask = read_pixel_mask(files[place])
        expect_size(files[place], mask, size)
        return mask

    return read


def _of_array(file: ArrayFile, frames: int, size: Size, remarks: list[str]) -> Reader:
    """Of an array [frames, height, width], [height, width, frames] (MATLAB), or a cell a frame."""
    array, where, shape = array_of(file), name_of(file), size[::-1]
    if array.dtype == object and array.size == max(array.shape, default=0):
        array = array.ravel()
    elif array.ndim == 3 and array.shape[1:] != shape and array.shape[:2] == shape:
        array = np.moveaxis(array, 2, 0)
    elif array.ndim != 3 or array.dtype == object:
        raise SdorError(
            f"{where}: expected masks as an array of frames x height x width, or a cell array with "
            f"one a frame, found an array of {in_words(array.shape)}"
        )
    bridge(where, len(array), frames, remarks)

    def read(place: int) -> Mask:
        mask = np.asarray(array[min(place, len(array) - 1)])
        of_frame = f"{where}: frame {place + 1}"
        if mask.shape != shape:
            raise SdorError(
                f"{of_frame}: expected a mask of height x width {in_words(shape)} like the clip, "
                f"found {in_words(mask.shape)}"
            )
        expect_marks(mask, of_frame, WHITE)
        return np.asarray(mask != 0)

    return read


class _Box(NamedTuple):
    """Where a box is: its line of the file, its frame, and its edges in pixels."""

    line: int
    frame: int
    left: int
    top: int
    right: int
    bottom: int


def _of_boxes(table: BoxTable, frames: int, size: Size, remarks: list[str]) -> Reader:
    """Of boxes: each pixel that one touches is anomalous; frames without a box are normal.

    What reaches beyond the picture is cut there, as trackers draw boxes of what leaves it.
    """
    (width, height), beyond = size, list[int]()
    by_frame: dict[int, list[_Box]] = {}
    for box in _boxes(table):
        by_frame.setdefault(box.frame, []).append(box)
        inside = box.left < width and box.top < height and box.right > 0 and box.bottom > 0
        # One as large as the picture may touch a pixel more.
        if not inside or box.right - box.left > width + 1 or box.bottom - box.top > height + 1:
            raise SdorError(
                f"{table.path}: line {box.line}: a box of x {box.left} to {box.right}, y {box.top} "
                f"to {box.bottom} is outside of the picture of {width}x{height} pixels, or larger; "
                "do columns name what the file has?"
            )
        if min(box.left, box.top) < 0 or box.right > width or box.bottom > height:
            beyond.append(box.line)
    if not by_frame:
        raise SdorError(f"{table.path}: no box in it; of a clip without, say ground_truth: normal")
    if (last := max(by_frame)) > frames:
        where = f"{table.path}: line {by_frame[last][0].line}: a box of frame {last}"
        bridge(where, last, frames, remarks)
    if beyond:
        remarks.append(
            f"{table.path}: boxes that reach beyond the picture are cut there: {len(beyond)}, the "
            f"first in line {beyond[0]}"
        )

    def read(place: int) -> Mask:
        mask = np.zeros((height, width), dtype=bool)
        for box in by_frame.get(place + 1, []):
            mask[max(box.top, 0) : box.bottom, max(box.left, 0) : box.right] = True
        return mask

    return read


def _boxes(table: BoxTable) -> Iterator[_Box]:
    """The rows of a file: cells with spaces, tabs, commas or semicolons between them."""
    for line, text in enumerate(text_of(table.path).split("\n"), start=1):
        cells = re.findall(r"[^\s,;]+", text)
        if not cells:
            continue
        where = f"{table.path}: line {line}"
        if len(cells) != len(table.columns):
            raise SdorError(
                f"{where}: expected {len(table.columns)} cells ({', '.join(table.columns)}), found "
                f"{len(cells)}; name all columns of the file (columns)"
            )
        row = dict(zip(table.columns, cells, strict=True))
        frame = FRAME.fullmatch(row["frame"])
        number = int(frame[1] or frame[2]) if frame else 0
        if number < 1:
            raise SdorError(
                f"{where}: frame: {row['frame'][:60]!r} is neither a number nor an image with a "
                "number; frames count from 1"
            )
        left, right = _edges(row, "x", "width", where)
        top, bottom = _edges(row, "y", "height", where)
        yield _Box(line, number, left, top, right, bottom)


def _edges(row: Mapping[str, str], axis: str, length: str, where: str) -> tuple[int, int]:
    """The first pixel of a box, and the one behind its last, across or down the picture."""
    named = axis if axis in row else f"center_{axis}"
    for column, least in ((length, 0.0), (named, -math.inf)):
        if not PIXELS.fullmatch(row[column]) or float(row[column]) <= least:
            raise SdorError(
                f"{where}: {column}: {row[column][:60]!r} is not a number of pixels; a box has a "
                "width and height above 0"
            )
    side = float(row[length])
    begin = float(row[named]) - (0 if named == axis else side / 2)
    return math.floor(begin), math.ceil(begin + side)
