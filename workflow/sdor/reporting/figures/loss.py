"""Training loss per epoch of every iteration."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdor.files import read_parquet
from sdor.reporting.figures import style
from sdor.reporting.runs import Runs

NAMES = {"l1": "absolute error", "l2": "squared error"}


def draw(runs: Runs, iterations: int, kind: str) -> Figure:
    """A colour an iteration; seeds are thin lines, their mean is the bold one.

    Parameters
    ----------
    kind : the method's loss.
    """
    colours = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, iterations))
    with style.new_figure(style.COLUMN_WIDTH, 2.6) as figure:
        axes = figure.add_subplot()
        for t, colour in enumerate(colours, start=1):
            paths = [folder / f"iteration{t}" / "history.parquet" for folder in runs.folders]
            tables = [read_parquet(path, ["epoch", "loss"]).set_index("epoch") for path in paths]
            losses = pd.concat(tables, axis=1)
            if len(paths) > 1:
                axes.plot(losses.index, losses, color=colour, linewidth=0.5, alpha=0.5)
            mean = losses.mean(axis=1)
            marker = "o" if len(mean) < 10 else None
            axes.plot(mean.index, mean, marker=marker, ms=3, color=colour, label=f"t = {t}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.set(xlabel="Epoch", ylabel=f"Mean {NAMES.get(kind, f'{kind} loss')}", title=runs.title)
        axes.set_ylim(bottom=0)
        axes.legend(title="Iteration", title_fontsize=7.5, ncols=1 + iterations // 6)
    return figure
