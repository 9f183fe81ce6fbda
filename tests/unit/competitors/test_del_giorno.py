import itertools
from dataclasses import asdict
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sdor.competitors import del_giorno as discriminability
from sdor.competitors.del_giorno import (
    SETTINGS,
    Setting,
    discriminability_scores,
    write_discriminability,
)
from sdor.errors import SdorError
from sdor.files import read_about
from sdor.method.initial import reduce_features
from sdor.networks.feature_table import write_features

SMALL = Setting(window=10, stride=5, regularisation=1.0)


def normal_rows(rows=60, dims=3, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dims))


def written_out(rows, *, window, stride, regularisation, shuffles, max_buffer, seed):
    """The method as its pseudocode says, the objective minimised by another library."""
    standard = (rows - rows.mean(0)) / rows.std(0)
    rng = np.random.default_rng(seed)
    sums, counts = np.zeros(len(rows)), np.zeros(len(rows))
    for _ in range(shuffles):
        order = rng.permutation(len(rows))
        end = 2 * window
        while end <= len(rows):
            ones = order[end - window : end]
            zeros = order[: end - window][-max_buffer:]
            n1, n0 = len(ones), len(zeros)
            weight_1, weight_0 = n0 / (n0 + n1), n1 / (n0 + n1)

            def objective(v, ones=ones, zeros=zeros, weight_1=weight_1, weight_0=weight_0):
                margins_1 = standard[ones] @ v[:-1] + v[-1]
                margins_0 = standard[zeros] @ v[:-1] + v[-1]
                loss = weight_1 * np.log1p(np.exp(-margins_1)).sum()
                loss += weight_0 * np.log1p(np.exp(margins_0)).sum()
                return 0.5 * (v**2).sum() + loss / regularisation

            v = minimize(objective, np.zeros(rows.shape[1] + 1), tol=1e-9).x
            sums[ones] += 1 / (1 + np.exp(-(standard[ones] @ v[:-1] + v[-1])))
            counts[ones] += 1
            end += stride
    return sums / counts


class Recorder(LogisticRegression):
    """Notes the shape and labels of each fit, and learns nothing, which takes no time."""

    fits: list = []  # noqa: RUF012 - shared by intent, emptied by `recorded`

    def fit(self, rows, labels, sample_weight=None):
        self.fits.append((rows, np.asarray(labels), sample_weight))
        self.coef_ = np.zeros((1, rows.shape[1]))
        return self


def recorded(rows, setting, **options):
    """The fits that scoring the rows makes."""
    Recorder.fits.clear()
    with mock.patch.object(discriminability, "LogisticRegression", Recorder):
        scores = discriminability_scores(rows, setting, **options)
    return list(Recorder.fits), scores


@pytest.mark.parametrize(("max_buffer", "regularisation"), [(8, 0.1), (8, 10.0), (1000, 0.1)])
def test_scores_are_those_of_the_written_out_method(max_buffer, regularisation):
    rows = normal_rows(rows=40) * [1, 20, 0.1] + [5, 0, -1]
    setting = Setting(window=6, stride=4, regularisation=regularisation)
    options = {"shuffles": 6, "max_buffer": max_buffer, "seed": 3}
    expected = written_out(rows, **asdict(setting), **options)
    scores = discriminability_scores(rows, setting, **options)
    np.testing.assert_allclose(scores, expected, atol=1e-3)


def test_two_rows_by_hand():
    # Standardised they are ±1; the optimum v = C/(1 + e^v) without bias is 1 for C = 1 + e.
    # One shuffle scores but one of them, so this needs another.
    setting = Setting(window=1, stride=1, regularisation=1 / (1 + np.e))
    scores = discriminability_scores(np.array([[10.0], [14.0]]), setting, shuffles=1, seed=0)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-1)), atol=1e-4)


def test_rows_that_are_all_alike_cannot_be_told_apart():
    scores = discriminability_scores(np.full((60, 3), 0.1), SMALL, seed=0)
    np.testing.assert_allclose(scores, 0.5, atol=1e-6)


def test_a_planted_cluster_of_strange_rows_scores_highest():
    rows = normal_rows(rows=300, dims=10)
    strange = np.arange(300) % 30 == 7
    rows[strange] += 4
    for setting in (Setting(20, 10, 0.1), SETTINGS["w10"]):
        scores = discriminability_scores(rows, setting, seed=0)
        assert roc_auc_score(strange, scores) > 0.9


def test_scores_repeat_with_the_seed_and_differ_without():
    rows = normal_rows()
    first = discriminability_scores(rows, SMALL, seed=1)
    np.testing.assert_array_equal(first, discriminability_scores(rows, SMALL, seed=1))
    assert not np.array_equal(first, discriminability_scores(rows, SMALL, seed=2))


def test_neither_units_nor_flat_columns_change_a_score():
    rows = normal_rows()
    constant, rounding = np.full((60, 1), 0.1), 20 * normal_rows(dims=1, seed=1)
    other = np.hstack([1e9 * rows[:, :1] + 7, constant, rounding, rows[:, 1:] * [3e8, 2e7]])
    scores, others = (discriminability_scores(values, SMALL, seed=0) for values in (rows, other))
    np.testing.assert_allclose(scores, others, atol=1e-3)


def test_number_and_labels_of_the_fits():
    fits, _ = recorded(normal_rows(rows=103), SMALL, shuffles=12, seed=0)
    assert len(fits) == 12 * ((103 - 20) // 5 + 1)
    for rows, labels, weights in fits:
        np.testing.assert_array_equal(np.flatnonzero(labels), range(len(rows) - 10, len(rows)))
        np.testing.assert_allclose(weights[labels], (len(rows) - 10) / len(rows))
        np.testing.assert_allclose(weights[~labels], 10 / len(rows))
    assert [len(rows) for rows, _, _ in fits[:17]] == list(range(20, 103, 5))


@given(
    st.integers(1, 6), st.integers(1, 9), st.integers(1, 20), st.integers(0, 30), st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_a_fit_never_holds_more_than_the_buffer_and_every_row_gets_a_score(
    window, stride, max_buffer, surplus, seed
):
    rows = normal_rows(rows=2 * window + surplus, dims=2)
    setting = Setting(window, stride, 1.0)
    fits, scores = recorded(rows, setting, shuffles=1, max_buffer=max_buffer, seed=seed)
    assert all(window < len(prefix) <= window + max_buffer for prefix, _, _ in fits)
    np.testing.assert_array_equal(scores, 0.5)  # what a classifier without weights answers


def test_the_buffer_keeps_the_last_of_the_earlier_rows():
    rows = normal_rows(rows=40)
    whole, _ = recorded(rows, SMALL, seed=0)
    short, _ = recorded(rows, SMALL, max_buffer=12, seed=0)
    for (all_rows, _, _), (last_rows, _, _) in itertools.zip_longest(whole, short):
        np.testing.assert_array_equal(all_rows[-22:], last_rows)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"windows of 10 frames .* at least 20 frames, found 19"):
        discriminability_scores(normal_rows(rows=19), SMALL, seed=0)
    assert np.isfinite(discriminability_scores(normal_rows(rows=20), SMALL, seed=0)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused(value):
    rows = normal_rows()
    rows[7, 2] = value
    with pytest.raises(ValueError, match="not finite"):
        discriminability_scores(rows, SMALL, seed=0)


@pytest.fixture
def features(tmp_path):
    """Features of two clips: the file, its index and its values."""
    values = normal_rows(rows=60, dims=4).astype(np.float32)
    index = pd.DataFrame({"clip": ["a"] * 30 + ["b"] * 30, "frame": [*range(1, 31), *range(1, 31)]})
    write_features(tmp_path / "f.parquet", index, [values], {})
    return tmp_path / "f.parquet", index, values


@pytest.mark.parametrize("components", [2, None])
def test_table_has_a_row_a_frame_in_the_features_order(features, tmp_path, components):
    path, index, values = features
    output = tmp_path / "competitors" / "d.parquet"
    options = {"components": components, "seed": 4, "about": {"pca": components}}
    table = write_discriminability(path, output, SETTINGS["w10"], **options)
    rows = values if components is None else reduce_features(values, components=2, seed=4)
    expected = discriminability_scores(rows, SETTINGS["w10"], seed=4)
    read = pd.read_parquet(output)
    pd.testing.assert_frame_equal(read, table)
    pd.testing.assert_frame_equal(read, index.assign(score=expected))
    assert read_about(output) == {"score": "the higher, the more anomalous", "pca": components}


def test_the_wide_setting_names_the_file_that_is_too_short(features, tmp_path):
    output, setting = tmp_path / "d.parquet", SETTINGS["w100"]
    with pytest.raises(SdorError, match=r"f\.parquet: .*windows of 100 .*200 frames, found 60"):
        write_discriminability(features[0], output, setting, components=2, seed=0, about={})
    assert not output.exists()
