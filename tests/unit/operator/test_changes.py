"""A picture that changed as a whole is one event; what moves in the scene is none."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.operator.changes import find_changes, levelled

few = settings(max_examples=25, derandomize=True, deadline=None)
AT = 2004  # where the picture changes, of 4000 rows, ten a second


def street(rows=4000, *, seed=0):
    """Cells of a street in colour, with noise, in which somebody always walks."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(60, 180, (12, 18)) + rng.integers(0, 3, (rows, 12, 18))
    walker = np.arange(rows) // 5
    cells[np.arange(rows), 6 + walker // 18 % 4, walker % 18] = 30
    return cells.astype(np.uint8), np.full(rows, 50, dtype=np.float32)


def look(thumb, colour, stretch=None, *, rate=10):
    rows = len(thumb)
    stretch = np.zeros(rows, dtype=int) if stretch is None else stretch
    begins = np.searchsorted(stretch, stretch)
    return find_changes(thumb, colour, (np.arange(rows) - begins) / rate, stretch)


def found(*args, **kwargs):
    changes = look(*args, **kwargs)
    return list(zip(changes.moments.tolist(), changes.words, strict=True))


def grey(thumb, colour):
    return thumb, 0 * colour


def rain(thumb, colour):
    drops = np.random.default_rng(1).integers(0, 25, thumb.shape)
    return (thumb + drops).astype(np.uint8), colour


def spider(thumb, colour):
    thumb = thumb.copy()
    thumb[:, 7:, 11:] = 15
    return thumb, colour


MADE = {
    "colour to grey": grey,
    "much darker": lambda thumb, colour: (thumb // 2, colour),
    "much brighter": lambda thumb, colour: ((thumb * 1.4 + 30).clip(0, 255).astype("u1"), colour),
    "colour to grey, much darker": lambda thumb, colour: (thumb // 3, colour / 25),
    "the view changed": lambda thumb, colour: (np.roll(thumb, 2, axis=2), colour),
    "part of the view changed": spider,
    "all of it flickers": rain,
}
BACK = {
    "colour to grey": "grey to colour",
    "much darker": "much brighter",
    "much brighter": "much darker",
    "colour to grey, much darker": "grey to colour, much brighter",
    "all of it flickers": "it no longer flickers",
}


def changed(thumb, colour, change, first=AT, end=None):
    thumb, colour = thumb.copy(), colour.copy()
    span = slice(first, end)
    thumb[span], colour[span] = change(thumb[span], colour[span])
    return thumb, colour


@pytest.mark.parametrize("words", MADE)
def test_a_change_that_stays_is_one_event_and_another_regime(words):
    thumb, colour = changed(*street(), MADE[words])
    changes = look(thumb, colour)
    assert changes.words == (words,)
    assert changes.moments == pytest.approx(AT, abs=10 if "flickers" in words else 1)
    (at,) = changes.moments
    np.testing.assert_array_equal(changes.blocked.nonzero()[0], np.arange(at - 20, at + 21))
    assert (changes.regime[: AT - 10] == 0).all()
    assert (changes.regime[AT + 10 :] == 1).all()


@pytest.mark.parametrize("words", MADE)
def test_the_state_before_is_known_again(words):
    first, end = 1200, 2800
    changes = look(*changed(*street(), MADE[words], first, end))
    assert changes.words == (words, BACK.get(words, words))
    assert changes.moments == pytest.approx(np.array([first, end]), abs=10)
    assert changes.regime[[0, 2000, 3999]].tolist() == [0, 1, 0]


@pytest.mark.parametrize("words", sorted(set(MADE) - {"part of the view changed"}))
@pytest.mark.parametrize(("rows", "first"), [(110, 54), (180, 60), (180, 120)])
def test_a_short_recording_shows_it_too(words, rows, first):
    assert [one for _, one in found(*changed(*street(rows), MADE[words], first))] == [words]


def test_seconds_do_not_tell_a_van_from_a_spider():
    assert found(*changed(*street(200), spider, 100)) == []


@pytest.mark.parametrize("rate", [0.25, 1, 2, 25])
def test_any_rate_of_frames_shows_it(rate):
    rows = int(400 * rate)
    ((at, words),) = found(*changed(*street(rows), MADE["much darker"], rows // 2), rate=rate)
    assert words == "much darker"
    assert at == pytest.approx(rows // 2, abs=1)


def test_exposure_that_settles_within_two_seconds_is_one_change():
    thumb, colour = changed(*street(), MADE["colour to grey, much darker"])
    thumb[AT - 10 : AT], thumb[AT : AT + 10] = 0, 255
    assert [words for _, words in found(thumb, colour)] == ["colour to grey, much darker"]


@few
@given(
    first=st.integers(0, 3900),
    seconds=st.floats(0.1, 40),
    left=st.integers(0, 10),
    brightness=st.integers(0, 255),
    times=st.integers(1, 3),
)
def test_what_passes_is_no_event(first, seconds, left, brightness, times):
    """A lorry before the lens, over half of the width, also one after the other."""
    thumb, colour = street(5000)
    for k in range(times):
        end = min(first + int(seconds * 10), 4940)  # nor what drives away as the recording ends
        thumb[max(first, 60) + 1500 * k : end + 1500 * k, 2:, left : left + 9] = brightness
    thumb[4940:] = thumb[:60]
    changes = look(thumb, colour)
    assert (changes.words, changes.blocked.any()) == ((), False)


@few
@given(rows=st.lists(st.integers(0, 1998), max_size=8), value=st.sampled_from([0, 255]))
def test_flashes_are_no_event(rows, value):
    thumb, colour = street(2000)
    for row in {row // 40 * 40 for row in rows}:
        thumb[row : row + 2] = value
    assert found(thumb, colour) == []


def test_a_first_frame_of_something_else_is_no_event():
    thumb, colour = street(200)
    thumb[0] = np.roll(thumb[0], 5, axis=1)
    assert found(thumb, colour) == []


def test_dusk_is_no_event_but_another_regime():
    thumb, colour = street(24_000)
    light = np.linspace(1, 0.2, 24_000)
    changes = look((thumb * light[:, None, None]).astype(np.uint8), colour * light.astype("f4"))
    assert changes.words == ()
    assert (np.diff(changes.regime) >= 0).all()
    assert changes.regime[-1] in (2, 3)  # of a fifth of the light, by halves as much again


def test_between_stretches_is_no_event_but_another_regime():
    thumb, colour = changed(*street(), MADE["the view changed"])
    stretch = np.where(np.arange(4000) < AT, 7, 3)
    changes = look(thumb, colour, stretch)
    assert (changes.words, changes.blocked.any()) == ((), False)
    np.testing.assert_array_equal(changes.regime, stretch == 3)


def test_a_change_blocks_nothing_of_another_stretch():
    thumb, colour = changed(*street(110), MADE["much darker"], 55)
    changes = look(np.tile(thumb, (2, 1, 1)), np.tile(colour, 2), np.repeat([0, 1], 110))
    assert changes.moments.tolist() == [55, 165]
    np.testing.assert_array_equal(np.tile(changes.blocked[:110], 2), changes.blocked)


@pytest.mark.parametrize("rows", [0, 1, 2, 30, 100])
def test_what_is_too_short_to_tell_has_one_regime(rows):
    thumb, colour = street(rows)
    thumb[rows // 2 :] //= 4
    changes = look(thumb, colour)
    assert changes.words == ()
    assert changes.moments.dtype.kind == "i"
    assert changes.regime.tolist() == [0] * rows


def test_a_day_is_looked_at_in_seconds():
    thumb, colour = street(1000)
    thumb, colour = np.tile(thumb, (864, 1, 1)), np.tile(colour, 864)
    thumb[500_000:] //= 3
    begin = time.process_time()
    assert found(thumb, colour) == [(500_000, "much darker")]
    assert time.process_time() - begin < 5  # half a second where nothing else runs


def test_a_single_regime_leaves_scores_as_they_are():
    scores = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    given_back = levelled(scores, np.full(2000, 4), np.arange(2000) / 10)
    assert given_back.tobytes() == scores.tobytes()
    assert given_back.dtype == scores.dtype


def test_a_night_that_scores_higher_does_not_fill_the_list():
    rng = np.random.default_rng(0)
    regime = np.repeat([0, 1], [6000, 3000])
    scores = rng.gamma(2, 1, 9000)
    scores[regime == 1] = 20 + 3 * scores[regime == 1]
    scores[2500] = 18  # by day, and less than any frame of the night
    level = levelled(scores, regime, np.arange(9000) / 10)
    assert level.argmax() == 2500
    for number in (0, 1):
        assert np.median(level[regime == number]) == pytest.approx(np.median(scores))


@few
@given(scale=st.floats(0.5, 8), shift=st.floats(-50, 50), seed=st.integers(0, 99))
def test_regimes_come_to_the_camera_s_level_and_keep_their_order(scale, shift, seed):
    scores = np.random.default_rng(seed).normal(size=1600)
    regime = np.arange(1600) // 800
    scores[800:] = scores[800:] * scale + shift
    level = levelled(scores, regime, np.arange(1600) / 10)
    deviation = [np.median(np.abs(one - np.median(one))) for one in (level[:800], level[800:])]
    medians = np.median(level.reshape(2, 800), axis=1)
    np.testing.assert_allclose(medians, np.median(scores), atol=1e-9)
    assert max(deviation) <= np.median(np.abs(scores - np.median(scores))) * (1 + 1e-9)
    for half in (slice(0, 800), slice(800, 1600)):
        np.testing.assert_array_equal(np.argsort(level[half]), np.argsort(scores[half]))


def test_a_regime_of_less_than_a_minute_stays_as_it_is():
    scores = np.random.default_rng(0).normal(size=3000)
    regime = np.where(np.arange(3000) % 1500 < 299, 1, 0)  # 598 rows in two stretches
    scores[regime == 1] += 9
    seconds = np.arange(3000) % 1500 / 10
    level = levelled(scores, regime, seconds)
    np.testing.assert_array_equal(level[regime == 1], scores[regime == 1])
    assert not np.array_equal(level[regime == 0], scores[regime == 0])
    regime[[299, 300]] = 1  # a minute
    assert not np.array_equal(levelled(scores, regime, seconds)[:299], scores[:299])


def test_a_still_night_s_noise_is_not_blown_up():
    scores = np.random.default_rng(0).normal(size=3000)
    night = np.arange(3000) >= 2300
    scores[night] *= 1e-4
    level = levelled(scores, night.astype(int), np.arange(3000) / 10)
    assert np.abs(level[night] - np.median(level)).max() < 0.01
    still = levelled(np.where(night, 3.0, scores), night.astype(int), np.arange(3000) / 10)
    assert np.isfinite(still).all()
    assert np.ptp(still[night]) == 0
