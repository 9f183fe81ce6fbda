"""Frames are sampled, smoothed and filled in between by seconds, whatever their rate."""

import logging
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.video.timeline import Timeline

few = settings(max_examples=30, derandomize=True, deadline=None)
gaps = st.lists(st.floats(0.01, 3.0), max_size=20)


def at(rate, *counts):
    """Clips of so many frames at one rate."""
    return Timeline.of({f"clip{n}": np.arange(count) / rate for n, count in enumerate(counts, 1)})


def test_frames_are_numbered_clip_by_clip():
    timeline = Timeline.of({"b": np.array([0.0, 0.1]), "a": np.array([0.0])})
    assert timeline.index().to_numpy().tolist() == [["b", 1], ["b", 2], ["a", 1]]
    assert timeline.spans() == [(0, 2), (2, 3)]
    assert len(timeline) == 3


@pytest.mark.parametrize(
    ("rate", "wanted", "rows"),
    [
        (30, 10, [0, 3, 6, 9]),
        (25, 10, [0, 3, 5, 8, 10]),  # 0, 0.12, 0.2, 0.32, 0.4 s
        (10, 5, [0, 2, 4, 6, 8, 10]),
        (10, 10, [*range(11)]),
        (5, 10, [*range(11)]),  # never more than there are
        (10, 0.5, [0]),
        (10, None, [*range(11)]),
    ],
)
def test_samples_are_the_first_frames_of_their_periods(rate, wanted, rows):
    assert at(rate, 11).sampled(wanted).tolist() == rows


def test_every_clip_is_sampled_from_its_own_begin():
    timeline = Timeline.of({"a": np.arange(7) / 10, "b": 1000.05 + np.arange(3) / 10, "c": [0.3]})
    assert timeline.sampled(5).tolist() == [0, 2, 4, 6, 7, 9, 10]


@pytest.mark.parametrize("begin", [0.3, 1234.567, 86400.1])
def test_what_rounding_makes_of_times_changes_no_sample(begin):
    timeline = Timeline.of({"gate": begin + np.arange(100) / 30})
    assert timeline.sampled(10).tolist() == [*range(0, 100, 3)]


@few
@given(st.lists(gaps, min_size=1, max_size=4), st.floats(0.3, 20))
def test_one_frame_a_period_whatever_the_times(clips, rate):
    timeline = Timeline.of({str(n): np.cumsum([0, *gap]) for n, gap in enumerate(clips)})
    rows = timeline.sampled(rate)
    assert {start for start, _ in timeline.spans()} <= set(rows)
    for start, stop in timeline.spans():
        here = timeline.seconds[rows[(rows >= start) & (rows < stop)]]
        assert np.unique(np.floor((here + 1e-6) * rate)).size == here.size
        every = np.floor((timeline.seconds[start:stop] + 1e-6) * rate)
        assert here.size == np.unique(every).size


@pytest.mark.parametrize(
    ("rate", "earlier"),
    [(5, [0, 0, 1, 2]), (10, [0, 0, 1, 2]), (25, [0, 0, 0, 0, 1]), (30, [0, 0, 0, 0, 1])],
)
def test_a_pair_is_at_least_a_tenth_of_a_second_apart(rate, earlier):
    timeline = at(rate, 3, len(earlier))
    rows = np.arange(3, len(timeline))
    assert (timeline.before(rows, 0.1) - 3).tolist() == earlier


def test_smoothing_is_the_gaussian_of_so_many_seconds():
    values = np.random.default_rng(0).random(50)
    for rate in (5, 25):
        smooth = at(rate, 50).smoothed(values, np.arange(50), 0.2)
        np.testing.assert_allclose(smooth, gaussian_filter1d(values, 0.2 * rate, mode="nearest"))


def test_smoothing_stays_inside_a_clip():
    timeline = at(10, 20, 20)
    values = np.repeat([0.0, 1.0], 20)
    np.testing.assert_array_equal(timeline.smoothed(values, np.arange(40), 0.5), values)
    several = np.stack([values, 3 - values], axis=1)[:, None]
    smooth = timeline.smoothed(several, np.arange(40), 0.5)
    np.testing.assert_allclose(smooth, several)


def test_a_clip_of_one_frame_keeps_its_value():
    timeline = at(10, 1, 3)
    smooth = timeline.smoothed(np.array([7.0, 1, 1, 1]), np.arange(4), 0.5)
    np.testing.assert_allclose(smooth, [7, 1, 1, 1])


def test_values_that_are_no_part_of_the_scene_change_nothing():
    timeline, known = at(10, 12), np.ones(12, dtype=bool)
    known[4:7] = False
    values = np.arange(12.0)
    spoiled = np.where(known, values, 1e9)
    np.testing.assert_allclose(
        timeline.smoothed(spoiled, np.arange(12), 0.2, known),
        timeline.smoothed(np.where(known, values, -5), np.arange(12), 0.2, known),
    )
    one = np.ones(12)
    np.testing.assert_allclose(timeline.smoothed(one, np.arange(12), 0.2, known), one)
    assert not timeline.smoothed(one, np.arange(12), 0.2, ~one.astype(bool)).any()


def test_scores_between_samples_are_linear_in_time():
    timeline = Timeline.of({"a": np.array([0, 0.1, 0.3, 0.4, 0.6]), "b": np.array([0.0, 0.5])})
    rows = np.array([1, 3, 5])
    spread = timeline.spread(np.array([1.0, 4, 9]), rows)
    # Frame 3 lies two thirds of the way from 0.1 to 0.4 s; ends keep the nearest sample's.
    np.testing.assert_allclose(spread, [1, 1, 3, 4, 4, 9, 9])
    np.testing.assert_allclose(timeline.spread(np.array([1.0, 4, 9]), rows, np.array([2])), [3])
    planes = timeline.spread(np.array([[1.0, 0], [4, 3], [9, 8]]), rows)
    np.testing.assert_allclose(planes, np.stack([spread, spread - 1], axis=1))


@few
@given(st.lists(gaps, min_size=1, max_size=4), st.floats(0.3, 20))
def test_samples_keep_their_values_and_none_is_beyond_them(clips, rate):
    timeline = Timeline.of({str(n): np.cumsum([0, *gap]) for n, gap in enumerate(clips)})
    rows = timeline.sampled(rate)
    values = np.random.default_rng(0).random(len(rows))
    spread = timeline.spread(values, rows)
    np.testing.assert_allclose(spread[rows], values)
    for start, stop in timeline.spans():
        own = values[(rows >= start) & (rows < stop)]
        assert (spread[start:stop] >= own.min() - 1e-12).all()
        assert (spread[start:stop] <= own.max() + 1e-12).all()


@pytest.mark.parametrize(
    ("times", "rate", "seconds", "told"),
    [
        ([0.0, 0.04, 0.08], None, [0, 0.04, 0.08], False),
        ([0.0, 0.04, 0.08], 10, [0, 0.1, 0.2], False),  # a scene file knows better
        ([np.nan] * 3, None, [0, 0.1, 0.2], True),
        ([0.0, np.nan, 0.5], None, [0, 0.5, 1.0], True),
        ([0.0, 0.2, 0.2, 0.4], None, [0, 0.2, 0.4, 0.6], True),
        ([np.nan], None, [0], True),
        ([np.nan] * 3, 4, [0, 0.25, 0.5], False),
    ],
)
def test_frames_without_times_are_given_some_and_it_is_told(times, rate, seconds, told, caplog):
    with caplog.at_level(logging.WARNING):
        timeline = Timeline.of({"gate": np.array(times)}, {"gate": rate})
    np.testing.assert_allclose(timeline.seconds, seconds)
    assert ("clip gate: its frames have no times that rise" in caplog.text) == told


def test_times_are_read_beside_the_frames_and_empty_clips_left_out(tmp_path):
    about = {"width": 8, "height": 8, "failure": "", "doubts": []}
    files = {"a": np.array([0.0, 0.5, 1.0]), "empty": np.zeros(0), "b": np.array([np.nan])}
    for name, times in files.items():
        write_parquet(
            tmp_path / f"{name}.parquet",
            pd.DataFrame({"time": times}).assign(sampled=times != 0.5),
            about,
        )
    paths = {name: tmp_path / f"{name}.parquet" for name in files}
    timeline = Timeline.read(paths.values(), {"b": 25})
    assert timeline.clips == ("a", "b")
    assert timeline.seconds.tolist() == [0, 1, 0]
    assert timeline.index()["frame"].tolist() == [1, 3, 1]
    paths["a"].write_bytes(b"torn")
    with pytest.raises(SdorError, match=r"a\.parquet"):
        Timeline.read(paths.values(), {})


def test_hours_of_video_take_little_memory():
    timeline = at(10, *[600] * 100)
    tracemalloc.start()
    rows = timeline.sampled(5)
    values = np.ones((len(rows), 4))
    spread = timeline.spread(timeline.smoothed(values, rows, 0.5), rows)
    timeline.before(rows, 0.1)
    assert spread.shape == (60_000, 4)
    assert tracemalloc.get_traced_memory()[1] < 200e6  # bytes; pairs of frames would take 1e10
    tracemalloc.stop()
