"""Figure 6: AUC per iteration, of the running mean and of each model alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdor.evaluation.metrics import FloatArray
from sdor.reporting.figures import style
from sdor.reporting.figures.values import Values, measured
from sdor.reporting.findings import REPORTED, Findings
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
    reported : the paper's figure; NaN: it has none. same : it is for the same settings.
    """

    running: FloatArray
    single: FloatArray
    spread: FloatArray
    reported: float = np.nan
    same: bool = True

    @property
    def band(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper edge of what is shaded."""
        return self.running - self.spread, np.minimum(self.running + self.spread, 100)


def draw(findings: Findings, variant: str) -> Figure:
    """One panel a scene, and another below for the test clips alone where it has a split.

    t = 0 is Sp + iForest. All panels span the same number of points, so that slopes compare, each
    around its own values. Bands are one standard deviation of the running mean over the seeds.
    """
    scenes, missing = measured(findings, [variant])
    if not scenes:
        return style.note("No AUC per iteration", missing)
    series: dict[Panel, Series] = {}
    for scene, found in scenes.items():
        series[scene, "merged"] = _series(found[variant], "merged")._replace(
            **_reported(findings, scene, variant)
        )
        test = found[variant]["ours", "test_only"]
        if np.isnan(test.mean):
            missing[f"{scene}, test-only"] = test.reason
        else:
            series[scene, "test_only"] = _series(found[variant], "test_only")
    windows, span = _windows(series)
    names, columns = list(scenes), min(len(scenes), style.COLUMNS)
    rows = [
        [(scene, metric) for scene in names[start : start + columns]]
        for start in range(0, len(names), columns)
        for metric in style.METRIC_TITLES
    ]
    rows = [row for row in rows if any(panel in series for panel in row)]
    width = max(style.COLUMN_WIDTH + 0.2, min(style.PAGE_WIDTH, 2.4 * columns))
    with style.new_figure(width, 1.55 * len(rows) + 0.85) as figure:
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for places, row in zip(grid, rows, strict=True):
            for axes, panel in zip(places, row, strict=False):
                if panel in series:
                    _panel(axes, panel, series[panel])
                    axes.set_ylim(windows[panel])
            first = places[[panel in series for panel in row].index(True)]
            first.set_ylabel(f"AUC (%), {style.METRIC_TITLES[row[0][1]]}", fontsize=7.5)
        figure.supxlabel("Iteration t (0: Sp + iForest)", fontsize=8)
        keys = [style.key("mean of models 1 to t", color="#555555", **RUNNING)]
        keys += [style.key("model t alone", color="#555555", **SINGLE)]
        known = {one.same for one in series.values() if not np.isnan(one.reported)}
        keys += [style.key("reported", **SAME)] if True in known else []
        keys += [style.key("reported, other settings", **OTHER)] if False in known else []
        words = f"Variant {variant}; every panel spans {span:.0f} points of AUC" + style.because(
            missing, "; not shown"
        )
        style.heading(figure, keys, words, 4 if width > 5 else 2)
    return figure


def _reported(findings: Findings, scene: str, variant: str) -> dict[str, Any]:
    """The paper's figure for the variant's backbone."""
    known = findings.cell(scene, variant, source=REPORTED)
    return (
        {}
        if known.mean is None
        else {"reported": known.mean, "same": known.settings == SAME_SETTINGS}
    )


def _series(values: Values, metric: str) -> Series:
    steps = range(1, sum(row.startswith("iteration_") for row, its in values if its == metric) + 1)
    running = [values[row, metric] for row in ("sp_iforest", *(f"ensemble_{t}" for t in steps))]
    single = [values[row, metric] for row in ("sp_iforest", *(f"iteration_{t}" for t in steps))]
    return Series(
        running=np.array([one.mean for one in running]),
        single=np.array([one.mean for one in single]),
        spread=np.nan_to_num([one.std for one in running]),
    )


def _windows(series: Mapping[Panel, Series]) -> tuple[dict[Panel, tuple[float, float]], float]:
    """Limits of the y axes, which span as many points each; no room above 100 for nothing."""
    shown = {
        panel: np.hstack([*one.band, one.single, one.reported]) for panel, one in series.items()
    }
    ends = {panel: (np.nanmin(one), np.nanmax(one)) for panel, one in shown.items()}
    span = max(4.0, 1.2 * max(high - low for low, high in ends.values()))
    tops = {
        panel: min((low + high + span) / 2, 100 + 0.05 * span)
        for panel, (low, high) in ends.items()
    }
    return {panel: (top - span, top) for panel, top in tops.items()}, span


def _panel(axes: Axes, panel: Panel, one: Series) -> None:
    scene, metric = panel
    steps, colour = np.arange(len(one.running)), style.METRIC_COLOURS[metric]
    axes.set_axis_on()
    if one.spread.any():
        axes.fill_between(steps, *one.band, color=colour, alpha=0.15, linewidth=0)
    # Both begin with the same initial scores.
    axes.plot(steps, one.single, markevery=slice(1, None), color=colour, **SINGLE)
    axes.plot(steps, one.running, color=colour, **RUNNING)
    if not np.isnan(one.reported):
        edge = axes.get_yaxis_transform()
        style_of = SAME if one.same else OTHER
        axes.plot([1.0], [one.reported], transform=edge, clip_on=False, zorder=5, **style_of)
    axes.set_title(scene, fontsize=8, pad=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    axes.set_xlim(-0.3, steps[-1] + 0.5)
    axes.grid(axis="y")
