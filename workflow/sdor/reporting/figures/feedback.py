"""Figure 3: ROC curves before the (simulated) expert's feedback and after each round of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdor.evaluation.scores import labelled_frames
from sdor.files import read_parquet
from sdor.reporting.figures import style
from sdor.reporting.figures.roc import Curve, curve, mean_line, square
from sdor.reporting.runs import Runs, read_scores

# By round, the curve of each seed.
Rounds = Sequence[Sequence[Curve | None]]


def draw(scenes: Iterable[Runs], rounds: int, last: int) -> Figure:
    """Two panels a scene: all labelled frames, and without those that the expert touched.

    Over several seeds a line is the mean true positive rate, and the area the mean area.

    Parameters
    ----------
    scenes : the runs of the main variant on the scenes with feedback.
    rounds : how many there were.
    last : the last iteration, whose model is the one before any feedback.
    """
    found = {runs.scene: curves(runs, rounds, last) for runs in scenes}
    shown = {scene: both for scene, both in found.items() if any(map(any, both[0]))}
    missing = {scene: "frames of one class at most" for scene in found if scene not in shown}
    if not shown:
        return style.note("No rounds of feedback that can be judged", missing)
    columns = 2 if len(shown) <= 2 else style.COLUMNS
    height = (2.75 if columns == 2 else 2.35) * -(-2 * len(shown) // columns) + 0.35
    with style.new_figure(style.PAGE_WIDTH, height) as figure:
        places = iter(style.panels(figure, 2 * len(shown), columns))
        for scene, (every, unmarked) in shown.items():
            _panel(next(places), f"{scene}\nall labelled frames", every, columns)
            _panel(next(places), f"{scene}\nwithout marked frames", unmarked, columns)
        seeds = style.mean_of(max(len(every[0]) for every, _ in shown.values()))
        style.footnote(
            figure,
            "H-M i: after round i of simulated feedback; H-M 0 is the last iteration's model. "
            f"Numbers: area under the curve in percent ({seeds}). Right: each curve on the frames "
            "that nobody had marked by then, ever harder ones; * H-M 0 on those of the last round.",
            missing,
        )
    return figure


def curves(runs: Runs, rounds: int, last: int) -> tuple[Rounds, Rounds]:
    """ROC curves before any feedback and after each round, by round and seed.

    Returns
    -------
    Over all labelled frames, and without the frames that the expert had touched by that round, with
    those of the neighbours; last in the second: before any feedback, on the last round's frames.
    """
    every, unmarked = [], []
    for folder in runs.folders:
        after = [folder / "feedback" / f"round{number}" for number in range(1, rounds + 1)]
        places = [folder / f"iteration{last}", *after]
        tables = [read_scores(place / "scores.parquet") for place in places]
        frames, labelled = labelled_frames(runs.clips, tables[0], runs.ground_truth)
        scores = [table["score"].to_numpy(float)[labelled] for table in tables]
        index = pd.MultiIndex.from_frame(tables[0].loc[labelled, ["clip", "frame"]])
        marks = [read_parquet(place / "marks.parquet", ["clip", "frame"]) for place in after]
        touched = [index.isin(pd.MultiIndex.from_frame(table)) for table in marks]
        left = ~np.logical_or.accumulate([np.zeros(len(index), dtype=bool), *touched])
        every.append([curve(one, frames.anomalous) for one in scores])
        pairs = zip([*scores, scores[0]], [*left, left[-1]], strict=True)
        unmarked.append([curve(one[part], frames.anomalous[part]) for one, part in pairs])
    return list(zip(*every, strict=True)), list(zip(*unmarked, strict=True))


def _panel(axes: Axes, title: str, rounds: Rounds, columns: int) -> None:
    """A line a round; the one too many of the second panel is that of before, on fewer frames."""
    square(axes)
    count = len(rounds) - title.endswith("without marked frames")
    colours = mpl.colormaps["viridis"](np.linspace(0.85, 0.0, count))
    lines: list[tuple[str, Any, Any]] = [("H-M 0:", colours[0], "--")]
    lines += [(f"H-M {number}:", colour, "-") for number, colour in enumerate(colours[1:], start=1)]
    lines.append(("H-M 0*:", style.BLACK, (0, (1, 1.2))))
    for seeds, (name, colour, dashes) in zip(rounds, lines, strict=False):
        mean_line(axes, seeds, name, color=colour, linestyle=dashes, linewidth=1.1)
    axes.set_title(title, fontsize=7.5)
    axes.set_xlabel("False positive rate", fontsize=7)
    axes.set_ylabel("True positive rate", fontsize=7)
    ticks: Any = {"ticks": [0, 0.5, 1], "labels": ["0", "0.5", "1"]}
    axes.set_xticks(**ticks)
    axes.set_yticks(**ticks)
    # Outside the axes a curve of any shape stays in sight.
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    if columns > 2:
        place = {"loc": "upper center", "bbox_to_anchor": (0.4, -0.3), "ncols": 2}
        place |= {"fontsize": style.SMALL, "columnspacing": 0.8}
    axes.legend(handlelength=1.6, handletextpad=0.4, borderaxespad=0.3, labelspacing=0.35, **place)
