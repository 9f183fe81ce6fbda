"""Moments to look at first: stretches of high scores, ranked by their peak."""

import numpy as np
import pandas as pd
import pytest

from sdor.reporting.moments import top_moments


def test_moments_join_short_dips_and_never_cross_clips():
    scores = np.zeros(200)
    scores[[10, 11, 25, 90, 99, 100, 150]] = [3, 4, 5, 6, 1, 7, 2]
    table = pd.DataFrame(
        {
            "clip": np.repeat(["a", "b"], 100),
            "frame": np.tile(np.arange(1, 101), 2),
            "score": scores,
        }
    )
    times = table.assign(time=(table["frame"] - 1) / 10).drop(columns="score")
    times.loc[times["clip"] == "b", "time"] = np.nan
    found = top_moments(times, table, separation=2.0, share=7 / 200)
    rows = found[["clip", "first", "last", "peak", "score"]].to_numpy().tolist()
    # Frames 11 to 26 are one moment (14 frames apart, 20 allowed); b starts anew at its frame 1,
    # and has no frame rate: 50 frames part its moments.
    assert rows == [
        ["b", 1, 51, 1, 7.0],
        ["a", 91, 100, 91, 6.0],
        ["a", 11, 26, 26, 5.0],
    ]
    assert found["begin"].tolist() == pytest.approx([np.nan, 9.0, 1.0], nan_ok=True)
    assert found["end"].tolist() == pytest.approx([np.nan, 9.9, 2.5], nan_ok=True)
    assert len(top_moments(times, table, count=1)) == 1
    assert top_moments(times, table[:0]).empty


def test_nothing_stands_out_of_equal_scores():
    noise = np.random.default_rng(0).normal(size=60)
    table = pd.DataFrame({"clip": "a", "frame": np.arange(1, 61)})
    times = table.assign(time=table["frame"] / 10)
    for scores in (np.zeros(60), 0.5 + 1e-7 * noise, -3 + 1e-7 * noise.astype(np.float32)):
        assert top_moments(times, table.assign(score=scores)).empty
    assert len(top_moments(times, table.assign(score=0.5 + 1e-3 * noise)))
