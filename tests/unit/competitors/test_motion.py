import math

import numpy as np
import pytest

from sdor.competitors.motion import BINS, CUBES, DIMS, MotionCubes
from sdor.errors import SdorError
from sdor.video.store import FrameStore


def write_store(folder, **clips):
    files = {}
    for name, frames in clips.items():
        files[name] = folder / f"{name}.npy"
        np.save(files[name], frames.astype(np.uint8)[..., np.newaxis])
    return FrameStore(files)


def walkers(frames, seed):
    """Bright squares that move over a grey ground, with a little noise."""
    rng = np.random.default_rng(seed)
    video = 80 + rng.normal(0, 1.5, (frames, 120, 160))
    starts, steps = rng.uniform(0, 100, (6, 2)), rng.uniform(-4, 4, (6, 2))
    for frame in range(frames):
        for y, x in (starts + frame * steps).clip(0, 105).astype(int):
            video[frame, y : y + 14, x : x + 9] += 120
    return video.clip(0, 255).astype(np.uint8)


def literal_row(clip, frame, still=15.0):
    """One frame's row by the words of the method: pixel by pixel, cube by cube."""
    side = math.exp(-0.5) / (1 + 2 * math.exp(-0.5))
    centre = 1 / (1 + 2 * math.exp(-0.5))

    def blurred(picture):
        wide = np.pad(picture / 255, 1, mode="edge")
        rows = side * wide[:-2] + centre * wide[1:-1] + side * wide[2:]
        return side * rows[:, :-2] + centre * rows[:, 1:-1] + side * rows[:, 2:]

    def motion(time):
        time = min(max(time, 0), len(clip) - 2)
        return np.abs(blurred(clip[time]) - blurred(clip[time + 1]))

    volume = [motion(min(max(frame + step, 0), len(clip) - 1)) for step in range(-2, 3)]
    row = []
    for top in (0, 60):
        for left in (0, 80):
            numbers = []
            for y in range(top, top + 60, 10):
                for x in range(left, left + 80, 10):
                    cube = np.concatenate([part[y : y + 10, x : x + 10].ravel() for part in volume])
                    if cube.sum() <= still:
                        cube[:] = 0
                    numbers.append(cube / (np.linalg.norm(cube) or 1))
            row.append(np.concatenate(numbers))
    return np.array(row)


@pytest.mark.parametrize("still", [0.0, 15.0])
def test_rows_are_what_a_literal_reading_gives(tmp_path, still):
    clips = [walkers(7, seed=1), walkers(3, seed=2)]
    store = write_store(tmp_path, one=clips[0], two=clips[1])
    rows = MotionCubes(store, still).rows(np.arange(10))
    assert rows.shape == (10, BINS, DIMS) == (10, 4, 24_000)
    assert rows.dtype == np.float32
    expected = [literal_row(clip, t, still) for clip in clips for t in range(len(clip))]
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    moving = (np.square(rows).reshape(10, BINS, CUBES, -1).sum(axis=3) > 0).mean()
    assert 0.01 < moving < 0.8 if still else moving > 0.9


def test_a_moving_cube_has_unit_length_in_its_bin_and_all_else_is_zero(tmp_path):
    video = np.full((9, 120, 160), 50)
    for frame in range(9):
        video[frame, 90:98, 100 + 2 * frame : 110 + 2 * frame] = 250
    rows = MotionCubes(write_store(tmp_path, door=video)).rows(np.array([4]))[0]
    lengths = np.linalg.norm(rows.reshape(BINS, CUBES, -1), axis=2)
    assert not lengths[:3].any()
    moving = lengths[3] > 0
    np.testing.assert_allclose(lengths[3][moving], 1, rtol=1e-5)
    assert set(np.flatnonzero(moving)) <= {26, 27, 28}  # row 3 of 6, columns 2 to 4 of 8
    assert moving.any()


@pytest.mark.parametrize("frames", [1, 2, 6])
def test_a_still_clip_is_zero(tmp_path, frames):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160))
    store = write_store(tmp_path, door=np.repeat(noise[np.newaxis], frames, axis=0))
    assert not MotionCubes(store, still=0.0).rows(np.arange(frames)).any()


def test_camera_noise_is_no_motion(tmp_path):
    noisy = 100 + np.random.default_rng(0).integers(-2, 3, (8, 120, 160))
    assert not MotionCubes(write_store(tmp_path, door=noisy)).rows(np.arange(8)).any()


def test_the_ends_of_a_clip_do_not_reach_into_the_next(tmp_path):
    first, second = walkers(6, seed=3), walkers(5, seed=4)
    both = MotionCubes(write_store(tmp_path, a=first, b=second))
    alone = [
        MotionCubes(write_store(tmp_path, c=clip)).rows(np.arange(len(clip)))
        for clip in (first, second)
    ]
    np.testing.assert_array_equal(both.rows(np.arange(11)), np.concatenate(alone))


def test_the_last_frame_of_a_clip_moves_as_the_one_before(tmp_path):
    cubes = MotionCubes(write_store(tmp_path, a=walkers(12, seed=5))).rows(np.array([11]))
    slices = cubes.reshape(BINS, CUBES, 5, 100)
    assert slices[:, :, 1].any()
    np.testing.assert_array_equal(slices[:, :, 1], slices[:, :, 2])
    np.testing.assert_array_equal(slices[:, :, 1], slices[:, :, 4])


def test_rows_do_not_depend_on_what_is_asked_with_them(tmp_path):
    channel = MotionCubes(write_store(tmp_path, a=walkers(8, seed=6), b=walkers(8, seed=7)))
    every = channel.rows(np.arange(16))
    np.testing.assert_array_equal(channel.rows(np.array([9, 2, 9])), every[[9, 2, 9]])


def test_frames_of_another_size_or_with_colour_are_refused(tmp_path):
    store = write_store(tmp_path, door=np.zeros((3, 100, 160)))
    with pytest.raises(SdorError, match=r"clip door: .* 160x100 with 1 .* expected 160x120 grey"):
        MotionCubes(store)
    np.save(tmp_path / "colour.npy", np.zeros((3, 120, 160, 3), np.uint8))
    with pytest.raises(SdorError, match=r"160x120 with 3 channel"):
        MotionCubes(FrameStore({"colour": tmp_path / "colour.npy"}))
