import logging
import re
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
from sdor.video.images import numbered, read_images, read_pixel_mask
from sdor.video.images import read_image as read_image_and_depth
from sdor.video.masks import read_pixel_masks
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


def put_chunk(png: Path, name: bytes, body: bytes, start: int = 33, end: int = 33) -> Path:
    """Put a chunk in place of some bytes of a PNG, or behind its header."""
    chunk = struct.pack(">I", len(body)) + name + body
    data = png.read_bytes()
    checksum = struct.pack(">I", zlib.crc32(name + body))
    png.write_bytes(data[:start] + chunk + checksum + data[end:])
    return png


def write_tiff(file: Path, samples: np.ndarray, bits: int, **tags: int) -> Path:
    """A TIFF of packed grey values, with the tags t<number>."""
    values = {256: samples.shape[1], 257: samples.shape[0], 258: bits, 259: 1, 262: 1, 277: 1}
    values |= {int(name[1:]): value for name, value in tags.items()}
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in samples.tolist()]
    octets = [f"{row}0000000"[at : at + 8] for row in rows for at in range(0, len(row), 8)]
    packed = bytes(int(octet, 2) for octet in octets)
    data = samples.astype("<u2").tobytes() if bits == 16 else packed + bytes(len(packed) % 2)
    values |= {273: 8, 278: samples.shape[0], 279: len(data)}
    entries = (struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(values))
    file.write_bytes(head + b"".join(entries) + bytes(4))
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
        modes = {"L": "png tif bmp", "RGB": "png tif bmp webp", "1": "png tif bmp"}
        modes |= {"LA": "png tif", "RGBA": "png tif webp"}
        mode = data.draw(st.sampled_from(sorted(modes)))
        suffix = data.draw(st.sampled_from(modes[mode].split()))
        values = data.draw(arrays(np.uint8, (*data.draw(SIZES), 3 if "RGB" in mode else 1)))
        values = np.where(values > 99, 255, 0).astype(np.uint8) if mode == "1" else values
        picture = Image.fromarray(values.squeeze(2) if "RGB" not in mode else values).convert(mode)
        compression = data.draw(st.sampled_from(["raw", "tiff_lzw", "tiff_deflate"]))
        options = {"tif": {"compression": compression}, "webp": {"lossless": True}}
        folder = tmp_path_factory.mktemp("any")
        found = read_image(save(folder, f"a.{suffix}", picture, **options.get(suffix, {})))
        np.testing.assert_array_equal(found, values)

    @tried
    @given(arrays(np.uint16, SIZES, elements=st.integers(0, 4095)), st.integers(12, 16), st.data())
    def test_deep_grey_is_scaled_exactly(self, tmp_path_factory, values, bits, data):
        folder = tmp_path_factory.mktemp("deep")
        form = data.draw(st.sampled_from([None, "tiff_lzw", "packed", "png"]))
        if form == "packed":
            file = write_tiff(folder / "a.tif", values, 12)
            np.testing.assert_array_equal(read_image(file)[:, :, 0], values >> 4)
        else:
            file = save(folder, "a.png" if form == "png" else "a.tif", values, compression=form)
        np.testing.assert_array_equal(read_image(file, bits)[:, :, 0], values >> (bits - 8))

    def test_where_nothing_tells_the_depth_it_is_asked_for(self, tmp_path):
        file = save(tmp_path, "a.png", np.array([[7, 4095]], np.uint16))
        assert said(read_image, file) == (
            f"{file}: 16-bit pixels with values up to 4095, bits in use: unknown; "
            "add bits: 12 (or 10, 14, 16) to this clip in the scene file"
        )
        assert "bits in use: 10; add" in said(read_image, file, 10)
        # Black is black at any depth.
        assert not read_image(save(tmp_path, "c.png", np.zeros((2, 3), np.uint16))).any()

    @pytest.mark.parametrize(
        ("tag", "greatest", "expected"),
        # The picture's own greatest value and the default are no depth.
        [(341, 4095, 12), (341, 1023, 10), (281, 16383, 14), (341, 4000, None), (281, 65535, None)],
    )
    def test_tiff_tells_its_depth(self, tmp_path, tag, greatest, expected):
        values = np.array([[0, 100, 1000]], np.uint16)
        file = write_tiff(tmp_path / "a.tif", values, 16, **{f"t{tag}": greatest})
        if expected is None:
            assert "add bits" in said(read_image, file)
        else:
            assert read_image(file)[0, :, 0].tolist() == (values[0] >> (expected - 8)).tolist()
        assert read_image(file, 11)[0, :, 0].tolist() == (values[0] >> 3).tolist()

    def test_png_tells_its_depth(self, tmp_path):
        values = np.array([[1, 100, 1000, 4095]], np.uint16)
        # As the standard wants it, filled up to 16 bits, and as some programs write it.
        for kept in (values << 4, values << 4 | values >> 8, values, values[:, :2] << 4):
            file = put_chunk(save(tmp_path, "a.png", kept), b"sBIT", bytes([12]))
            assert read_image(file)[0, :, 0].tolist() == [0, 6, 62, 255][: kept.size]
        for nonsense in (b"\0", b"\1", b"\xff", b""):
            file = put_chunk(save(tmp_path, "a.png", values), b"sBIT", nonsense)
            assert "add bits" in said(read_image, file)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_stand_as_viewers_show_them(self, tmp_path, orientation):
        half = np.rot90(GREY, 2)
        turned = [GREY, GREY[:, ::-1], half, GREY[::-1], GREY.T, np.rot90(GREY, -1), half.T]
        turned = [*turned, np.rot90(GREY)][orientation - 1]
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name, options in {
            "a.png": {"exif": exif},
            "b.jpg": {"exif": exif, "quality": 100},
            "c.tif": {"tiffinfo": {274: orientation}},
            "d.tif": {"tiffinfo": {274: orientation}, "compression": "tiff_lzw"},
        }.items():
            found = read_image(save(tmp_path, name, GREY, **options))[:, :, 0].astype(int)
            assert found.shape == turned.shape
            assert np.abs(found - turned).max() < (4 if "jpg" in name else 1)
        deep = save(tmp_path, "e.tif", GREY.astype(np.uint16), tiffinfo={274: orientation})
        np.testing.assert_array_equal(read_image(deep, 8)[:, :, 0], turned)

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

    def test_other_kinds_are_refused_by_name(self, tmp_path):
        def empty(mode, suffix):
            return save(tmp_path, f"{mode}.{suffix}", Image.new(mode, (4, 2)))

        def tiff(bits, **tags):
            return write_tiff(tmp_path / f"{bits}{tags}.tif", np.array([[0, 1]]), bits, **tags)

        # A row of 4 pixels of 8 bits is one of 2 pixels of 16: Pillow would give their upper 8.
        deep = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
        files = {
            "32-bit floating-point F pixels": empty("F", "tif"),
            "8-bit CMYK pixels; save it as PNG, in grey": empty("CMYK", "jpg"),
            "8-bit LAB pixels": empty("LAB", "tif"),
            "16-bit RGB pixels": put_chunk(empty("RGB", "png"), b"IHDR", deep, 8),
            "1-bit 1 pixels, 0 is white": tiff(1, t262=0),
            "8-bit L pixels, 0 is white": tiff(8, t262=0),
            "16-bit I;16 pixels, 0 is white": tiff(16, t262=0),
            # These may be labels.
            "32-bit signed I pixels": empty("I", "tif"),
            "8-bit signed L pixels": tiff(8, t339=2),
            "16-bit signed I pixels": tiff(16, t339=2),
            "32-bit I pixels": tiff(32),
        }
        for words, file in files.items():
            for read in (read_image, read_pixel_mask)[
                : 1 if re.search("signed|I pixels", words) else 2
            ]:
                assert said(read, file).startswith(f"{file}: {words}")

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


FORMATS = {name: {} for name in ("png", "jpg", "bmp", "gif", "webp", "raw.tif")} | {
    "progressive.jpg": {"progressive": True},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
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

    def test_any_byte_may_be_wrong(self, whole, monkeypatch, recwarn):
        """An image of some kind, or one line."""
        file, data = whole
        # Sizes that are refused anyway take no time here.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1 << 20)
        rng = np.random.default_rng(5)
        near = [*range(0, 50, 2), *range(len(data) - 150, len(data), 5)]
        for at in [*near, *rng.integers(0, len(data), 20)]:
            value = 0xFF if rng.random() < 0.5 else data[at] ^ 1 << int(rng.integers(8))
            file.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            words = f"{file}: "
            try:
                (read_image if rng.random() < 0.5 else read_pixel_mask)(file)
            except SdorError as error:
                words = str(error)
            assert words.startswith(f"{file}: ")
            assert "\n" not in words
        assert not recwarn.list


def test_a_wrong_bit_of_a_mask_is_damage(tmp_path):
    """Decoding alone meets nothing in a quarter of these."""
    file = save(tmp_path, "a.png", np.kron(np.eye(3), np.ones((9, 9))) > 0)
    data = file.read_bytes()
    for at in range(data.find(b"IDAT"), data.find(b"IEND") - 4):
        file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert said(read_pixel_mask, file).startswith(f"{file}: damaged image")


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
        ("names", "lack", "doubt"),
        [
            ("001 002 004", [2], ""),
            ("0 5 15 20", [2], ""),
            ("f8 f9 f10 f12", [3], ""),
            ("a1x_7 a2y_7 a4z_7", [2], ""),
            # Days and minutes, and then a number of its own in each.
            ("1-58_001 1-59_002 2-00_004", [2], ""),
            ("1000_1 1700_2 9000_3", [], ""),
            ("4_1 5_2 6_3 7_4", [], ""),
            ("1_1000 2_1700 3_9000", [], ""),
            ("5 10 15 20 25", [], ""),
            ("101 102 103", [], ""),
            ("7", [], ""),
            ("door gate wall", [], ""),
            ("1000 1033 1067 1100", [], "x: the numbers of its images jump"),
            ("average f1 f2 f3", [], "x: no number in the names of its images counts them"),
            ("1 1_gt 2 2_gt", [], "x: no number in the names of its images counts them"),
            ("a1 a2 b1 b2", [], "x: no number in the names of its images counts them"),
            ("002 003 005", [2], "x: begins with number 2, as if the first lacked (002.png …)"),
            ("4 6 8 10", [], "x: begins with number 4"),
        ],
    )
    def test_gaps(self, names, lack, doubt):
        doubts: list[Doubt] = []
        files = [Path(f"x/{name}.png") for name in names.split()]
        found = numbered(files, doubts)
        assert [file for file in found if isinstance(file, Path)] == files
        assert [place for place, file in enumerate(found) if isinstance(file, str)] == lack
        assert len(doubts) == bool(doubt)
        assert "".join(one.words for one in doubts).startswith(doubt)


class TestReadImages:
    def test_images_come_in_natural_order(self, tmp_path):
        for number, shape in {8: (4, 6), 9: (4, 6, 3), 10: (4, 6)}.items():
            save(tmp_path, f"{number}.png", np.full(shape, number, np.uint8))
        pictures = list(read_images(tmp_path, fps=2, doubts=[]))
        assert [picture.number for picture in pictures] == [1, 2, 3]
        assert [picture.time for picture in pictures] == [0, 0.5, 1]
        assert [picture.pixels.shape[2] for picture in pictures] == [1, 3, 1]
        assert shown(tmp_path) == ([8, 9, 10], [])
        assert shown(tmp_path, 2, 2) == ([9], [])
        [picture] = read_images(tmp_path, 3, doubts=[])
        assert picture.number == 3
        assert isnan(picture.time)

    def test_numbers_never_shift(self, tmp_path):
        """Whatever cannot be read or lacks is stood for by the one before."""
        for number in (1, 2, 3, 4, 7, 8):
            save(tmp_path, f"{number:03d}.png", np.full((4, 6), number, np.uint8))
        for number in (1, 3):
            (tmp_path / f"{number:03d}.png").write_bytes(b"")
        save(tmp_path, "008.png", np.zeros((4, 7), np.uint8))
        doubts: list[Doubt] = []
        next(read_images(tmp_path, doubts=doubts))
        # Nothing is opened before it is asked for.
        assert [doubt.frame for doubt in doubts] == [1]
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
        with pytest.raises(SdorError, match="add bits: 12") as error:
            shown(tmp_path, 2)
        assert not isinstance(error.value, UnreadableError)
        assert shown(tmp_path, 2, bits=12)[0] == [4000 >> 4]
        write_tiff(tmp_path / "3.tif", np.full((2, 3), 100), 16, t341=1023)
        assert "bits in use: 16 or 10; add" in said(shown, tmp_path)

    def test_a_clip_gives_its_bits(self, tmp_path):
        save(tmp_path, "1.png", np.full((2, 3), 4000, np.uint16))
        clip = Clip(name="a", kind="images", path=tmp_path, source="a", bits=12)
        assert next(read_clip(clip, [])).pixels[0, 0, 0] == 4000 >> 4


class TestReadPixelMask:
    @tried
    @given(arrays(np.uint8, SIZES, elements=st.integers(0, 3)), st.data())
    def test_any_label_is_anomalous_however_it_is_written(self, tmp_path_factory, labels, data):
        anomalous = labels > 0
        coloured = Image.fromarray(labels)
        coloured.putpalette([0, 0, 0, 1, 0, 0, 0, 255, 0, 9, 9, 9])
        cut_out = np.stack([labels * 9, labels, labels, np.where(anomalous, 128, 0)], axis=2)
        large = np.kron(anomalous, np.ones((16, 16), np.uint8)) * np.uint8(255)
        forms = dict.fromkeys(("png", "bmp", "tif", "gif", "LA png", "RGBA png"), labels)
        forms |= dict.fromkeys(("blue png", "blue bmp"), labels[..., None] * np.uint8([0, 0, 1]))
        forms |= dict.fromkeys(("16 png", "16 tif"), labels.astype(np.uint16))
        forms |= {"bit png": anomalous, "32 tif": labels.astype(np.int32), "jpg": large}
        forms |= {"P png": coloured, "P gif": coloured, "cut png": cut_out.astype(np.uint8)}
        form = data.draw(st.sampled_from(sorted(forms)))
        *mode, suffix = form.split()
        mode = mode[0] if mode in (["LA"], ["RGBA"]) else None
        file = save(tmp_path_factory.mktemp("mask"), f"a.{suffix}", forms[form], mode)
        if suffix == "gif" and anomalous.all():
            # GIF numbers the colours that there are, from 0 on.
            assert "number 0 of its palette" in said(read_pixel_mask, file)
            return
        found = read_pixel_mask(file)
        np.testing.assert_array_equal(found[8::16, 8::16] if suffix == "jpg" else found, anomalous)

    def test_ids_of_32_bits(self, tmp_path):
        values = np.array([[0, 1, 255, 256, 40000, 1 << 16, (1 << 31) - 1, -1]], np.int32)
        found = read_pixel_mask(save(tmp_path, "a.tif", values))
        np.testing.assert_array_equal(found, values != 0)

    @pytest.mark.parametrize("greys", [(255, 0), (9, 255), (0, 255, 0)])
    def test_palettes_without_one_background_are_refused(self, tmp_path, greys):
        picture = Image.fromarray(np.arange(len(greys), dtype=np.uint8)[np.newaxis])
        picture.putpalette(list(np.repeat(greys, 3)))
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
        for drawn in (mask, mask * 0):
            found = read_pixel_mask(save(tmp_path, f"a.{suffix}", drawn, "RGB", **options))
            np.testing.assert_array_equal(found, drawn > 0)
        for drawn in (mask // 85, mask // 6, mask // 2, mask + np.rot90(mask, 2) // 2):
            file = save(tmp_path, f"c.{suffix}", drawn, "RGB", **options)
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
        masks = read_pixel_masks(clip, folder, frames, (6, 4), [])
        return [number for number, mask in enumerate(masks, start=1) if mask.any()]

    def test_masks_have_the_places_or_the_numbers_of_images(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", [7, 8, 10, 11]))
        for numbers in ([7, 8, 10, 11], range(5), range(1, 6), range(7, 12)):
            masks = self.write(tmp_path / str(numbers), numbers, numbers[1:2])
            expected = [2, 3] if len(numbers) == 4 else [2]
            assert self.anomalous(clip, masks, 5) == expected

    def test_a_mask_that_lacks_is_named(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", [1, 2, 3, 4, 6]))
        masks = self.write(tmp_path / "gt", [1, 2, 4, 5, 6])
        video = Clip(name="door", kind="video", path=tmp_path / "a.avi", source="a.avi")
        for one in (clip, video):
            assert said(self.anomalous, one, masks, 6) == (
                f"clip door: {masks}: no mask for a frame that is there: "
                "nothing between 002.png and 004.png"
            )

    def test_masks_of_a_range_begin_with_0_or_1_or_with_its_number(self, tmp_path):
        images = self.clip(self.write(tmp_path / "door", range(1, 20)), first=3, last=7)
        video = Clip(name="a", kind="video", path=tmp_path / "a.avi", source="a.avi", first=3)
        for clip in (images, video):
            for start in (0, 1, 3):
                masks = self.write(tmp_path / str(start), range(start, start + 5), (start,))
                assert self.anomalous(clip, masks, 5) == [1]
            later = self.write(tmp_path / "later", range(2, 7))
            assert "002.png …: numbered neither like" in said(self.anomalous, clip, later, 5)

    def test_counts_and_sizes_that_differ_are_named(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", range(1, 6)))
        few = self.write(tmp_path / "few", range(1, 5))
        assert "expected 5 pixel masks, found 4" in said(self.anomalous, clip, few, 5)
        wide = self.write(tmp_path / "wide", range(1, 6), size=(7, 4))
        assert "001.png: expected 6x4 pixels like" in said(self.anomalous, clip, wide, 5)

    def test_times_pair_images_and_masks_of_the_same_names(self, tmp_path):
        times = (100, 133, 167, 200)
        clip = self.clip(self.write(tmp_path / "door", times))
        assert self.anomalous(clip, self.write(tmp_path / "gt", times, (167,)), 4) == [3]
        other = self.write(tmp_path / "other", (100, 133, 168, 200))
        assert "numbered neither like the frames" in said(self.anomalous, clip, other, 4)

    def test_inverted_masks_are_refused(self, tmp_path):
        clip = self.clip(self.write(tmp_path / "door", (1, 2)))
        whole = np.full((4, 6), 255, np.uint8)
        for second in (whole, np.where(GREY[:4, :6] < 3, 0, whole)):
            folder = save(tmp_path / "gt", "1.png", whole).parent
            save(folder, "2.png", second)
            assert "are they inverted?" in said(self.anomalous, clip, folder, 2)
        # A picture that is wholly anomalous, among others that are not.
        save(folder, "2.png", whole * 0)
        assert self.anomalous(clip, folder, 2) == [1]
