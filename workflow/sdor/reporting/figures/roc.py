"""ROC curves of the initial detector, of the first iteration and of the final score."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.metrics import auc, roc_curve

from sdor.evaluation.metrics import BoolArray, FloatArray, LabelledFrames
from sdor.evaluation.scores import labelled_frames
from sdor.reporting.figures import style
from sdor.reporting.runs import Runs, read_scores

FILES = ("initial.parquet", "iteration1/scores.parquet", "ensemble.parquet")
LOOKS = {
    "Initial scores": {"color": style.GREY, "linestyle": "--"},
    "Iteration 1": {"color": style.BLUE, "linestyle": "-."},
    "Our method": {"color": style.ORANGE},
}


class Curve(NamedTuple):
    """A ROC curve, or one like it: x and y (points,), and the area under it (a fraction)."""

    x: FloatArray | Sequence[float]
    y: FloatArray | Sequence[float]
    area: float


# By line and seed; None: there is no such curve.
Curves = Sequence[Sequence[Curve | None]]


def draw(runs: Runs) -> Figure:
    """All labelled frames (merged), and beside them the test clips alone where there is a split."""
    frames, scores = labelled_scores(runs, FILES)
    test = frames.of_split("test")[frames.clip]
    found = {"All labelled frames (merged)": roc_curves(scores, frames)}
    if not test.all():
        found["Test clips alone"] = roc_curves(scores, frames, test)
    shown = {title: curves for title, curves in found.items() if any(curves[0])}
    if not shown:
        return style.note(f"{runs.title}: no ROC curve (labelled frames of one class at most)")
    with style.new_figure(style.COLUMN_WIDTH * len(shown), 4.2) as figure:
        for axes, title in zip(style.panels(figure, len(shown)), shown, strict=True):
            panel(axes, LOOKS, shown[title], band=True)
            axes.set_title(title)
        figure.suptitle(runs.title, fontsize=9)
    return figure


def labelled_scores(runs: Runs, files: Iterable[str]) -> tuple[LabelledFrames, FloatArray]:
    """The labelled frames of a scene, and (files, seeds, frames) their scores in files of a run."""
    tables = [[read_scores(folder / file) for folder in runs.folders] for file in files]
    frames, labelled = labelled_frames(runs.clips, tables[0][0], runs.ground_truth)
    return frames, np.array([[one["score"][labelled] for one in seeds] for seeds in tables], float)


def roc_curves(scores: FloatArray, frames: LabelledFrames, parts: ArrayLike = True) -> Curves:
    """ROC curves of (lines, seeds, frames) scores, each over its part of the frames."""

    def curve(values: FloatArray, part: BoolArray) -> Curve | None:
        truth = frames.anomalous[part]
        if truth.all() or not truth.any():
            return None
        false, true, _ = roc_curve(truth, values[part])
        return Curve(false, true, float(auc(false, true)))

    pairs = zip(scores, np.broadcast_to(parts, scores.shape), strict=True)
    return [list(map(curve, *line)) for line in pairs]


def panel(
    axes: Axes, looks: Mapping[str, Any], curves: Curves, *, chance: bool = True, band: bool = False
) -> None:
    """Curves from 0 to 1, each the mean height over its seeds, and their mean areas in a legend.

    Parameters
    ----------
    looks : of each line, by name, as matplotlib calls it.
    chance : with the line of a detector that guesses.
    band : the range over the seeds is shaded, and the area's standard deviation is said.
    """
    if chance:
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.7, linestyle=":")
    for (name, look), seeds in zip(looks.items(), curves, strict=False):
        known = [one for one in seeds if one]
        areas = [100 * one.area for one in known]
        x, y, _ = known[0] if known else Curve([], [], 0)
        label = f"{name}: {np.mean(areas):.1f}" if known else f"{name}: none"
        if len(known) > 1:
            # Where a curve rises upright it has several values: the highest one is its own there.
            grid = np.linspace(0, 1, 401)
            heights = np.array([np.interp(grid, one.x, one.y) for one in known])
            x, y = np.append(0, grid), np.append(0, heights.mean(axis=0))
            if band:
                low, high = heights.min(axis=0), heights.max(axis=0)
                axes.fill_between(grid, low, high, color=look["color"], alpha=0.15, linewidth=0)
                label += f" ± {np.std(areas, ddof=1):.1f}"
        axes.plot(x, y, label=label, **look)
    axes.set(
        xlim=(0, 1), ylim=(0, 1.005), xlabel="False positive rate", ylabel="True positive rate"
    )
    words = f"Area in percent ({style.mean_of(max(map(len, curves)))})"
    # Five letters below the axes, so that there is room for what x is.
    place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 5}
    small: Any = {"fontsize": style.SMALL, "title_fontsize": style.SMALL, "handlelength": 1.8}
    axes.legend(title=words, ncols=2, **place, **small)
