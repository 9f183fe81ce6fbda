"""Events: the rule by numbers worked out by hand, what always holds, and what is no event."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.method.events import DAY, box_of, days_of, find_events, highest_ordinary, of_clips
from sdor.study.settings import EventSettings

TEN = EventSettings(budget=10, per="scene", lead=3)


def table(clips, step=5.0, stretches=None):
    """Scores of clips, a frame every `step` seconds; 5 s and more leave nothing to smooth."""
    parts = [
        pd.DataFrame({"clip": name, "score": np.array(scores, dtype=float)})
        for name, scores in clips.items()
    ]
    scores = pd.concat(parts, ignore_index=True)
    by_clip = scores.groupby("clip", sort=False)
    scores["frame"] = by_clip.cumcount() + 1
    scores["time"] = (scores["frame"] - 1) * step
    scores["stretch"] = scores["clip"].map(stretches or (lambda name: name))
    seconds = scores.groupby("stretch", sort=False).cumcount() * step
    return scores.assign(seconds=seconds.astype(float))


def rows(found, *names):
    return found[list(names)].to_numpy().tolist()


def test_an_event_reaches_down_to_half_its_height_above_the_median():
    # The median is 1: half of the height of 9 is 5, of 6 it is 3.5, of 2 it is 1.5.
    one = [1, 1, 1, 4, 5, 9, 6, 4, 1, 1, 1, 0, 1]
    found = find_events(table({"a": one, "b": [1, 1, 6, 3, 0, 1, 1, 0, 1, 1, 1, 2, 1, 1]}), TEN)
    assert rows(found, "rank", "clip", "first", "last", "peak", "begin", "end", "peak_time") == [
        [1, "a", 5, 7, 6, 20.0, 30.0, 25.0],
        [2, "b", 3, 3, 3, 10.0, 10.0, 10.0],
        # What is left of the flanks of the first; of equal ones the earlier comes first.
        [3, "a", 4, 4, 4, 15.0, 15.0, 15.0],
        [4, "a", 8, 8, 8, 35.0, 35.0, 35.0],
        [5, "b", 4, 4, 4, 15.0, 15.0, 15.0],
        [6, "b", 12, 12, 12, 55.0, 55.0, 55.0],
    ]
    assert found["score"].tolist() == [9, 6, 4, 4, 3, 2]
    # 27 frames, of which 1 is above 6 and 8 are above 3, one of them with 3.
    assert found["percentile"].tolist()[:2] == pytest.approx([100, 2600 / 27])
    assert find_events(table({"a": one}), EventSettings(1, "scene", 3))["peak"].tolist() == [6]


def test_heights_are_told_in_robust_spreads():
    # Distances from the median 2: 2, 2, 1, 1, 0, 1, 1, 2 and 18, whose median is 1.
    found = find_events(table({"a": [0, 0, 1, 1, 2, 3, 3, 4, 20]}), TEN)
    assert found["unusual"].tolist()[0] == pytest.approx(18 / 1.4826)
    # More than half are alike: the mean distance is (8 + 4) / 12.
    still = find_events(table({"a": [1.0] * 10 + [9, 5]}), TEN)
    assert still["unusual"].tolist() == pytest.approx([8 / 1.2533])


def test_a_long_event_is_cut_and_what_follows_keeps_its_distance():
    # A frame a second, 100 of them high: 15 s to either side of the first highest, at 70 s.
    scores = np.where(np.arange(300) // 100 == 1, 5.0, 0.0)
    scores[170] += 1
    found = find_events(table({"a": scores}, step=1.0), TEN)
    assert rows(found, "begin", "end")[0] == [155.0, 185.0]
    ends = found.sort_values("begin")[["begin", "end"]].to_numpy()
    assert (ends[:, 1] - ends[:, 0]).max() == 30
    assert (ends[1:, 0] - ends[:-1, 1]).min() == 3  # the first frame more than 2 s away


def test_half_a_second_is_smoothed_and_nothing_across_stretches():
    scores = {"a": [0.0] * 50 + [4.0], "b": [0.0] * 50}
    found = find_events(table(scores, step=0.1), TEN)
    # The peak, repeated beyond the end as filters do, of a Gaussian with sigma 5: 0.54 of it.
    weights = np.exp(-0.5 * (np.arange(-20, 21) / 5) ** 2)
    assert found["score"].tolist() == pytest.approx([4 * weights[20:].sum() / weights.sum()])
    assert found["clip"].tolist() == ["a"]


def test_adjoining_clips_are_one_stretch():
    clips = {"a": [0, 0, 0, 0, 4], "b": [6, 5, 0, 0, 0, 0]}
    apart = find_events(table(clips), TEN)
    assert rows(apart, "clip", "first", "last") == [["b", 1, 2], ["a", 5, 5]]
    joined = find_events(table(clips, stretches={"a": 7, "b": 7}), TEN)
    assert rows(joined, "stretch", "clip", "first", "last", "begin", "end") == [
        [7, "b", 1, 2, 0.0, 5.0]
    ]
    assert rows(joined, "begin_seconds", "end_seconds", "peak_seconds") == [[20.0, 30.0, 25.0]]
    assert joined["event"][0] == apart["event"][0]


def test_blocked_frames_are_no_part_of_the_scene():
    scores = [0, 1, 0, 8, 9, 8, 0, 1, 2, 1, 0, 1]
    blocked = np.zeros(12, dtype=bool)
    blocked[4] = True
    found = find_events(table({"a": scores}), TEN, blocked)
    # Neither event reaches through the frame between them, and the scale is without it.
    assert rows(found, "first", "last")[:2] == [[4, 4], [6, 6]]
    assert found["percentile"].tolist()[:2] == [100, 100]
    assert find_events(table({"a": scores}), TEN, np.ones(12, dtype=bool)).empty


def test_a_budget_is_of_each_day():
    scores = table({"a": [0, 0, 0, 0, 0, 9, 0, 8, 0, 0, 0, 0, 7, 0, 0]}, step=DAY / 10)
    daily = EventSettings(budget=1, per="day", lead=3)
    assert find_events(scores, daily)["peak"].tolist() == [6, 13]
    # By the clock they are at 20:00, and at 0:48 and 12:48 of the next day.
    begin = pd.Timestamp("2026-11-28 08:00")
    scores["clock"] = begin + pd.to_timedelta(scores["seconds"], unit="s")
    assert find_events(scores, daily)["peak"].tolist() == [6, 8]
    scores.loc[5:, "clock"] = pd.NaT
    assert days_of(scores)[3:].tolist() == [20785, 20785, *[-1] * 9, -2]


def test_days_without_a_clock_are_of_video_not_of_files():
    scores = table({f"clip{number}": [0.0] * 4 for number in range(4)}, step=DAY / 8)
    # Each lasts three eighths of a day, from its first frame to its last.
    assert days_of(scores).tolist() == [-1] * 10 + [-2] * 6


@pytest.mark.parametrize(
    "scores", [np.zeros(60), 0.5 + 1e-7 * np.sin(np.arange(60)), np.full(1, 3.0)]
)
def test_nothing_stands_out_of_equal_scores(scores):
    assert find_events(table({"a": scores}, step=0.1), TEN).empty


def test_unlike_is_what_ordinary_events_do_not_reach():
    # 16 ordinary ones whose median is 2: the highest of them is expected at 2 times log2 16.
    ordinary = np.linspace(1, 3, 16)
    assert highest_ordinary(ordinary) == 8
    assert highest_ordinary(ordinary[:2]) == highest_ordinary(ordinary[:0]) == 3.5
    # The highest of an exponential distribution stays ordinary however long the archive is,
    # though it is 6 spreads above usual; an event of 30 does not.
    rng = np.random.default_rng(0)
    long = rng.exponential(size=20_000)
    found = find_events(table({"a": long}), TEN)
    assert found["unusual"].min() > 6
    assert set(found["group"]) == {"ordinary"}
    long[500] = 30
    assert find_events(table({"a": long}), TEN)["group"].tolist() == ["unlike"] + ["ordinary"] * 9


def test_clips_of_the_workflow_are_stretches_and_unknown_times_stay_unknown():
    scores = pd.DataFrame(
        {"clip": ["a"] * 3 + ["b"] * 4, "frame": [1, 2, 3, 1, 2, 3, 4], "score": [0.0] * 6 + [1.0]}
    )
    times = scores[["clip", "frame"]].assign(time=[5.0, 6.0, 7.0, *[np.nan] * 4])
    table = of_clips(scores, times[::-1])
    assert table["seconds"].tolist() == pytest.approx([5, 6, 7, 0, 0.1, 0.2, 0.3])
    found = find_events(table, TEN)
    assert rows(found, "clip", "peak") == [["b", 4]]
    assert found["begin"].isna().all()
    assert found["end_seconds"].tolist() == pytest.approx([0.3])


def test_a_box_is_around_what_is_hot_next_to_the_hottest_cell():
    heat = np.ones((24, 36))
    heat[6:9, 9:18] = 3  # half of the height of the hottest
    heat[8, 17], heat[9, 18] = 5, 4  # the latter touches at a corner
    heat[20, 30] = 4.9  # hot as well, elsewhere
    heat[5, 9] = 2.9
    assert box_of(heat) == (9 / 36, 6 / 24, 19 / 36, 10 / 24)
    assert box_of(np.full((24, 36), 0.3, dtype=np.float32)) is None


some_scores = st.lists(st.integers(0, 20), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(st.lists(some_scores, min_size=1, max_size=4), st.integers(1, 6), st.sampled_from([1, 5]))
def test_events_never_overlap_and_hold_the_budget(clips, budget, step):
    scores = table({f"clip{number}": one for number, one in enumerate(clips)}, step=float(step))
    found = find_events(scores, EventSettings(budget, "scene", 3))
    assert len(found) <= budget
    assert found["event"].is_unique
    assert found["score"].is_monotonic_decreasing
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    assert (found["first"] <= found["peak"]).all()
    assert (found["peak"] <= found["last"]).all()
    # At most 15 s to either side.
    assert (found["end_seconds"] - found["peak_seconds"]).le(15).all()
    assert (found["peak_seconds"] - found["begin_seconds"]).le(15).all()
    for _, some in found.sort_values("begin_seconds").groupby("stretch"):
        gaps = some["begin_seconds"].to_numpy()[1:] - some["end_seconds"].to_numpy()[:-1]
        assert (gaps > 2).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(some_scores, min_size=1, max_size=3), some_scores)
def test_an_event_keeps_its_id_when_another_clip_is_added(clips, another):
    named = {f"clip{number}": one for number, one in enumerate(clips)}
    every = EventSettings(100, "scene", 3)
    before = find_events(table(named), every)
    after = find_events(table({"another": another, **named}), every)
    both = before.merge(after, on=["clip", "peak"])
    assert both["event_x"].tolist() == both["event_y"].tolist()
    # The highest frame of the scene stays a peak.
    if len(before) and before["score"][0] > max(another):
        assert after["event"][0] == before["event"][0]
    assert not set(after.loc[after["clip"] == "another", "event"]) & set(before["event"])
