import io
import json
import subprocess
import sys
import threading
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from sdor.errors import SdorError
from sdor.files import METADATA_KEY
from sdor.networks.compute import choose_compute
from sdor.networks.inputs import Inputs
from sdor.study.scenes import Clip
from sdor.video import frames as module
from sdor.video.coded import CodedFrames
from sdor.video.frames import View, extract_clip
from sdor.video.store import FrameStore

VIEW = View(48, 32)
store_frames = partial(module.store_frames, quality=80)


def pictures(count: int, channels: int = 1) -> np.ndarray:
    """Slanting waves, which JPEG keeps well, of another brightness in each frame and channel."""
    down, across = np.mgrid[:32, :48]
    wave = 40 * np.sin((down + 2 * across) / 9)[..., np.newaxis]
    base = 60 + 130 * np.random.default_rng(0).random((count, 1, 1, channels))
    return (base + wave).astype(np.uint8)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same grey clip (300 frames) and colour clip (9 frames), raw and as JPEG."""
    folder = tmp_path_factory.mktemp("frames")
    clips = {"a": pictures(300), "b": pictures(9, 3)}
    kept = {}
    for kind in (".npy", ".arrow"):
        files = {name: folder / f"{name}{kind}" for name in clips}
        for name, frames in clips.items():
            store_frames(frames, VIEW, files[name])
        kept[kind] = FrameStore(files), FrameStore({"a": files["a"]})
    return folder, *zip(*kept.values(), strict=True)


def test_what_is_read_at_random_is_nearly_what_was_stored(stores):
    _, both, grey = stores
    for raw, coded in (both, grey):
        assert (coded.shape, coded.nbytes, len(coded)) == (raw.shape, raw.nbytes, len(raw))
        assert coded.index().equals(raw.index())
        rows = np.random.default_rng(1).integers(0, len(raw), 40)
        found, expected = coded.gather(rows), raw.gather(rows)
        assert found.dtype == np.uint8
        # Frames and channels differ by tens of grey values.
        assert np.abs(found.astype(int) - expected).max() < 12
        assert np.abs(found.astype(int) - expected).mean() < 1.5
        for few in (rows[:1], rows[:0]):
            np.testing.assert_array_equal(coded.gather(few), found[: len(few)])
    windows = both[1].gather_windows([0, 299, 308], frames=6)
    np.testing.assert_array_equal(
        windows,
        both[1].gather(both[1].window_rows([0, 299, 308], 6).ravel()).reshape(windows.shape),
    )
    assert windows.shape == (3, 6, 32, 48, 3)
    grey[1].expect_grey(48, 32)


def test_each_frame_is_a_jpeg_of_its_own(stores):
    """As another library decodes it."""
    folder, both, grey = stores
    for name, store, first in (("a", grey[1], 0), ("b", both[1], 300)):
        column = pa.ipc.open_file(folder / f"{name}.arrow").read_all()["jpeg"]
        for number in (0, len(column) - 1):
            image = Image.open(io.BytesIO(column[number].as_py()))
            assert image.format == "JPEG"
            (frame,) = store.gather([first + number])
            np.testing.assert_array_equal(frame, np.asarray(image).reshape(store.shape))


def test_a_clip_that_turns_to_colour_is_read_in_colour(tmp_path):
    frames = [*pictures(2), *pictures(2, 3)]
    for name in ("a.npy", "a.arrow"):
        store_frames(frames, VIEW, tmp_path / name)
    raw, coded = (
        FrameStore({"a": tmp_path / name}).gather(range(4)) for name in ("a.npy", "a.arrow")
    )
    assert raw.shape == coded.shape == (4, 32, 48, 3)
    assert (coded[:2] == coded[:2, :, :, :1]).all()
    assert np.abs(coded.astype(int) - raw).mean() < 1.5


def test_the_same_frames_make_the_same_file_and_a_lower_quality_a_smaller_one(tmp_path):
    frames = [*pictures(300), *pictures(3, 3)]
    for name, quality in (("a", 80), ("b", 80), ("c", 60)):
        store_frames(frames, VIEW, tmp_path / f"{name}.arrow", quality=quality)
    one, two, small = (tmp_path / f"{name}.arrow" for name in "abc")
    assert one.read_bytes() == two.read_bytes()
    assert small.stat().st_size < one.stat().st_size < 303 * 32 * 48


def test_a_clip_takes_no_memory_and_a_cut_off_one_leaves_no_file(tmp_path):
    frames = (frame for _ in range(400) for frame in pictures(10))
    store_frames(pictures(1), VIEW, tmp_path / "warm.arrow")
    tracemalloc.start()
    store_frames(frames, VIEW, tmp_path / "long.arrow")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(FrameStore({"a": tmp_path / "long.arrow"})) == 4000
    assert peak < 1e6 < (tmp_path / "long.arrow").stat().st_size

    def failing():
        yield from pictures(300)
        raise SdorError("the camera fell")

    with pytest.raises(SdorError, match="the camera fell"):
        store_frames(failing(), VIEW, tmp_path / "cut.arrow")
    assert {path.name for path in tmp_path.iterdir()} == {"warm.arrow", "long.arrow"}


def test_a_clip_without_a_frame_is_left_out(tmp_path):
    store_frames([], VIEW, tmp_path / "bad.arrow")
    store_frames(pictures(2), VIEW, tmp_path / "good.arrow")
    store = FrameStore({name: tmp_path / f"{name}.arrow" for name in ("bad", "good")})
    assert store.clips == ("good",)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: np.save(path.open("wb"), pictures(2)),
        lambda path: write_table(path, pa.table({"jpeg": [b"a"], "colour": [False]})),
    ],
)
def test_damaged_files_are_named(tmp_path, spoil):
    path = tmp_path / "a.arrow"
    store_frames(pictures(300), VIEW, path)
    spoil(path)
    with pytest.raises(SdorError, match=r"a\.arrow: damaged or missing"):
        FrameStore({"a": path})


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_a_damaged_frame_is_named_also_by_another_thread(tmp_path, content):
    path = tmp_path / "a.arrow"
    store_frames(pictures(20), VIEW, path)
    table = pa.ipc.open_file(path).read_all()
    jpegs = table["jpeg"].to_pylist()
    jpegs[16] = content
    write_table(path, table.set_column(0, "jpeg", [jpegs]))
    store = FrameStore({"a": path})
    for rows in ([16], range(20)):
        with pytest.raises(SdorError, match=r"a\.arrow: .*frame 17 is no picture of 48x32"):
            store.gather(rows)
    assert store.gather([15]).shape == (1, 32, 48, 1)


def write_table(path, table):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def test_a_clip_that_cannot_be_read_is_kept_as_the_others_are(tmp_path):
    clip = Clip("a", "video", tmp_path / "a.mp4", "a.mp4")
    clip.path.write_text("no video")
    files = tmp_path / "a.arrow", tmp_path / "a.parquet"
    assert extract_clip(clip, (), VIEW, *files, quality=61).failure
    about = json.loads(pa.ipc.open_file(files[0]).schema.metadata[METADATA_KEY])
    assert about["quality"] == 61


@pytest.mark.parametrize("threads", [1, 3])
def test_a_job_decodes_on_as_many_threads_as_it_was_given(stores, monkeypatch, threads):
    used = set()
    decoded = CodedFrames._decoded

    def told(frames, number):
        used.add(threading.get_ident())
        time.sleep(0.001)  # so that each has some
        return decoded(frames, number)

    monkeypatch.setattr(CodedFrames, "_decoded", told)
    before = torch.get_num_threads()
    compute = choose_compute("cpu", "fp32", threads)
    try:
        [batch] = Inputs(stores[2][1], compute).batches([np.arange(300)])
    finally:
        torch.set_num_threads(before)
    assert len(batch) == 300
    assert 1 <= len(used) <= threads


def test_raw_frames_are_read_and_trained_on_without_opencv():
    """Nor is what decodes video loaded."""
    code = "import sys, sdor.method.training, sdor.method.sources, sdor.video.store; "
    code += "print([one for one in ('cv2', 'av', 'PIL') if one in sys.modules])"
    here = {"PYTHONPATH": str(Path(module.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=here, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
