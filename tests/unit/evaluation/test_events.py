"""Anomalies found against seconds watched, by numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from sdor.evaluation.events import after, anomalies_of, watched


@pytest.fixture
def truth():
    """A frame every 5 s, which leaves nothing to smooth; anomalies at frames 3-5, 8 and 1-2."""
    return pd.DataFrame(
        {
            "clip": [*"aaaaaaaaaa", *"bbbbbbbb"],
            "frame": [*range(1, 11), *range(1, 9)],
            "anomalous": [0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0],
            "score": [0, 0, 4, 9, 5, 0, 0, 3, 0, 0, 0, 0, 0, 0, 8, 0, 2, 6.0],
        }
    )


def test_anomalies_are_unbroken_runs_of_a_clip(truth):
    expected = [0, 0, 1, 1, 1, 0, 0, 2, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0]
    assert anomalies_of(truth, truth).tolist() == expected
    # A clip that begins as the one before ended, and frames that are missing, are other ones.
    close = truth.assign(anomalous=1)
    assert anomalies_of(close, truth).tolist() == [1] * 10 + [2] * 8
    assert anomalies_of(close.drop(index=4), truth).tolist() == [1] * 4 + [2] * 5 + [3] * 8
    assert not anomalies_of(truth.assign(anomalous=0), truth).any()
    # Of every second frame, those that follow each other are one.
    second = truth[::2]
    assert anomalies_of(second, second).tolist() == [0, 1, 1, 0, 0, 2, 0, 0, 0]


def test_what_is_found_is_counted_after_each_event(truth):
    times = truth[["clip", "frame"]].assign(time=(truth["frame"] - 1) * 5.0)
    # In order: a 4-5, b 5, b 8, a 3 (the flank of the first: true, and nothing new), a 8, b 7.
    got = watched(truth, times, lead=3)
    assert got["true_events"] == [1, 1, 1, 2, 3, 3]
    assert got["anomalies_found"] == [1, 1, 1, 1, 2, 2]
    assert got["seconds_watched"] == [8, 11, 14, 17, 20, 23]
    assert [after(got["anomalies_found"], events) for events in (0, 1, 5, 20)] == [0, 1, 2, 2]
    alike = watched(truth.assign(score=np.float32(0.3)), times, lead=3)
    assert alike == {"anomalies_found": [], "true_events": [], "seconds_watched": []}
    assert after(alike["seconds_watched"], 5) == 0
