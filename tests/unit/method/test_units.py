"""Scores in units of their own normal variation, and how much of them tells clips apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.method.units import CUT, Units, between_clips

few = settings(max_examples=40, derandomize=True, deadline=None)
numbers = st.lists(st.integers(-1000, 1000), min_size=2, max_size=40)


def test_a_unit_is_from_a_percentile_to_the_median():
    scores = np.arange(101.0)
    assert Units.of(scores) == Units(50, 45)  # the 5th percentile is 5
    assert Units.of(scores, CUT) == Units(50, 40)  # the 90th is 90
    np.testing.assert_allclose(Units.of(scores).measure(np.array([50, 95, 5])), [0, 1, -1])
    # Quiet is no news.
    np.testing.assert_allclose(Units.of(scores).weighed(np.array([50, 95, 5])), [0, 1, -0.25])


@pytest.mark.parametrize("percentile", [5, CUT])
@pytest.mark.parametrize("value", [0.0, 3.0, -1e6])
def test_a_constant_detector_says_nothing(percentile, value):
    scores = np.full(20, value) + 1e-12 * abs(value) * np.arange(20) / 20
    units = Units.of(scores, percentile)
    assert units.spread == 0
    assert not units.weighed(np.array([value, value + 9])).any()


@pytest.mark.parametrize("still", [0.0, 3.0])
def test_where_most_frames_are_alike_a_unit_is_the_distance_of_the_others(still):
    rounding = 1e-9 * np.random.default_rng(0).random(60) * still
    scores = np.concatenate([still + rounding, still + np.array([1.0, 2, 3, 4, 5])])
    assert Units.of(scores).spread == pytest.approx(3)
    assert Units.of(scores, CUT).spread == pytest.approx(3)


def test_numbers_within_one_rounding_of_their_median_are_alike():
    scores = 1 + 0.7e-5 * np.array([-1.0, 0, 0, 0, 0, 0, 1])
    assert Units.of(scores).spread == 0


@few
@given(numbers, st.integers(1, 50), st.integers(-500, 500))
def test_units_know_neither_scale_nor_origin(values, factor, shift):
    scores = np.array(values, dtype=float)
    own = Units.of(scores).measure(scores)
    # Far from 0, the last digits are rounding: here they are not.
    moved = factor * scores + shift
    assert np.isfinite(own).all()
    np.testing.assert_allclose(Units.of(moved).measure(moved), own, atol=1e-9)


def test_variance_lies_between_clips_or_within_them():
    clips = np.repeat([4, 9], 5)
    assert between_clips(np.repeat([0.0, 1.0], 5), clips) == pytest.approx(1)
    assert between_clips(np.tile(np.arange(5.0), 2), clips) == pytest.approx(0)
    assert between_clips(np.ones(10), clips) == 0
    # Means 1 and 3 around 2; squares: 2 x 2 x 1 between, of 8 + ... in all.
    assert between_clips(np.array([0, 2, 2.0, 4]), np.array([0, 0, 1, 1])) == pytest.approx(0.5)
