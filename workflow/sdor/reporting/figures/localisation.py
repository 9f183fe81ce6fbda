"""How well the saliency maps say where an anomaly is: a curve for each of four measures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sdor.errors import SdorError
from sdor.evaluation.localisation import MEASURES
from sdor.files import damaged, read_json
from sdor.reporting.figures import style
from sdor.reporting.figures.roc import Curve, mean_line, square

# By measure: title, what x is and what y is.
TITLES = {
    "pixel_auc": ("Pixels", "False positive rate of pixels", "True positive rate of pixels"),
    "pixel_criterion": (
        *("Pixel-level criterion", "False positive rate of frames", "Detected anomalous frames"),
    ),
    "rbdc": ("Regions (RBDC)", "False regions per frame", "Detected regions"),
    "tbdc": ("Tracks (TBDC)", "False regions per frame", "Detected tracks"),
}
PALETTE = (
    *(style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.BLACK, style.SKY, style.GREY),
)
LINE_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))


def draw(paths: Iterable[str | Path]) -> Figure:
    """One panel a measure, one line a scene (colour) and variant (style), mean over seeds.

    All clips with known pixels are in it, also training clips; the table has the test clips too.

    Parameters
    ----------
    paths : `localisation.json` of every scene, variant and seed.
    """
    shown: dict[tuple[str, str], list[dict[str, Curve]]] = {}
    missing: dict[str, str] = {}
    for path in paths:
        scene, variant, curves, reason = _read(path)
        if curves:
            shown.setdefault((scene, variant), []).append(curves)
        else:
            missing[scene] = reason
    if not shown:
        return style.note("No curves of localisation", missing)
    scenes = list(dict.fromkeys(scene for scene, _ in shown))
    variants = list(dict.fromkeys(variant for _, variant in shown))
    with style.new_figure(style.PAGE_WIDTH, 4.9 + 0.28 * -(-len(shown) // 2)) as figure:
        for axes, measure in zip(style.panels(figure, 4, 2), MEASURES, strict=True):
            square(axes, chance=measure.startswith("pixel"))
            for (scene, variant), seeds in shown.items():
                mean_line(
                    axes,
                    [curves.get(measure) for curves in seeds],
                    f"{scene}, {variant}:" if len(variants) > 1 else f"{scene}:",
                    color=PALETTE[scenes.index(scene) % len(PALETTE)],
                    linestyle=LINE_STYLES[variants.index(variant) % len(LINE_STYLES)],
                )
            title, across, upwards = TITLES[measure]
            axes.set(aspect="auto", title=title, xlabel=across, ylabel=upwards)
            place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), "ncols": 2}
            axes.legend(fontsize=style.SMALL, handlelength=2.6, **place)
        words = "All clips, training clips included. Numbers: area under the curve in percent"
        mean_of = style.mean_of(max(map(len, shown.values())))
        style.footnote(figure, f"{words} ({mean_of}).", missing)
    return figure


def _read(path: str | Path) -> tuple[str, str, dict[str, Curve], str]:
    """Scene, variant, the curve of each measure that has one, and why there is none."""
    content = read_json(path)
    try:
        about, values, curves = content["about"], content["all_clips"], content["curves"]
        found = {
            name: Curve(np.array(curves[name]["x"]), np.array(curves[name]["y"]), value["value"])
            for name, value in values.items()
            if curves[name]["x"]
        }
        return about["scene"], about["variant"], found, values["pixel_auc"].get("reason", "")
    except (KeyError, TypeError) as error:
        raise SdorError(damaged(path, error)) from error
