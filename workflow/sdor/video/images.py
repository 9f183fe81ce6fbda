"""Images: the frames of a clip that is a folder of them, and masks of where anomalies are."""

import logging
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from sdor.errors import SdorError
from sdor.study.scenes import Clip
from sdor.study.sources import image_files
from sdor.video.picture import Doubt, Frame, Picture, UnreadableError

logger = logging.getLogger("sdor")

# Pillow knows many more, some of which start other programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
# Pillow's modes of up to 8 bits, and what they are without alpha and palette.
PLAIN = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
GREATEST = (341, 281)  # SMaxSampleValue, MaxSampleValue
SAMPLE_FORMATS = {2: "signed ", 3: "floating-point "}
PNG = b"\x89PNG"
BLOCK = 512  # the least that a disk writes, in bytes
# No camera of 14 bits or fewer gives such a value.
PROVES_16_BIT = 1 << 14
# JPEG blurs the edge of a mask: up to the first is black, from the second white.
NEARLY_BLACK, NEARLY_WHITE = 64, 192

Samples = npt.NDArray[np.integer[Any]]  # [height, width] (grey) or [height, width, 3] (RGB)
Mask = npt.NDArray[np.bool_]  # [height, width]


def read_images(
    folder: Path,
    first: int = 1,
    last: int | None = None,
    *,
    bits: int | None = None,
    fps: float | None = None,
    doubts: list[Doubt],
) -> Iterator[Picture]:
    """The images of a folder, `first` to `last` (from 1, inclusive), one at a time.

    Frame 1 is the first file, whatever its number; see `numbered` for those that lack. The first
    image that can be read gives the size. Each keeps its own channels: a folder that mixes grey and
    coloured ones gives both.

    Parameters
    ----------
    bits : used ones of 16-bit grey, see `read_image`.
    fps : frames a second; without it times are NaN.
    doubts : gets what is doubtful: images that lack, cannot be read or have another size.

    Raises
    ------
    UnreadableError : none of them can be read; with the reason of the last.
    SdorError : two images have one number, or `bits` must be given: `read_clip` then takes the clip
        for unreadable as a whole.
    """
    pixels: Frame | None = None
    depth: int | None = None
    words, due = "", first
    files = numbered(image_files(folder), doubts)
    for number, file in enumerate(files[first - 1 : last], start=first):
        try:
            if isinstance(file, str):
                raise UnreadableError(file)
            frame, used = read_image(file, bits, depth)
            if pixels is not None:
                expect_size(file, frame, pixels.shape[1::-1])
        except UnreadableError as error:
            # A gap is told once.
            if str(error) != words:
                doubts.append(Doubt(number, words := str(error)))
            if pixels is None:
                continue
        else:
            if depth is None and used is not None:
                logger.info("%s: 16-bit images, of which %d bits are used", folder, used)
            pixels, depth = frame, used or depth
        for shown in range(due, number + 1):
            yield Picture(
                shown, (shown - 1) / fps if fps else math.nan, partial(np.asarray, pixels)
            )
        due = number + 1
    if pixels is None and words:
        raise UnreadableError(words)


def read_image(
    file: Path, bits: int | None = None, before: int | None = None
) -> tuple[Frame, int | None]:
    """One image, and how many bits of it are used where that is a question.

    TIFF, JPEG, PNG, BMP, GIF and WebP are read: grey of 1 to 16 bits, RGB and palettes of 8, turned
    as their EXIF or TIFF orientation says. Transparency is dropped where the whole picture is
    opaque. Of 16-bit grey the upper 8 of the bits in use are kept. How many these are is said by
    `bits`, else by the file (TIFF: BitsPerSample, or a maximum sample value of 2^n - 1; PNG: sBIT)
    and by the images before, else by a value from 2^14 on, which proves 16.

    Parameters
    ----------
    before : how many bits the clip's images before this one use.

    Returns
    -------
    frame : uint8 [height, width, channels]: 1 when its format is grey, else 3 (RGB).
    used : bits; None of 8 bits or fewer, and where all is black.

    Raises
    ------
    UnreadableError : it is damaged, or of another kind.
    SdorError : nothing says how many bits are used, or a value is beyond them.
    """
    loaded = _load(file, mask=False)
    if loaded.alpha is not None:
        raise UnreadableError(f"{file}: transparent in parts; save it without an alpha channel")
    samples = np.atleast_3d(loaded.samples)
    greatest = int(samples.max())
    # Black tells nothing of the depth, and needs none.
    if samples.dtype == np.uint8 or (greatest == 0 and bits is None):
        return samples.astype(np.uint8, copy=False), None
    depths = {one for one in ((bits,) if bits else (loaded.used, before)) if one}
    if not depths and greatest >= PROVES_16_BIT:
        depths = {16}
    depth = max(depths, default=0)
    if len(depths) != 1 or greatest >> depth:
        told = " or ".join(map(str, depths)) or "unknown"
        raise SdorError(
            f"{file}: 16-bit pixels with values up to {greatest}, bits in use: {told}; "
            "add bits: 12 (or 10, 14, 16) to this clip in the scene file"
        )
    return (samples >> (depth - 8)).astype(np.uint8), depth


def read_pixel_mask(file: Path) -> Mask:
    """A ground-truth mask as bool [height, width]: True for any label but the background, 0.

    Integers of up to 32 bits, palettes, colours (black is the background). What leaves in doubt
    which pixels are meant is refused.

    Raises
    ------
    UnreadableError : it is damaged or no mask; black, number 0 of the palette and transparent are
        not the same pixels; lossy compression (JPEG, WebP) left more than black and white.
    """
    loaded = _load(file, mask=True)
    highest = np.atleast_3d(loaded.samples).max(axis=2)
    drawn: Mask = np.asarray(highest != 0)
    for other in (loaded.numbers, loaded.alpha):
        if other is not None and ((other != 0) != drawn).any():
            raise UnreadableError(
                f"{file}: black is not the same as number 0 of its palette, or as transparent; "
                "save the mask in grey, 0 where nothing is anomalous"
            )
    if not loaded.lossy:
        return drawn
    between = (highest > NEARLY_BLACK) & (highest < NEARLY_WHITE)
    if between.any() or 0 < highest.max() < NEARLY_WHITE:
        raise UnreadableError(f"{file}: a lossy mask not just black and white; save it as PNG")
    return np.asarray(highest >= NEARLY_WHITE)


def pixel_mask_files(clip: Clip, folder: Path, frames: int) -> list[Path]:
    """The file of each frame's mask; the one before where masks and images lack the same number.

    Raises
    ------
    SdorError : a mask lacks or is too many, or the numbers of masks and images do not fit.
    """
    doubts: list[Doubt] = []
    masks = numbered(image_files(folder), doubts)
    if len(masks) != frames:
        raise SdorError(f"{folder}: expected {frames} pixel masks, found {len(masks)}")
    images: Sequence[Path | str] = [clip.path] * frames
    theirs: Sequence[int] = range(clip.first, clip.first + frames)
    if clip.kind == "images":
        images = numbered(image_files(clip.path), [])[clip.first - 1 : clip.last]
        theirs = _numbers(images)
    if len(images) != frames:
        raise SdorError(f"{clip.path}: expected {frames} images, found {len(images)}")
    own = _numbers(masks)
    if own != list(theirs) and (doubts or (own and own[0] not in (0, 1, *theirs[:1]))):
        raise SdorError(f"{masks[0]} …: numbered neither like the frames nor from 0 or 1 on")
    files: list[Path] = []
    for mask, image in zip(masks, images, strict=True):
        if isinstance(mask, str) and isinstance(image, Path):
            raise SdorError(f"{folder}: no mask for a frame that is there: {mask}")
        files.append(files[-1] if isinstance(mask, str) else mask)
    return files


def numbered(files: Sequence[Path], doubts: list[Doubt]) -> list[Path | str]:
    """The file of each frame; words where the numbers in the files' names leave one out.

    The step between numbers may be any: 0, 5, 15 leaves 10 out. Where none ascends from each file
    to the next (masks or another camera's images lie beside those of the clip), or more lack than
    there are files (times of the day), files are taken in order. That is a doubt; so is 2, 3, 4.

    Parameters
    ----------
    files : in natural order.
    """
    numbers = _numbers(files)
    places = _places(numbers)
    jumps = bool(places) and places[-1] - places[0] >= 2 * len(files)
    fault = ""
    if jumps:
        fault = "the numbers of its images jump, so that nothing tells whether some lack"
    elif places and 2 <= places[0] <= len(files):
        fault = f"begins with number {numbers[0]}, as if the first lacked"
    elif not places and len(files) > 1 and any(re.search("[0-9]", file.stem) for file in files):
        fault = "no number in the names of its images counts them; move away what are no frames"
    if fault:
        doubts.append(Doubt(None, f"{files[0].parent}: {fault} ({files[0].name} …)"))
    if jumps or not places:
        return list(files)
    found: list[Path | str] = [files[0]]
    for (place, before), (later, file) in pairwise(zip(places, files, strict=True)):
        found += [f"nothing between {before.name} and {file.name}"] * (later - place - 1)
        found.append(file)
    return found


def _numbers(files: Sequence[Path | str]) -> list[int]:
    """The numbers in the files' names that ascend, the last of those with fewest gaps, or none."""
    names = (re.findall("[0-9]+", file.stem) for file in files if isinstance(file, Path))
    columns = ([int(number) for number in column] for column in zip(*names, strict=False))
    ascending = [one for one in columns if len(one) > 1 and one == sorted(set(one))]
    return min(reversed(ascending), key=lambda one: np.ptp(_places(one)), default=[])


def _places(numbers: Sequence[int]) -> list[int]:
    """Numbers in steps of what divides all their distances."""
    step = math.gcd(*(after - before for before, after in pairwise(numbers)))
    return [number // step for number in numbers]


def expect_size(file: Path, picture: Frame | Mask, size: Sequence[int]) -> None:
    """Refuse a picture of another width and height (an UnreadableError)."""
    height, width = picture.shape[:2]
    if (width, height) != tuple(size):
        raise UnreadableError(
            f"{file}: expected {size[0]}x{size[1]} pixels like the clip, found {width}x{height}"
        )


class _Loaded(NamedTuple):
    """A picture in memory, and what its file says of it."""

    samples: Samples  # as they are stored; palettes as colours
    alpha: Frame | None  # [height, width], how opaque each pixel is, unless all are
    numbers: Frame | None  # [height, width], of the colours in the palette
    used: int | None  # how many of more than 8 bits
    lossy: bool


def _load(file: Path, *, mask: bool) -> _Loaded:
    """The one picture of a file, upright; of masks also signed values and those of 32 bits."""
    try:
        with warnings.catch_warnings(action="ignore"), file.open("rb") as stream:
            data = stream.read()
            if data.startswith(PNG):
                # Decoding looks at no checksum.
                Image.open(stream, formats=FORMATS).verify()
            image = Image.open(stream, formats=FORMATS)
            pages = getattr(image, "n_frames", 1)
            if pages > 1:
                raise UnreadableError(f"{file}: {pages} pages; save each as a file of its own")
            image.load()
            tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
            ImageOps.exif_transpose(image, in_place=True)
        # A disk gives zeros for blocks that were never written, which libjpeg takes for a picture.
        jpeg = image.format == "JPEG"
        if jpeg and data.endswith(bytes(BLOCK)) and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise ValueError("a part of its data is missing")
        bits = data[24] if data.startswith(PNG) else max(tags.get(BITS_PER_SAMPLE, (8,)))
        kind = max(tags.get(SAMPLE_FORMAT, (1,)))
        inverted = tags.get(PHOTOMETRIC) == 0
        # Of more than 8 bits, Pillow keeps grey alone whole. It takes signed 8 bits for unsigned
        # ones, and mixes up the bytes of some signed 16.
        known = image.mode.startswith("I") if bits > 8 else image.mode in PLAIN
        if inverted or not known or not (mask or (bits <= 16 and kind != 2)):
            raise UnreadableError(
                f"{file}: {bits}-bit {SAMPLE_FORMATS.get(kind, '')}{image.mode} pixels"
                f"{', 0 is white' * inverted}; save it as PNG, in grey of 8 or 16 bits or RGB of 8"
            )
        samples = np.asarray(image if bits > 8 else image.convert(PLAIN[image.mode]))
        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        return _Loaded(
            samples,
            alpha=np.asarray(alpha) if alpha and alpha.getextrema() != (255, 255) else None,
            numbers=np.asarray(image) if image.mode == "P" else None,
            used=_used_bits(data, samples, bits, tags) if bits > 8 else None,
            lossy=jpeg or image.format == "WEBP" or "jpeg" in str(image.info.get("compression")),
        )
    except SdorError:
        raise
    except Exception as error:  # Pillow lets through what its decoders stumble over: any kind.
        words = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(f"{file}: damaged image, or of an unknown kind ({words})") from error


def _used_bits(data: bytes, samples: Samples, bits: int, tags: Mapping[int, Any]) -> int | None:
    """How many of more than 8 bits are used, by a PNG's chunk sBIT or a TIFF's tags."""
    if data.startswith(PNG):
        chunk = re.search(rb"\0\0\0\x01sBIT([\x08-\x10])", data[: data.find(b"IDAT")])
        if chunk is None:
            return None
        used = chunk[1][0]
        # PNG wants values filled up to 16 bits, with zeros or their own first bits (0 in the dark).
        # Not all programs that write them do.
        filled = samples.max() >> used or not (samples & (1 << 16 - used) - 1).any()
        return 16 if filled else used
    # Values that are no limit of a depth may be the picture's own, and that of 16 is a default.
    limits = [int(np.max(tags.get(tag, 0))) + 1 for tag in GREATEST]
    return next((used for used in range(8, 16) if used == bits or 1 << used in limits), None)
