"""Frames coded one by one as JPEG: an Arrow file a clip, a tenth as large as the raw frames.

A frame is found by its number without reading another one. WebP and AVIF are as small and decode at
half the speed or less, PNG takes five times as much. OpenCV is loaded by the first frame alone.
"""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sdor.errors import SdorError
from sdor.files import METADATA_KEY, atomic, damaged, schema_metadata

Frame = npt.NDArray[np.uint8]  # (height, width, channels), 1 channel (grey) or 3 (RGB)
CODED = ".arrow"  # how their files end
BATCH = 256  # frames, coded, that are held before they are written


class CodedFrames:
    """The frames of a file, decoded when they are asked for by their numbers.

    Attributes
    ----------
    shape : (frames, height, width, channels); 1 channel when none of them has colour, else 3.

    Raises
    ------
    SdorError : the file is damaged or missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate(full=True)
            about = json.loads(table.schema.metadata[METADATA_KEY])
            self._jpeg = table["jpeg"]
            channels = 3 if pc.any(table["colour"]).as_py() else 1
            self.shape = (len(table), int(about["height"]), int(about["width"]), channels)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise SdorError(damaged(path, error)) from error

    def __getitem__(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames by their numbers: uint8 (numbers, height, width, channels)."""
        frames = np.empty((len(numbers), *self.shape[1:]), dtype=np.uint8)
        for frame, number in zip(frames, numbers.tolist(), strict=True):
            frame[:] = self._decoded(number)
        return frames

    def _decoded(self, number: int) -> npt.NDArray[Any]:
        """One frame (SdorError: it is none, or has another size)."""
        import cv2

        _, height, width, channels = self.shape
        coded = np.frombuffer(self._jpeg[number].as_buffer(), dtype=np.uint8)
        kind = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
        try:
            pixels = cv2.imdecode(coded, kind)
        except cv2.error:  # nothing to decode
            pixels = None
        if pixels is None or pixels.shape[:2] != (height, width):
            error = ValueError(f"frame {number + 1} is no picture of {width}x{height}")
            raise SdorError(damaged(self._path, error))
        if channels == 3:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        return pixels[:, :, np.newaxis]


def write_coded(pictures: Iterable[Frame], size: tuple[int, int], path: Path, quality: int) -> int:
    """Write pictures of one size, grey or in colour; returns how many there were.

    They go to the file in batches: a clip of any length takes the same memory.

    Parameters
    ----------
    size : height and width in pixels. quality : of JPEG, up to 100.
    """
    about = {"height": size[0], "width": size[1], "quality": quality}
    columns = [("jpeg", pa.binary()), ("colour", pa.bool_())]
    schema, count, rest = pa.schema(columns, schema_metadata(about)), 0, iter(pictures)
    with (
        atomic(path) as temporary,
        temporary.open("wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        while some := [_coded(picture, quality) for picture in islice(rest, BATCH)]:
            writer.write_batch(pa.RecordBatch.from_pylist(some, schema))
            count += len(some)
    return count


def _coded(picture: Frame, quality: int) -> dict[str, bytes | bool]:
    """A picture as a JPEG with a Huffman table of its own, and whether it has colour."""
    import cv2

    colour = picture.shape[2] == 3
    pixels = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if colour else picture
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return {"jpeg": cv2.imencode(".jpg", pixels, settings)[1].tobytes(), "colour": colour}
