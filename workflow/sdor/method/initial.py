"""Initial anomaly scores (section 3.1): PCA, then Sp and isolation forest, averaged."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

from sdor.errors import fault_in
from sdor.files import About, read_parquet
from sdor.method.scores import FloatArray, all_alike, first_alike, write_scores
from sdor.networks.feature_table import read_features
from sdor.study.settings import InitialSettings


def initial_scores(features: FloatArray, settings: InitialSettings, *, seed: int) -> pd.DataFrame:
    """Score frames by both detectors, and by their mean.

    Returns
    -------
    Table of sp, iforest and score, one row for each of features (frames, dims).

    Raises
    ------
    ValueError : fewer frames than a bag of Sp holds, or features that are not finite.
    """
    reduced = reduce_features(features, components=settings.pca, seed=seed)
    sp = sp_scores(reduced, bags=settings.sp_bags, bag_size=settings.sp_bag_size, seed=seed)
    trees, samples = settings.iforest_trees, settings.iforest_samples
    iforest = iforest_scores(reduced, trees=trees, samples=samples, seed=seed)
    score = combine([sp, iforest], how=settings.rescale)
    return pd.DataFrame({"sp": sp, "iforest": iforest, "score": score})


def write_initial_scores(
    features_path: Path,
    output: Path,
    settings: InitialSettings,
    *,
    seed: int,
    about: About,
    subset: Path | None = None,
) -> pd.DataFrame:
    """Features file → table of (clip, frame, row, sp, iforest, score), one line a frame.

    Parameters
    ----------
    subset : table of the clips and frames that are used, where it is not all. `row` is the place of
        a frame among all.

    Raises
    ------
    SdorError : a file is damaged, or `initial_scores` refuses the features.
    """
    index, features = read_features(features_path)
    index = index.assign(row=np.arange(len(index)))
    if subset is not None:
        index = index.merge(read_parquet(subset, ["clip", "frame"]), on=["clip", "frame"])
        features = features[index["row"]]
    with fault_in(features_path):
        table = index.join(initial_scores(features, settings, seed=seed))
    write_scores(output, table, about)
    return table


def reduce_features(features: FloatArray, *, components: int, seed: int) -> FloatArray:
    """Project features (frames, dims) on their first principal components, fitted on all rows.

    Returns
    -------
    (frames, components) array of the input's type; fewer where there are fewer frames or dims.
    Frames that follow each other and are equal up to rounding have exactly the same row.

    Raises
    ------
    ValueError : fewer than 2 rows, or a value that is not finite.
    """
    if len(features) < 2:
        raise ValueError(f"PCA needs at least 2 frames, found {len(features)}")
    _refuse_not_finite(features)
    # The covariance of the dims is small however many frames there are.
    solver = "covariance_eigh" if len(features) > features.shape[1] else "full"
    pca = PCA(min(components, *features.shape), svd_solver=solver, random_state=seed)
    with np.errstate(invalid="ignore"):  # identical frames have no variance to be shared out
        projected: FloatArray = pca.fit_transform(features)
    # Isolation forest would split what rounding alone has set apart.
    same: FloatArray = projected[first_alike(features)]
    return same


def sp_scores(features: FloatArray, *, bags: int = 50, bag_size: int = 8, seed: int) -> FloatArray:
    """Anomaly score of each row: its mean distance to the nearest member of small random bags.

    Equation 3, averaged over bags as in LeSiNN (Pang, Ting & Albrecht 2015). One bag of 20 is the
    sampling of Sugiyama & Borgwardt (2013).

    Parameters
    ----------
    features : (frames, dims) float array.
    bags, bag_size : m and psi of LeSiNN: 50 bags of 8 rows drawn without replacement.

    Returns
    -------
    (frames,) float array; the higher, the more anomalous. Rows drawn into a bag keep their
    distance 0 in it.

    Raises
    ------
    ValueError : fewer rows than `bag_size`, or a value that is not finite.

    Examples
    --------
    >>> rows = np.array([[0.0], [0.1], [0.2], [9.0]])
    >>> int(sp_scores(rows, bags=20, bag_size=2, seed=0).argmax())
    3
    """
    _refuse_not_finite(features)
    if len(features) < bag_size:
        raise ValueError(f"Sp draws bags of {bag_size} frames, found only {len(features)}")
    rng = np.random.default_rng(seed)
    rows = np.ascontiguousarray(features, dtype=np.float64)
    total = np.zeros(len(rows))
    for _ in range(bags):
        bag = rng.choice(len(rows), size=bag_size, replace=False)
        total += cdist(rows, rows[bag]).min(axis=1)
    return total / bags


def iforest_scores(
    features: FloatArray, *, trees: int = 100, samples: int = 256, seed: int
) -> FloatArray:
    """Isolation forest (Liu, Ting & Zhou 2012): 2^(−E[h]/c), the higher, the more anomalous.

    Equation 4 of the paper is misprinted; this is the score of the method that it cites.

    Parameters
    ----------
    trees, samples : the forest's size and the rows that each tree sees (at most all).

    Returns
    -------
    (frames,) float array in (0, 1), of features (frames, dims).

    Raises
    ------
    ValueError : a value that is not finite.
    """
    _refuse_not_finite(features)
    samples = min(samples, len(features))
    forest = IsolationForest(n_estimators=trees, max_samples=samples, random_state=seed)
    scores: FloatArray = -forest.fit(features).score_samples(features)
    return scores


def combine(scores: list[FloatArray], *, how: str = "minmax") -> FloatArray:
    """Bring detectors to one range and average them.

    Parameters
    ----------
    scores : arrays of shape (frames,).
    how : "minmax" (each to [0, 1]) or "rank" (its ranks, to [0, 1]); one that is constant up to
        rounding becomes 0.

    Raises
    ------
    ValueError : a score that is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    combined: FloatArray = np.mean([_rescaled(one, how) for one in scores], axis=0)
    return combined


def _refuse_not_finite(features: FloatArray) -> None:
    if not np.isfinite(features).all():
        raise ValueError("the features hold a value that is not finite")


def _rescaled(values: FloatArray, how: str) -> FloatArray:
    if all_alike(values):
        return np.zeros(len(values))
    if how == "rank":
        values = rankdata(values)
    rescaled: FloatArray = (values - values.min()) / np.ptp(values)
    return rescaled
