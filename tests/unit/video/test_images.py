import logging
import struct
import zlib
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sdor.errors import SdorError
from sdor.study.scenes import Clip
from sdor.video.frames import read_clip
from sdor.video.images import numbered, read_images, read_pixel_mask, read_pixel_masks
from sdor.video.images import read_image as read_image_and_depth
from sdor.video.picture import Doubt, UnreadableError

tried = settings(derandomize=True, deadline=None, max_examples=25, database=None)
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
RNG = np.random.default_rng(3)
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


def save(folder: Path, name: str, values: object, mode: str | None = None, **options) -> Path:
    folder.mkdir(exist_ok=True)
    picture = values if isinstance(values, Image.Image) else Image.fromarray(np.asarray(values))
    (picture.convert(mode) if mode else picture).save(folder / name, **options)
    return folder / name


def write_png(file: Path, samples: np.ndarray, kind: int, **chunks: bytes) -> Path:
    """A PNG of 16 bits a sample; Pillow writes none of more than one channel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    parts += [(name.encode(), data) for name, data in chunks.items()]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return file


def write_tiff(file: Path, samples: np.ndarray, bits: int, **tags: int) -> Path:
    """A TIFF of packed grey values, with the tags t<number>."""
    values = {256: samples.shape[1], 257: samples.shape[0], 258: bits, 259: 1, 262: 1, 277: 1}
    values |= {int(name[1:]): value for name, value in tags.items()}
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in samples.tolist()]
    data = b"".join(
        int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8)) for row in rows
    )
    if bits == 16:
        data = samples.astype("<u2").tobytes()
    values |= {273: 8, 278: samples.shape[0], 279: len(data)}
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items())
    )
    at = 8 + len(data) + len(data) % 2
    head = b"II*\0" + struct.pack("<I", at) + data + b"\0" * (len(data) % 2)
    file.write_bytes(head + struct.pack("<H", len(values)) + entries + bytes(4))
    return file


def read_image(file: Path, bits: int | None = None) -> np.ndarray:
    return read_image_and_depth(file, bits)[0]


def said(call, *args, **options) -> str:
    with pytest.raises(SdorError) as error:
        call(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def shown(folder: Path, *args, **options) -> tuple[list[int], list[Doubt]]:
    """The first value of each picture of a folder, and the doubts."""
    doubts: list[Doubt] = []
    pictures = list(read_images(folder, *args, doubts=doubts, **options))
    return [int(picture.pixels[0, 0, 0]) for picture in pictures], doubts


class TestReadImage:
    @tried
    @given(st.data())
    def test_what_is_written_comes_back(self, tmp_path_factory, data):
        """Any array, in any mode and format that keeps it."""
        modes = {
            "L": ["png", "tif", "bmp", "gif"],
            "RGB": ["png", "tif", "bmp", "webp"],
            "1": ["png", "tif", "bmp", "gif"],
            "P": ["png", "tif", "bmp", "gif"],
            "LA": ["png", "tif"],
            "RGBA": ["png", "tif", "webp"],
        }
        mode = data.draw(st.sampled_from(sorted(modes)))
        suffix = data.draw(st.sampled_from(modes[mode]))
        height, width = data.draw(SIZES)
        shape = (height, width, 3) if mode in ("RGB", "RGBA") else (height, width)
        values = data.draw(arrays(np.uint8, shape))
        if mode == "1":
            values = np.where(values > 99, 255, 0).astype(np.uint8)
        picture = Image.fromarray(values).convert(mode)
        compressions = ["raw", "tiff_lzw", "tiff_deflate"]
        options = {"compression": data.draw(st.sampled_from(compressions))}
        options = options if suffix == "tif" else {"lossless": True} if suffix == "webp" else {}
        file = save(tmp_path_factory.mktemp("any"), f"a.{suffix}", picture, **options)
        # A palette of greys is three channels.
        found = read_image(file)[:, :, :1] if mode == "P" or suffix == "gif" else read_image(file)
        np.testing.assert_array_equal(found, np.atleast_3d(values))

    @tried
    @given(arrays(np.uint16, SIZES, elements=st.integers(0, 4095)), st.integers(12, 16), st.data())
    def test_deep_grey_is_scaled_exactly(self, tmp_path_factory, values, bits, data):
        folder = tmp_path_factory.mktemp("deep")
        form = data.draw(st.sampled_from([None, "tiff_lzw", "packed", "png"]))
        if form == "packed":
            bits, file = 12, write_tiff(folder / "a.tif", values, 12)
        elif form == "png":
            file = save(folder, "a.png", values)
        else:
            file = save(folder, "a.tif", values, compression=form)
        found = read_image(file, bits)
        assert (found == np.atleast_3d(values >> (bits - 8))).all()
        assert found.shape[:2] == values.shape

    @pytest.mark.parametrize("suffix", ["tif", "png"])
    def test_a_value_that_only_16_bits_hold_proves_them(self, tmp_path, suffix):
        deep = np.array([[0, 255, 256, 0x1234, 0xFFFF]], dtype=np.uint16)
        frame = read_image(save(tmp_path, f"a.{suffix}", deep))
        assert frame.dtype == np.uint8
        assert frame[0, :, 0].tolist() == [0, 0, 1, 0x12, 0xFF]

    def test_where_nothing_tells_the_depth_it_is_asked_for(self, tmp_path):
        file = save(tmp_path, "a.png", np.array([[7, 4095]], np.uint16))
        words = said(read_image, file)
        assert words == (
            f"{file}: 16-bit pixels with values up to 4095, bits in use: unknown; "
            "add bits: 12 (or 10, 14, 16) to this clip in the scene file"
        )
        assert "bits in use: 10; add" in said(read_image, file, 10)
        # Black is black at any depth.
        black = save(tmp_path, "c.png", np.zeros((2, 3), np.uint16))
        assert read_image(black).tolist() == np.zeros((2, 3, 1)).tolist()

    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ({"t341": 4095}, 12),
            ({"t341": 1023}, 10),
            ({"t281": 16383}, 14),
            # The picture's own greatest value and the default are no depth.
            ({"t341": 4000}, None),
            ({"t281": 65535}, None),
        ],
    )
    def test_tiff_tells_its_depth(self, tmp_path, tags, expected):
        values = np.array([[0, 100, 1000]], np.uint16)
        file = write_tiff(tmp_path / "a.tif", values, 16, **tags)
        if expected is None:
            assert "add bits" in said(read_image, file)
        else:
            assert read_image(file)[0, :, 0].tolist() == (values[0] >> (expected - 8)).tolist()
        assert read_image(file, 11)[0, :, 0].tolist() == (values[0] >> 3).tolist()

    def test_png_tells_its_depth(self, tmp_path):
        values = np.array([[1, 100, 1000, 4095]], np.uint16)
        expected = (values >> 4).tolist()
        # As the standard wants it, filled up to 16 bits, and as some programs write it.
        for kept in (values << 4, values << 4 | values >> 8, values):
            file = write_png(tmp_path / "a.png", kept, 0, sBIT=bytes([12]))
            assert read_image(file)[:, :, 0].tolist() == expected
        for nonsense in (b"\0", b"\1", b"\xff", b""):
            file = write_png(tmp_path / "a.png", values, 0, sBIT=nonsense)
            assert "add bits" in said(read_image, file)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_stand_as_viewers_show_them(self, tmp_path, orientation):
        turned = {
            1: GREY,
            2: GREY[:, ::-1],
            3: GREY[::-1, ::-1],
            4: GREY[::-1],
            5: GREY.T,
            6: np.rot90(GREY, -1),
            7: GREY[::-1, ::-1].T,
            8: np.rot90(GREY),
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = save(tmp_path, "a.png", GREY, exif=exif)
        np.testing.assert_array_equal(read_image(file)[:, :, 0], turned)
        file = save(tmp_path, "a.jpg", GREY, exif=exif, quality=100)
        assert np.abs(read_image(file)[:, :, 0].astype(int) - turned).max() < 4
        for options in ({}, {"compression": "tiff_lzw"}):
            file = save(tmp_path, "a.tif", GREY, tiffinfo={274: orientation}, **options)
            np.testing.assert_array_equal(read_image(file)[:, :, 0], turned)
        deep = GREY.astype(np.uint16) << 8
        file = save(tmp_path, "b.tif", deep, tiffinfo={274: orientation})
        np.testing.assert_array_equal(read_image(file, 16)[:, :, 0], turned)

    def test_palettes_are_colours(self, tmp_path):
        picture = Image.fromarray(GREY % 2)
        picture.putpalette([0, 0, 9, 200, 100, 50])
        frame = read_image(save(tmp_path, "colour.gif", picture))
        assert frame[0, :2].tolist() == [[0, 0, 9], [200, 100, 50]]

    def test_opaque_transparency_is_dropped_and_other_refused(self, tmp_path):
        for suffix in ("png", "tif", "webp"):
            opaque = Image.fromarray(GREY).convert("RGBA")
            file = save(tmp_path, f"a.{suffix}", opaque, lossless=True)
            assert read_image(file).shape == (6, 8, 3)
            opaque.putpixel((2, 3), (1, 2, 3, 254))
            file = save(tmp_path, f"b.{suffix}", opaque, lossless=True)
            assert said(read_image, file).startswith(f"{file}: transparent in parts")
        keyed = save(tmp_path, "c.png", GREY, transparency=5)
        assert "transparent in parts" in said(read_image, keyed)
        assert read_image(save(tmp_path, "d.png", GREY, transparency=200)).shape == (6, 8, 1)
        assert "transparent" in said(read_image, save(tmp_path, "e.gif", GREY, "P", transparency=5))

    @pytest.mark.parametrize(
        ("name", "picture", "words"),
        [
            ("a.tif", Image.fromarray(np.ones((2, 3), np.float32)), "32-bit floating-point F"),
            ("a.tif", Image.fromarray(np.full((2, 3), 5, np.int32)), "32-bit signed I"),
            ("a.tif", Image.new("CMYK", (3, 2)), "8-bit CMYK"),
            ("a.jpg", Image.new("CMYK", (3, 2)), "8-bit CMYK"),
            ("a.tif", Image.new("LAB", (3, 2)), "8-bit LAB"),
        ],
    )
    def test_other_kinds_are_refused_by_name(self, tmp_path, name, picture, words):
        file = save(tmp_path, name, picture)
        assert said(read_image, file).startswith(f"{file}: {words} pixels; save it as PNG, in grey")
        if "signed" not in words:
            assert f"{words} pixels; save it" in said(read_pixel_mask, file)

    @pytest.mark.parametrize("bits", [8, 16])
    def test_signed_values_are_refused(self, tmp_path, bits):
        file = write_tiff(tmp_path / "a.tif", np.array([[0, 3]]), bits, t339=2)
        assert f"{bits}-bit signed " in said(read_image, file)

    @pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
    def test_16_bit_colours_are_refused(self, tmp_path, kind, channels):
        """Pillow would give their upper 8 bits."""
        file = write_png(tmp_path / "a.png", np.full((2, 3, channels), 9, np.uint16), kind)
        for read in (read_image, read_pixel_mask):
            assert f"{file}: 16-bit RGB" in said(read, file)

    @pytest.mark.parametrize("bits", [1, 8, 16])
    def test_white_that_is_zero_is_refused(self, tmp_path, bits):
        file = write_tiff(tmp_path / "a.tif", np.array([[0, 1]]), bits, t262=0)
        for read in (read_image, read_pixel_mask):
            assert "pixels, 0 is white; save it as PNG" in said(read, file)

    @pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
    def test_several_pages_are_refused(self, tmp_path, suffix):
        pages = [Image.fromarray(GREY + 9 * page) for page in range(5)]
        file = save(tmp_path, f"a.{suffix}", pages[0], save_all=True, append_images=pages[1:])
        for read in (read_image, read_pixel_mask):
            assert said(read, file) == f"{file}: 5 pages; save each as a file of its own"

    def test_what_only_the_name_calls_an_image_is_refused(self, tmp_path):
        (tmp_path / "a.png").write_text("<html>")
        (tmp_path / "b.png").mkdir()
        # Pillow would start Ghostscript.
        (tmp_path / "c.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
        for name in "abc":
            assert "damaged image, or of an unknown" in said(read_image, tmp_path / f"{name}.png")


FORMATS = {
    "png": {},
    "jpg": {},
    "progressive.jpg": {"progressive": True},
    "bmp": {},
    "gif": {},
    "raw.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
    "webp": {},
    "lossless.webp": {"lossless": True},
}


@pytest.mark.parametrize("name", FORMATS)
class TestDamage:
    @pytest.fixture
    def whole(self, tmp_path, name) -> tuple[Path, bytes]:
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "camera"
        noise = RNG.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        options = {} if name in ("bmp", "gif") or "tif" in name else {"exif": exif}
        file = save(tmp_path, f"007.{name}", noise, **FORMATS[name], **options)
        assert read_image(file).shape[2] == 3
        return file, file.read_bytes()

    def test_cut_off_images_are_named(self, whole):
        file, data = whole
        for part in range(20):
            file.write_bytes(data[: len(data) * part // 20])
            assert said(read_image, file).startswith(f"{file}: damaged image")
            assert said(read_pixel_mask, file).startswith(f"{file}: damaged image")

    def test_any_byte_may_be_wrong(self, whole, monkeypatch):
        """An image of some kind, or one line."""
        file, data = whole
        # Sizes that are refused anyway take no time here.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1 << 20)
        rng = np.random.default_rng(5)
        near = [*range(0, 50, 2), *range(len(data) - 150, len(data), 5)]
        for at in [*near, *rng.integers(0, len(data), 20)]:
            value = 0xFF if rng.random() < 0.5 else data[at] ^ 1 << int(rng.integers(8))
            file.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            for read in (read_image, read_pixel_mask):
                words = ""
                try:
                    read(file)
                except SdorError as error:
                    words = str(error)
                assert words.startswith(f"{file}: " if words else "")
                assert "\n" not in words


def test_a_wrong_checksum_is_damage(tmp_path):
    file = save(tmp_path, "a.png", RNG.integers(0, 255, (24, 32), dtype=np.uint8), compress_level=0)
    data = bytearray(file.read_bytes())
    data[300] ^= 4
    file.write_bytes(data)
    assert said(read_image, file).startswith(f"{file}: damaged image")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_whose_end_was_never_written_is_damage(tmp_path, options):
    noise = RNG.integers(0, 255, (64, 96, 3), dtype=np.uint8)
    file = save(tmp_path, "a.jpg", noise, **options)
    data = file.read_bytes()
    for part in (data + bytes(600), data + b"more"):
        file.write_bytes(part)
        assert read_image(file).shape == (64, 96, 3)
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    assert said(read_image, file).startswith(f"{file}: damaged image")


class TestNumbered:
    @tried
    @given(
        st.sets(st.integers(0, 40), min_size=2),
        st.sampled_from(["{}", "frame_{:04d}", "{:06d}_cam1", "cam2-{:05d}"]),
        st.integers(1, 7),
        st.integers(0, 1000),
    )
    def test_each_file_keeps_its_place(self, places, name, step, start):
        places = sorted(places)
        files = [Path(name.format(start + step * place) + ".png") for place in places]
        doubts: list[Doubt] = []
        found = numbered(files, doubts)
        assert [file for file in found if isinstance(file, Path)] == files
        steps = np.diff(places)
        common = int(np.gcd.reduce(steps))
        where = [(place - places[0]) // common for place in places]
        if any("jump" in doubt.words for doubt in doubts):
            assert where[-1] >= 2 * len(files)
            assert found == files
        else:
            assert [found.index(file) for file in files] == where
            begins = 2 <= (start + step * places[0]) // (step * common) <= len(files)
            assert [doubt.frame for doubt in doubts] == [None] * begins

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ("001 002 004", "001 002 - 004"),
            ("0 5 15 20", "0 5 - 15 20"),
            ("f8 f9 f10 f12", "f8 f9 f10 - f12"),
            ("1_7 2_7 4_7", "1_7 2_7 - 4_7"),
            ("a1x a2y a4z", "a1x a2y - a4z"),
            # Days and minutes, and then a number of its own in each.
            ("1-58_001 1-59_002 2-00_004", "1-58_001 1-59_002 - 2-00_004"),
            ("1000_1 1700_2 9000_3", "1000_1 1700_2 9000_3"),
            ("1_1000 2_1700 3_9000", "1_1000 2_1700 3_9000"),
            ("2024-05-01_0001 2024-05-02_0002 2024-05-02_0003",) * 2,
            ("5 10 15 20 25", "5 10 15 20 25"),
            ("101 102 103", "101 102 103"),
            ("7", "7"),
            ("door gate wall", "door gate wall"),
        ],
    )
    def test_gaps(self, names, expected):
        doubts: list[Doubt] = []
        found = numbered([Path(f"{name}.png") for name in names.split()], doubts)
        assert " ".join("-" if isinstance(file, str) else file.stem for file in found) == expected
        assert doubts == []

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            ("1000 1033 1067 1100", "x: the numbers of its images jump"),
            ("average f1 f2 f3", "x: no number in the names of its images counts them"),
            ("1 1_gt 2 2_gt", "x: no number in the names of its images counts them"),
            ("a1 a2 b1 b2", "x: no number in the names of its images counts them"),
            ("002 003 004", "x: begins with number 2, as if the first lacked (002.png …)"),
            ("4 6 8 10", "x: begins with number 4"),
        ],
    )
    def test_what_does_not_count_from_the_first_is_doubtful(self, names, words):
        files = [Path(f"x/{name}.png") for name in names.split()]
        doubts: list[Doubt] = []
        assert numbered(files, doubts) == files
        [doubt] = doubts
        assert doubt.frame is None
        assert doubt.words.startswith(words)


class TestReadImages:
    @pytest.mark.parametrize("suffix", ["tif", "png", "bmp"])
    def test_images_come_in_natural_order(self, tmp_path, suffix):
        for number in (8, 9, 10):
            save(tmp_path, f"{number}.{suffix}", np.full((4, 6), number, np.uint8))
        pictures = list(read_images(tmp_path, fps=2, doubts=[]))
        assert [picture.number for picture in pictures] == [1, 2, 3]
        assert [picture.time for picture in pictures] == [0, 0.5, 1]
        assert [picture.pixels.shape for picture in pictures] == [(4, 6, 1)] * 3
        assert shown(tmp_path) == ([8, 9, 10], [])
        assert shown(tmp_path, 2, 2) == ([9], [])
        [picture] = read_images(tmp_path, 3, doubts=[])
        assert picture.number == 3
        assert isnan(picture.time)

    def test_grey_and_colour_images_may_be_mixed(self, tmp_path):
        save(tmp_path, "1.png", np.zeros((2, 3), np.uint8))
        save(tmp_path, "2.png", np.full((2, 3, 3), (1, 2, 3), np.uint8))
        pictures = read_images(tmp_path, doubts=[])
        assert [picture.pixels.shape[2] for picture in pictures] == [1, 3]

    def test_numbers_never_shift(self, tmp_path):
        """Whatever cannot be read or lacks is stood for by the one before."""
        for number in (1, 2, 3, 4, 7, 8):
            save(tmp_path, f"{number:03d}.png", np.full((4, 6), number, np.uint8))
        for number in (1, 3):
            (tmp_path / f"{number:03d}.png").write_bytes(b"")
        save(tmp_path, "008.png", np.zeros((4, 7), np.uint8))
        values, doubts = shown(tmp_path)
        assert values == [2, 2, 2, 4, 4, 4, 7, 7]
        assert [doubt.frame for doubt in doubts] == [1, 3, 5, 8]
        assert doubts[0].words.startswith(f"{tmp_path}/001.png: damaged image")
        assert doubts[2].words == "nothing between 004.png and 007.png"
        assert doubts[3].words == (
            f"{tmp_path}/008.png: expected 6x4 pixels like the clip, found 7x4"
        )
        assert shown(tmp_path, 6, 7) == ([7, 7], [Doubt(6, doubts[2].words)])

    def test_where_nothing_can_be_read_a_reason_is_said(self, tmp_path):
        for number in (1, 2):
            (tmp_path / f"{number}.png").write_bytes(b"")
        with pytest.raises(UnreadableError, match=r"2\.png: damaged image"):
            list(read_images(tmp_path, doubts=[]))

    def test_the_depth_is_that_of_the_clip(self, tmp_path, caplog):
        save(tmp_path, "1.png", np.full((2, 3), 40000, np.uint16))
        save(tmp_path, "2.png", np.full((2, 3), 4000, np.uint16))
        with caplog.at_level(logging.INFO, "sdor"):
            assert shown(tmp_path)[0] == [40000 >> 8, 4000 >> 8]
        assert [record.getMessage() for record in caplog.records] == [
            f"{tmp_path}: 16-bit images, of which 16 bits are used"
        ]
        assert "up to 40000, bits in use: 12; add" in said(shown, tmp_path, bits=12)
        assert "add bits: 12" in said(shown, tmp_path, 2)
        assert shown(tmp_path, 2, bits=12)[0] == [4000 >> 4]
        write_tiff(tmp_path / "3.tif", np.full((2, 3), 100), 16, t341=1023)
        assert "bits in use: 16 or 10; add" in said(shown, tmp_path)

    def test_a_question_of_configuration_is_no_damage(self, tmp_path):
        save(tmp_path, "1.png", np.full((2, 3), 4000, np.uint16))
        with pytest.raises(SdorError) as error:
            list(read_images(tmp_path, doubts=[]))
        assert not isinstance(error.value, UnreadableError)

    def test_a_clip_gives_its_bits(self, tmp_path):
        save(tmp_path, "1.png", np.full((2, 3), 4000, np.uint16))
        clip = Clip(name="a", kind="images", path=tmp_path, source="a", bits=12)
        assert next(read_clip(clip, [])).pixels[0, 0, 0] == 4000 >> 4


LABELS = arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


class TestReadPixelMask:
    @tried
    @given(LABELS, st.data())
    def test_any_label_is_anomalous_however_it_is_written(self, tmp_path_factory, labels, data):
        anomalous = labels > 0
        forms = """1.png L.png L.bmp L.tif L.gif P.png P.gif I;16.png I;16.tif I.tif RGB.png RGB.bmp
            LA.png RGBA.png cut.png L.jpg"""
        form = data.draw(st.sampled_from(forms.split()))
        mode, suffix = form.split(".")
        file = tmp_path_factory.mktemp("mask") / f"a.{suffix}"
        if mode == "1":
            save(file.parent, file.name, anomalous)
        elif mode == "P":
            picture = Image.fromarray(labels)
            picture.putpalette([0, 0, 0, 1, 0, 0, 0, 255, 0, 9, 9, 9])
            save(file.parent, file.name, picture)
        elif mode in ("I", "I;16"):
            save(file.parent, file.name, labels.astype({"I": np.int32, "I;16": np.uint16}[mode]))
        elif mode == "RGB":
            save(file.parent, file.name, labels[..., None] * np.array([0, 0, 1], np.uint8))
        elif mode == "cut":
            rgba = np.stack([labels * 9, labels, labels, np.where(anomalous, 128, 0)], axis=2)
            save(file.parent, file.name, rgba.astype(np.uint8))
        elif suffix == "jpg":
            large = np.kron(anomalous, np.ones((16, 16))).astype(np.uint8) * 255
            save(file.parent, file.name, large)
            np.testing.assert_array_equal(read_pixel_mask(file)[8::16, 8::16], anomalous)
            return
        else:
            save(file.parent, file.name, labels, mode)
        if suffix == "gif" and anomalous.all():
            # GIF numbers the colours that there are, from 0 on.
            assert "number 0 of its palette" in said(read_pixel_mask, file)
        else:
            np.testing.assert_array_equal(read_pixel_mask(file), anomalous)

    @pytest.mark.parametrize("value", [1, 255, 256, 40000, 1 << 16, (1 << 31) - 1, -1])
    def test_ids_of_32_bits(self, tmp_path, value):
        file = save(tmp_path, "a.tif", np.array([[0, value]], np.int32))
        assert read_pixel_mask(file).tolist() == [[False, True]]

    @pytest.mark.parametrize(
        "palette",
        [[255, 255, 255, 0, 0, 0], [9, 9, 9, 255, 0, 0], [0, 0, 0, 255, 0, 0, 0, 0, 0]],
    )
    def test_palettes_without_one_background_are_refused(self, tmp_path, palette):
        picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8)[:, : len(palette) // 3])
        picture.putpalette(palette)
        file = save(tmp_path, "a.png", picture)
        assert "not the same as number 0 of its palette" in said(read_pixel_mask, file)

    def test_transparency_that_says_something_else_is_refused(self, tmp_path):
        # A drawing program leaves what is not drawn transparent, whatever its colour.
        rgba = np.zeros((4, 4, 4), np.uint8)
        rgba[..., :3], rgba[1, 1, 3] = 255, 255
        file = save(tmp_path, "a.png", rgba)
        assert "or as transparent" in said(read_pixel_mask, file)
        rgba[..., 3] = 255
        rgba[0, 0, :3] = 0
        file = save(tmp_path, "b.png", rgba)
        assert read_pixel_mask(file).sum() == 15

    @pytest.mark.parametrize("suffix", ["jpg", "webp", "tif"])
    def test_lossy_masks_are_black_and_white_or_refused(self, tmp_path, suffix):
        options = {"compression": "jpeg"} if suffix == "tif" else {}
        mask = np.zeros((48, 64), np.uint8)
        mask[7:23, 11:40] = 255
        found = read_pixel_mask(save(tmp_path, f"a.{suffix}", mask, "RGB", **options))
        np.testing.assert_array_equal(found, mask > 0)
        assert not read_pixel_mask(save(tmp_path, f"b.{suffix}", mask * 0, "RGB", **options)).any()
        for value in (3, 40, 128):
            file = save(tmp_path, f"c.{suffix}", mask // 255 * value, "RGB", **options)
            assert "not just black and white" in said(read_pixel_mask, file)


class TestMasksOfAClip:
    def write(self, folder: Path, numbers, lit=(2, 3), size=(6, 4)) -> Path:
        for number in numbers:
            mask = np.zeros(size[::-1], np.uint8)
            mask[0, 0] = number in lit
            save(folder, f"{number:03d}.png", mask)
        return folder

    def clip(self, folder: Path, **about) -> Clip:
        return Clip(name="door", kind="images", path=folder, source="door", **about)

    def anomalous(self, clip: Clip, folder: Path, frames: int) -> list[int]:
        masks = read_pixel_masks(clip, folder, frames, (6, 4))
        return [number for number, mask in enumerate(masks, start=1) if mask.any()]

    @pytest.mark.parametrize("start", [0, 1])
    def test_one_a_frame(self, tmp_path, start):
        clip = self.clip(self.write(tmp_path / "door", range(1, 6)))
        masks = self.write(tmp_path / "gt", range(start, start + 5))
        assert self.anomalous(clip, masks, 5) == [3 - start, 4 - start]

    def test_images_and_masks_may_lack_the_same_number(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", [1, 2, 4, 5]))
        assert self.anomalous(clip, self.write(tmp_path / "gt", [1, 2, 4, 5]), 5) == [2, 3]
        assert self.anomalous(clip, self.write(tmp_path / "all", range(1, 6), (3,)), 5) == [3]

    def test_a_mask_that_lacks_is_named(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", [1, 2, 3, 4, 6]))
        masks = self.write(tmp_path / "gt", [1, 2, 4, 5, 6])
        video = Clip(name="door", kind="video", path=tmp_path / "a.avi", source="a.avi")
        for one in (clip, video):
            assert said(self.anomalous, one, masks, 6) == (
                f"clip door: {masks}: no mask for a frame that is there: "
                "nothing between 002.png and 004.png"
            )

    def test_masks_of_a_video_begin_with_0_or_1_or_like_the_clip(self, tmp_path):
        video = Clip(name="a", kind="video", path=tmp_path / "a.avi", source="a.avi", first=3)
        for start in (0, 1, 3):
            masks = self.write(tmp_path / str(start), range(start, start + 5), (start,))
            assert self.anomalous(video, masks, 5) == [1]
        later = self.write(tmp_path / "later", range(2, 7))
        assert "002.png …: numbered neither like the frames nor" in said(
            self.anomalous, video, later, 5
        )

    def test_counts_and_numbers_that_differ_are_named(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", range(1, 6)))
        few = self.write(tmp_path / "few", range(1, 5))
        assert "expected 5 pixel masks, found 4" in said(self.anomalous, clip, few, 5)
        later = self.write(tmp_path / "later", range(3, 8))
        assert "numbered neither like the frames" in said(self.anomalous, clip, later, 5)
        wide = self.write(tmp_path / "wide", range(1, 6), size=(7, 4))
        assert "001.png: expected 6x4 pixels like the clip, found 7x4" in said(
            self.anomalous, clip, wide, 5
        )

    def test_a_range_has_masks_of_its_own_or_those_of_its_images(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", range(1, 20)), first=11, last=14)
        assert self.anomalous(clip, self.write(tmp_path / "own", range(1, 5)), 4) == [2, 3]
        theirs = self.write(tmp_path / "theirs", range(11, 15), (13,))
        assert self.anomalous(clip, theirs, 4) == [3]

    def test_times_pair_images_and_masks_of_the_same_names(self, tmp_path):
        times = (100, 133, 167, 200)
        clip = self.clip(self.write(tmp_path / "door", times))
        assert self.anomalous(clip, self.write(tmp_path / "gt", times, (167,)), 4) == [3]
        other = self.write(tmp_path / "other", (100, 133, 168, 200))
        assert "numbered neither like the frames" in said(self.anomalous, clip, other, 4)

    def test_inverted_masks_are_refused(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", (1, 2)))
        folder = tmp_path / "gt"
        save(folder, "1.png", np.full((4, 6), 255, np.uint8))
        covered = np.full((4, 6), 255, np.uint8)
        covered[1, 1:3] = 0
        save(folder, "2.png", covered)
        assert "are they inverted?" in said(self.anomalous, clip, folder, 2)
        # A picture that is wholly anomalous, among others that are not.
        save(folder, "2.png", np.zeros((4, 6), np.uint8))
        assert self.anomalous(clip, folder, 2) == [1]


def test_the_reader_holds_one_picture(tmp_path):
    """A folder of any length: nothing is opened before it is asked for."""
    save(tmp_path, "1.png", GREY)
    (tmp_path / "2.png").write_bytes(b"")
    doubts: list[Doubt] = []
    reader = read_images(tmp_path, doubts=doubts)
    next(reader)
    assert doubts == []
    next(reader)
    assert len(doubts) == 1
