"""Images: the frames of a clip that is a folder of them, and masks of where anomalies are."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdor.errors import SdorError
from sdor.study.scenes import Clip, image_files
from sdor.video.picture import Frame, Size, fault_of

GREY_MODES = ("1", "L", "LA", "La")


def read_images(
    folder: str | Path, first: int = 1, last: int | None = None, size: Size | None = None
) -> Iterator[Frame]:
    """The images of a folder in natural order, `first` to `last` (from 1, inclusive).

    Each image keeps its own channels: a folder that mixes grey and coloured ones gives both.

    Yields
    ------
    uint8 [height, width, channels], channels = 1 (grey) or 3 (RGB); see `read_image`.

    Raises
    ------
    SdorError : an image is damaged, or not of that size (width, height; default: the first one's).
    """
    for file in islice(image_files(Path(folder)), first - 1, last):
        frame = read_image(file)
        height, width = frame.shape[:2]
        size = size or (width, height)
        if (width, height) != size:
            raise SdorError(
                f"{file}: expected {size[0]}x{size[1]} pixels like the clip, found {width}x{height}"
            )
        yield frame


def read_image(file: str | Path) -> Frame:
    """One image as uint8 [height, width, channels]: 1 when its format is grey, else 3 (RGB).

    16-bit grey keeps its upper 8 bits; a palette of greys is grey; transparency is dropped.

    Raises
    ------
    SdorError : it is damaged or of a kind that has no 8-bit meaning (floating point).
    """
    try:
        with Image.open(file) as image:
            image.load()
            if image.mode.startswith(("I", "F")):
                deep = np.asarray(image)
                if image.mode == "F" or deep.min() < 0 or deep.max() > np.iinfo(np.uint16).max:
                    raise SdorError(
                        f"{file}: floating-point pixels or grey values beyond 16 bit; "
                        "save it with 8 or 16 bit a pixel"
                    )
                return (deep >> 8).astype(np.uint8)[:, :, np.newaxis]
            if image.mode in GREY_MODES:
                return np.asarray(image.convert("L"))[:, :, np.newaxis]
            colours = np.asarray(image.convert("RGB"))
            grey = image.mode == "P" and (colours == colours[:, :, :1]).all()
            return colours[:, :, :1] if grey else colours
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SdorError(f"{file}: damaged image ({_one_line(str(error))})") from error


def read_pixel_mask(file: str | Path) -> npt.NDArray[np.bool_]:
    """A ground-truth mask as bool [height, width]: True where the picture is not black."""
    return np.asarray(read_image(file).max(axis=2) > 0, dtype=np.bool_)


def read_pixel_masks(
    clip: Clip, folder: Path, frames: int, size: Size
) -> Iterator[npt.NDArray[np.bool_]]:
    """The ground-truth masks of a clip's frames, as `read_pixel_mask`.

    Raises
    ------
    SdorError : there is not one for each of the frames, or one has not the size of the picture.
    """
    with fault_of(clip):
        found = len(image_files(folder))
        if found != frames:
            raise SdorError(f"{folder}: expected {frames} pixel masks (one a frame), found {found}")
        for picture in read_images(folder, size=size):
            yield np.asarray(picture.max(axis=2) > 0)


def _one_line(words: str) -> str:
    return " ".join(words.split())
