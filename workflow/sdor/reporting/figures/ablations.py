"""AUC of every variant of every ablation, with intervals from resampled clips."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdor.reporting.figures import style
from sdor.reporting.findings import NOT_RUN, Findings, held_against

# By metric: the mark, and how far it is below a row's middle, so that none covers the other.
MARKS = {"merged": ("o", -0.16), "test_only": ("D", 0.16)}


def draw(findings: Findings) -> Figure:
    """Merged and test-only AUC of every variant, one panel a scene.

    The main variant is the base of every ablation that has it, else its first variant. The base is
    shaded, and dotted lines go on from it through the rows of its ablation.
    """
    plan = findings.plan
    scenes, missing = findings.judged(
        {one for it in plan.ablations.values() for one in it.variants}
    )
    known = {name for found in scenes.values() for name in found}
    listed = {
        title: [one for one in study.variants if one in known]
        for title, study in plan.ablations.items()
    }
    listed = {title: variants for title, variants in listed.items() if len(variants) > 1}
    shown = [
        scene
        for scene, found in scenes.items()
        if any(len({*variants} & {*found}) > 1 for variants in listed.values())
    ]
    if not shown:
        return style.note("No ablation with two variants that were measured", missing)
    rows = sum(1 + len(variants) for variants in listed.values())
    height = -(-len(shown) // style.COLUMNS) * (0.17 * rows + 0.45) + 0.75
    with style.new_figure(style.PAGE_WIDTH if len(shown) > 1 else 5.0, height) as figure:
        for axes, scene in zip(style.panels(figure, len(shown), sharey=True), shown, strict=True):
            names: list[str] = []
            headings = []
            for title, variants in listed.items():
                headings.append(len(names))
                names.append(title.replace("_", " "))
                base, end = held_against(variants, plan.main), len(names) + len(variants) - 1
                for variant in variants:
                    _row(axes, findings, (scene, variant), len(names), end * (variant == base))
                    names.append(f"{variant} (base)" if variant == base else variant)
            axes.set(title=scene, ylim=(rows - 0.4, -0.6))
            axes.set_xlabel("Frame AUC (%)", fontsize=7.5)
            axes.set_yticks(range(rows), names, fontsize=7)
            axes.tick_params(axis="y", length=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.grid(axis="x")
            # Panels beside the first one share its labels.
            for number, label in enumerate(axes.get_yticklabels()):
                label.set_fontweight("bold" if number in headings else "normal")
        keys = [
            style.key(
                title, color=style.METRIC_COLOURS[metric], marker=MARKS[metric][0], ls="", ms=3.6
            )
            for metric, title in style.METRIC_TITLES.items()
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=2)
        seeds = max(len(findings.grouped[scene, one]) for scene in shown for one in scenes[scene])
        words = (
            f"Dots: {style.mean_of(seeds)}; bars: 95 % intervals from resampled clips. All "
            "variants of a scene share the draws: what makes a draw hard is common to them, and "
            "their differences are more certain than the bars look."
        )
        style.footnote(figure, words, missing)
    return figure


def _row(axes: Axes, findings: Findings, key: tuple[str, str], at: int, end: int) -> None:
    """The dots and bars of one scene and variant; of a base, with lines down to the row `end`."""
    cells = {metric: findings.cell(*key, metric=metric) for metric in MARKS}
    if end:
        axes.axhspan(at - 0.5, at + 0.5, color="#f0f0f0", linewidth=0, zorder=0)
    if all(cell.reason.startswith(NOT_RUN) for cell in cells.values()):
        words: Any = {"fontsize": style.SMALL, "color": "#666666", "ha": "center", "va": "center"}
        axes.text(0.5, at, NOT_RUN, transform=axes.get_yaxis_transform(), **words)
    for metric, cell in cells.items():
        (marker, below), colour = MARKS[metric], style.METRIC_COLOURS[metric]
        if cell.low is not None and cell.high is not None:
            axes.hlines(at + below, cell.low, cell.high, color=colour, linewidth=0.9)
        if cell.mean is not None:
            axes.plot([cell.mean], [at + below], marker, color=colour, markersize=3.6)
        if cell.mean is not None and end:
            dotted: Any = {"color": colour, "linewidth": 0.7, "linestyle": ":"}
            axes.vlines(cell.mean, at - 0.5, end + 0.5, **dotted)
