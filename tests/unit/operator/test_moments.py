"""What an operator marked has the last word in the list, whatever a model scores."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sdor.operator.moments import placed_marks, standing_out
from sdor.study.settings import EventSettings

BUDGET = EventSettings(budget=3, per="scene", lead=3.0)
MARK = {"event": "", "time": np.nan, "round": 1}


def scored(*bumps):
    """Two adjoining clips of 60 s, ten rows a second: frames 3, 6 … of each.

    A bump is its middle (s), its height and its half width (s).
    """
    seconds = np.arange(1200) / 10
    score = np.random.default_rng(0).normal(0, 0.1, 1200)
    for middle, height, wide in bumps:
        score += height * np.exp(-0.5 * ((seconds - middle) / wide) ** 2)
    clip = np.repeat(["a", "b"], 600).astype(object)
    table = {
        "clip": clip,
        "frame": np.tile(3 * np.arange(1, 601), 2),
        "time": np.tile(seconds[:600], 2),
    }
    return pd.DataFrame({**table, "stretch": 0, "seconds": seconds, "score": score})


def listed(scores, *marks, settings=BUDGET):
    table = pd.DataFrame([{**MARK, **mark} for mark in marks]) if marks else None
    return standing_out(scores, settings, None, placed_marks(scores, table))


def mark_of(event, label):
    names = ("event", "clip", "first", "last")
    return {**{name: event[name] for name in names}, "frame": event["peak"], "label": label}


@pytest.fixture
def before():
    return scored((20, 9, 1), (40, 6, 1), (80, 4, 1), (100, 3, 1))


def test_without_marks_all_is_as_before(before):
    plain = standing_out(before, BUDGET)
    pd.testing.assert_frame_equal(listed(before), plain)
    assert plain["peak_seconds"].tolist() == pytest.approx([20, 40, 80], abs=0.3)
    assert set(plain["mark"]) == {""}


@pytest.mark.parametrize("shift", [-1.5, 0, 1.5])
def test_a_dismissed_moment_stays_away_though_its_peak_and_its_ends_move(before, shift):
    dismissed = mark_of(listed(before).iloc[0], label=0)
    after = scored((20 + shift, 12, 4), (40, 6, 1), (80, 4, 1), (100, 3, 1))
    assert listed(after)["peak_seconds"][0] == pytest.approx(20 + shift, abs=1)
    found = listed(after, dismissed)
    assert found["peak_seconds"].tolist() == pytest.approx([40, 80, 100], abs=0.3)
    assert found["rank"].tolist() == [1, 2, 3]


def test_what_is_beside_a_dismissed_moment_is_still_found(before):
    dismissed = mark_of(listed(before).iloc[0], label=0)
    # The new model sees no valley between the two.
    after = scored((20, 6, 1), (23, 6, 2), (27, 9, 2))
    whole, found = listed(after).iloc[0], listed(after, dismissed).iloc[0]
    assert whole["first"] <= dismissed["last"]
    assert found["peak"] == whole["peak"]
    assert found["begin"] >= before["time"][(dismissed["last"] - 3) // 3] + 2


def test_what_is_left_between_two_moments_is_none():
    scores, many = scored((20, 9, 2), (28, 8, 1), (80, 2, 1)), replace(BUDGET, budget=9)
    dismissed = mark_of(listed(scores, settings=many).iloc[1], label=0)
    found = listed(scores, dismissed, settings=many)
    assert found["peak_seconds"].iloc[:2].tolist() == pytest.approx([20, 80], abs=0.5)
    assert not found["peak_seconds"].between(22, 34).any()
    # What is listed of nothing is no moment, in the same columns.
    flat = scores.assign(score=0.0)
    assert listed(flat, dismissed).columns.tolist() == found.columns.tolist()


def test_a_dismissed_moment_stays_away_beyond_the_end_of_its_file():
    before = scored((59.5, 9, 1), (20, 3, 1))
    event = listed(before).iloc[0]
    assert (event["clip"], event["end_seconds"] > 60) == ("a", True)
    after = scored((59.5, 9, 3), (20, 3, 1))
    found = listed(after, mark_of(event, 0))
    assert found["peak_seconds"][0] == pytest.approx(20, abs=0.3)
    # Nor do its flanks, which fall off for ten seconds.
    assert not found["peak_seconds"].between(48, 71).any()


def test_a_confirmed_moment_stays_where_nothing_is_scored_any_more(before):
    event = listed(before).iloc[1]
    found = listed(scored((20, 9, 1), (80, 4, 1), (100, 3, 1)), mark_of(event, label=1))
    assert found["peak_seconds"].tolist()[:3] == pytest.approx([20, 80, 100], abs=0.3)
    same = ["clip", "first", "last", "peak", "begin", "end", "peak_time", "peak_seconds"]
    kept = found.iloc[3]
    assert kept[same].to_dict() == event[same].to_dict()
    assert (kept["known"], kept["mark"], kept["group"]) == (event["event"], "anomaly", "marked")


@pytest.mark.parametrize("label", [0, 1])
def test_by_hand_a_frame_means_the_moment_that_it_is_in(label):
    wide = scored((20, 9, 4), (40, 6, 1), (80, 4, 1))
    event = listed(wide).iloc[0]
    frame = event["first"] + 1  # between two rows, and seconds before the peak
    mark = {"clip": "a", "frame": frame, "first": frame, "last": frame, "label": label}
    found = listed(wide, mark, {**mark, "frame": frame + 4, "first": frame + 4, "last": frame + 4})
    assert found["peak_seconds"][0] == pytest.approx(40, abs=0.3)
    kept = found[found["mark"] == "anomaly"]
    assert kept["event"].tolist() == [event["event"]] * label


def test_marks_of_what_is_gone_change_nothing(before):
    gone = {"clip": "old", "frame": 5, "first": 1, "last": 9, "label": 1}
    pd.testing.assert_frame_equal(listed(before, gone), listed(before))
