"""Figure 5: AUC against the rate of anomalous frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from sdor.reporting.figures import style
from sdor.reporting.findings import Cell, Findings

# Row, by how many points it is moved aside (bars at the same rate would hide each other), style.
LINES: Any = (
    ("initial", -1.5, {"label": "Initial scores", "color": style.GREY, "fmt": "s--"}),
    ("ours", 1.5, {"label": "Our method", "color": style.ORANGE, "fmt": "o-"}),
)


def draw(findings: Findings) -> Figure:
    """Merged AUC of the initial scores and of ours against the rate reached, one panel a scene.

    The variant that differs from those with fewer anomalies in nothing else stands at the scene's
    own rate. Bars are one standard deviation over the seeds, whose own values are the small dots;
    with one seed they are its 95 % interval from resampled clips.
    """
    scenes, missing = findings.judged(findings.plan.anomaly_rates.variants)
    if not scenes:
        return style.note("No AUC at different anomaly rates", missing)
    width = max(style.COLUMN_WIDTH, min(style.PAGE_WIDTH, 2.7 * len(scenes)))
    with style.new_figure(width, 2.1 * -(-len(scenes) // style.COLUMNS) + 0.75) as figure:
        places = style.panels(figure, len(scenes), sharey=True)
        for axes, (scene, rated) in zip(places, scenes.items(), strict=True):
            variants = [*rated, *findings.whole(scene, rated)]
            rates = [findings.cell(scene, one, "", metric="anomaly_rate") for one in variants]
            for row, points, line in LINES:
                cells = [findings.cell(scene, one, row) for one in variants]
                aside = ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
                _line(axes, rates, cells, {**line, "transform": axes.transData + aside})
            axes.set_title(scene)
            axes.autoscale_view()
            axes.margins(x=0.1)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
            axes.grid(axis="y")
        figure.supxlabel("Anomalous frames (%)", fontsize=8)
        figure.supylabel("Frame AUC (%), merged", fontsize=8)
        keys, _ = places[0].get_legend_handles_labels()
        words = "Bars: 95 % interval from resampled clips (one seed)"
        if any(len(findings.grouped[scene, some[0]]) > 1 for scene, some in scenes.items()):
            words = "Bars: one standard deviation over the seeds (small dots)"
        style.heading(figure, keys, words + style.because(missing, "; not shown"), 2)
    return figure


def _line(axes: Axes, rates: Sequence[Cell], cells: Sequence[Cell], line: Any) -> None:
    """Mean and bars at every rate, and the values of single seeds."""
    points, dots = [], []
    for rate, cell in zip(rates, cells, strict=True):
        mean = cell.mean or 0.0
        # The percentiles of the draws need not lie around the value itself.
        interval = max(mean - (cell.low or mean), 0.0), max((cell.high or mean) - mean, 0.0)
        points.append((rate.mean, mean, *(interval if cell.std is None else (cell.std, cell.std))))
        if len(cell.by_seed) > 1:
            dots += [(rate.by_seed.get(one, rate.mean), it) for one, it in cell.by_seed.items()]
    x, y, below, above = np.array(sorted(points), dtype=float).T
    axes.errorbar(x, y, yerr=(below, above), markersize=4, capsize=2, elinewidth=0.9, **line)
    if dots:
        plain = {"color": line["color"], "transform": line["transform"]}
        axes.plot(*zip(*dots, strict=True), ".", ms=3, mew=0, alpha=0.6, **plain)
    # What is moved aside is not seen by the axes when they choose their limits.
    axes.update_datalim([*zip(x, y - below, strict=True), *zip(x, y + above, strict=True), *dots])
