"""Figure 3: ROC curves before the (simulated) expert's feedback and after each round of it."""

from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sdor.method.marks import lengths_of, read_marks, widened
from sdor.reporting.figures import style
from sdor.reporting.figures.roc import Curves, labelled_scores, panel, roc_curves
from sdor.reporting.runs import Runs


def draw(scenes: Iterable[Runs], rounds: int, last: int, neighbours: int) -> Figure:
    """Two panels a scene: all labelled frames, and without those that the expert touched.

    The rounds of feedback on each scene's runs begin with the model of iteration `last`. Of a mark,
    so many `neighbours` on either side are touched, too.
    """
    found = {runs.scene: _curves(runs, rounds, last, neighbours) for runs in scenes}
    shown = {scene: parts for scene, parts in found.items() if any(next(iter(parts.values()))[0])}
    missing = {scene: "frames of one class at most" for scene in found if scene not in shown}
    if not shown:
        return style.note("No rounds of feedback that can be judged", missing)
    colours = mpl.colormaps["viridis"](np.linspace(0.85, 0.0, rounds + 1))
    looks: dict[str, Any] = {f"H-M {t}": {"color": one} for t, one in enumerate(colours)}
    looks["H-M 0"]["linestyle"] = "--"
    looks["H-M 0*"] = {"color": style.BLACK, "linestyle": ":"}
    columns = 2 if len(shown) <= 2 else style.COLUMNS
    height = (6.6 / columns + 0.65) * -(-2 * len(shown) // columns)
    with style.new_figure(style.PAGE_WIDTH, height) as figure:
        places = iter(style.panels(figure, 2 * len(shown), columns))
        for scene, parts in shown.items():
            for part, curves in parts.items():
                axes = next(places)
                panel(axes, looks, curves)
                axes.set_title(f"{scene}\n{part}", fontsize=7.5)
        style.footnote(
            figure,
            "H-M i: after round i of simulated feedback; H-M 0 is the last iteration's model. "
            "Right, each is over the frames that nobody had marked by then, ever harder ones, "
            "and H-M 0* over those of the last round.",
            missing,
        )
    return figure


def _curves(runs: Runs, rounds: int, last: int, neighbours: int) -> dict[str, Curves]:
    """By part of the frames, the ROC curves before any feedback and after each round.

    What the expert had touched by a round, neighbours too, is left out in the second part. Last
    there: before any feedback, on the frames of the last round.
    """
    after = [f"feedback/round{number + 1}" for number in range(rounds)]
    places = [f"iteration{last}", *after, f"iteration{last}"]
    frames, scores = labelled_scores(runs, [f"{place}/scores.parquet" for place in places])
    index = pd.MultiIndex.from_frame(runs.ground_truth[["clip", "frame"]])
    left = np.ones(scores.shape, dtype=bool)
    for seed, folder in enumerate(runs.folders):
        marks = read_marks(
            [folder / place / "marks.csv" for place in after], lengths_of(runs.times)
        )
        touched = widened(marks, runs.times, neighbours)
        for number in range(1, rounds + 1):
            marked = touched.loc[touched["round"] == number, ["clip", "frame"]]
            left[number:, seed] &= ~index.isin(pd.MultiIndex.from_frame(marked))
    every, unmarked = roc_curves(scores[:-1], frames), roc_curves(scores, frames, left)
    return {"all labelled frames": every, "without marked frames": unmarked}
