"""Discriminability over shuffles (Del Giorno, Bagnell & Hebert, ECCV 2016), a competing method.

A frame is anomalous when a linear classifier can tell it from the frames that came before it, in
whatever order they come: so the frames are shuffled, and the answers of many shuffles averaged.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from sdor.errors import fault_in
from sdor.files import About
from sdor.method.initial import reduce_features
from sdor.method.scores import FloatArray, write_scores
from sdor.networks.feature_table import read_features
from sdor.progress import track

IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Setting:
    """w and s, in rows, and lambda."""

    window: int
    stride: int
    regularisation: float


# The authors released two settings, one of them for Avenue; which was used elsewhere is not stated.
SETTINGS = {"w100": Setting(100, 50, 0.1), "w10": Setting(10, 10, 10.0)}
SHUFFLES = 10
MAX_BUFFER = 10_000  # rows; above it a fit no longer fits the processor's cache
TOLERANCE = 1e-5  # of the gradient: probabilities within about 2e-4 of the optimum's
FLAT = 1e-6  # of the widest column's spread: below it, a column holds float32's rounding


def write_discriminability(
    features_path: Path,
    output: Path,
    setting: Setting,
    *,
    components: int | None,
    seed: int,
    about: About,
) -> pd.DataFrame:
    """Features file → table of (clip, frame, score), one row a frame.

    The scene's frames are one sequence: the method shuffles them, so clips mean nothing to it.

    Parameters
    ----------
    components : of the PCA before it; None takes the features as they are (the head's 100 units).

    Raises
    ------
    SdorError : fewer frames than two windows, or features that are not finite.
    """
    index, features = read_features(features_path)
    advice = "lengthen the scene, or leave del_giorno_1 and del_giorno_2 out of competitors"
    with fault_in(features_path, advice):
        rows: FloatArray = features
        if components is not None:
            rows = reduce_features(features, components=components, seed=seed)
        table = index.assign(score=discriminability_scores(rows, setting, seed=seed))
    write_scores(output, table, about)
    return table


def discriminability_scores(
    rows: FloatArray,
    setting: Setting,
    *,
    shuffles: int = SHUFFLES,
    max_buffer: int = MAX_BUFFER,
    seed: int,
) -> FloatArray:
    """Anomaly score of each row: how surely a classifier tells its window from earlier rows.

    The rows are put into random order. For each prefix of 2w, 2w + s, … rows, logistic regression
    learns to tell the last w rows (label 1) from the earlier ones (label 0), and each of the w
    rows notes its P(label 1). The score of a row is the mean over prefixes and shuffles.

    Columns are first brought to mean 0 and standard deviation 1 over all rows, as the authors do
    before they fit: λ, which they give as one number, has a meaning only at that scale. A flat
    column (its spread under a millionth of the widest) becomes 0. The bias is a column of ones,
    regularised like the others. The classifier minimises |v|²/2 + C·Σ c_y·log(1 + e^(∓v·x)) with
    C = 1/λ, c_1 = n0/n and c_0 = n1/n.

    Parameters
    ----------
    rows : (frames, dims) float array, in any order.
    shuffles : at least: more are drawn until each row has a score, since a shuffle leaves its first
        w rows without one, and up to s − 1 of its last. (The authors' code gives a row without a
        score a 0.)
    max_buffer : rows with label 0 in a fit, at most: the last ones. As the order is random they
        are a random sample of the earlier rows, and the class weights keep their total.

    Returns
    -------
    (frames,) float array in (0, 1); the higher, the more anomalous.

    Raises
    ------
    ValueError : fewer than 2w rows, or a value that is not finite.

    References
    ----------
    Del Giorno, Bagnell & Hebert (2016), A discriminative framework for anomaly detection in large
    videos, ECCV; the settings, scaling and class weights are those of the authors' released code.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(60, 2))
    >>> rows[7] = 9.0
    >>> int(discriminability_scores(rows, Setting(10, 5, 1.0), seed=0).argmax())
    7
    """
    window, stride, regularisation = setting.window, setting.stride, setting.regularisation
    if len(rows) < 2 * window:
        raise ValueError(
            f"discriminability compares windows of {window} frames and needs at least "
            f"{2 * window} frames, found {len(rows)}"
        )
    if not np.isfinite(rows).all():
        raise ValueError("the features hold a value that is not finite")
    table = _standardised(rows)
    ends = range(2 * window, len(rows) + 1, stride)
    orders = _orders(len(rows), ends, window, at_least=shuffles, seed=seed)
    classifier = LogisticRegression(
        C=1 / regularisation, fit_intercept=False, tol=TOLERANCE, max_iter=1000
    )
    total, count = np.zeros(len(rows)), np.zeros(len(rows))
    fits = list(product(orders, ends))
    for order, end in track(fits, unit="fit", label="discriminability"):
        # The window's rows stand last.
        prefix = table[order[max(0, end - window - max_buffer) : end]]
        recent = np.arange(len(prefix)) >= len(prefix) - window
        share = window / len(prefix)
        classifier.fit(prefix, recent, sample_weight=np.where(recent, 1 - share, share))
        total[order[end - window : end]] += expit(prefix[-window:] @ classifier.coef_[0])
        count[order[end - window : end]] += 1
    return total / count


def _standardised(rows: FloatArray) -> FloatArray:
    """Columns of mean 0 and standard deviation 1 (a flat one: of zeros), and one of ones."""
    table = np.ones((len(rows), rows.shape[1] + 1))
    values = table[:, :-1]
    values[:] = rows
    values -= values.mean(axis=0)
    spread = values.std(axis=0)
    flat = spread <= FLAT * spread.max(initial=0)
    values /= np.where(flat, 1, spread)
    values[:, flat] = 0
    return table


def _orders(frames: int, ends: range, window: int, *, at_least: int, seed: int) -> list[IntArray]:
    """Random orders of the rows, so many that each row stands in a window in one of them."""
    rng = np.random.default_rng(seed)
    in_window = np.zeros(frames, bool)
    for end in ends:
        in_window[end - window : end] = True
    missed = np.ones(frames, bool)
    orders: list[IntArray] = []
    while len(orders) < at_least or missed.any():
        orders.append(rng.permutation(frames))
        missed[orders[-1][in_window]] = False
    return orders
