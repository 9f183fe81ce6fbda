"""Figures of the whole study: Figures 3 to 6 of the paper, ablations and localisation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from PIL import Image
from scipy.ndimage import binary_fill_holes

from sdor.errors import SdorError
from sdor.evaluation import metrics
from sdor.evaluation.evaluate import labelled_frames
from sdor.evaluation.localisation import MEASURES
from sdor.evaluation.metrics import BoolArray, FloatArray
from sdor.files import damaged, read_json, read_parquet
from sdor.reporting.figures import (
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    GREY,
    ORANGE,
    PAGE_WIDTH,
    PURPLE,
    SKY,
    new_figure,
    note,
    roc_line,
    save,
    true_ranges,
)
from sdor.reporting.moments import top_moments
from sdor.reporting.tables import (
    Metrics,
    anomaly_rate,
    count_of,
    differing_settings,
    groups,
    over_runs,
    over_seeds,
    read_metrics,
    reported_auc,
)
from sdor.study.scenes import Scene, image_files
from sdor.video.decode import picture_size, read_pixel_mask

Paths = Sequence[str | Path]
Picture = npt.NDArray[np.uint8]

SMALL = 6.5  # points: nothing in these figures is smaller
# A character of that size, in inches: for texts that are cut to a width.
CHARACTER = 0.046
LIGHT = "#e4e4e4"
RED = "#e6142d"
COLUMNS_OF_PANELS = 4
COLUMN_TITLES = {"merged": "merged", "test_only": "test-only"}
COLUMN_COLOURS = {"merged": BLUE, "test_only": ORANGE}
# Of the saliency maps: the scale of a scene and variant, and how much of the frame they hide.
SCALE = (1.0, 99.9)
HEAT = mpl.colormaps["inferno"]
OPACITY = 0.8
SAMPLED_VALUES = 2_000_000
ROWS_PER_BLOCK = 8
KINDS_OF_FRAMES = {
    "event": "true event",
    "false alarm": "false alarm",
    "moment": "top moment, no ground truth",
}
MEASURE_TITLES = {
    "pixel_auc": ("Pixels", "False positive rate of pixels", "True positive rate of pixels"),
    "pixel_criterion": (
        "Pixel-level criterion",
        "False positive rate of frames",
        "Detected anomalous frames",
    ),
    "rbdc": ("Regions (RBDC)", "False regions per frame", "Detected regions"),
    "tbdc": ("Tracks (TBDC)", "False regions per frame", "Detected tracks"),
}
RUNNING: Any = {"linestyle": "-", "marker": "o", "linewidth": 1.1, "markersize": 3.2}
SINGLE: Any = {**RUNNING, "linestyle": "--", "marker": "s", "markerfacecolor": "white"}
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, BLACK, SKY, GREY)
LINE_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))


class Curve(NamedTuple):
    """A ROC curve and the area under it (a fraction)."""

    false: FloatArray
    true: FloatArray
    area: float


class SeedCurves(NamedTuple):
    """ROC curves of one seed, before any feedback and after each round; None: a class is missing.

    Attributes
    ----------
    every : over all labelled frames.
    unmarked : without the frames that the expert touched up to that round.
    before : the scores before any feedback, over the frames that the last round leaves.
    """

    every: list[Curve | None]
    unmarked: list[Curve | None]
    before: Curve | None


class Overlay(NamedTuple):
    """A saliency map to be laid over a frame.

    Attributes
    ----------
    title : of its column.
    heat : [h, w] of any size, 0 (transparent) to 1 (hottest).
    text : what stands below, such as score and rank.
    """

    title: str
    heat: npt.NDArray[np.floating[Any]]
    text: str


@dataclass(frozen=True)
class Panel:
    """A row of the saliency figure.

    Attributes
    ----------
    label : which frame it is, and why it is shown.
    image : uint8 [height, width] or [height, width, 3].
    outline : bool mask of any size whose outline is drawn; None where none is known.
    aspect : width by height of the picture as it is shown.
    """

    label: str
    image: Picture
    outline: BoolArray | None
    aspect: float
    overlays: Sequence[Overlay]


def write_feedback_roc(scenes: Mapping[str, Mapping[str, Any]], outputs: Paths) -> None:
    """Figure 3: ROC curves before the (simulated) feedback and after each round of it.

    Parameters
    ----------
    scenes : scene: its files `clips` and `ground_truth`, and `seeds`: for each seed a mapping with
        `scores` (files before any feedback, then after each round) and `marks` (of each round).

    Raises
    ------
    SdorError : a file is missing or damaged, or its rows do not match the others.
    """
    found = {}
    for scene, files in scenes.items():
        clips, truth = read_parquet(files["clips"]), read_parquet(files["ground_truth"])
        found[scene] = [
            feedback_curves(
                clips,
                truth,
                [read_parquet(path, ["clip", "frame", "score"]) for path in seed["scores"]],
                [read_parquet(path, ["clip", "frame"]) for path in seed["marks"]],
            )
            for seed in files["seeds"]
        ]
    _write(feedback_roc(found), outputs)


def pictures_of(scene: Scene) -> dict[str, Any]:
    """What `write_saliency` has to know about a scene's pictures.

    Parameters
    ----------
    scene : with its clips located, if they come out of a joined video.

    Returns
    -------
    `pixel_masks` (clip: folder, of clips that have masks) and `aspect` (width by height).

    Raises
    ------
    SdorError : the first clip cannot be opened.
    """
    width, height = picture_size(scene.clips[0])
    truths = {clip.name: clip.ground_truth for clip in scene.clips}
    masks = {clip: truth.pixel_masks for clip, truth in truths.items() if truth is not None}
    known = {clip: folder for clip, folder in masks.items() if folder is not None}
    return {"pixel_masks": known, "aspect": width / height}


def write_saliency(
    scenes: Mapping[str, Mapping[str, Any]], outputs: Paths, *, count: int | None = None
) -> None:
    """Figure 4: frames of the strongest events and the strongest false alarm of each scene.

    The first variant is the one whose final score chooses the frames. A map's colours are those of
    its scene and variant, from the 1st to the 99.9th percentile of all their values, so that rows
    can be compared.

    Parameters
    ----------
    scenes : scene: its files `clips` and `ground_truth`, `frames` (clip: stored frames),
        `pixel_masks` and `aspect` (see `pictures_of`), and `variants` (title: files `saliency` and
        `ensemble`).
    count : events per scene; as a rule three of one or two scenes, and one of more.

    Raises
    ------
    SdorError : a file is missing or damaged, or does not fit to the others.
    """
    shown = count or (3 if len(scenes) < 3 else 1)
    panels = [panel for scene, files in scenes.items() for panel in _panels(scene, files, shown)]
    _write(saliency_figure(panels), outputs)


def write_anomaly_rates(metrics_paths: Paths, outputs: Paths) -> None:
    """Figure 5: AUC against the rate of anomalous frames.

    Parameters
    ----------
    metrics_paths : of every scene, variant and seed of the study `anomaly_rate`. A run without a
        subset stands at the scene's own rate.
    """
    _write(anomaly_rates([read_metrics(path) for path in metrics_paths]), outputs)


def write_iterations(metrics_paths: Paths, outputs: Paths) -> None:
    """Figure 6: AUC per iteration, one panel per scene.

    Parameters
    ----------
    metrics_paths : of the main variant, of every scene and seed.
    """
    _write(iterations([read_metrics(path) for path in metrics_paths]), outputs)


def write_ablations(
    metrics_paths: Paths, studies: Mapping[str, Sequence[str]], main: str, outputs: Paths
) -> None:
    """Merged and test-only AUC of every variant of every ablation.

    Parameters
    ----------
    metrics_paths : of these variants, of every scene and seed.
    studies : study: its variants, in the order in which they are shown.
    main : the base of every study that has it; else a study's first variant is its base.
    """
    runs = [read_metrics(path) for path in metrics_paths]
    _write(ablations(runs, studies, main), outputs)


def write_localisation(localisation_paths: Paths, outputs: Paths) -> None:
    """Curves of the four measures of localisation, one line per scene and variant.

    Parameters
    ----------
    localisation_paths : of every scene, variant and seed.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    runs = [_read_localisation(path) for path in localisation_paths]
    _write(localisation(runs), outputs)


def feedback_curves(
    clips: pd.DataFrame,
    ground_truth: pd.DataFrame,
    scores: Sequence[pd.DataFrame],
    marks: Sequence[pd.DataFrame],
) -> SeedCurves:
    """ROC curves of one seed, over all labelled frames and without the marked ones.

    Parameters
    ----------
    scores : clip, frame, score before any feedback, then after each round.
    marks : clip, frame of everything that was marked in each round, neighbours included.
    """
    frames, labelled = labelled_frames(clips, scores[0], ground_truth)
    index = pd.MultiIndex.from_frame(scores[0].loc[labelled, ["clip", "frame"]])
    values = [table["score"].to_numpy(dtype=float)[labelled] for table in scores]
    left = np.ones(len(index), dtype=bool)
    every, unmarked = [], []
    for number, judged in enumerate(values):
        if number:
            marked = pd.MultiIndex.from_frame(marks[number - 1][["clip", "frame"]])
            left &= ~index.isin(marked)
        every.append(_curve(judged, frames.anomalous))
        unmarked.append(_curve(judged[left], frames.anomalous[left]))
    return SeedCurves(every, unmarked, _curve(values[0][left], frames.anomalous[left]))


def feedback_roc(scenes: Mapping[str, Sequence[SeedCurves]]) -> Figure:
    """Two panels per scene: all labelled frames, and without those that the expert touched.

    Over several seeds a line is the mean true positive rate, and the area the mean area.
    """
    shown = {
        scene: seeds
        for scene, seeds in scenes.items()
        if any(curve for seed in seeds for curve in seed.every)
    }
    missing = {scene: "frames of one class at most" for scene in scenes if scene not in shown}
    if not shown:
        return note(f"No rounds of feedback that can be judged{_because(missing)}")
    columns = 2 if len(shown) <= 2 else COLUMNS_OF_PANELS
    rows = -(-2 * len(shown) // columns)
    with new_figure(PAGE_WIDTH, 2.75 * rows + 0.35) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        pairs = grid.reshape(-1, 2)
        for pair, (scene, seeds) in zip(pairs, shown.items(), strict=False):
            _feedback_panel(pair[0], [seed.every for seed in seeds])
            _feedback_panel(pair[1], [seed.unmarked for seed in seeds])
            style = {"color": BLACK, "linestyle": (0, (1, 1.2))}
            _feedback_line(pair[1], [seed.before for seed in seeds], "H-M 0*", style)
            names = ("all labelled frames", "without marked frames")
            for axes, name in zip(pair, names, strict=True):
                axes.set_title(f"{scene}\n{name}", fontsize=7.5, parse_math=False)
                _feedback_legend(axes, beside=columns == 2)
        _switch_off(pairs[len(shown) :].flat)
        count = max(len(found) for found in shown.values())
        _footnote(
            figure,
            "H-M i: after round i of simulated feedback; H-M 0 is the last iteration's model. "
            f"Numbers: area under the curve in percent ({_mean_of(count)}). Right: each curve on "
            "the frames that nobody had marked by then, ever harder ones; * H-M 0 on those of the "
            "last round." + _because(missing, " Not shown"),
        )
    return figure


def choose_frames(
    clips: pd.DataFrame, ground_truth: pd.DataFrame, ensemble: pd.DataFrame, count: int
) -> pd.DataFrame:
    """The frames that a figure shows, by rule and not by eye.

    An event is an unbroken run of anomalous frames of one clip, and as strong as its highest score.
    Of each of the `count` strongest the highest-scoring frame is shown, and after them the
    highest-scoring normal frame. A scene without any known event shows the highest-scoring frame of
    each of its `count` top moments instead: false alarms, where they are known to be normal.

    Parameters
    ----------
    ground_truth : clip, frame, anomalous of the labelled clips.
    ensemble : clip, frame, score of every frame.

    Returns
    -------
    clip, frame, kind ("event", "false alarm" or "moment"), in the order in which they are shown.
    """
    merged = ensemble[["clip", "frame", "score"]].merge(
        ground_truth, on=["clip", "frame"], how="left", validate="1:1"
    )
    truth = merged["anomalous"].to_numpy(dtype=float)
    scores = merged["score"].to_numpy(dtype=float)
    names = merged["clip"].to_numpy(dtype=object)
    peaks = []
    for begin, end in true_ranges(truth > 0):
        bounds = np.flatnonzero(names[begin + 1 : end] != names[begin : end - 1]) + 1
        for event in np.split(np.arange(begin, end), bounds):
            peaks.append(int(event[scores[event].argmax()]))
    rows = sorted(peaks, key=lambda row: -scores[row])[:count]
    kinds = ["event"] * len(rows)
    normal = np.flatnonzero(truth == 0)
    if rows and len(normal):
        rows.append(int(normal[scores[normal].argmax()]))
        kinds.append("false alarm")
    if rows:
        return merged.loc[rows, ["clip", "frame"]].assign(kind=kinds).reset_index(drop=True)
    moments = top_moments(clips, ensemble, count=count)[["clip", "peak"]]
    moments = moments.rename(columns={"peak": "frame"}).merge(merged, on=["clip", "frame"])
    known = np.where(moments["anomalous"] == 0, "false alarm", "moment")
    return moments[["clip", "frame"]].assign(kind=known)


def saliency_figure(panels: Sequence[Panel]) -> Figure:
    """A frame per row: the frame with the outline of the anomaly, then each map laid over it.

    Many rows stand in two blocks beside each other.
    """
    if not panels:
        return note("No saliency map to show")
    titles = list(dict.fromkeys(one.title for panel in panels for one in panel.overlays))
    per_block = 1 + len(titles)
    halved = len(panels) > ROWS_PER_BLOCK or (2 * per_block <= COLUMNS_OF_PANELS < 2 * len(panels))
    blocks = 2 if halved else 1
    rows = -(-len(panels) // blocks)
    margin, gap, between, head, label, foot = 0.06, 0.05, 0.2, 0.2, 0.16, 0.48
    columns = max(COLUMNS_OF_PANELS, blocks * per_block)
    free = PAGE_WIDTH - 2 * margin - (columns - blocks) * gap - (blocks - 1) * between
    width = free / columns
    block_width = per_block * (width + gap) - gap
    page = 2 * margin + blocks * (block_width + between) - between
    characters = int(width / CHARACTER)
    texts = [[fill(one.text, characters) for one in panel.overlays] for panel in panels]
    below = 0.06 + 0.11 * max((text.count("\n") + 1 for row in texts for text in row), default=0)
    tall = [
        max(width / panel.aspect for panel in panels[row::rows]) + label + below
        for row in range(rows)
    ]
    height = head + sum(tall) + foot
    with new_figure(page, height) as figure:
        # Every place is known: pictures of one size need no layout.
        figure.set_layout_engine("none")

        def write(x: float, y: float, text: str, **style: Any) -> None:
            style = {"va": "top", "fontsize": SMALL, "parse_math": False, **style}
            figure.text(x / page, 1 - y / height, text, **style)

        for number, (panel, lines) in enumerate(zip(panels, texts, strict=True)):
            block, row = divmod(number, rows)
            left = margin + block * (block_width + between)
            top = head + sum(tall[:row])
            if row == 0:
                for place, title in enumerate(["Frame", *titles]):
                    centre = left + place * (width + gap) + width / 2
                    style = {"ha": "center", "fontsize": 7.5, "fontweight": "bold"}
                    write(centre, 0.04, _shortened(title, characters), **style)
            write(left, top + 0.04, _shortened(panel.label, int(block_width / CHARACTER)))
            high = width / panel.aspect
            pictures = [(0, panel.image, "")]
            pictures += [
                (1 + titles.index(one.title), overlaid(panel.image, one.heat), text)
                for one, text in zip(panel.overlays, lines, strict=True)
            ]
            for place, picture, text in pictures:
                x = left + place * (width + gap)
                bottom = 1 - (top + label + high) / height
                axes = figure.add_axes((x / page, bottom, width / page, high / height))
                _show(axes, picture, panel.aspect, None if place else panel.outline)
                write(x + width / 2, top + label + high + 0.03, text, ha="center")
        _heat_key(figure, any(panel.outline is not None for panel in panels))
    return figure


def overlaid(image: Picture, values: npt.NDArray[np.floating[Any]]) -> Picture:
    """A frame without its colours under a map, which hides the more of it the hotter it is.

    Parameters
    ----------
    image : uint8 [height, width] or [height, width, 3].
    values : [h, w], 0 to 1; brought to the frame's size bilinearly.

    Returns
    -------
    uint8 [height, width, 3].
    """
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=float) / 255
    small = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    large = np.asarray(small.resize(grey.shape[::-1], Image.Resampling.BILINEAR)).clip(0, 1)
    opacity = OPACITY * large[:, :, None] ** 1.5
    mixed = (1 - opacity) * grey[:, :, None] + opacity * HEAT(large)[:, :, :3]
    picture: Picture = (255 * mixed).round().astype(np.uint8)
    return picture


def anomaly_rates(runs: Sequence[Metrics]) -> Figure:
    """AUC (merged) of Sp + iForest and of ours against the rate that was reached, per scene.

    Bars are one standard deviation over the seeds, whose own values are the small dots. With one
    seed they are its 95 % interval from resampled clips.
    """
    scenes, missing = _measured(runs)
    if not scenes:
        return note(f"No AUC at different anomaly rates{_because(missing)}")
    columns = min(len(scenes), COLUMNS_OF_PANELS)
    rows = -(-len(scenes) // columns)
    width = max(COLUMN_WIDTH, min(PAGE_WIDTH, 2.7 * columns))
    several = any(len(group) > 1 for found in scenes.values() for group in found.values())
    bars = "one standard deviation over the seeds (small dots)"
    words = f"Bars: {bars if several else '95 % interval from resampled clips (one seed)'}"
    with new_figure(width, 2.1 * rows + 0.75) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (scene, variants) in zip(grid.flat, scenes.items(), strict=False):
            initial = {"label": "Sp + iForest", "color": GREY, "marker": "s", "linestyle": "--"}
            final = {"label": "Our method", "color": ORANGE, "marker": "o", "linestyle": "-"}
            for row, style, points in (("sp_iforest", initial, -1.5), ("ours", final, 1.5)):
                offset = ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
                _rate_line(axes, list(variants.values()), row, offset, style)
            axes.set_title(scene, parse_math=False)
            axes.autoscale_view()
            axes.margins(x=0.1)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
            _rule(axes, "y")
        _switch_off(grid.flat[len(scenes) :])
        figure.supxlabel("Anomalous frames (%)", fontsize=8)
        figure.supylabel("Frame AUC (%), merged", fontsize=8)
        figure.legend(
            *grid.flat[0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=2,
            title=_wrapped(words + _because(missing, "; not shown"), width),
            title_fontsize=SMALL,
        )
    return figure


def iterations(runs: Sequence[Metrics]) -> Figure:
    """AUC per iteration, of the running mean and of each model alone; t = 0 is Sp + iForest.

    One panel per scene, and another below for the test clips alone where it has a split. All panels
    span the same number of points, so that slopes compare, each around its own values. Bands are
    one standard deviation of the running mean over the seeds.
    """
    scenes, missing = _measured(runs)
    if not scenes:
        return note(f"No AUC per iteration{_because(missing)}")
    runs_of = {scene: next(iter(variants.values())) for scene, variants in scenes.items()}
    known = {scene: reported_auc(group[0], "ours") for scene, group in runs_of.items()}
    same = {scene: not differing_settings(group[0], "ours") for scene, group in runs_of.items()}
    series = {
        (scene, column): _steps(group, column, known[scene] if column == "merged" else None)
        for scene, group in runs_of.items()
        for column in COLUMN_TITLES
        if group[0]["rows"]["ours"][column]["value"] is not None
    }
    windows = _windows(series)
    names = list(scenes)
    columns = min(len(names), COLUMNS_OF_PANELS)
    lines = [
        (names[start : start + columns], column)
        for start in range(0, len(names), columns)
        for column in COLUMN_TITLES
        if any((scene, column) in series for scene in names[start : start + columns])
    ]
    width = max(COLUMN_WIDTH + 0.2, min(PAGE_WIDTH, 2.4 * columns))
    bottom, top = next(iter(windows.values()))
    words = f"Every panel spans {top - bottom:.0f} points of AUC" + _because(missing, "; not shown")
    with new_figure(width, 1.55 * len(lines) + 0.85) as figure:
        grid = figure.subplots(len(lines), columns, squeeze=False)
        for row, (part, column) in zip(grid, lines, strict=True):
            _switch_off(row[len(part) :])
            row[0].set_ylabel(f"AUC (%), {COLUMN_TITLES[column]}", fontsize=7.5)
            for axes, scene in zip(row, part, strict=False):
                if (scene, column) in series:
                    one = series[scene, column]
                    _iteration_panel(axes, one, COLUMN_COLOURS[column], same[scene])
                    axes.set_title(scene, fontsize=8, pad=3, parse_math=False)
                    axes.set_ylim(windows[scene, column])
                else:
                    reason = runs_of[scene][0]["rows"]["ours"][column]["reason"]
                    why = fill(f"{scene}: {reason}", int(0.8 * width / columns / CHARACTER))
                    _switch_off([axes])
                    _aside(axes, 0.5, why, transform=axes.transAxes)
        figure.supxlabel("Iteration t (0: Sp + iForest)", fontsize=8)
        settings = {same[scene] for scene in names if known[scene] is not None}
        figure.legend(
            handles=_iteration_legend(settings),
            loc="outside upper center",
            ncols=4 if width > 5 else 2,
            title=_wrapped(words, width),
            title_fontsize=SMALL,
        )
    return figure


def ablations(runs: Sequence[Metrics], studies: Mapping[str, Sequence[str]], main: str) -> Figure:
    """Merged and test-only AUC of every variant, with intervals from resampled clips, per scene.

    A study's base is shaded, and dotted lines go on from it through the study's rows.
    """
    scenes, missing = _measured(runs)
    listed = {
        study: [name for name in variants if any(name in found for found in scenes.values())]
        for study, variants in studies.items()
    }
    listed = {study: variants for study, variants in listed.items() if len(variants) > 1}
    shown = {
        scene: found
        for scene, found in scenes.items()
        if any(sum(name in found for name in variants) > 1 for variants in listed.values())
    }
    if not shown:
        return note(f"No ablation with two variants that were measured{_because(missing)}")
    count = sum(1 + len(variants) for variants in listed.values())
    columns = min(len(shown), COLUMNS_OF_PANELS)
    rows = -(-len(shown) // columns)
    height = 0.17 * count + 0.45
    with new_figure(PAGE_WIDTH if columns > 1 else 5.0, rows * height + 0.75) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (scene, found) in zip(grid.flat, shown.items(), strict=False):
            ticks = _ablation_panel(axes, listed, found, main)
            axes.set_title(scene, parse_math=False)
            axes.set_xlabel("Frame AUC (%)", fontsize=7.5)
            axes.set_ylim(count - 0.4, -0.6)
            axes.set_yticks(range(count), [text for text, _ in ticks])
            # Panels beside the first one share its labels.
            for label, (_, heading) in zip(axes.get_yticklabels(), ticks, strict=False):
                label.set(fontsize=7, parse_math=False)
                if heading:
                    label.set(fontweight="bold")
            axes.tick_params(axis="y", length=0)
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            _rule(axes, "x")
        _switch_off(grid.flat[len(shown) :])
        keys = [
            _key(title, color=COLUMN_COLOURS[column], **_dot(column))
            for column, title in COLUMN_TITLES.items()
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=2)
        seeds = max(len(group) for found in shown.values() for group in found.values())
        _footnote(
            figure,
            f"Dots: {_mean_of(seeds)}; bars: 95 % intervals from resampled clips. All variants of "
            "a scene share the draws: what makes a draw hard is common to them, and their "
            "differences are more certain than the bars look." + _because(missing, " Not shown"),
        )
    return figure


def localisation(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """One panel per measure, one line per scene (colour) and variant (style), mean over seeds.

    All clips with known pixels are in it, also training clips; the table has the test clips alone.
    """
    shown: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    missing = {}
    for run in runs:
        scene, variant = str(run["about"]["scene"]), str(run["about"]["variant"])
        if any(run["curves"][name]["x"] for name in MEASURES):
            shown.setdefault((scene, variant), []).append(run)
        else:
            missing[scene] = str(run["values"][MEASURES[0]].get("reason", "no curves"))
    if not shown:
        return note(f"No curves of localisation{_because(missing)}")
    scenes = list(dict.fromkeys(scene for scene, _ in shown))
    variants = list(dict.fromkeys(variant for _, variant in shown))
    with new_figure(PAGE_WIDTH, 4.9 + 0.28 * -(-len(shown) // 2)) as figure:
        for axes, measure in zip(figure.subplots(2, 2).flat, MEASURES, strict=True):
            title, across, upwards = MEASURE_TITLES[measure]
            if measure in ("pixel_auc", "pixel_criterion"):
                axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
            for (scene, variant), group in shown.items():
                curves = [run["curves"][measure] for run in group if run["curves"][measure]["x"]]
                if not curves:
                    continue
                name = f", {variant}" if len(variants) > 1 else ""
                area = over_seeds([run["values"][measure] for run in group])["mean"]
                roc_line(
                    axes,
                    [(np.array(curve["x"]), np.array(curve["y"])) for curve in curves],
                    band=False,
                    color=PALETTE[scenes.index(scene) % len(PALETTE)],
                    linestyle=LINE_STYLES[variants.index(variant) % len(LINE_STYLES)],
                    label=f"{scene}{name}: {area:.1f}",
                )
            axes.set(xlim=(0, 1), ylim=(0, 1.005), title=title, xlabel=across, ylabel=upwards)
            if axes.get_legend_handles_labels()[1]:
                place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22), "ncols": 2}
                axes.legend(fontsize=SMALL, handlelength=2.6, **place)
        seeds = max(len(group) for group in shown.values())
        _footnote(
            figure,
            "All clips, training clips included. Numbers: area under the curve in percent "
            f"({_mean_of(seeds)})." + _because(missing, " Not shown"),
        )
    return figure


class _Steps(NamedTuple):
    """AUC (percent) at t = 0, 1, …: mean over seeds of both kinds, spread of the running mean."""

    running: FloatArray
    single: FloatArray
    spread: FloatArray
    reported: float | None

    @property
    def band(self) -> tuple[FloatArray, FloatArray]:
        return self.running - self.spread, np.minimum(self.running + self.spread, 100)


def _write(figure: Figure, outputs: Paths) -> None:
    for path in outputs:
        save(figure, path)


def _curve(scores: FloatArray, anomalous: BoolArray) -> Curve | None:
    if anomalous.all() or not anomalous.any():
        return None
    return Curve(*metrics.roc_curve(scores, anomalous), metrics.auc(scores, anomalous))


def _feedback_panel(axes: Axes, seeds: Sequence[Sequence[Curve | None]]) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
    rounds = list(zip(*seeds, strict=True))
    colours = mpl.colormaps["viridis"](np.linspace(0.85, 0.0, len(rounds)))
    for number, (curves, colour) in enumerate(zip(rounds, colours, strict=True)):
        style = {"color": colour, "linestyle": "-" if number else "--"}
        _feedback_line(axes, curves, f"H-M {number}", style)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set_xlabel("False positive rate", fontsize=7)
    axes.set_ylabel("True positive rate", fontsize=7)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])


def _feedback_line(
    axes: Axes, curves: Sequence[Curve | None], name: str, style: Mapping[str, Any]
) -> None:
    known = [curve for curve in curves if curve is not None]
    if not known:
        axes.plot([], [], label=f"{name}: no AUC", **style)
        return
    area = 100 * np.mean([curve.area for curve in known])
    pairs = [(curve.false, curve.true) for curve in known]
    roc_line(axes, pairs, band=False, linewidth=1.1, label=f"{name}: {area:.1f}", **style)


def _feedback_legend(axes: Axes, *, beside: bool) -> None:
    """Outside the axes: a curve of any shape stays in sight."""
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "fontsize": 7.5}
    if not beside:
        place = {
            "loc": "upper center",
            "bbox_to_anchor": (0.4, -0.3),
            "ncols": 2,
            "fontsize": SMALL,
        }
        place["columnspacing"] = 0.8
    axes.legend(handlelength=1.6, handletextpad=0.4, borderaxespad=0.3, labelspacing=0.35, **place)


def _panels(scene: str, files: Mapping[str, Any], count: int) -> list[Panel]:
    """The rows of one scene."""
    clips = read_parquet(files["clips"])
    truth = read_parquet(files["ground_truth"])
    variants = files["variants"]
    rankings = {title: read_parquet(one["ensemble"]) for title, one in variants.items()}
    maps = {
        title: _maps(Path(one["saliency"]), len(rankings[title])) for title, one in variants.items()
    }
    limits = {title: _limits(one) for title, one in maps.items()}
    panels = []
    chosen = choose_frames(clips, truth, next(iter(rankings.values())), count)
    for clip, frame, kind in chosen.itertuples(index=False):
        overlays = []
        for title, ranking in rankings.items():
            here = (ranking["clip"] == clip) & (ranking["frame"] == frame)
            row = int(np.flatnonzero(here.to_numpy())[0])
            low, high = limits[title]
            values = (np.asarray(maps[title][row], dtype=float) - low) / (high - low or 1.0)
            scores = ranking["score"].to_numpy(dtype=float)
            overlays.append(Overlay(title, values.clip(0, 1), _score_text(scores, row)))
        panels.append(
            Panel(
                label=f"{scene}, {clip}, frame {frame}: {_why(kind, truth, clip, frame)}",
                image=_stored_frame(Path(files["frames"][clip]), frame),
                outline=_pixel_mask(files["pixel_masks"].get(clip), frame),
                aspect=files["aspect"],
                overlays=overlays,
            )
        )
    return panels


def _why(kind: str, truth: pd.DataFrame, clip: str, frame: int) -> str:
    """Why a frame is shown; a false alarm may be no more than an event that begins early."""
    events = truth.loc[(truth["clip"] == clip) & (truth["anomalous"] > 0), "frame"]
    if kind != "false alarm" or events.empty:
        return KINDS_OF_FRAMES[kind]
    distance = count_of(int((events - frame).abs().min()), "frame")
    return f"{KINDS_OF_FRAMES[kind]}, {distance} from a true event"


def _maps(path: Path, frames: int) -> npt.NDArray[np.float32]:
    try:
        maps: npt.NDArray[np.float32] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise SdorError(damaged(path, error)) from error
    if maps.ndim != 3 or len(maps) != frames:
        raise SdorError(
            f"{path}: expected {frames} maps (one a frame), found an array of shape {maps.shape}; "
            "delete the file and run the same command again"
        )
    return maps


def _limits(maps: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Where the colours of all maps of a scene begin and end."""
    stride = max(1, -(-maps.size // SAMPLED_VALUES))
    low, high = np.percentile(np.asarray(maps[::stride], dtype=float), SCALE)
    return float(low), float(high)


def _score_text(scores: FloatArray, row: int) -> str:
    # Rounded down, so that only the highest one of many frames could come near 100.
    lower = int(1000 * np.mean(scores < scores[row])) / 10
    return f"score {scores[row]:.2f}, percentile {lower:.1f}"


def _stored_frame(path: Path, frame: int) -> Picture:
    try:
        stored = np.load(path, mmap_mode="r")
        image: Picture = np.array(stored[frame - 1])
    except (OSError, ValueError, IndexError) as error:
        raise SdorError(damaged(path, error)) from error
    return image[:, :, 0] if image.shape[2] == 1 else image


def _pixel_mask(folder: str | Path | None, frame: int) -> BoolArray | None:
    if folder is None:
        return None
    files = image_files(Path(folder))
    if len(files) < frame:
        raise SdorError(
            f"{folder}: expected at least {frame} pixel masks (one a frame), found {len(files)}"
        )
    return read_pixel_mask(files[frame - 1])


def _show(axes: Axes, picture: Picture, aspect: float, outline: BoolArray | None) -> None:
    """A picture that fills its axes, with the outline of a mask of any other size."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, aspect, 1, 0), aspect="auto")
    axes.set_axis_off()
    if outline is None or not outline.any():
        return
    # The spokes of a wheel need no outline each; a margin closes outlines at the picture's edge.
    padded = np.pad(binary_fill_holes(outline).astype(float), 1)
    height, width = outline.shape
    x = (np.arange(-1, width + 1) + 0.5) / width * aspect
    y = (np.arange(-1, height + 1) + 0.5) / height
    lines = axes.contour(x, y, padded, levels=[0.5], colors=[RED], linewidths=0.9)
    # Red alone is lost on dark clothes.
    lines.set_path_effects([Stroke(linewidth=1.9, foreground="white", alpha=0.7), Normal()])
    axes.set(xlim=(0, aspect), ylim=(1, 0))


def _heat_key(figure: Figure, outlined: bool) -> None:
    """What the colours and the outline mean, at the foot of the figure."""
    width, height = figure.get_size_inches()
    long = min(1.6, 0.4 * width)
    x, y = width - long - 0.06, 0.2
    bar = figure.add_axes((x / width, y / height, long / width, 0.1 / height))
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    bar.imshow(overlaid(np.full((1, 256), 128, np.uint8), ramp), aspect="auto", extent=(0, 1, 0, 1))
    bar.set_yticks([])
    low, high = SCALE
    bar.set_xticks([0, 1], [f"{low:g}st percentile", f"{high:g}th percentile"], fontsize=SMALL)
    bar.tick_params(length=1.5, pad=1.5)
    labels = bar.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[1].set_horizontalalignment("right")
    bar.set_title(
        "Localised score, on the scale of its scene and column",
        fontsize=SMALL,
        pad=2,
        loc="right",
        fontweight="normal",
    )
    if outlined:
        line = Line2D([0.08 / width, 0.3 / width], [(y + 0.05) / height] * 2, color=RED)
        figure.add_artist(line)
        text: Any = {"fontsize": SMALL, "va": "center"}
        figure.text(0.36 / width, (y + 0.05) / height, "outline of the ground truth", **text)


def _measured(
    runs: Sequence[Metrics],
) -> tuple[dict[str, dict[str, list[Metrics]]], dict[str, str]]:
    """Scene: variant: runs that have a merged AUC, and why other scenes have none."""
    found: dict[str, dict[str, list[Metrics]]] = {}
    missing = {}
    for (scene, variant), group in groups(runs).items():
        cell = group[0]["rows"]["ours"]["merged"]
        if cell["value"] is None:
            missing[scene] = str(cell.get("reason", "no labelled frames"))
        else:
            found.setdefault(scene, {})[variant] = group
    return found, {scene: why for scene, why in missing.items() if scene not in found}


def _because(missing: Mapping[str, str], words: str = "") -> str:
    """The scenes that are not shown, and why."""
    if not missing:
        return ""
    reasons = "; ".join(f"{scene}: {reason}" for scene, reason in missing.items())
    return f"{words} ({reasons})"


def _rate_line(
    axes: Axes,
    groups_of_seeds: Sequence[Sequence[Metrics]],
    row: str,
    offset: ScaledTranslation,
    style: Mapping[str, Any],
) -> None:
    """Mean and bars at every rate, and the values of single seeds.

    Parameters
    ----------
    offset : bars of two lines at the same rate would hide each other.
    """
    cells = [over_runs(group, "rows", row, "merged") for group in groups_of_seeds]
    rates = [[100 * anomaly_rate(run) for run in group] for group in groups_of_seeds]
    points = sorted(
        (float(np.mean(at)), cell["mean"], *_bar(cell))
        for at, cell in zip(rates, cells, strict=True)
    )
    x, y, below, above = np.array(points).T
    style = {**style, "transform": axes.transData + offset}
    axes.errorbar(x, y, yerr=(below, above), markersize=4, capsize=2, elinewidth=0.9, **style)
    # What is shifted is not seen by the axes when they choose their limits.
    for ends in (y - below, y + above):
        axes.update_datalim(np.column_stack((x, ends)))
    seeds = [
        (at, 100 * run["rows"][row]["merged"]["value"])
        for group, places in zip(groups_of_seeds, rates, strict=True)
        for run, at in zip(group, places, strict=True)
        if len(group) > 1
    ]
    if seeds:
        dots = {"marker": ".", "linestyle": "", "markersize": 3, "label": None}
        axes.plot(*zip(*seeds, strict=True), alpha=0.6, markeredgewidth=0, **{**style, **dots})
        axes.update_datalim(seeds)


def _bar(cell: Mapping[str, Any]) -> tuple[float, float]:
    """How far the bar of a value goes below and above it, in percent."""
    if cell["std"] is not None:
        return cell["std"], cell["std"]
    if cell["low"] is None:
        return 0.0, 0.0
    # The percentiles of the draws need not lie around the value itself.
    return max(cell["mean"] - cell["low"], 0.0), max(cell["high"] - cell["mean"], 0.0)


def _steps(group: Sequence[Metrics], column: str, reported: float | None) -> _Steps:
    count = group[0]["iterations"]

    def values(kind: str, name: str) -> FloatArray:
        rows = ["sp_iforest", *(f"{kind}_{number}" for number in range(1, count + 1))]
        return np.array([over_runs(group, "rows", row, column)[name] or 0.0 for row in rows])

    running = values("ensemble", "mean")
    return _Steps(running, values("iteration", "mean"), values("ensemble", "std"), reported)


def _windows(
    series: Mapping[tuple[str, str], _Steps],
) -> dict[tuple[str, str], tuple[float, float]]:
    """Limits of the y axes: as many points everywhere, and no room above 100 for nothing."""
    ends = {}
    for key, one in series.items():
        values = np.hstack([*one.band, one.single, [] if one.reported is None else one.reported])
        ends[key] = (float(values.min()), float(values.max()))
    span = max(4.0, 1.2 * max(high - low for low, high in ends.values()))
    tops = {
        key: min((low + high + span) / 2, 100 + 0.05 * span) for key, (low, high) in ends.items()
    }
    return {key: (top - span, top) for key, top in tops.items()}


def _iteration_panel(axes: Axes, one: _Steps, colour: str, same: bool) -> None:
    steps = np.arange(len(one.running))
    if one.spread.any():
        axes.fill_between(steps, *one.band, color=colour, alpha=0.15, linewidth=0)
    # Both begin with the same initial scores.
    axes.plot(steps, one.single, markevery=slice(1, None), color=colour, **SINGLE)
    axes.plot(steps, one.running, color=colour, **RUNNING)
    if one.reported is not None:
        edge = axes.get_yaxis_transform()
        axes.plot([1.0], [one.reported], transform=edge, **_reported_style(same))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=7, length=2, pad=1.5)
    axes.set_xlim(-0.3, steps[-1] + 0.5)
    _rule(axes, "y")


def _reported_style(same: bool) -> dict[str, Any]:
    return {
        "marker": "<",
        "markersize": 5,
        "color": BLACK,
        "markerfacecolor": BLACK if same else "white",
        "linestyle": "",
        "clip_on": False,
        "zorder": 5,
    }


def _iteration_legend(settings: Iterable[bool]) -> list[Line2D]:
    names = {True: "reported", False: "reported, other settings"}
    return [
        _key("mean of models 1 to t", color="#555555", **RUNNING),
        _key("model t alone", color="#555555", **SINGLE),
        *(_key(names[same], **_reported_style(same)) for same in sorted(settings, reverse=True)),
    ]


def _ablation_panel(
    axes: Axes,
    studies: Mapping[str, Sequence[str]],
    found: Mapping[str, Sequence[Metrics]],
    main: str,
) -> list[tuple[str, bool]]:
    """Draw one scene; the words of each row come back, and whether it is a heading."""
    ticks: list[tuple[str, bool]] = []
    for study, variants in studies.items():
        base = main if main in variants else variants[0]
        start = len(ticks)
        ticks.append((study.replace("_", " "), True))
        for variant in variants:
            at = len(ticks)
            ticks.append((f"{variant} (base)" if variant == base else variant, False))
            if variant == base:
                axes.axhspan(at - 0.5, at + 0.5, color="#f0f0f0", linewidth=0, zorder=0)
            if variant not in found:
                _aside(axes, at, "not run", transform=axes.get_yaxis_transform())
                continue
            for column, offset in (("merged", -0.16), ("test_only", 0.16)):
                cell = over_runs(found[variant], "rows", "ours", column)
                if cell.get("mean") is None:
                    continue
                colour = COLUMN_COLOURS[column]
                if cell["low"] is not None:
                    axes.hlines(at + offset, cell["low"], cell["high"], color=colour, linewidth=0.9)
                axes.plot([cell["mean"]], [at + offset], color=colour, **_dot(column))
                if variant == base:
                    ends = (start + 0.5, start + len(variants) + 0.5)
                    axes.vlines(cell["mean"], *ends, color=colour, linewidth=0.7, linestyle=":")
    return ticks


def _dot(column: str) -> dict[str, Any]:
    return {"marker": "o" if column == "merged" else "D", "markersize": 3.6, "linestyle": ""}


def _read_localisation(path: str | Path) -> dict[str, Any]:
    content = read_json(path)
    try:
        _ = content["about"]["scene"], content["about"]["variant"]
        _ = [(content["values"][name], content["curves"][name]["x"]) for name in MEASURES]
    except (KeyError, TypeError) as error:
        raise SdorError(damaged(path, error)) from error
    found: dict[str, Any] = content
    return found


def _switch_off(panels: Iterable[Axes]) -> None:
    for axes in panels:
        axes.set_axis_off()


def _rule(axes: Axes, axis: Literal["x", "y"]) -> None:
    axes.grid(axis=axis, color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)


def _aside(axes: Axes, y: float, text: str, **style: Any) -> None:
    """Small words in the middle of a panel or of one of its rows."""
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    style = {"ha": "center", "va": "center", "parse_math": False, **style}
    axes.text(0.5, y, text, fontsize=SMALL, color="#666666", bbox=ground, **style)


def _key(label: str, **style: Any) -> Line2D:
    return Line2D([], [], label=label, **style)


def _mean_of(seeds: int) -> str:
    return f"mean of {seeds} seeds" if seeds > 1 else "one seed"


def _footnote(figure: Figure, text: str) -> None:
    """Small words below everything, which the layout leaves room for."""
    words = _wrapped(text, figure.get_figwidth())
    figure.supxlabel(words, fontsize=SMALL, x=0.01, ha="left", color="#444444")


def _wrapped(text: str, width: float) -> str:
    return fill(text, int(0.93 * width / CHARACTER))


def _shortened(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    keep = characters - 1
    return f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
