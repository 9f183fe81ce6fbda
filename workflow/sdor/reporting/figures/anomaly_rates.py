"""Figure 5: AUC against the rate of anomalous frames."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from sdor.reporting.figures import style
from sdor.reporting.figures.values import Values, measured, most_seeds, of_seeds
from sdor.reporting.findings import Findings

BARS: Any = {"markersize": 4, "capsize": 2, "elinewidth": 0.9}
DOTS: Any = {"markersize": 3, "markeredgewidth": 0, "alpha": 0.6}
# Row, by how many points it is moved aside (bars at the same rate would hide each other), style.
LINES: Any = (
    ("sp_iforest", -1.5, {"label": "Sp + iForest", "color": style.GREY, "fmt": "s--"}),
    ("ours", 1.5, {"label": "Our method", "color": style.ORANGE, "fmt": "o-"}),
)


def draw(findings: Findings) -> Figure:
    """Merged AUC of Sp + iForest and of ours against the rate that was reached, one panel a scene.

    The variant that differs from those with fewer anomalies in nothing else stands at the scene's
    own rate. Bars are one standard deviation over the seeds, whose own values are the small dots;
    with one seed they are its 95 % interval from resampled clips.
    """
    asked = findings.plan.anomaly_rates.variants
    scenes, missing = measured(findings, [*asked, *_whole(findings, asked)])
    # A scene that has the whole variant alone is not part of the comparison.
    scenes = {scene: found for scene, found in scenes.items() if set(found) & set(asked)}
    if not scenes:
        return style.note("No AUC at different anomaly rates", missing)
    width = max(style.COLUMN_WIDTH, min(style.PAGE_WIDTH, 2.7 * len(scenes)))
    words = "Bars: 95 % interval from resampled clips (one seed)"
    if most_seeds(scenes) > 1:
        words = "Bars: one standard deviation over the seeds (small dots)"
    with style.new_figure(width, 2.1 * -(-len(scenes) // style.COLUMNS) + 0.75) as figure:
        places = style.panels(figure, len(scenes), sharey=True)
        for axes, (scene, variants) in zip(places, scenes.items(), strict=True):
            table = of_seeds(findings, variants)
            for row, points, line in LINES:
                aside = ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
                dots = _dots(table[table["scene"] == scene], row)
                _line(axes, variants, row, dots, {**line, "transform": axes.transData + aside})
            axes.set_title(scene)
            axes.autoscale_view()
            axes.margins(x=0.1)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
            axes.grid(axis="y")
        figure.supxlabel("Anomalous frames (%)", fontsize=8)
        figure.supylabel("Frame AUC (%), merged", fontsize=8)
        keys, _ = places[0].get_legend_handles_labels()
        style.heading(figure, keys, words + style.because(missing, "; not shown"), 2)
    return figure


def _whole(findings: Findings, rated: Sequence[str]) -> set[str]:
    """The variants that see all frames, and differ from these in nothing else."""
    methods = {run.variant: run.method for run in findings.runs}
    wanted = [replace(methods[name], anomaly_rate=None) for name in rated if name in methods]
    return {name for name, method in methods.items() if method in wanted}


def _dots(table: pd.DataFrame, row: str) -> pd.DataFrame:
    """Rate and AUC of single seeds, in percent, where there are several."""
    keys = ["variant", "seed"]
    rates = table.loc[table["metric"] == "anomaly_rate", [*keys, "value"]]
    found = (table["metric"] == "merged") & (table["row"] == row)
    dots = rates.merge(table.loc[found, [*keys, "value"]], on=keys, suffixes=("_x", "_y"))
    several = dots.groupby("variant")["seed"].transform("size") > 1
    return 100 * dots.loc[several, ["value_x", "value_y"]]


def _line(
    axes: Axes, variants: Mapping[str, Values], row: str, dots: pd.DataFrame, line: Any
) -> None:
    """Mean and bars at every rate, and the values of single seeds."""
    rate = np.array([values["", "anomaly_rate"].mean for values in variants.values()])
    cells = pd.DataFrame([values[row, "merged"] for values in variants.values()])
    mean = cells["mean"]
    # The percentiles of the draws need not lie around the value itself.
    gaps = ((mean - cells["low"]).clip(0), (cells["high"] - mean).clip(0))
    below, above = (cells["std"].fillna(gap).fillna(0.0) for gap in gaps)
    order = np.argsort(rate, kind="stable")
    points = np.column_stack((rate, mean, below, above))[order]
    axes.errorbar(points[:, 0], points[:, 1], yerr=points[:, 2:].T, **BARS, **line)
    plain = {"color": line["color"], "transform": line["transform"]}
    axes.plot(dots["value_x"], dots["value_y"], ".", **DOTS, **plain)
    # What is moved aside is not seen by the axes when they choose their limits.
    axes.update_datalim(np.column_stack((rate, mean - below)))
    axes.update_datalim(np.column_stack((rate, mean + above)))
    axes.update_datalim(dots.to_numpy())
