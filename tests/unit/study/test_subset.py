"""Whole events are dropped until the share of anomalous frames is next to the one asked for."""

import numpy as np
import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.files import read_about
from sdor.study.subset import drop_events, write_subset

FRAMES = pd.DataFrame({"clip": [*"a" * 40, *"b" * 40, *"c" * 20]})
FRAMES["frame"] = FRAMES.groupby("clip").cumcount() + 1
# Events of 10 (a 1-10), 6 (a 21-26), 4 (b 1-4, right behind a's end) and 8 (b 33-40) frames.
EVENTS = {"a": [(1, 10), (21, 26)], "b": [(1, 4), (33, 40)]}


@pytest.fixture
def truth():
    """Clip c has no labels."""
    rows = []
    for clip in "ab":
        frame = np.arange(1, 41)
        inside = [(frame >= first) & (frame <= last) for first, last in EVENTS[clip]]
        rows.append(pd.DataFrame({"clip": clip, "frame": frame, "anomalous": np.any(inside, 0)}))
    return pd.concat(rows, ignore_index=True).astype({"anomalous": "int8"})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.28])
def test_events_go_as_a_whole_and_normal_frames_stay(truth, rate, seed):
    kept, facts = drop_events(FRAMES, truth, rate=rate, seed=seed)
    both = kept.merge(truth, on=["clip", "frame"], how="left")
    left = both[both["anomalous"] == 1]
    present = 0
    for clip, ranges in EVENTS.items():
        for first, last in ranges:
            inside = left[(left["clip"] == clip) & left["frame"].between(first, last)]
            assert len(inside) in (0, last - first + 1)
            present += len(inside) > 0
    assert present == facts["events_kept"] >= 1
    assert facts["events"] == 4
    assert (both["anomalous"] != 1).sum() == 72
    assert facts["rate"] == pytest.approx(len(left) / (len(left) + 72))


def test_the_rate_is_the_nearest_that_the_order_of_dropping_allows(truth):
    for seed in range(10):
        rates = [
            drop_events(FRAMES, truth, rate=rate, seed=seed)[1] for rate in (0.01, 0.05, 0.1, 0.28)
        ]
        assert rates[0]["events_kept"] == 1
        assert rates[-1]["rate"] == pytest.approx(0.28)
        # A lower target never keeps more of the same seed's events.
        assert [one["events_kept"] for one in rates] == sorted(one["events_kept"] for one in rates)


def test_of_the_last_event_its_middle_stays_where_it_is_far_too_long(truth):
    kept, facts = drop_events(FRAMES, truth, rate=0.02, seed=1)
    left = kept.merge(truth, on=["clip", "frame"])
    left = left[left["anomalous"] == 1]
    (event,) = set(left["clip"])
    first, last = next(
        (first, last)
        for first, last in EVENTS[event]
        if left["frame"].between(first, last).all() and last - first > 3
    )
    # 1 of 73 frames is nearest to 2 %; 72 are normal.
    assert left["frame"].tolist() == [(first + last) // 2]
    assert (facts["events_kept"], facts["rate"]) == (1, pytest.approx(1 / 73))


def test_a_rate_above_the_scenes_own_is_refused(truth):
    with pytest.raises(SdorError, match=r"anomaly_rate: 0\.5: .* only 0\.280"):
        drop_events(FRAMES, truth, rate=0.5, seed=0)


def test_what_was_reached_stands_in_the_file(truth, tmp_path):
    FRAMES.assign(time=0.0, sampled=True).to_parquet(tmp_path / "times.parquet")
    truth.to_parquet(tmp_path / "truth.parquet")
    output = tmp_path / "subset.parquet"
    paths = (tmp_path / "times.parquet", tmp_path / "truth.parquet", output)
    write_subset(*paths, rate=0.1, seed=3)
    expected = drop_events(FRAMES, truth, rate=0.1, seed=3)
    pd.testing.assert_frame_equal(pd.read_parquet(output), expected[0])
    assert read_about(output)["subset"] == expected[1]
