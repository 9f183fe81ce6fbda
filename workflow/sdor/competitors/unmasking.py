"""Unmasking (Ionescu, Smeureanu, Alexe & Popescu, ICCV 2017), a competing method.

A window of 2w + 1 frames slides over a clip. A linear classifier learns to separate its two halves,
the features that it leans on most are removed, and so on. Halves that stay separable differ in more
than a few features: something happens. It looks at two channels, appearance and motion, whose
scores are averaged.

A row of zeros (a place where nothing moves) has the decision 0 whatever the classifier: without an
intercept it says nothing of it. Such a row counts half for either half of the window. By the sign
alone it would always be of the first, and a motion that stops would be seen less than one that
begins.

What the paper leaves open follows the code that Liu et al. (see `two_sample_test`) released: rows
are scaled to unit length before every fit, so again after each removal. Two departures from it keep
the ends of a clip comparable: a last window ends with the clip's last frame, also where the stride
would step over it, and smoothing leaves out what lies outside the clip, where that code has zeros.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from sdor.competitors.motion import MotionCubes
from sdor.errors import SdorError, fault_in
from sdor.files import About, read_array
from sdor.method.scores import FloatArray, mean_of, write_scores
from sdor.progress import logger, track
from sdor.video.store import FrameStore

C = 0.5  # of the logistic regression, on rows of unit length
UNKNOWN = 0.5  # score of frames that no window scores
TAPS, SIGMA = 25, 13.0  # of the smoothing, frames
# Of two channels: up to 1.2 million fits, about half an hour on one core. The authors' stride of 5
# keeps to it up to 75,000 frames, the largest stride, which is the window, up to 150,000.
MAX_WINDOWS = 15_000
# Relative to the largest eigenvalue, and to a row's first length: what is less is rounding.
NEGLIGIBLE = 1e-12

IntArray = NDArray[np.integer[Any]]
NO_FRAMES: IntArray = np.array([], dtype=np.int64)


@dataclass(frozen=True)
class Windows:
    """The authors' settings.

    Attributes
    ----------
    half : w, in frames.
    stride : frames between two windows, at most w: else frames between them have no score.
    loops, dropped : K and m: fits a bin, and features dropped after each (an even number).
    """

    half: int = 10
    stride: int = 5
    loops: int = 10
    dropped: int = 50

    def starts(self, length: int) -> list[int]:
        """First frames (from 0) of the windows of a clip of that many frames.

        The last one ends with the clip, so its distance to the one before may be less than the
        stride. A clip that is shorter than a window has none.
        """
        last = length - 2 * self.half - 1
        return [] if last < 0 else [*range(0, last, self.stride), last]

    def count(self, lengths: Iterable[int]) -> int:
        """Windows of clips of so many frames."""
        return sum(len(self.starts(length)) for length in lengths)


class Channel(Protocol):
    """What a frame looks like to the classifiers: one vector for each spatial bin."""

    def rows(self, frames: IntArray) -> FloatArray:
        """[n, bins, dims] for n frame numbers of the scene, counted from 0."""
        ...


# Gives a window, by its start and the scores of the clip as the windows before left them, frames of
# the clip that join its first class; and those that later windows may be given.
Past = Callable[[int, FloatArray], tuple[IntArray, IntArray]]


class Appearance:
    """A channel of appearance: the backbone's last map, averaged in 2x2 spatial bins.

    Parameters
    ----------
    bins : (frames, 4, dims) array, such as a memory map of float16.
    """

    def __init__(self, bins: FloatArray) -> None:
        self.bins = bins

    def rows(self, frames: IntArray) -> NDArray[np.float32]:
        """Bins of the given frames: (n, 4, dims) float32, each vector of unit length or zero.

        Raises
        ------
        ValueError : a value that is not finite.
        """
        values = self.bins[frames].astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("the bins hold a value that is not finite")
        lengths = np.linalg.norm(values, axis=2, keepdims=True)
        unit: NDArray[np.float32] = np.divide(
            values, lengths, out=np.zeros_like(values), where=lengths > 0
        )
        return unit


def unmasking_scores(
    channel: Channel,
    lengths: Sequence[int],
    windows: Windows,
    *,
    label: str = "unmasking",
    past: Callable[[int], Past] | None = None,
) -> FloatArray:
    """Anomaly score of each frame on one channel.

    Each window of 2w + 1 frames is cut into its first w + 1 and its last w. In each spatial bin a
    logistic regression without intercept (C = 0.5) learns to tell them apart; its accuracy on these
    rows is noted (a row on its boundary counts half), and the features of the largest and of the
    smallest weights are dropped, `loops` times. A bin's score is the mean accuracy, a window's that
    of its highest bin; it is given to the frames of the last half. A frame's score is the mean over
    its windows, 0.5 before the first scored frame (the w + 2nd of a clip) and in clips too short
    for a window, smoothed in the clip.

    Parameters
    ----------
    channel : rows [n, bins, dims]; dims must be more than (loops - 1) * dropped.
    lengths : frames of each clip, in the scene's order.
    label : name of the progress bar.
    past : makes the past of the clip of that number, which the two-sample test adds.

    Returns
    -------
    (frames,) float64 in [0, 1]; the higher, the more anomalous.
    """
    scores = np.full(sum(lengths), UNKNOWN)
    half = windows.half

    # Window by window, since with a past a window depends on the scores before it.
    def each_window() -> Iterator[None]:
        for clip, part in enumerate(_slices(lengths)):
            here = scores[part]
            total, count = np.zeros(len(here)), np.zeros(len(here))
            known: dict[int, FloatArray] = {}
            draw = past(clip) if past else None
            for start in windows.starts(len(here)):
                earlier, pool = draw(start, here) if draw else (NO_FRAMES, NO_FRAMES)
                asked = [*earlier.tolist(), *range(start, start + 2 * half + 1)]
                kept = {*asked, *pool.tolist()}
                if made := [frame for frame in asked if frame not in known]:
                    # Copies, since a view would hold all rows that were made with it.
                    rows = map(np.copy, channel.rows(part.start + np.array(made)))
                    known |= dict(zip(made, rows, strict=True))
                values = np.stack([known[frame] for frame in asked])
                known = {frame: row for frame, row in known.items() if frame in kept}
                labels = np.repeat([0, 1], [len(asked) - half, half])
                last_half = slice(start + half + 1, start + 2 * half + 1)
                total[last_half] += max(
                    unmask(values[:, place], labels, windows, weigh_classes=len(earlier) > 0).mean()
                    for place in range(values.shape[1])
                )
                count[last_half] += 1
                here[last_half] = total[last_half] / count[last_half]
                yield

    # One small fit takes less time than scikit-learn's checks of its arguments.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        number = windows.count(lengths)
        for _ in track(each_window(), total=number, unit="window", label=label):
            pass
    return smooth(scores, lengths)


def write_channel_scores(
    score: Callable[..., FloatArray],
    bins_path: Path,
    grey_files: Mapping[str, Path],
    outputs: Mapping[str, Path],
    *,
    about: About,
) -> None:
    """Score all frames of a scene by both channels and their late fusion.

    Parameters
    ----------
    score : `unmasking_scores`, or another that takes a channel, lengths, windows and label.
    bins_path : `.npy` of (frames, 4, dims): see `Appearance`.
    grey_files : the clips' `.npy` files of grey frames by clip name, in the scene's order.
    outputs : the tables (clip, frame, score) to write, by "appearance", "motion" and "fused".

    Raises
    ------
    SdorError : a file is damaged or does not fit to the others.
    """
    store = FrameStore(grey_files)
    lengths = store.lengths.tolist()
    windows = bounded_windows(lengths)
    motion = MotionCubes(store)
    appearance = Appearance(_read_bins(bins_path, len(store), windows))
    with fault_in(bins_path, "delete it and run the same command again"):
        scores = {"appearance": score(appearance, lengths, windows, label="appearance")}
    scores["motion"] = score(motion, lengths, windows, label="motion")
    # Late fusion. Smoothing is linear: the mean of smoothed scores is the smoothed mean.
    scores["fused"] = mean_of([scores["appearance"], scores["motion"]])
    logger.info("%d frames in steps of %d", len(store), windows.stride)
    for name, values in scores.items():
        table = store.index().assign(score=values)
        write_scores(outputs[name], table, {**about, "stride": windows.stride})


def bounded_windows(lengths: Sequence[int]) -> Windows:
    """The authors' windows, 5 frames apart, or with the least stride that keeps to `MAX_WINDOWS`.

    It ends at the window (10): beyond, frames between two windows would have no score.
    """
    for stride in range(Windows.stride, Windows.half + 1):
        windows = Windows(stride=stride)
        if windows.count(lengths) <= MAX_WINDOWS:
            break
    return windows


def smooth(scores: FloatArray, lengths: Sequence[int]) -> FloatArray:
    """Gaussian mean over 25 frames (sigma 13) inside each clip; taps beyond its ends are left out.

    `scores` is (frames,), `lengths` the frames of each clip, in order.
    """
    smoothed = np.empty(len(scores))
    for clip in _slices(lengths):
        values = np.asarray(scores[clip], dtype=np.float64)
        total, weight = (
            gaussian_filter1d(part, SIGMA, radius=TAPS // 2, mode="constant")
            for part in (values, np.ones_like(values))
        )
        smoothed[clip] = total / weight
    return smoothed


def unmask(
    rows: FloatArray, labels: IntArray, windows: Windows, *, weigh_classes: bool = False
) -> FloatArray:
    """Training accuracy of each loop, in one bin.

    A ridge-penalised linear model without intercept is a combination of its rows, w = X'a. So each
    fit needs only the Gram matrix XX' (21 x 21 however many features there are), from which the
    dropped features are subtracted. This is exact.

    Parameters
    ----------
    rows : (n, dims), more dims than all loops but the last drop; each row is scaled to unit length
        before every fit.
    labels : (n,) zeros and ones.
    weigh_classes : by their own size.

    Returns
    -------
    (loops,) float64. A row whose decision is exactly 0 counts half, whatever its label.
    """
    dims, loops, dropped = rows.shape[1], windows.loops, windows.dropped
    ones = int(labels.sum())
    model = LogisticRegression(
        C=C,
        fit_intercept=False,
        # Of scikit-learn's solvers the fastest on 21 x 21, and exact to 1e-5 with this tolerance.
        solver="liblinear",
        tol=1e-6,
        max_iter=1000,
        class_weight={0: float(len(labels) - ones), 1: float(ones)} if weigh_classes else None,
    )
    exact = rows.astype(np.float64)  # the rows differ by little: their products need the digits
    gram = exact @ exact.T
    negligible = NEGLIGIBLE * gram.diagonal()
    left = np.arange(dims)
    accuracies = np.empty(loops)
    for loop in range(loops):
        squares = gram.diagonal()
        scale = np.zeros(len(rows))
        np.divide(1, np.sqrt(np.abs(squares)), out=scale, where=squares > negligible)
        shares, decisions = fit_in_span(gram * np.outer(scale, scale), labels, model)
        sides = np.sign(decisions) * (2 * labels - 1)  # 1 where a row is on its side, 0 on neither
        accuracies[loop:] = (1 + sides.mean()) / 2
        if not shares.any():  # nothing to lean on, so nothing to remove
            break
        if loop + 1 < loops:
            weights = ((shares * scale) @ exact)[left]
            out = _extremes(weights, dropped // 2)
            removed = exact[:, left[out]]
            gram -= removed @ removed.T
            left = np.delete(left, out)
    return accuracies


def fit_in_span(
    gram: FloatArray, labels: IntArray, model: LogisticRegression
) -> tuple[FloatArray, FloatArray]:
    """Fit a linear model without intercept to rows of which only the products are known.

    Rows Z with ZZ' = `gram` and as many columns as the rows have independent directions stand in
    for them: they give the same decisions and the same norms of weights, so the same optimum.

    Returns
    -------
    shares : (n,) of each row in the weights: w = X' shares.
    decisions : (n,) of the rows; above 0 is class 1, below it class 0.
    """
    values, vectors = np.linalg.eigh(gram)
    kept = values > NEGLIGIBLE * max(values[-1], 0.0)
    if not kept.any():  # nothing moves in any row
        return np.zeros(len(gram)), np.zeros(len(gram))
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    weights = model.fit(vectors * roots, labels).coef_[0]
    shares = vectors @ (weights / roots)
    return shares, gram @ shares  # so that a row of zeros gets exactly 0


def _read_bins(path: Path, frames: int, windows: Windows) -> NDArray[Any]:
    bins = read_array(path, frames)
    removed = (windows.loops - 1) * windows.dropped
    if bins.shape[2] <= removed:
        raise SdorError(
            f"{path}: {bins.shape[2]} features a bin, but unmasking removes {removed}; choose a "
            "wider backbone"
        )
    return bins


def _extremes(weights: FloatArray, count: int) -> IntArray:
    """Positions of the `count` smallest and the `count` largest weights."""
    order = np.argpartition(weights, (count - 1, len(weights) - count))
    return np.concatenate([order[:count], order[len(weights) - count :]])


def _slices(lengths: Sequence[int]) -> list[slice]:
    """Where each clip stands among all frames of the scene."""
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
