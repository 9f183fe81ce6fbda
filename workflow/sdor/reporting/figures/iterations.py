"""Figure 6: AUC per iteration, of the running mean and of each model alone."""

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdor.evaluation.metrics import FloatArray
from sdor.reporting.figures import style
from sdor.reporting.findings import INITIAL, REPORTED, STEPS, Cell, Findings
from sdor.reporting.reported import SAME as SAME_SETTINGS

RUNNING: Any = {"linestyle": "-", "marker": "o", "linewidth": 1.1, "markersize": 3.2}
SINGLE: Any = {**RUNNING, "linestyle": "--", "marker": "s", "markerfacecolor": "white"}
SAME: Any = {"linestyle": "", "marker": "<", "markersize": 5, "color": style.BLACK}
OTHER: Any = {**SAME, "markerfacecolor": "white"}
# A panel: scene and metric.
Panel = tuple[str, str]


class Series(NamedTuple):
    """AUC (percent) at t = 0, 1, …: mean over seeds of both kinds, and the running mean's spread.

    Attributes
    ----------
    reported : the paper's figure.
    """

    running: FloatArray
    single: FloatArray
    spread: FloatArray
    reported: Cell

    @property
    def band(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge of what is shaded."""
        return self.running - self.spread, np.minimum(self.running + self.spread, 100)


def draw(findings: Findings, variant: str) -> Figure:
    """One panel a scene, and another below for the test clips alone where it has a split.

    t = 0 is Sp + iForest. All panels span the same number of points, so that slopes compare, each
    around its own values. Bands are one standard deviation of the running mean over the seeds.
    """
    scenes, missing = findings.judged([variant])
    if not scenes:
        return style.note("No AUC per iteration", missing)
    series: dict[Panel, Series] = {}
    for scene, metric in product(scenes, style.METRIC_TITLES):
        cell = findings.cell(scene, variant, metric=metric)
        if cell.mean is None:
            missing[f"{scene}, {style.METRIC_TITLES[metric]}"] = cell.reason
        else:
            series[scene, metric] = _series(findings, scene, variant, metric)
    windows, span = _windows(series)
    names, columns = list(scenes), min(len(scenes), style.COLUMNS)
    starts = range(0, len(names), columns)
    rows = [
        [(scene, metric) for scene in names[start : start + columns]]
        for start, metric in product(starts, style.METRIC_TITLES)
    ]
    rows = [row for row in rows if any(panel in series for panel in row)]
    width = max(style.COLUMN_WIDTH + 0.2, min(style.PAGE_WIDTH, 2.4 * columns))
    with style.new_figure(width, 1.55 * len(rows) + 0.85) as figure:
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for places, row in zip(grid, rows, strict=True):
            shown = [
                (axes, panel) for axes, panel in zip(places, row, strict=False) if panel in series
            ]
            for axes, panel in shown:
                _panel(axes, panel, series[panel])
                axes.set_ylim(windows[panel])
            shown[0][0].set_ylabel(f"AUC (%), {style.METRIC_TITLES[row[0][1]]}", fontsize=7.5)
        figure.supxlabel("Iteration t (0: Sp + iForest)", fontsize=8)
        keys = [style.key("mean of models 1 to t", color="#555555", **RUNNING)]
        keys += [style.key("model t alone", color="#555555", **SINGLE)]
        known = [one.reported for one in series.values() if one.reported.mean is not None]
        looks = {"reported": SAME, "reported, other settings": OTHER}
        keys += [
            style.key(name, **look) for name, look in looks.items() if look in map(_look, known)
        ]
        words = f"Variant {variant}; every panel spans {span:.0f} points of AUC"
        words += style.because(missing, "; not shown")
        style.heading(figure, keys, words, 4 if width > 5 else 2)
    return figure


def _series(findings: Findings, scene: str, variant: str, metric: str) -> Series:
    last = int(findings.counts[scene, variant]["iterations"])
    single, running = (
        [findings.cell(scene, variant, row, metric=metric) for row in (INITIAL, *rows)]
        for rows in ([f"{kind}{t}" for t in range(1, last + 1)] for kind in STEPS)
    )
    return Series(
        running=np.array([one.mean for one in running], dtype=float),
        single=np.array([one.mean for one in single], dtype=float),
        spread=np.array([one.std or 0.0 for one in running]),
        reported=findings.cell(scene, variant, metric=metric, source=REPORTED),
    )


def _windows(series: Mapping[Panel, Series]) -> tuple[dict[Panel, tuple[float, float]], float]:
    """Limits of the y axes, which span as many points each; no room above 100 for nothing."""
    ends = {}
    for panel, one in series.items():
        known = [] if one.reported.mean is None else [one.reported.mean]
        values = np.hstack([*one.band, one.single, known])
        ends[panel] = (float(values.min()), float(values.max()))
    span = max(4.0, 1.2 * max(high - low for low, high in ends.values()))
    middles = {panel: (low + high) / 2 for panel, (low, high) in ends.items()}
    tops = {panel: min(at + span / 2, 100 + 0.05 * span) for panel, at in middles.items()}
    return {panel: (top - span, top) for panel, top in tops.items()}, span


def _look(reported: Cell) -> Any:
    """How a figure of the paper is drawn: filled where it is for the same settings."""
    return SAME if reported.settings == SAME_SETTINGS else OTHER


def _panel(axes: Axes, panel: Panel, one: Series) -> None:
    scene, metric = panel
    steps, colour = np.arange(len(one.running)), style.METRIC_COLOURS[metric]
    axes.set_axis_on()
    if one.spread.any():
        axes.fill_between(steps, *one.band, color=colour, alpha=0.15, linewidth=0)
    # Both begin with the same initial scores.
    axes.plot(steps, one.single, markevery=slice(1, None), color=colour, **SINGLE)
    axes.plot(steps, one.running, color=colour, **RUNNING)
    if one.reported.mean is not None:
        edge: Any = {"transform": axes.get_yaxis_transform(), "clip_on": False, "zorder": 5}
        axes.plot([1.0], [one.reported.mean], **edge, **_look(one.reported))
    axes.set_title(scene, fontsize=8, pad=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    axes.set_xlim(-0.3, steps[-1] + 0.5)
    axes.grid(axis="y")
