"""Figure 6: AUC per iteration, of the running mean and of each model alone."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdor.reporting.figures import style
from sdor.reporting.findings import INITIAL, OURS, REPORTED, STEPS, Findings
from sdor.reporting.reported import SAME
from sdor.study.settings import MotionMethod

RUNNING: Any = {"linestyle": "-", "marker": "o", "linewidth": 1.1, "markersize": 3.2}
SINGLE: Any = {**RUNNING, "linestyle": "--", "marker": "s", "markerfacecolor": "white"}
FINAL: Any = {"linestyle": "", "marker": "D", "markersize": 4.2}
PAPER: Any = {"linestyle": "", "marker": "<", "markersize": 5, "color": style.BLACK}
# Filled where the paper's value is for the same settings.
FILLED = {"reported": style.BLACK, "reported, other settings": "white"}


def draw(findings: Findings, variant: str) -> Figure:
    """A panel for each scene, and another for its test clips alone where it has a split.

    t = 0 is the initial score. All panels span the same number of points, so that slopes compare,
    each around its own values. Bands are one standard deviation of the running mean over the seeds.
    The final score is marked where it is more than the last mean.
    """
    scenes, missing = findings.judged([variant])
    if not scenes:
        return style.note("No AUC per iteration", missing)
    shown = []
    for metric, scene in product(style.METRIC_TITLES, scenes):
        cell = findings.cell(scene, variant, metric=metric)
        if cell.mean is None:
            missing[f"{scene}, {style.METRIC_TITLES[metric]}"] = cell.reason
        else:
            shown.append((scene, metric))
    columns = min(len(scenes), style.COLUMNS)
    width = max(style.COLUMN_WIDTH + 0.2, min(style.PAGE_WIDTH, 2.4 * columns))
    with style.new_figure(width, 1.6 * -(-len(shown) // columns) + 0.85) as figure:
        places = style.panels(figure, len(shown), columns)
        for axes, (scene, metric) in zip(places, shown, strict=True):
            _panel(axes, findings, scene, variant, metric)
        limits = [axes.get_ylim() for axes in places]
        span = max(4.0, *(high - low for low, high in limits))
        for axes, (low, high) in zip(places, limits, strict=True):
            # No room above 100 for nothing.
            top = min((low + high + span) / 2, 100 + 0.05 * span)
            axes.set_ylim(top - span, top)
        figure.supxlabel("Iteration t (0: initial scores)", fontsize=8)
        figure.supylabel("Frame AUC (%)", fontsize=8)
        keys = [style.key("mean of models 1 to t", color="#555555", **RUNNING)]
        keys += [style.key("model t alone", color="#555555", **SINGLE)]
        said = {line.get_label() for axes in places for line in axes.lines}
        keys += [style.key("final score", color="#555555", **FINAL)] * ("final score" in said)
        filled = {name: colour for name, colour in FILLED.items() if name in said}
        keys += [style.key(name, markerfacecolor=one, **PAPER) for name, one in filled.items()]
        words = f"Variant {variant}; every panel spans {span:.0f} points of AUC"
        words += style.because(missing, "; not shown")
        style.heading(figure, keys, words, 4 if width > 5 else 2)
    return figure


def _panel(axes: Axes, findings: Findings, scene: str, variant: str, metric: str) -> None:
    """Both kinds of means over the seeds, and the paper's value at the right edge."""
    steps = np.arange(int(findings.counts[scene, variant]["iterations"]) + 1)
    single, running = (
        [findings.cell(scene, variant, row, metric=metric) for row in (INITIAL, *rows)]
        for rows in ([f"{kind}{t}" for t in steps[1:]] for kind in STEPS)
    )
    colour = style.METRIC_COLOURS[metric]
    mean = np.array([one.mean for one in running], dtype=float)
    spread = np.array([one.std or 0.0 for one in running])
    if spread.any():
        top = np.minimum(mean + spread, 100)
        axes.fill_between(steps, mean - spread, top, color=colour, alpha=0.15, linewidth=0)
    # Both begin with the same initial scores.
    alone = np.array([one.mean for one in single], dtype=float)
    axes.plot(steps, alone, markevery=slice(1, None), color=colour, **SINGLE)
    axes.plot(steps, mean, color=colour, **RUNNING)
    final = findings.cell(scene, variant, OURS, metric=metric).mean
    if final is not None and isinstance(findings.grouped[scene, variant][0].method, MotionMethod):
        axes.plot(steps[-1:], [final], label="final score", color=colour, **FINAL)
    paper = findings.cell(scene, variant, metric=metric, source=REPORTED)
    if paper.mean is not None:
        name = [*FILLED][paper.settings != SAME]
        edge: Any = {"transform": axes.get_yaxis_transform(), "clip_on": False, "zorder": 5}
        axes.plot([1.0], [paper.mean], label=name, markerfacecolor=FILLED[name], **edge, **PAPER)
    axes.set_title(f"{scene}, {style.METRIC_TITLES[metric]}", fontsize=8, pad=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    axes.set_xlim(-0.3, steps[-1] + 0.5)
    axes.grid(axis="y")
