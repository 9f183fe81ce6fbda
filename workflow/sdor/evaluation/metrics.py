"""Frame-level metrics of a ranking, over any number of draws of whole clips at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# All are better the higher, but the equal error rate.
COLUMNS = (
    *("merged", "train_side", "test_only", "within_clip", "average_precision"),
    *("macro_auc", "eer"),
)
# Of n clips, a bootstrap has C(2n - 1, n) different draws: 3 of 2 clips, 126 of 5. Below 5, an end
# of a 95 % interval is the most extreme draw there is.
LEAST_CLIPS = 5
# Thresholds x draws of one working array of the average precision: 32 MB of float64.
BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class LabelledFrames:
    """Ground truth of the labelled frames of a scene.

    Parameters
    ----------
    clip : (frames,) index of each frame's clip in `split`.
    anomalous : (frames,) true where the frame is anomalous.
    split : per clip "train", "test" or "" (the scene has no split).
    """

    clip: IntArray
    anomalous: BoolArray
    split: tuple[str, ...]

    @cached_property
    def positives(self) -> FloatArray:
        """(clips,) anomalous frames of each clip."""
        return np.bincount(self.clip[self.anomalous], minlength=len(self.split)).astype(float)

    @cached_property
    def negatives(self) -> FloatArray:
        """(clips,) normal frames of each clip."""
        return np.bincount(self.clip[~self.anomalous], minlength=len(self.split)).astype(float)

    @cached_property
    def both_classes(self) -> BoolArray:
        """(clips,) true where a clip holds anomalous and normal frames."""
        mixed: BoolArray = (self.positives > 0) & (self.negatives > 0)
        return mixed

    @cached_property
    def judged(self) -> BoolArray:
        """(clips,) true for those of the test split; for all, where the scene has no split."""
        return self.of_split("test") if any(self.split) else np.ones(len(self.split), dtype=bool)

    def of_split(self, name: str) -> BoolArray:
        """(clips,) true where the clip belongs to the split."""
        return np.array([split == name for split in self.split], dtype=bool)


def smooth(
    scores: FloatArray, clips: npt.NDArray[np.generic] | IntArray, sigma: float
) -> FloatArray:
    """Gaussian smoothing over time that never crosses from one clip into the next.

    Parameters
    ----------
    scores : (frames,) anomaly scores; the frames of a clip stand together, ascending.
    clips : (frames,) name or index of each frame's clip.
    sigma : standard deviation in frames; 0 leaves the scores alone.
    """
    smoothed = np.array(scores, dtype=float)
    if sigma == 0 or len(scores) == 0:
        return smoothed
    bounds = np.flatnonzero(clips[1:] != clips[:-1]) + 1
    for part in np.split(np.arange(len(smoothed)), bounds):
        smoothed[part] = gaussian_filter1d(smoothed[part], sigma, mode="nearest")
    return smoothed


def split_oracle(frames: LabelledFrames) -> FloatArray:
    """Scores that know only which clips are from the test split, and nothing of the anomalies."""
    return frames.of_split("test").astype(float)[frames.clip]


def clip_rate_oracle(frames: LabelledFrames) -> FloatArray:
    """Scores that know each clip's share of anomalous frames, and nothing about when."""
    rate = frames.positives / np.maximum(frames.positives + frames.negatives, 1)
    return rate[frames.clip]


def per_draw(
    scores: FloatArray, frames: LabelledFrames, weights: FloatArray
) -> dict[str, FloatArray]:
    """Every column for every draw of whole clips, exact and without touching the frames again.

    The wins U_ij of clip i's anomalous frames over clip j's normal frames are counted once; a draw
    that takes clip i n_i times then has AUC = n'Un / (n'P)(n'N), where P and N count the anomalous
    and the normal frames of each clip.

    Two columns are those of other papers, over the test clips (all, where the scene has no split).
    macro_auc is the mean of the clips' AUCs, a clip padded by a normal frame below and an anomalous
    one above all of its frames: (U + P + N + 1) / ((P + 1)(N + 1)), which is 1 for a clip of one
    class (Georgescu et al. 2021, whose code pads scores in [0, 1] by 0 and 1). eer is where the ROC
    curve of all their frames has as many false positives as misses, between two of its points on
    the straight line: the lower, the better.

    Parameters
    ----------
    scores : (frames,) the higher, the more anomalous.
    weights : (draws, clips) how often each clip was drawn; a row of ones is the data as it is.

    Returns
    -------
    column : (draws,) values, NaN where a draw does not hold what the column needs.

    Raises
    ------
    ValueError : not one score a frame, or one that is not finite: sorting would take it for the
        highest.
    """
    if np.shape(scores) != np.shape(frames.clip) or not np.isfinite(scores).all():
        raise ValueError(f"expected {len(frames.clip)} finite scores")
    order = np.argsort(scores, kind="stable")
    anomalous, normal = (
        _by_clip(scores[part], frames.clip[part], len(frames.split))
        for part in (order[frames.anomalous[order]], order[~frames.anomalous[order]])
    )
    wins = _pairwise_wins(anomalous, normal)
    positives, negatives = frames.positives, frames.negatives
    precisions = ratio(_precision_sums(anomalous, normal, weights), weights @ positives)

    def between(left: FloatArray, right: FloatArray) -> FloatArray:
        return ratio(((left @ wins) * right).sum(axis=1), (left @ positives) * (right @ negatives))

    test = weights * frames.of_split("test")
    mixed = weights * frames.both_classes
    own = ratio(np.diagonal(wins).copy(), positives * negatives)
    judged = weights * frames.judged
    padded = np.diagonal(wins) + positives + negatives + 1
    padded /= (positives + 1) * (negatives + 1)
    return {
        "merged": between(weights, weights),
        "train_side": between(weights, weights * frames.of_split("train")),
        "test_only": between(test, test),
        "within_clip": ratio(mixed @ np.nan_to_num(own), mixed.sum(axis=1)),
        "average_precision": np.where(weights @ negatives > 0, precisions, np.nan),
        "macro_auc": ratio(judged @ padded, judged.sum(axis=1)),
        "eer": _equal_errors(anomalous, normal, judged),
    }


def missing(frames: LabelledFrames) -> dict[str, str]:
    """Why a column cannot be computed at all; columns that can be are not in it."""
    positives, negatives = frames.positives, frames.negatives
    train, test = frames.of_split("train"), frames.of_split("test")
    one_class = positives[test].sum() == 0 or negatives[test].sum() == 0
    of_test = ["test_only", *(["macro_auc", "eer"] if any(frames.split) else [])]
    # Of several reasons for a column, the last one says most.
    checks = (
        (["train_side"], negatives[train].sum() == 0, "no normal frames in the training clips"),
        (["train_side"], not train.any(), "no labelled training clips"),
        (of_test, one_class, "the test clips hold one class only"),
        (of_test, not test.any(), "no labelled test clips"),
        (["within_clip"], not frames.both_classes.any(), "no clip holds both classes"),
        (COLUMNS, negatives.sum() == 0, "no normal frames"),
        (COLUMNS, positives.sum() == 0, "no anomalous frames"),
        (COLUMNS, len(frames.clip) == 0, "no ground truth"),
    )
    return {column: reason for columns, absent, reason in checks if absent for column in columns}


def no_interval(frames: LabelledFrames, column: str) -> str | None:
    """Why resampling clips says nothing about a column: too few differ between its draws."""
    train = int((frames.of_split("train") & (frames.negatives > 0)).sum())
    units = {
        "train_side": (max(train, int((frames.positives > 0).sum())), "clips on either side"),
        "test_only": (int(frames.of_split("test").sum()), "labelled test clips"),
        "within_clip": (int(frames.both_classes.sum()), "clips with both classes"),
    }
    if any(frames.split):
        units |= dict.fromkeys(("macro_auc", "eer"), units["test_only"])
    return too_few(*units.get(column, (len(frames.split), "labelled clips")))


def too_few(clips: int, name: str = "labelled clips") -> str | None:
    """Why an interval from so many clips would have no meaning, if so."""
    return f"fewer than {LEAST_CLIPS} {name}" if clips < LEAST_CLIPS else None


def _pairwise_wins(anomalous: list[FloatArray], normal: list[FloatArray]) -> FloatArray:
    """(clips, clips) pairs won by clip i's anomalous frames over clip j's normal ones."""
    queries = np.concatenate(anomalous)
    owner = np.repeat(np.arange(len(anomalous)), [len(scores) for scores in anomalous])
    wins = np.zeros((len(anomalous), len(normal)))
    for clip, scores in enumerate(normal):
        outscored = sum(np.searchsorted(scores, queries, side) for side in ("left", "right"))
        wins[:, clip] = np.bincount(owner, weights=outscored / 2, minlength=len(anomalous))
    return wins


def _precision_sums(
    anomalous: list[FloatArray], normal: list[FloatArray], weights: FloatArray
) -> FloatArray:
    """(draws,) sums of the precision at every anomalous frame of a draw.

    For a block of those frames' scores as thresholds, the frames at or above each are counted per
    clip; a matrix product turns the counts into every draw's true and false positives.
    """
    thresholds = np.unique(np.concatenate(anomalous))[::-1]
    draws, clips = weights.shape
    rows = max(1, BLOCK_VALUES // max(draws, clips, 1))
    total = np.zeros(draws)
    before = np.zeros((1, draws))
    for start in range(0, len(thresholds), rows):
        block = thresholds[start : start + rows]
        true = _at_or_above(anomalous, block) @ weights.T
        flagged = true + _at_or_above(normal, block) @ weights.T
        precision = np.divide(true, flagged, out=flagged, where=flagged > 0)
        total += (np.diff(true, axis=0, prepend=before) * precision).sum(axis=0)
        before = true[-1:]
    return total


def _equal_errors(
    anomalous: list[FloatArray], normal: list[FloatArray], weights: FloatArray
) -> FloatArray:
    """(draws,) equal error rates, each found by bisection among the thresholds of all draws."""
    scores = [values for values in (*anomalous, *normal) if len(values)]
    thresholds = np.append(np.unique(np.concatenate(scores)), np.inf)
    sides = [(one, weights @ [float(len(values)) for values in one]) for one in (anomalous, normal)]

    def rates(at: IntArray) -> list[FloatArray]:
        """Of each draw, the shares of anomalous and of normal frames at or above a threshold."""
        return [
            ratio((weights * _at_or_above(side, thresholds[at])).sum(axis=1), frames)
            for side, frames in sides
        ]

    low = np.zeros(len(weights), dtype=np.int64)
    high = np.full(len(weights), len(thresholds) - 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        found, wrong = rates(middle)
        more = wrong >= 1 - found  # more false positives than misses: the threshold is higher
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    (found, wrong), (next_found, next_wrong) = rates(low), rates(high)
    before, after = found + wrong - 1, next_found + next_wrong - 1
    errors: FloatArray = wrong + (next_wrong - wrong) * before / (before - after)
    return errors


def _by_clip(scores: FloatArray, clip: IntArray, clips: int) -> list[FloatArray]:
    """Scores of each clip, in the order in which they come."""
    order = np.argsort(clip, kind="stable")
    ends = np.cumsum(np.bincount(clip, minlength=clips))
    return np.split(scores[order], ends[:-1])


def _at_or_above(sorted_scores: list[FloatArray], thresholds: FloatArray) -> FloatArray:
    """(thresholds, clips) frames of each clip that score at least the threshold."""
    counts = np.empty((len(thresholds), len(sorted_scores)))
    for clip, values in enumerate(sorted_scores):
        counts[:, clip] = len(values) - np.searchsorted(values, thresholds, "left")
    return counts


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Element-wise quotient, NaN where the denominator is 0."""
    quotient: FloatArray = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
