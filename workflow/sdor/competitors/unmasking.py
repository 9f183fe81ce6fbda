"""Two competitors that ask how well a classifier tells a moment from the moment before.

Unmasking (Ionescu, Smeureanu, Alexe & Popescu, "Unmasking the abnormal events in video", ICCV 2017)
slides a window of 2w + 1 frames over a clip, trains a linear classifier to separate its two halves,
removes the features that it leans on most, and repeats. Halves that stay separable differ in
more than a few features: something happens. The classifier two-sample test (Liu, Li & Póczos,
"Classifier two-sample test for video anomaly detections", BMVC 2018) adds frames of the clip's
past to the first half.

Both look at two channels, appearance and motion, whose scores are averaged (`fuse`).

What the papers leave open follows the code that Liu et al. released, which holds both methods:

- Rows are scaled to unit length before every fit, so again after each removal.
- With history, both classes are weighted by their own size (21 and 10). A classifier that tells
  nothing apart then has the accuracy 21/31, where it has 11/21 without history.
- The pool of history is drawn at the first window that uses it, from the scored frames before it;
  each later window that uses history offers it the frame just before the window. History is used
  when the mean score of the first half of the window before is not below the mean score of all
  frames from the first scored one up to that window's first.

And where that code would harm a ranking, it departs from it:

- A last window ends with the clip's last frame, also where the stride would step over it. (There,
  up to stride - 1 frames at the end kept the score 0.5 of frames that nothing is known of.)
- Smoothing leaves out what lies outside the clip. (There, zeros stand outside, which lowers the
  first and last 12 frames of a clip.)
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from sdor.competitors.motion import BINS, MotionCubes
from sdor.errors import SdorError
from sdor.files import damaged, write_parquet
from sdor.progress import logger, track
from sdor.video.store import FrameStore

Method = Literal["unmasking", "two_sample_test"]
WINDOW, STRIDE, LOOPS, DROPPED = 10, 5, 10, 50  # frames, frames, fits a bin, features a loop
C = 0.5  # of the logistic regression, on rows of unit length
UNKNOWN = 0.5  # score of frames that no window scores
TAPS, SIGMA = 25, 13.0  # of the smoothing, frames
POOL, HISTORY, REPLACE = 50, 10, 0.3  # frames, frames, probability
# A scene costs windows x 4 bins x 10 fits a channel, at 0.8 to 1.8 ms a fit on one core (idle or
# shared, appearance or motion): 15,000 windows of two channels are 1.2 million fits, 16 to 36
# minutes, less where bins stand still. The authors' stride of 5 stays within that up to 75,000
# frames, the largest stride, which is the window, up to 150,000.
MAX_WINDOWS = 15_000
# Relative to the largest eigenvalue, and to a row's first length: what is less is rounding.
NEGLIGIBLE = 1e-12

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
NO_FRAMES: IntArray = np.array([], dtype=np.int64)


class Channel(Protocol):
    """What a frame looks like to the classifiers: one vector for each spatial bin."""

    def rows(self, frames: IntArray) -> FloatArray:
        """[n, bins, dims] for n frame numbers of the scene, counted from 0."""
        ...


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


def competitor_scores(
    method: Method,
    bins_path: Path,
    grey_files: Mapping[str, Path],
    outputs: Mapping[str, Path],
    *,
    seed: int,
    about: Mapping[str, Any],
) -> None:
    """Score all frames of a scene by both channels and their late fusion.

    The windows stand 5 frames apart, as the authors' do, or more in a long scene (see
    `bounded_stride`).

    Parameters
    ----------
    bins_path : `.npy` of (frames, 4, dims): see `Appearance`.
    grey_files : the clips' `.npy` files of grey frames by clip name, in the scene's order.
    outputs : the tables (clip, frame, score) to write, by "appearance", "motion" and "fused".
    seed : of the history; unmasking has nothing random in it.

    Raises
    ------
    SdorError : a file is damaged or does not fit to the others.
    """
    store = FrameStore(grey_files)
    lengths = store.lengths.tolist()
    chosen = bounded_stride(lengths)
    windows = sum(len(window_starts(length, WINDOW, chosen)) for length in lengths)
    logger.info("%s: %d windows in steps of %d frames", method, windows, chosen)
    motion = MotionCubes(store)
    appearance = Appearance(_read_bins(bins_path, len(store)))
    try:
        scores = {"appearance": _scores(method, appearance, lengths, chosen, seed, "appearance")}
    except ValueError as error:
        raise SdorError(f"{bins_path}: {error}; delete it and run the same command again") from None
    scores["motion"] = _scores(method, motion, lengths, chosen, seed, "motion")
    scores["fused"] = fuse([scores["appearance"], scores["motion"]])
    index = store.index()
    for name, values in scores.items():
        record = {"score": "the higher, the more anomalous", **about, "stride": chosen}
        write_parquet(outputs[name], index.assign(score=values), record)


def unmasking_scores(
    channel: Channel,
    lengths: Sequence[int],
    *,
    window: int = WINDOW,
    stride: int = STRIDE,
    loops: int = LOOPS,
    dropped: int = DROPPED,
    label: str = "unmasking",
) -> FloatArray:
    """Anomaly score of each frame by unmasking (Ionescu et al. 2017), on one channel.

    Each window of 2w + 1 frames is cut into its first w + 1 and its last w. In each spatial bin a
    logistic regression without intercept (C = 0.5) learns to tell them apart; its accuracy on these
    rows is noted, and the features of the largest and of the smallest weights are dropped, `loops`
    times. A bin's score is the mean accuracy, a window's that of its highest bin; it is given to
    the frames of the last half. A frame's score is the mean over its windows, 0.5 before the first
    scored frame (the w + 2nd of a clip) and in clips too short for a window, smoothed in the clip.

    Parameters
    ----------
    channel : rows [n, bins, dims]; dims must be more than (loops - 1) * dropped.
    lengths : frames of each clip, in the scene's order.
    window : w, in frames.
    stride : frames between two windows, at most w.
    loops, dropped : K and m: fits a bin, and features dropped after each (an even number).
    label : name of the progress bar.

    Returns
    -------
    (frames,) float64 in [0, 1]; the higher, the more anomalous.

    Raises
    ------
    ValueError : a stride beyond the window, or a channel with too few dims.
    """
    scores = _window_means(
        channel, lengths, window=window, stride=stride, loops=loops, dropped=dropped, label=label
    )
    return smooth(scores, lengths)


def two_sample_scores(
    channel: Channel,
    lengths: Sequence[int],
    *,
    seed: int,
    window: int = WINDOW,
    stride: int = STRIDE,
    loops: int = LOOPS,
    dropped: int = DROPPED,
    label: str = "two-sample test",
) -> FloatArray:
    """Anomaly score of each frame by the two-sample test (Liu et al. 2018), on one channel.

    Unmasking with a past: 10 frames out of a pool of 50 earlier ones join the first class, in
    windows that start at least 50 + stride + w frames into the clip and that follow scores not
    below the long-run mean (see the module). Each clip has its own random draws, out of `seed`.

    Parameters, returned scores and errors are those of `unmasking_scores`.
    """
    scores = _window_means(
        channel,
        lengths,
        window=window,
        stride=stride,
        loops=loops,
        dropped=dropped,
        label=label,
        seed=seed,
    )
    return smooth(scores, lengths)


def fuse(scores: Sequence[FloatArray]) -> FloatArray:
    """Late fusion: the mean of the channels' scores.

    Smoothing is linear, so the mean of smoothed scores is the smoothed mean.
    """
    mean: FloatArray = np.mean(scores, axis=0)
    return mean


def bounded_stride(lengths: Sequence[int], max_windows: int = MAX_WINDOWS) -> int:
    """The authors' 5 frames, or the least stride above it that keeps a scene within `max_windows`.

    It ends at the window (10): beyond, frames between two windows would have no score. So the cost
    of a scene of more than 150,000 frames grows with its length again, at half the authors'.
    """
    for stride in range(STRIDE, WINDOW):
        if sum(len(window_starts(length, WINDOW, stride)) for length in lengths) <= max_windows:
            return stride
    return WINDOW


def window_starts(length: int, window: int = WINDOW, stride: int = STRIDE) -> list[int]:
    """First frames (from 0) of a clip's windows of 2 * window + 1 frames.

    The last one ends with the clip, so its distance to the one before may be less than the stride.
    A clip that is shorter than a window has none.
    """
    last = length - 2 * window - 1
    if last < 0:
        return []
    return [*range(0, last, stride), last]


def smooth(scores: FloatArray, lengths: Sequence[int]) -> FloatArray:
    """Gaussian mean over 25 frames (sigma 13) inside each clip; taps beyond its ends are left out.

    Parameters
    ----------
    scores : (frames,); lengths : frames of each clip, in order.
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
    rows: FloatArray, labels: IntArray, *, loops: int, dropped: int, weigh_classes: bool = False
) -> FloatArray:
    """Training accuracy of each loop, in one bin.

    A ridge-penalised linear model without intercept is a combination of its rows, w = X'a. So each
    fit needs only the Gram matrix XX' (21 x 21 however many features there are), from which the
    dropped features are subtracted. This is exact.

    Parameters
    ----------
    rows : (n, dims), of any length; each is scaled to unit length before every fit.
    labels : (n,) zeros and ones.
    weigh_classes : weigh both classes by their own size.

    Returns
    -------
    (loops,) float64.

    Raises
    ------
    ValueError : too few dims, or an odd `dropped`.
    """
    dims = rows.shape[1]
    if dropped < 2 or dropped % 2 or dims <= (loops - 1) * dropped:
        raise ValueError(
            f"{loops} loops that drop {dropped} features (an even number) each need more than "
            f"{(loops - 1) * dropped} features, found {dims}"
        )
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
        accuracies[loop:] = np.mean((decisions > 0) == labels)
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
    decisions : (n,) of the rows; above 0 is class 1.
    """
    values, vectors = np.linalg.eigh(gram)
    kept = values > NEGLIGIBLE * max(values[-1], 0.0)
    if not kept.any():  # nothing moves in any row: all fall to class 0
        return np.zeros(len(gram)), np.zeros(len(gram))
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    weights = model.fit(vectors * roots, labels).coef_[0]
    shares = vectors @ (weights / roots)
    return shares, gram @ shares  # so that a row of zeros gets exactly 0


def _scores(
    method: Method, channel: Channel, lengths: list[int], stride: int, seed: int, name: str
) -> FloatArray:
    label = f"{method.replace('_', ' ')}, {name}"
    if method == "unmasking":
        return unmasking_scores(channel, lengths, stride=stride, label=label)
    return two_sample_scores(channel, lengths, stride=stride, seed=seed, label=label)


def _read_bins(path: Path, frames: int) -> NDArray[Any]:
    try:
        bins: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise SdorError(damaged(path, error)) from error
    if bins.ndim != 3 or bins.shape[:2] != (frames, BINS):
        raise SdorError(
            f"{path}: holds an array of shape {bins.shape}, expected {frames} frames with {BINS} "
            "bins each; delete it and run the same command again"
        )
    if bins.shape[2] <= (LOOPS - 1) * DROPPED:
        raise SdorError(
            f"{path}: {bins.shape[2]} features a bin, but unmasking removes {(LOOPS - 1) * DROPPED}"
            "; choose a wider backbone"
        )
    return bins


def _window_means(
    channel: Channel,
    lengths: Sequence[int],
    *,
    window: int,
    stride: int,
    loops: int,
    dropped: int,
    label: str,
    seed: int | None = None,
) -> FloatArray:
    """(frames,) mean score of the windows whose last half holds the frame; with history if seeded.

    Window by window, since with history a window depends on the scores before it.
    """
    if not 1 <= stride <= window:
        raise ValueError(f"a stride of {stride} frames does not fit to halves of {window}")
    scores = np.full(sum(lengths), UNKNOWN)
    plan = [window_starts(length, window, stride) for length in lengths]

    def each_window() -> Iterator[None]:
        for clip, part in enumerate(_slices(lengths)):
            here = scores[part]
            total, windows = np.zeros(len(here)), np.zeros(len(here))
            rows = _Rows(channel, part.start)
            history = None if seed is None else _History([seed, clip], window, stride)
            for start in plan[clip]:
                frames = np.arange(start, start + 2 * window + 1)
                past = NO_FRAMES if history is None else history.draw(start, here)
                asked = np.concatenate([past, frames])
                values = rows.take(asked, NO_FRAMES if history is None else history.pool)
                labels = np.repeat([0, 1], [len(asked) - window, window])
                accuracies = [
                    unmask(
                        values[:, place],
                        labels,
                        loops=loops,
                        dropped=dropped,
                        weigh_classes=len(past) > 0,
                    ).mean()
                    for place in range(values.shape[1])
                ]
                half = slice(start + window + 1, start + 2 * window + 1)
                total[half] += max(accuracies)
                windows[half] += 1
                here[half] = total[half] / windows[half]
                yield

    # One small fit takes less time than scikit-learn's checks of its arguments.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for _ in track(each_window(), total=sum(map(len, plan)), unit="window", label=label):
            pass
    return scores


class _History:
    """Earlier frames of one clip for the first class, while the clip is gone through.

    Parameters
    ----------
    seed : of this clip's draws.
    window, stride : of the windows that ask, in frames.

    Attributes
    ----------
    pool : frames of the clip that history is drawn from, the oldest first.
    """

    def __init__(self, seed: list[int], window: int, stride: int) -> None:
        self.pool = NO_FRAMES
        self._rng = np.random.default_rng(seed)
        self._window = window
        self._first = POOL + stride + window
        self._previous = 0

    def draw(self, start: int, scores: FloatArray) -> IntArray:
        """Frames of the clip for the window at `start`; none when it needs no past.

        Parameters
        ----------
        scores : (frames of the clip,) as the windows before left them.
        """
        previous, self._previous = self._previous, start
        scored = self._window + 1
        if start < self._first:
            return NO_FRAMES
        recent = scores[previous : previous + self._window + 1].mean()
        if recent < scores[scored : previous + 1].mean():
            return NO_FRAMES
        if not len(self.pool):
            self.pool = np.sort(self._rng.choice(np.arange(scored, start), POOL, replace=False))
        elif self._rng.random() < REPLACE:
            self.pool = np.append(self.pool[1:], start - 1)
        return self._rng.choice(self.pool, HISTORY, replace=False)


class _Rows:
    """Rows of a channel for the frames of one clip; those that are still needed are made once."""

    def __init__(self, channel: Channel, first: int) -> None:
        self._channel = channel
        self._first = first
        self._known: dict[int, FloatArray] = {}

    def take(self, frames: IntArray, keep: IntArray) -> FloatArray:
        """Rows [n, bins, dims] of frames of the clip; only these and `keep` are remembered."""
        missing = [frame for frame in frames.tolist() if frame not in self._known]
        if missing:
            made = self._channel.rows(self._first + np.array(missing))
            # Copies, since a view would hold all rows that were made with it.
            self._known.update(
                (frame, row.copy()) for frame, row in zip(missing, made, strict=True)
            )
        taken = np.stack([self._known[frame] for frame in frames.tolist()])
        needed = {*frames.tolist(), *keep.tolist()}
        self._known = {frame: row for frame, row in self._known.items() if frame in needed}
        return taken


def _extremes(weights: FloatArray, count: int) -> IntArray:
    """Positions of the `count` smallest and the `count` largest weights."""
    order = np.argpartition(weights, (count - 1, len(weights) - count))
    return np.concatenate([order[:count], order[len(weights) - count :]])


def _slices(lengths: Sequence[int]) -> list[slice]:
    """Where each clip stands among all frames of the scene."""
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
