"""Flow in cells: so many pixels a second where something moves, at any frame rate; 0 elsewhere."""

import cv2
import numpy as np
import pytest

from sdor.errors import SdorError
from sdor.files import read_about
from sdor.method.flow import HEIGHT, WIDTH, flow_of, read_flow, write_flow
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline


def texture(seed, height=HEIGHT, width=WIDTH, sigma=2):
    """Smooth noise of grey values 30 to 200: flow can follow it."""
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return cv2.normalize(smooth, None, 30, 200, cv2.NORM_MINMAX)


BACKGROUND = texture(0)
SQUARE = texture(1, 60, 60)


def square(x, y=120):
    """The background with a textured square of 60 pixels whose left upper corner is (x, y)."""
    frame = BACKGROUND.copy()
    place = np.array([[1, 0, x], [0, 1, y]], dtype=float)
    inside = cv2.warpAffine(np.ones_like(SQUARE), place, (WIDTH, HEIGHT))
    moved = cv2.warpAffine(SQUARE, place, (WIDTH, HEIGHT))
    return (frame * (1 - inside) + moved * inside).round().astype(np.uint8)


def stored(folder, *clips, seconds):
    """Clips of grey frames as a store, and their timeline."""
    files = {}
    for number, frames in enumerate(clips, start=1):
        files[f"clip{number}"] = folder / f"clip{number}.npy"
        np.save(files[f"clip{number}"], np.asarray(frames)[..., None])
    return FrameStore(files), Timeline.of(dict(zip(files, seconds, strict=True)))


def flow(folder, frames, seconds):
    return flow_of(*stored(folder, frames, seconds=[np.asarray(seconds)]))


@pytest.mark.parametrize("rate", [5, 10, 25, 30])
@pytest.mark.parametrize("speed", [20.0, 40.0])
def test_speed_is_in_pixels_a_second_at_any_frame_rate(tmp_path, rate, speed):
    seconds = np.arange(int(rate * 0.7)) / rate
    found = flow(tmp_path, [square(140 + speed * t) for t in seconds], seconds)
    # The middle of the square is in these cells all the time.
    inside = found.speed[1:, 7, 8:10]
    np.testing.assert_allclose(inside, speed, rtol=0.25)
    assert (found.moving[1:, 7, 8:10] > 0.3).all()
    still = np.ones((12, 18), dtype=bool)
    still[5:10, 6:13] = False
    assert not found.speed[1:, still].any()
    assert not found.moving[1:, still].any()


def test_times_that_vary_are_measured(tmp_path):
    seconds = np.array([0, 0.11, 0.2, 0.33, 0.5, 0.52, 0.9])
    found = flow(tmp_path, [square(140 + 30 * t) for t in seconds], seconds)
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 6]
    np.testing.assert_allclose(found.speed[1:, 7, 8], 30, rtol=0.3)


def test_nothing_moves_in_equal_frames(tmp_path):
    found = flow(tmp_path, [square(140)] * 6, np.arange(6) / 10)
    for values in (found.speed, found.moving, found.change):
        assert not values[1:].any()


def test_the_first_frame_of_each_clip_has_no_pair(tmp_path):
    frames = [square(140 + 4 * n) for n in range(4)]
    short = np.arange(2) / 25  # ends before a tenth of a second is over
    store, timeline = stored(
        tmp_path, frames, [square(9)], frames[:2], seconds=[np.arange(4) / 10, np.zeros(1), short]
    )
    found = flow_of(store, timeline)
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(np.isnan(found.change)).tolist() == [0, 4, 5]
    assert np.isnan(found.speed[[0, 4, 5]]).all()
    assert np.isfinite(found.speed[1:4]).all()


@pytest.mark.parametrize("shift", [(2, 0), (-3, 2), (1.5, -2.5)])
def test_a_camera_that_shakes_moves_nothing(tmp_path, shift):
    wide = texture(2, HEIGHT + 40, WIDTH + 40, sigma=4)
    place = np.array([[1, 0, -20 + shift[0]], [0, 1, -20 + shift[1]]], dtype=float)
    calm = wide[20:-20, 20:-20]
    shaken = cv2.warpAffine(wide, place, (WIDTH, HEIGHT))
    frames = [one.round().astype(np.uint8) for one in (calm, shaken, calm, shaken)]
    found = flow(tmp_path, frames, np.arange(4) / 10)
    inner = found.speed[1:, 1:-1, 1:-1]  # what comes into view at the border is new
    assert np.hypot(*shift) / 0.1 >= 20
    assert np.median(inner) < 1
    assert inner.mean() < 1


def test_light_that_flickers_moves_nothing(tmp_path):
    light = [0, 6, -4, 26, 0]
    frames = [(square(140).astype(int) + one).clip(0, 255).astype(np.uint8) for one in light]
    found = flow(tmp_path, frames, np.arange(5) / 10)
    assert found.speed[1:].max() < 1
    np.testing.assert_allclose(found.change[1:], [6, 10, 30, 26], atol=0.1)


def test_noise_moves_nothing(tmp_path):
    noise = np.random.default_rng(0).normal(0, 2, (4, HEIGHT, WIDTH))
    found = flow(tmp_path, (square(140) + noise).clip(0, 255).astype(np.uint8), np.arange(4) / 10)
    assert found.moving[1:].mean() < 0.002
    assert found.speed[1:].max() < 0.5


@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_holds_the_same_flow(tmp_path, threads):
    clips = [[square(100 + 3 * n) for n in range(5)], [square(40)], [square(200)] * 3]
    store, timeline = stored(
        tmp_path, *clips, seconds=[np.arange(5) / 10, np.zeros(1), np.arange(3) / 10]
    )
    assert write_flow(store, timeline, tmp_path / "f.parquet", threads=threads, about={}) == 9
    read, found = read_flow(tmp_path / "f.parquet", timeline), flow_of(store, timeline)
    for name, values in vars(found).items():
        np.testing.assert_array_equal(getattr(read, name), values, err_msg=name)
    assert read_about(tmp_path / "f.parquet")["speed"] == "pixels a second at 360x240"


def test_a_file_that_is_damaged_or_of_other_frames_is_named(tmp_path):
    store, timeline = stored(tmp_path, [square(9)] * 4, seconds=[np.arange(4) / 10])
    path = tmp_path / "f.parquet"
    write_flow(store, timeline, path, about={})
    others = [
        Timeline.of({"clip1": np.arange(5) / 10}),
        Timeline.of({"clip2": np.arange(4) / 10}),
        Timeline.of({"clip1": np.arange(4) / 15}),  # other frames are looked at
    ]
    for other in others:
        with pytest.raises(SdorError, match=r"f\.parquet: not of the frames that are there"):
            read_flow(path, other)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SdorError, match=r"f\.parquet"):
        read_flow(path, timeline)
    path.unlink()
    with pytest.raises(SdorError, match=r"f\.parquet"):
        read_flow(path, timeline)


@pytest.mark.parametrize("shape", [(4, 120, 160, 1), (4, HEIGHT, WIDTH, 3)])
def test_frames_of_another_size_or_in_colour_are_refused(tmp_path, shape):
    np.save(tmp_path / "gate.npy", np.random.default_rng(0).integers(0, 9, shape, dtype=np.uint8))
    timeline = Timeline.of({"gate": np.arange(4) / 10})
    with pytest.raises(SdorError, match=r"clip gate: the stored frames are .* expected 360x240"):
        flow_of(FrameStore({"gate": tmp_path / "gate.npy"}), timeline)
