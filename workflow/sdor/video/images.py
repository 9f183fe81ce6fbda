"""Images: the frames of a clip that is a folder of them, and masks of where anomalies are."""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from sdor.errors import SdorError
from sdor.study.scenes import Clip
from sdor.study.sources import image_files, natural_key
from sdor.video.picture import Doubt, Frame, Picture, Size, UnreadableError, fault_of

logger = logging.getLogger("sdor")

# Pillow knows many more, some of which start other programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
GREY_MODES = ("1", "L", "LA")
DEEP_GREY_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
PALETTE_MODES = ("P", "PA")
COLOUR_MODES = (*PALETTE_MODES, "RGB", "RGBA", "YCbCr")
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
# Pairs of the least and the greatest value, of any kind of sample and of unsigned ones.
VALUE_TAGS = ((340, 341), (280, 281))
# An image's chunks that say how it is to be read come before its pixels.
HEADER = 64 * 1024
BLOCK = 512  # the least that a disk writes, in bytes
# No camera of 14 bits or fewer gives such a value.
PROVES_16_BIT = 1 << 14
# JPEG blurs the edge of a mask: up to the first is black, from the second white.
NEARLY_BLACK, NEARLY_WHITE = 64, 192
# A mask has few labels, each of them in patches: a photograph has neither.
LABELS, PATCHES = 16, 0.7

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
    UnreadableError : none of them can be read; with the reason of the first.
    SdorError : the folder has no images, or `bits` must be given.
    """
    files = numbered(image_files(folder), doubts)
    pixels: Frame | None = None
    depth: int | None = None
    reason, waiting = "", 0
    for number, file in enumerate(files[first - 1 : last], start=first):
        try:
            if file is None:
                raise UnreadableError(_gap(files, number))
            frame, found = _read(file, bits, depth)
            if pixels is not None and frame.shape[:2] != pixels.shape[:2]:
                raise UnreadableError(
                    f"{file}: expected {pixels.shape[1]}x{pixels.shape[0]} pixels like the clip, "
                    f"found {frame.shape[1]}x{frame.shape[0]}"
                )
        except UnreadableError as error:
            reason = reason or str(error)
            # One line says of a gap how far it goes.
            if file is not None or number == first or files[number - 2] is not None:
                doubts.append(Doubt(number, str(error)))
            if pixels is None:
                waiting += 1
                continue
        else:
            if depth is None and found is not None:
                logger.info("%s: 16-bit images, of which %d bits are used", folder, found)
            pixels, depth = frame, found or depth
        for shown in range(number - waiting, number + 1):
            yield Picture(shown, (shown - 1) / fps if fps else math.nan, pixels)
        waiting = 0
    if pixels is None and reason:
        raise UnreadableError(reason)


def read_image(file: Path, bits: int | None = None) -> Frame:
    """One image as uint8 [height, width, channels]: 1 when its format is grey, else 3 (RGB).

    TIFF, JPEG, PNG, BMP, GIF and WebP are read: grey of 1 to 8 bits, RGB, YCbCr and palettes of 8
    bits (one of greys is grey), turned as their EXIF or TIFF orientation says. Transparency is
    dropped where the whole picture is opaque. Of the two pictures of an MPO, a photograph of some
    cameras, the first is read.

    Of 16-bit grey and colours the upper 8 of the bits in use are kept. How many these are is said
    by `bits`, else by the file (TIFF: BitsPerSample, or a maximum sample value of 2^n - 1; PNG:
    sBIT), else by a value from 2^14 on, which proves 16.

    Raises
    ------
    UnreadableError : it is damaged, or of another kind: floating point, 32 bits, signed values,
        CMYK, LAB, transparent in parts, more pages than one.
    SdorError : nothing says how many bits are used, or a value is beyond them.
    """
    return _read(Path(file), bits, None)[0]


def read_pixel_mask(file: Path) -> Mask:
    """A ground-truth mask as bool [height, width]: True for any label but the background, 0.

    Integers of up to 32 bits, palettes, colours (black is the background). What leaves in doubt
    which pixels are meant is refused.

    Raises
    ------
    UnreadableError : it is damaged or no mask; black, number 0 of the palette and transparent are
        not the same pixels; lossy compression (JPEG, WebP) left more than black and white; it is a
        photograph.
    """
    file = Path(file)
    with _damage_of(file):
        loaded = _load(file)
        image, samples = loaded.image, _samples(file, loaded)
        alpha = _alpha(loaded)
        numbers = np.asarray(image.getchannel(0)) if image.mode in PALETTE_MODES else None
    if loaded.white_is_0:
        raise UnreadableError(
            f"{file}: white is 0 in this TIFF (PhotometricInterpretation), so that nothing tells "
            "whether 0 or black is the background; save masks as PNG"
        )
    samples = np.atleast_3d(samples)
    highest = samples.max(axis=2)
    drawn: Mask = np.asarray(samples.any(axis=2))
    if numbers is not None and ((numbers != 0) != drawn).any():
        raise UnreadableError(
            f"{file}: number 0 of its palette and black are not the same pixels; "
            "save the mask in grey, 0 where nothing is anomalous"
        )
    if alpha is not None and ((alpha > 0) != drawn).any():
        raise UnreadableError(
            f"{file}: its transparent pixels and its black ones are not the same; "
            "save the mask in grey without transparency, 0 where nothing is anomalous"
        )
    if loaded.lossy:
        between = (highest > NEARLY_BLACK) & (highest < NEARLY_WHITE)
        if between.any() or 0 < highest.max() < NEARLY_WHITE:
            raise UnreadableError(
                f"{file}: other values than black and white in a mask that is a JPEG or WebP, "
                "which may have changed its labels; save masks as PNG"
            )
        return np.asarray(highest >= NEARLY_WHITE)
    flat = samples.reshape(drawn.size, -1)
    same = np.count_nonzero((flat[1:] == flat[:-1]).all(axis=1))
    if same < PATCHES * (drawn.size - 1) and len(np.unique(flat, axis=0)) > LABELS:
        raise UnreadableError(f"{file}: it looks like a photograph, not like a mask of labels")
    return drawn


def read_pixel_masks(clip: Clip, folder: Path, frames: int, size: Size) -> Iterator[Mask]:
    """The ground-truth masks of a clip's frames, as `read_pixel_mask`, in their order.

    Raises
    ------
    SdorError : as `pixel_mask_files` does; one has not the size (width, height) of the picture; at
        the end, where they look inverted.
    """
    whole, background = None, 0.0
    with fault_of(clip):
        for file in pixel_mask_files(clip, folder, frames):
            mask = read_pixel_mask(file)
            if mask.shape[::-1] != size:
                raise SdorError(
                    f"{file}: expected {size[0]}x{size[1]} pixels like the clip, "
                    f"found {mask.shape[1]}x{mask.shape[0]}"
                )
            yield mask
            share = 1 - float(mask.mean())
            whole, background = file if share == 0 else whole, max(background, share)
        if whole is not None and background < 0.5:
            raise SdorError(
                f"{whole}: everything is anomalous in this mask, and most of the picture in those "
                "of the other frames; are they inverted? (0 is the background)"
            )


def pixel_mask_files(clip: Clip, folder: Path, frames: int) -> list[Path]:
    """The file of each frame's mask; the one before where masks and images lack the same number.

    Raises
    ------
    SdorError : a mask lacks or is too many, or the numbers of masks and images do not fit.
    """
    doubts: list[Doubt] = []
    masks = numbered(image_files(folder), doubts)
    if len(masks) != frames:
        raise SdorError(
            f"{folder}: expected {frames} pixel masks (one a frame), found {len(masks)}"
        )
    images: list[Path | None] = []
    if clip.kind == "images":
        images = numbered(image_files(clip.path), [])[clip.first - 1 : clip.last]
        own, theirs = (_numbers([file for file in files if file]) for files in (masks, images))
        if own != theirs and (doubts or (own and theirs and own[0] not in (0, 1, theirs[0]))):
            raise SdorError(
                f"{folder}: the masks ({masks[0]} …) are not numbered like the images "
                f"({images[0]} …), nor from 1 on"
            )
    files: list[Path] = []
    for frame, mask in enumerate(masks, start=1):
        if mask is None and (frame > len(images) or images[frame - 1] is not None):
            raise SdorError(f"{folder}: no mask for a frame that is there: {_gap(masks, frame)}")
        files.append(mask or files[-1])
    return files


def numbered(files: Sequence[Path], doubts: list[Doubt]) -> list[Path | None]:
    """The file of each frame, None where the numbers in the files' names leave one out.

    Files are numbered where a number that differs in their names is another in each. The step
    between them may be any: 0, 5, 15 leaves 10 out. Where more numbers lack than there are files,
    as with times of the day, files are taken in order, and that is a doubt; so are names of
    several kinds, as where masks or other cameras' images lie beside those of the clip.

    Parameters
    ----------
    files : in natural order.
    """
    numbers = _numbers(files)
    if not numbers:
        kinds = {tuple(natural_key(file.stem)[0][::2]): file for file in files}
        if 1 < len(kinds) <= len(files) / 2:
            one, other, *_ = kinds.values()
            doubts.append(
                Doubt(
                    None,
                    f"{one.parent}: its images are named in {len(kinds)} ways ({one.name}, "
                    f"{other.name}); move away what are no frames of the clip",
                )
            )
        return list(files)
    places = _places(numbers)
    if places[-1] >= 2 * len(files):
        doubts.append(
            Doubt(
                None,
                f"{files[0].parent}: the numbers in the names of its {len(files)} images jump "
                f"between {numbers[0]} and {numbers[-1]}, so that nothing tells whether some lack",
            )
        )
        return list(files)
    found: list[Path | None] = [None] * (places[-1] + 1)
    for place, file in zip(places, files, strict=True):
        found[place] = file
    return found


def _numbers(files: Sequence[Path]) -> list[int]:
    """The numbers of the files: of those in their names that ascend, the first without many gaps.

    Where all have many gaps, the first; where none ascends from each file to the next, none.
    """
    found: list[list[int]] = []
    names = (natural_key(file.stem)[0] for file in files)
    for parts in zip(*names, strict=False):
        numbers = [part for part in parts if isinstance(part, int)]
        if not numbers and parts.count(parts[0]) < len(parts):
            break
        if len(numbers) > 1 and all(before < after for before, after in pairwise(numbers)):
            found.append(numbers)
    few_gaps = (numbers for numbers in found if _places(numbers)[-1] < 2 * len(files))
    return next(few_gaps, found[0] if found else [])


def _places(numbers: Sequence[int]) -> list[int]:
    """Where numbers stand from 0 on, in steps of what divides all their distances."""
    step = math.gcd(*(after - before for before, after in pairwise(numbers)))
    return [(number - numbers[0]) // step for number in numbers]


def _gap(files: Sequence[Path | None], number: int) -> str:
    """Which frames lack around this one (from 1), in words."""
    first = last = number
    while (before := files[first - 2]) is None:
        first -= 1
    while (after := files[last]) is None:
        last += 1
    lack = f"frame {first} lacks" if first == last else f"frames {first} to {last} lack"
    return f"{lack} (between {before.name} and {after.name})"


class _Loaded(NamedTuple):
    """A picture in memory, and what its file says of it.

    Attributes
    ----------
    bits : of a sample, as it is stored.
    used : how many of them the file says are used.
    white_is_0 : Pillow has turned values of up to 8 bits, and no others.
    """

    image: Image.Image
    bits: int
    used: int | None = None
    signed: bool = False
    white_is_0: bool = False
    lossy: bool = False


@contextmanager
def _damage_of(file: Path) -> Iterator[None]:
    """Whatever a decoder meets in a file is one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SdorError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError(
            f"{file}: damaged image, or of a kind that is not read; if other programs show it, "
            "save it as PNG"
        ) from error
    except Exception as error:  # Pillow lets through what its decoders stumble over: any kind.
        words = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(f"{file}: damaged image ({words})") from error


def _load(file: Path) -> _Loaded:
    """The one picture of a file, upright."""
    with file.open("rb") as stream:
        header = stream.read(HEADER)
        png = header.startswith(b"\x89PNG")
        if png:
            # Decoding looks at no checksum.
            with Image.open(stream, formats=FORMATS) as image:
                image.verify()
        with Image.open(stream, formats=FORMATS) as image:
            # The second picture of an MPO is the photograph once more.
            pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            if pages > 1:
                raise UnreadableError(
                    f"{file}: it has {pages} pages; an image is one frame: "
                    "save each page as a file of its own"
                )
            image.load()
            if image.format in ("JPEG", "MPO") and _breaks_off(stream):
                raise UnreadableError(f"{file}: damaged image (a part of its data is missing)")
            tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
            ImageOps.exif_transpose(image, in_place=True)
    lossy = image.format in ("JPEG", "MPO", "WEBP") or "jpeg" in str(image.info.get("compression"))
    if png:
        return _Loaded(image, header[24], _significant_bits(header))
    if image.format != "TIFF":
        return _Loaded(image, 8, lossy=lossy)
    bits = max(tags.get(BITS_PER_SAMPLE, (1,)))
    signed = 2 in tags.get(SAMPLE_FORMAT, ())
    white_is_0 = tags.get(PHOTOMETRIC) == 0
    plain = image.convert("LA") if image.mode == "La" else image
    return _Loaded(plain, bits, _tagged_bits(bits, tags), signed, white_is_0, lossy)


def _breaks_off(jpeg: IO[bytes]) -> bool:
    """Whether a part of a JPEG's data is missing, in place of which libjpeg puts grey."""
    jpeg.seek(0)
    data = jpeg.read()
    # A disk gives zeros for blocks that were never written.
    if data.endswith(bytes(BLOCK)) and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return True
    jpeg.seek(0)
    # What ffmpeg does not know is for Pillow alone to judge.
    with suppress(av.FFmpegError), av.open(jpeg, "r", format="jpeg_pipe") as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        try:
            next(container.decode(video=0))
        except av.InvalidDataError:
            return True
    return False


def _significant_bits(header: bytes) -> int | None:
    """The bits in use by a PNG's chunk sBIT, which gives them for each channel."""
    header = header[: header.find(b"IDAT")]
    at = header.find(b"sBIT")
    bits = max(header[at + 4 : at + 4 + header[at - 1]][:3], default=0) if at > 0 else 0
    return bits if 8 <= bits <= 16 else None


def _tagged_bits(bits: int, tags: Mapping[int, Any]) -> int | None:
    """The bits in use by a TIFF's tags."""
    if 8 < bits < 16:
        return bits
    for least, greatest in VALUE_TAGS:
        # Values that are no limit of a depth may be the picture's own, and that of 16 is a default.
        limit = int(np.max(tags.get(greatest, 0))) + 1
        if limit in [1 << used for used in range(8, bits)] and not np.any(tags.get(least, 0)):
            return limit.bit_length() - 1
    return None


def _samples(file: Path, loaded: _Loaded) -> Samples:
    """The values of a picture as they are stored, without transparency; palettes are colours."""
    image = loaded.image
    if image.mode in DEEP_GREY_MODES:
        return np.asarray(image)
    if image.mode in GREY_MODES:
        return np.asarray(image.convert("L"))
    if image.mode not in COLOUR_MODES:
        raise UnreadableError(
            f"{file}: {'floating-point' if image.mode == 'F' else image.mode} pixels; "
            "save it in grey or RGB with 8 or 16 bits a channel"
        )
    colours: Samples = np.asarray(image.convert("RGB"))
    if loaded.bits > 8:
        # Pillow has no deep colours: it gives their upper 8 bits.
        upper, colours = colours, np.zeros(0, np.uint16)
        with (
            suppress(av.FFmpegError),
            file.open("rb") as stream,
            av.open(stream, "r") as container,
        ):
            deep = next(container.decode(video=0)).to_ndarray(format="rgb48le")
            colours = deep.astype(np.uint16)
        if colours.shape != upper.shape or (colours >> 8 != upper).any():
            raise UnreadableError(
                f"{file}: 16-bit colours in a form that is not read; save it with 8 bits a channel"
            )
    return colours


def _alpha(loaded: _Loaded) -> Frame | None:
    """How opaque each pixel is, uint8 [height, width]; None when all are."""
    image = loaded.image
    if loaded.bits > 8 and "transparency" in image.info:
        return np.zeros((image.height, image.width), np.uint8)
    if not image.has_transparency_data:
        return None
    alpha: Frame = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == np.iinfo(np.uint8).max else alpha


def _read(file: Path, bits: int | None, before: int | None) -> tuple[Frame, int | None]:
    """As `read_image`, and how many bits are used where that is a question.

    Parameters
    ----------
    before : how many the clip's images before this one use.
    """
    with _damage_of(file):
        loaded = _load(file)
        samples = _samples(file, loaded)
        alpha = _alpha(loaded)
    if alpha is not None:
        raise UnreadableError(f"{file}: transparent in parts; save it without an alpha channel")
    # Pillow takes signed 8 bits for unsigned ones, and mixes up the bytes of some signed 16.
    if loaded.bits > 16 or loaded.signed:
        raise UnreadableError(
            f"{file}: {loaded.bits}-bit {'signed ' * loaded.signed}values; "
            "save it with 8 or 16 bits, unsigned"
        )
    if loaded.bits <= 8:
        plain = np.atleast_3d(samples).astype(np.uint8, copy=False)
        grey = loaded.image.mode in PALETTE_MODES and (plain == plain[:, :, :1]).all()
        return (plain[:, :, :1] if grey else plain), None
    greatest = int(samples.max())
    if bits is None and greatest == 0 and not loaded.white_is_0:
        # Black tells nothing of the depth, and needs none.
        return np.zeros((*samples.shape[:2], 1), np.uint8), None
    depth = bits or _depth(file, loaded, samples, before)
    if greatest >> depth:
        raise SdorError(
            f"{file}: a value of {greatest}, beyond the {depth} bits that are used (bits in the "
            "scene file, or what the images say)"
        )
    frame = (np.atleast_3d(samples) >> (depth - 8)).astype(np.uint8)
    return np.invert(frame) if loaded.white_is_0 else frame, depth


def _depth(file: Path, loaded: _Loaded, samples: Samples, before: int | None) -> int:
    """How many bits of 16 are used, where the scene file does not tell."""
    used, greatest = loaded.used, int(samples.max())
    if used is not None and loaded.image.format == "PNG":
        # PNG wants values filled up to 16 bits, with zeros or with their own first bits. Not all
        # programs that write them do.
        spare = 16 - used
        kept = samples >> spare << spare
        filled = (samples == kept).all() or (samples == kept | samples >> used).all()
        used = 16 if filled or greatest >> used else used
    if None not in (used, before) and used != before:
        raise SdorError(
            f"{file}: {used} of its 16 bits are used, and {before} of the images before it; "
            "add bits to this clip in the scene file"
        )
    if used or before:
        return used or before or 16
    if greatest >= PROVES_16_BIT:
        return 16
    raise SdorError(
        f"{file}: 16-bit pixels with values up to {greatest}, and nothing says how many of the "
        "bits are used; add bits: 12 (or 10, 14, 16) to this clip in the scene file"
    )
