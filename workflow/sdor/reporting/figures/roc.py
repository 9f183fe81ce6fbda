"""ROC curves of the initial detector, of the first iteration and of the final score."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from sdor.evaluation.metrics import BoolArray, FloatArray
from sdor.evaluation.scores import labelled_frames
from sdor.reporting.figures import style
from sdor.reporting.runs import Runs, read_scores

LINES = (
    ("Sp + iForest", "initial.parquet", {"color": style.GREY, "linestyle": "--"}),
    ("Iteration 1", "iteration1/scores.parquet", {"color": style.BLUE, "linestyle": "-."}),
    ("Our method", "ensemble.parquet", {"color": style.ORANGE, "linestyle": "-"}),
)


class Curve(NamedTuple):
    """A ROC curve, or one like it, and the area under it (a fraction)."""

    x: FloatArray
    y: FloatArray
    area: float


def draw(runs: Runs) -> Figure:
    """All labelled frames (merged), and beside them the test clips alone where there is a split.

    Over several seeds a line is the mean true positive rate, its band spans all seeds, and the
    number is the mean AUC with its standard deviation.
    """
    tables = [[read_scores(folder / file) for folder in runs.folders] for _, file, _ in LINES]
    frames, labelled = labelled_frames(runs.clips, tables[0][0], runs.ground_truth)
    test = frames.of_split("test")[frames.clip]
    parts = {"All labelled frames (merged)": np.ones(len(test), dtype=bool)}
    if not test.all():
        parts["Test clips alone"] = test
    parts = {name: part for name, part in parts.items() if len({*frames.anomalous[part]}) == 2}
    if not parts:
        reason = "labelled frames of one class alone" if labelled.any() else "no ground truth"
        return style.note(f"{runs.title}: no ROC curve ({reason})")
    with style.new_figure(style.COLUMN_WIDTH * len(parts), 3.8) as figure:
        places = style.panels(figure, len(parts))
        for axes, (title, part) in zip(places, parts.items(), strict=True):
            square(axes)
            for (name, _, line), seeds in zip(LINES, tables, strict=True):
                scores = [table["score"].to_numpy(float)[labelled][part] for table in seeds]
                curves = [curve(one, frames.anomalous[part]) for one in scores]
                mean_line(axes, curves, f"{name}, AUC", band=True, **line)
            axes.set(title=title, xlabel="False positive rate", ylabel="True positive rate")
            axes.legend(loc="lower right", handlelength=2.2, borderaxespad=0.2)
        figure.suptitle(runs.title, fontsize=9)
    return figure


def curve(scores: FloatArray, anomalous: BoolArray) -> Curve | None:
    """The ROC curve of (frames,) scores; None where a class is missing."""
    if anomalous.all() or not anomalous.any():
        return None
    false, true = roc_curve(anomalous, scores)[:2]
    return Curve(false, true, float(roc_auc_score(anomalous, scores)))


def mean_line(
    axes: Axes, curves: Sequence[Curve | None], name: str, *, band: bool = False, **line: Any
) -> None:
    """Draw one curve, or the mean height of several (seeds), with the mean area in its label.

    Parameters
    ----------
    curves : of every seed; None: it has none.
    band : the range over the seeds is shaded, and the area's standard deviation is said.
    line : its style, as matplotlib calls it.
    """
    known = [one for one in curves if one is not None]
    if not known:
        axes.plot([], [], label=f"{name}: no AUC", **line)
        return
    areas = [100 * one.area for one in known]
    label = f"{name} {np.mean(areas):.1f}"
    x, y = known[0].x, known[0].y
    if len(known) > 1:
        grid = np.linspace(0, 1, 401)
        # Where a curve rises upright it has several values: the highest one is its own there.
        heights = np.array([np.interp(grid, one.x, one.y) for one in known])
        x, y = np.append(0, grid), np.append(0, heights.mean(axis=0))
        if band:
            shade = {"color": line["color"], "alpha": 0.15, "linewidth": 0}
            axes.fill_between(grid, heights.min(axis=0), heights.max(axis=0), **shade)
            label += f" ± {np.std(areas, ddof=1):.1f}"
    axes.plot(x, y, label=label, **line)


def square(axes: Axes, *, chance: bool = True) -> None:
    """Axes from 0 to 1, with the line of a detector that guesses."""
    if chance:
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.7, linestyle=":")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
