"""How well the saliency maps say where an anomaly is: a curve for each of six measures."""

from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sdor.errors import SdorError
from sdor.files import damaged, read_json
from sdor.reporting.figures import style
from sdor.reporting.figures.roc import Curve, panel

# By measure: title, what x is and what y is.
MEASURES = {
    "pixel_auc": ("Pixels", "False positive rate (pixels)", "True positive rate (pixels)"),
    "pixel_criterion": ("Pixel-level criterion", "False positive rate (frames)", "Detected frames"),
    "rbdc": ("Regions (RBDC)", "False regions per frame", "Detected regions"),
    "tbdc": ("Tracks (TBDC)", "False regions per frame", "Detected tracks"),
    "rbdc_boxes": ("Regions as boxes (RBDC)", "False regions per frame", "Detected regions"),
    "tbdc_boxes": ("Tracks of boxes (TBDC)", "False regions per frame", "Detected tracks"),
}
PALETTE = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.BLACK, style.SKY, style.GREY)
LINE_STYLES: Any = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))


def draw(paths: Iterable[str | Path]) -> Figure:
    """One panel a measure, one line a scene (colour) and variant (style), mean over seeds.

    The paths are `localisation.json` of every scene, variant and seed. The curves are over the test
    clips; of a scene without a split, over all clips with known pixels.
    """
    shown: dict[tuple[str, str], list[dict[str, Curve]]] = {}
    missing: dict[str, str] = {}
    for path in paths:
        content = read_json(path)
        try:
            about, areas, curves = content["about"], content[content["headline"]], content["curves"]
            found = {
                name: Curve(**curves[name], area=area["value"])
                for name, area in areas.items()
                if curves[name]["x"]
            }
            if found:
                shown.setdefault((about["scene"], about["variant"]), []).append(found)
            else:
                missing[about["scene"]] = areas["pixel_auc"]["reason"]
        except (KeyError, TypeError) as error:
            raise SdorError(damaged(path, error)) from error
    if not shown:
        return style.note("No curves of localisation", missing)
    scenes, variants = (list(dict.fromkeys(names)) for names in zip(*shown, strict=True))
    colours = dict(zip(scenes, cycle(PALETTE), strict=False))
    lines = dict(zip(variants, cycle(LINE_STYLES), strict=False))
    looks = {f"{s}, {v}": {"color": colours[s], "linestyle": lines[v]} for s, v in shown}
    with style.new_figure(style.PAGE_WIDTH, 7.2 + 0.42 * -(-len(shown) // 2)) as figure:
        places = style.panels(figure, len(MEASURES), 2)
        for axes, (name, (title, across, upwards)) in zip(places, MEASURES.items(), strict=True):
            known = [[curves.get(name) for curves in seeds] for seeds in shown.values()]
            panel(axes, looks, known, chance=name.startswith("pixel"))
            axes.set(title=title, xlabel=across, ylabel=upwards)
        style.footnote(figure, "Test clips; where a scene has no split, all clips.", missing)
    return figure
