"""Motion and appearance are added in frames and in cells; the heat map says where."""

import numpy as np
import pytest

from sdor.method.answer import answer, damped, heat_maps, own_iterations, within_frames
from sdor.method.flow import Flow
from sdor.method.motion import MotionScale, Start
from sdor.method.place_labels import Looked
from sdor.method.units import CUT, Units
from sdor.video.timeline import Timeline


def test_the_first_iteration_only_hands_on():
    assert own_iterations([1, 2, 3]) == [2, 3]
    assert own_iterations([1]) == [1]


def test_motion_counts_less_and_less_beyond_where_a_begins():
    scores = np.array([1, 2, 3, 15, -7.0])
    np.testing.assert_allclose(damped(scores, Units(1, 2)), [0, 0.5, 1, 1 + np.log(7), -1])


def test_cells_and_places_are_added_where_they_are():
    units = Units(0, 1), Units(1, 2)  # a place of 1 is ordinary
    cells, places = np.zeros((2, 12, 18)), np.ones((2, 49))
    cells[:, 0, 0:3] = 1  # where A begins
    places[0, [0, 1]] = 5  # two units, where it moves
    places[1, [47, 48]] = 5  # the same elsewhere
    within = within_frames(cells, places, units)
    assert within[0] == pytest.approx(3, abs=0.3)
    assert within[1] == pytest.approx(2, abs=0.3)


def scene(count=40):
    """A scene of two clips in which at frame 10 to 12 something moves that looks unusual."""
    rng = np.random.default_rng(0)
    timeline = Timeline.of({name: np.arange(count // 2) / 10 for name in "ab"})
    speed, fine = rng.random((count, 12, 18)), rng.random((count, 24, 36))
    speed[10:13, 6, 9], fine[10:13, 12:14, 18:20] = 30, 30
    one = np.ones(count)
    flow = Flow(np.arange(count), speed, np.ones_like(speed), fine, one)
    scale = MotionScale(np.ones(12), {"speed": Units(0.5, 0.5)})
    score = rng.random(count)
    score[10:13] = 5
    start = Start({"speed": score}, score, scale, flow, scale.measure(speed))
    looked = Looked.of(timeline, 5)
    places = rng.random((len(looked.rows), 49)) / 9
    places[5:7, 24] = 1
    return start, looked, places


def test_the_answer_is_the_sum_of_its_parts():
    start, looked, places = scene()
    iterations = [looked.frame_scores(one, 3) for one in (0 * places, places, 3 * places)]
    table, units = answer(start, iterations, [0 * places, places, 3 * places], looked)
    assert list(table) == ["clip", "frame", "motion", "appearance", "places", "score"]
    parts = table[["motion", "appearance", "places"]].sum(axis=1)
    np.testing.assert_allclose(table["score"], parts)
    np.testing.assert_array_equal(table["motion"], damped(start.score, units[0]))
    mean = looked.frame_scores(2 * places, 3)  # of the second and the third
    assert units[0] == Units.of(start.score, CUT)
    assert vars(units[1]) == pytest.approx(vars(Units.of(mean, CUT)))
    np.testing.assert_allclose(table["appearance"], units[1].weighed(looked.spread(mean)))
    assert 9 <= table["score"].argmax() <= 13
    # What other video of the scene is measured by: the same scales.
    again, same = answer(start, iterations, [0 * places, places, 3 * places], looked, units)
    assert same == units
    np.testing.assert_array_equal(again["score"], table["score"])


def test_constant_scores_are_no_answer():
    start, looked, places = scene()
    still = Start({}, np.zeros(40), MotionScale(np.ones(12), {}), start.flow, 0 * start.cells)
    flat = 0 * places + 0.3
    table, _ = answer(still, [looked.frame_scores(flat, 3)], [flat], looked)
    np.testing.assert_allclose(table["score"], 0, atol=1e-9)


def test_the_heat_is_where_it_moves_and_looks_unusual():
    start, looked, places = scene()
    units = Units.of(start.score, CUT), Units.of(looked.frame_scores(places, 3), CUT)
    heat = heat_maps(start, places, units, looked)
    maps = heat(np.arange(40))
    assert maps.shape == (40, 24, 36)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    frame, row, column = np.unravel_index(maps.argmax(), maps.shape)
    assert 10 <= frame <= 12
    assert row in (12, 13)
    assert column in (18, 19)
    # Some frames are what they are among all.
    np.testing.assert_allclose(heat(np.array([3, 30])), maps[[3, 30]])
    # Without anything unusual to see, it is motion alone.
    plain = heat_maps(start, 0 * places - 9, units, looked)(np.arange(40))
    assert (plain <= maps + 1e-5).all()
    assert plain.max() < maps.max()
