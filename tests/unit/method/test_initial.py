from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from sdor.errors import SdorError
from sdor.method.initial import (
    combine,
    iforest_scores,
    initial_scores,
    reduce_features,
    sp_scores,
    write_initial_scores,
)
from sdor.study.settings import InitialSettings

SETTINGS = InitialSettings(
    pca=5, sp_bags=10, sp_bag_size=4, iforest_trees=10, iforest_samples=16, rescale="minmax"
)


def normal_with_outliers(rows=200, dims=6, outliers=5):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, dims)).astype(np.float32)
    values[:outliers] += 12
    return values


def write_features(path, values):
    feature = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    frames = pa.array(range(1, len(values) + 1))
    columns = {"clip": ["a"] * len(values), "frame": frames, "feature": feature}
    pq.write_table(pa.table(columns), path)


def score(folder):
    paths = folder / "f.parquet", folder / "i.parquet"
    return write_initial_scores(*paths, SETTINGS, seed=0, about={})


def nearest(values, bag):
    """Distance to the nearest member, by another library."""
    return NearestNeighbors(n_neighbors=1).fit(bag).kneighbors(values)[0][:, 0]


def test_sp_with_one_bag_is_the_distance_to_the_nearest_member_of_that_bag():
    values = normal_with_outliers()
    bag = np.random.default_rng(3).choice(len(values), size=8, replace=False)
    expected = nearest(values, values[bag])
    np.testing.assert_allclose(sp_scores(values, bags=1, bag_size=8, seed=3), expected, atol=1e-5)


def test_sp_averages_over_bags():
    values = normal_with_outliers()
    rng = np.random.default_rng(1)
    bags = [rng.choice(len(values), size=4, replace=False) for _ in range(3)]
    expected = np.mean([nearest(values, values[bag]) for bag in bags], axis=0)
    np.testing.assert_allclose(sp_scores(values, bags=3, bag_size=4, seed=1), expected, atol=1e-5)


def test_sp_of_a_row_in_every_bag_is_exactly_zero():
    values = (1e4 * np.random.default_rng(0).normal(size=(6, 50))).astype(np.float32)
    assert (sp_scores(values, bags=5, bag_size=6, seed=0) == 0).all()


def test_sp_by_hand():
    # Both rows are drawn into the only possible bag of two, the distance of 3 and 4 is 5.
    values = np.array([[0.0, 0.0], [3.0, 4.0]])
    scores = [sp_scores(values, bags=1, bag_size=1, seed=seed) for seed in range(20)]
    assert {tuple(score) for score in scores} == {(0.0, 5.0), (5.0, 0.0)}


def test_both_detectors_rank_planted_outliers_first():
    values = normal_with_outliers()
    for scores in (sp_scores(values, seed=0), iforest_scores(values, seed=0)):
        assert set(np.argsort(scores)[-5:]) == set(range(5))


@pytest.mark.parametrize("seed", [0, 5])
def test_scores_repeat_with_the_seed_and_differ_without(seed):
    values = normal_with_outliers()
    for detector in (sp_scores, iforest_scores):
        first = detector(values, seed=seed)
        np.testing.assert_array_equal(first, detector(values, seed=seed))
        assert not np.array_equal(first, detector(values, seed=seed + 1))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_combination_stays_in_the_unit_interval_and_keeps_the_order(values):
    scores = np.array(values)
    for how in ("minmax", "rank"):
        combined = combine([scores, scores], how=how)
        assert combined.min() >= 0
        assert combined.max() <= 1
        assert (np.diff(combined[np.argsort(scores)]) >= 0).all()


def test_combination_of_a_constant_detector_is_half_of_the_other():
    other = np.array([0.0, 1.0, 4.0])
    np.testing.assert_allclose(combine([np.ones(3), other]), [0, 0.125, 0.5])


@pytest.mark.parametrize("how", ["minmax", "rank"])
@pytest.mark.parametrize("noise", [0, 1e-7, 1e-6])
def test_identical_frames_are_not_ranked_by_their_rounding(noise, how):
    rng = np.random.default_rng(0)
    one = np.abs(rng.normal(size=512))
    frames = (one + noise * rng.normal(size=(60, 512))).astype(np.float32)
    scores = initial_scores(frames, replace(SETTINGS, rescale=how), seed=0)
    assert np.ptp(scores.to_numpy(), axis=0).tolist() == [0, 0, 0]
    assert (scores["score"] == 0).all()


def test_a_picture_that_stays_has_one_score_in_a_scene_that_moves():
    rng = np.random.default_rng(0)
    frames = np.abs(rng.normal(size=(120, 64)))
    frames[30:90] = frames[30] + 1e-6 * rng.normal(size=(60, 64))
    scores = initial_scores(frames.astype(np.float32), SETTINGS, seed=0)
    assert np.ptp(scores[30:90].to_numpy(), axis=0).tolist() == [0, 0, 0]
    assert (scores[90:].nunique() > 20).all()


def test_pca_keeps_all_variance_it_can_and_takes_fewer_components_where_it_must():
    values = normal_with_outliers(rows=30, dims=6)
    reduced = reduce_features(values, components=100, seed=0)
    assert reduced.shape == (30, 6)
    np.testing.assert_allclose(cdist(reduced, reduced), cdist(values, values), atol=1e-3)


def test_table_has_a_row_a_frame_in_the_features_order(tmp_path):
    write_features(tmp_path / "f.parquet", normal_with_outliers())
    score(tmp_path)
    table = pd.read_parquet(tmp_path / "i.parquet")
    assert list(table) == ["clip", "frame", "row", "sp", "iforest", "score"]
    assert list(table["frame"]) == list(range(1, 201))


def test_too_few_frames_are_refused_by_name(tmp_path):
    write_features(tmp_path / "f.parquet", normal_with_outliers(rows=3, outliers=0))
    with pytest.raises(SdorError, match=r"f\.parquet: Sp draws bags of 4 frames, found only 3"):
        score(tmp_path)


def test_features_that_are_not_finite_are_refused(tmp_path):
    values = normal_with_outliers()
    values[7, 2] = np.nan
    write_features(tmp_path / "f.parquet", values)
    with pytest.raises(SdorError, match="not finite"):
        score(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("detector", [partial(sp_scores, bag_size=4), iforest_scores])
def test_no_detector_takes_what_is_not_finite(detector, value):
    rows = normal_with_outliers()
    rows[7, 2] = value
    with pytest.raises(ValueError, match="not finite"):
        detector(rows, seed=0)


def test_a_detector_that_is_not_finite_is_not_combined():
    with pytest.raises(ValueError, match="not finite"):
        combine([np.array([0.0, np.nan]), np.array([0.0, 1.0])])


def test_damaged_features_are_named(tmp_path):
    write_features(tmp_path / "f.parquet", normal_with_outliers())
    whole = (tmp_path / "f.parquet").read_bytes()
    (tmp_path / "f.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SdorError, match=r"f\.parquet: damaged or missing .*delete it"):
        score(tmp_path)
