import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdor.errors import SdorError
from sdor.method.pseudo_labels import pseudo_labels, write_pseudo_labels
from sdor.study.settings import LabelSettings

SETTINGS = LabelSettings(anomalous_fraction=0.1, normal_fraction=0.2, sampling="score")


def test_by_hand():
    scores = np.array([5.0, 1.0, 9.0, 2.0, 3.0, 4.0, 8.0, 7.0, 6.0, 0.0])
    members = pseudo_labels(scores, LabelSettings(0.2, 0.3, "score"))
    assert members["row"].tolist() == [1, 2, 3, 6, 9]
    assert members["label"].tolist() == [0, 1, 0, 1, 0]
    np.testing.assert_allclose(members["weight"], [1 / 3, 9 / 17, 1 / 3, 8 / 17, 1 / 3])


def test_negative_scores_are_shifted_to_zero_before_they_become_weights():
    scores = np.array([-9.0, -8.0, -3.0, -1.0])
    members = pseudo_labels(scores, LabelSettings(0.5, 0.5, "score"))
    assert members["label"].tolist() == [0, 0, 1, 1]
    assert members["weight"].tolist() == [0.5, 0.5, 0, 1]


def test_equal_scores_are_drawn_alike_and_told_apart_by_order():
    members = pseudo_labels(np.zeros(10), SETTINGS)
    assert members.to_numpy().tolist() == [[0, 0, 0.5], [1, 0, 0.5], [9, 1, 1]]


def test_uniform_sampling_ignores_scores():
    members = pseudo_labels(np.arange(40.0), LabelSettings(0.1, 0.2, "uniform"))
    assert members["weight"].tolist() == [1 / 8] * 8 + [1 / 4] * 4


@given(arrays(np.float64, st.integers(10, 200), elements=st.floats(-1e6, 1e6)))
@settings(max_examples=100, deadline=None)
def test_sets_are_disjoint_ordered_and_their_weights_sum_to_one(scores):
    members = pseudo_labels(scores, SETTINGS)
    assert members["row"].is_monotonic_increasing
    assert members["row"].is_unique
    anomalous, normal = (members[members["label"] == label] for label in (1, 0))
    assert len(anomalous) == int(0.1 * len(scores) + 1e-9)
    assert len(normal) == int(0.2 * len(scores) + 1e-9)
    assert scores[anomalous["row"]].min() >= scores[normal["row"]].max()
    for chosen in (anomalous, normal):
        assert chosen["weight"].sum() == pytest.approx(1)
    assert (members["weight"] >= 0).all()


def test_weights_of_float32_scores_can_be_drawn_from():
    scores = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    members = pseudo_labels(scores, SETTINGS)
    np.random.default_rng(0).choice(2000, p=members.loc[members["label"] == 1, "weight"])


def test_too_few_frames_are_refused_with_the_number_needed():
    with pytest.raises(ValueError, match=r"9 frames give 0 pseudo anomalous .* at least 10 frames"):
        pseudo_labels(np.arange(9.0), SETTINGS)


def test_several_score_tables_are_averaged(tmp_path):
    frames = pd.DataFrame({"clip": "a", "frame": range(1, 11)})
    frames.assign(score=np.arange(10.0)).to_parquet(tmp_path / "1.parquet")
    frames.assign(score=-2 * np.arange(10.0)).to_parquet(tmp_path / "2.parquet")
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    table = write_pseudo_labels(paths, tmp_path / "p.parquet", SETTINGS, about={})
    assert table[table["label"] == 1]["frame"].tolist() == [1]
    assert table[table["label"] == 0]["frame"].tolist() == [9, 10]


def test_a_diverged_score_is_refused_by_file(tmp_path):
    frames = pd.DataFrame({"clip": "a", "frame": range(1, 11), "score": [np.inf, *range(9)]})
    frames.to_parquet(tmp_path / "1.parquet")
    with pytest.raises(SdorError, match=r"1\.parquet: a score is not finite"):
        write_pseudo_labels([tmp_path / "1.parquet"], tmp_path / "p.parquet", SETTINGS, about={})
