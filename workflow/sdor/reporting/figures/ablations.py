"""AUC of every variant of every ablation, with intervals from resampled clips."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdor.reporting.figures import style
from sdor.reporting.findings import NOT_RUN, Cell, Findings, held_against

DOTS: Any = {
    "merged": {"marker": "o", "markersize": 3.6, "linestyle": ""},
    "test_only": {"marker": "D", "markersize": 3.6, "linestyle": ""},
}
# Of a row: below its middle, so that the two do not cover each other.
OFFSETS = {"merged": -0.16, "test_only": 0.16}


def draw(findings: Findings) -> Figure:
    """Merged and test-only AUC of every variant, one panel a scene.

    The main variant is the base of every ablation that has it, else its first variant. The base is
    shaded, and dotted lines go on from it through the rows of its ablation.
    """
    asked = {title: one.variants for title, one in findings.plan.ablations.items()}
    scenes, missing = findings.judged({name for variants in asked.values() for name in variants})
    known = {name for found in scenes.values() for name in found}
    listed = {title: [one for one in some if one in known] for title, some in asked.items()}
    listed = {title: variants for title, variants in listed.items() if len(variants) > 1}
    shown = [
        scene
        for scene, found in scenes.items()
        if any(len({*variants} & {*found}) > 1 for variants in listed.values())
    ]
    if not shown:
        return style.note("No ablation with two variants that were measured", missing)
    count = sum(1 + len(variants) for variants in listed.values())
    height = -(-len(shown) // style.COLUMNS) * (0.17 * count + 0.45) + 0.75
    with style.new_figure(style.PAGE_WIDTH if len(shown) > 1 else 5.0, height) as figure:
        for axes, scene in zip(style.panels(figure, len(shown), sharey=True), shown, strict=True):
            names: list[str] = []
            headings = []
            for title, variants in listed.items():
                headings.append(len(names))
                names.append(title.replace("_", " "))
                base = held_against(variants, findings.plan.main)
                for variant in variants:
                    end = headings[-1] + len(variants) if variant == base else None
                    cells = [findings.cell(scene, variant, metric=metric) for metric in OFFSETS]
                    _row(axes, len(names), cells, end)
                    names.append(f"{variant} (base)" if variant == base else variant)
            axes.set_title(scene)
            axes.set_xlabel("Frame AUC (%)", fontsize=7.5)
            axes.set_ylim(count - 0.4, -0.6)
            axes.set_yticks(range(count), names, fontsize=7)
            axes.tick_params(axis="y", length=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.grid(axis="x")
            # Panels beside the first one share its labels.
            for number, label in enumerate(axes.get_yticklabels()):
                label.set_fontweight("bold" if number in headings else "normal")
        keys = [
            style.key(title, color=style.METRIC_COLOURS[metric], **DOTS[metric])
            for metric, title in style.METRIC_TITLES.items()
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=2)
        seeds = max(len(findings.grouped[scene, one]) for scene in shown for one in scenes[scene])
        style.footnote(
            figure,
            f"Dots: {style.mean_of(seeds)}; bars: 95 % intervals from resampled clips. All "
            "variants of a scene share the draws: what makes a draw hard is common to them, and "
            "their differences are more certain than the bars look.",
            missing,
        )
    return figure


def _row(axes: Axes, at: int, cells: Sequence[Cell], end: int | None) -> None:
    """The dots and bars of one variant; of a base, with lines down to the row `end`."""
    if end is not None:
        axes.axhspan(at - 0.5, at + 0.5, color="#f0f0f0", linewidth=0, zorder=0)
    if all(cell.reason.startswith(NOT_RUN) for cell in cells):
        words: Any = {"fontsize": style.SMALL, "color": "#666666", "ha": "center", "va": "center"}
        axes.text(0.5, at, NOT_RUN, transform=axes.get_yaxis_transform(), **words)
    for cell in cells:
        y, colour = at + OFFSETS[cell.key.metric], style.METRIC_COLOURS[cell.key.metric]
        if cell.low is not None and cell.high is not None:
            axes.hlines(y, cell.low, cell.high, color=colour, linewidth=0.9)
        if cell.mean is not None:
            axes.plot([cell.mean], [y], color=colour, **DOTS[cell.key.metric])
        if cell.mean is not None and end is not None:
            dotted: Any = {"color": colour, "linewidth": 0.7, "linestyle": ":"}
            axes.vlines(cell.mean, at - 0.5, end + 0.5, **dotted)
