"""Figures of one scene and variant: ROC curves, timelines, AUC per iteration, training loss."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sdor.evaluation import metrics
from sdor.evaluation.evaluate import labelled_frames
from sdor.evaluation.metrics import BoolArray, FloatArray
from sdor.files import atomic, read_parquet
from sdor.reporting.tables import Metrics, count_of, differing_settings, read_metrics, reported_auc

# Okabe and Ito's colours, told apart with every common colour vision.
BLACK, GREY, BLUE, ORANGE, GREEN, PURPLE, SKY = (
    *("#1a1a1a", "#8a8a8a", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"),
)
BAND = "#f3c9a5"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.3,
    "figure.dpi": 100,
    # Fixed ids, so that the same numbers give the same file, byte for byte.
    "svg.hashsalt": "sdor",
    "svg.fonttype": "path",
}
COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.2  # inches
KINDS = ("roc", "timeline", "iterations", "loss")
LOSS_NAMES = {
    "l1": "Mean absolute error",
    "l2": "Mean squared error",
    "focal": "Mean focal loss",
}
# What a panel of the printed width can show: more points only make the file heavier.
POINTS_PER_INCH = 220
FRAMES_PER_STRIP = 25_000
# Of the timeline: more are too small to read, take minutes, and burst matplotlib's picture size.
PANELS = 60
TRAINING_PANELS = 8  # beside clips of another split
LONG_CLIP = 300.0  # seconds, from where on the time axis counts minutes


@dataclass(frozen=True)
class Run:
    """The files of one seed, read: every table has one row per frame, in the same order."""

    seed: int
    initial: FloatArray
    iterations: list[FloatArray]
    ensemble: FloatArray
    pseudo_labels: pd.DataFrame
    histories: list[pd.DataFrame]
    metrics: Metrics


@dataclass(frozen=True)
class Strip:
    """A stretch of a clip that fills one panel of the timeline: rows [start, stop) of a table."""

    title: str
    split: str
    start: int
    stop: int


def draw_scene_figures(
    clips_path: str | Path,
    ground_truth_path: str | Path,
    run_folders: Sequence[str | Path],
    outputs: Mapping[str, Sequence[str | Path]],
) -> None:
    """Draw the figures of one scene and variant over its seeds.

    Parameters
    ----------
    run_folders : `results/{scene}/{variant}/seed{s}` of every seed; the timeline shows the first.
    outputs : kind of figure ("roc", "timeline", "iterations", "loss"): files to write, whose
        suffix says the format (.svg, .png).

    Raises
    ------
    SdorError : a file is missing or damaged, or its rows do not match the others.
    """
    clips = read_parquet(clips_path)
    ground_truth = read_parquet(ground_truth_path)
    runs = [_read_run(Path(folder)) for folder in run_folders]
    scored = read_parquet(Path(run_folders[0]) / "ensemble.parquet", ["clip", "frame"])
    kind_of_loss = runs[0].metrics["about"]["method"]["loss"]
    drawers = {
        "roc": lambda: roc(clips, ground_truth, scored, runs),
        "timeline": lambda: timeline(clips, ground_truth, scored, runs[0]),
        "iterations": lambda: iterations([run.metrics for run in runs]),
        "loss": lambda: loss([run.histories for run in runs], _title(runs), kind_of_loss),
    }
    for kind, paths in outputs.items():
        figure = drawers[kind]()
        for path in paths:
            save(figure, path)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the suffix, 200 dpi, without a date inside."""
    suffix = Path(path).suffix
    facts = {"Date": None, "Creator": None} if suffix == ".svg" else {"Software": None}
    with atomic(path) as temporary, mpl.rc_context(STYLE):
        figure.savefig(temporary, dpi=200, metadata=facts)


def roc(
    clips: pd.DataFrame, ground_truth: pd.DataFrame, scored: pd.DataFrame, runs: Sequence[Run]
) -> Figure:
    """ROC curves of Sp + iForest, iteration 1 and the final score: merged, and test clips alone.

    Over several seeds the line is the mean true positive rate and the band spans all seeds.
    """
    frames, labelled = labelled_frames(clips, scored, ground_truth)
    test = frames.of_split("test")[frames.clip]
    parts = [("All labelled frames (merged)", "merged", np.ones(len(test), dtype=bool))]
    if not test.all():
        parts.append(("Test clips alone", "test_only", test))
    known = runs[0].metrics["rows"]["ours"]
    parts = [part for part in parts if known[part[1]]["value"] is not None]
    if not parts:
        return note(f"{_title(runs)}: no ROC curve ({known['merged']['reason']})")
    lines = (
        ("Sp + iForest", "sp_iforest", GREY, "--", [run.initial for run in runs]),
        ("Iteration 1", "iteration_1", BLUE, "-.", [run.iterations[0] for run in runs]),
        ("Our method", "ours", ORANGE, "-", [run.ensemble for run in runs]),
    )
    with new_figure(COLUMN_WIDTH * len(parts), 3.8) as figure:
        for place, (title, column, part) in enumerate(parts, start=1):
            axes = figure.add_subplot(1, len(parts), place)
            axes.plot([0, 1], [0, 1], color=BLACK, linewidth=0.7, linestyle=":")
            truth = frames.anomalous[part]
            for name, row, colour, style, scores in lines:
                area = _mean_text([run.metrics["rows"][row][column]["value"] for run in runs])
                curves = [metrics.roc_curve(values[labelled][part], truth) for values in scores]
                label = f"{name}, AUC {area}"
                roc_line(axes, curves, color=colour, linestyle=style, label=label)
            axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", title=title)
            axes.set_xlabel("False positive rate")
            axes.set_ylabel("True positive rate")
            axes.legend(loc="lower right", handlelength=2.2, borderaxespad=0.2)
        figure.suptitle(_title(runs), fontsize=9)
    return figure


def iterations(runs: Sequence[Metrics]) -> Figure:
    """Figure 6 of the paper: AUC per iteration, of each model alone and of the running mean.

    t = 0 is the initial detector. Bands are one standard deviation of the running mean over the
    seeds; the dashed line is the paper's own figure, which may be for other settings.
    """
    first = runs[0]
    title = f"{first['about']['scene']}, variant {first['about']['variant']}"
    columns = [
        (column, name, colour)
        for column, name, colour in (("merged", "merged", BLUE), ("test_only", "test-only", ORANGE))
        if first["rows"]["ours"][column]["value"] is not None
    ]
    if not columns:
        reason = first["rows"]["ours"]["merged"]["reason"]
        return note(f"{title}: no AUC per iteration ({reason})")
    count = first["iterations"]
    steps = np.arange(count + 1)
    kinds = (("ensemble", "-", "o", True), ("iteration", "--", "s", False))
    with new_figure(COLUMN_WIDTH + 0.4, 3.6) as figure:
        axes = figure.add_subplot()
        for column, name, colour in columns:
            for kind, style, marker, filled in kinds:
                rows = ["sp_iforest", *(f"{kind}_{number}" for number in steps[1:])]
                values = np.array(
                    [[100 * run["rows"][row][column]["value"] for row in rows] for run in runs]
                )
                mean = values.mean(axis=0)
                axes.plot(
                    steps,
                    mean,
                    color=colour,
                    linestyle=style,
                    marker=marker,
                    markersize=4,
                    markerfacecolor=colour if filled else "white",
                    label=f"{name}, {'running mean' if filled else 'model t alone'}",
                )
                if len(runs) > 1 and filled:
                    spread = values.std(axis=0, ddof=1)
                    axes.fill_between(
                        steps, mean - spread, mean + spread, color=colour, alpha=0.12, linewidth=0
                    )
        known = reported_auc(first, "ours")
        if known is not None:
            # It is merged; with that word the legend would be wider than the figure.
            settings = " (other settings)" if differing_settings(first, "ours") else ""
            label = f"reported{settings}: {known:.1f}"
            axes.axhline(known, color=BLACK, linestyle=(0, (6, 2)), linewidth=0.9, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="Iteration t (0: initial scores)", ylabel="Frame AUC (%)", title=title)
        axes.set_xlim(-0.2, count + 0.2)
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower center", ncols=1 if len(columns) == 1 else 2)
    return figure


def loss(histories: Sequence[Sequence[pd.DataFrame]], title: str, kind: str) -> Figure:
    """Training loss per epoch of every iteration.

    Parameters
    ----------
    histories : per seed, per iteration: a table with `epoch` and `loss`. Seeds are thin lines,
        their mean is the bold one.
    kind : "l1", "l2" or "focal", the method's loss.
    """
    colours = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, max(len(histories[0]), 1)))
    with new_figure(COLUMN_WIDTH, 2.6) as figure:
        axes = figure.add_subplot()
        for number, tables in enumerate(zip(*histories, strict=True)):
            for table in tables if len(tables) > 1 else ():
                axes.plot(
                    table["epoch"], table["loss"], color=colours[number], linewidth=0.5, alpha=0.5
                )
            mean = pd.concat(tables).groupby("epoch")["loss"].mean()
            axes.plot(
                mean.index,
                mean,
                color=colours[number],
                label=f"t = {number + 1}",
                marker="o" if len(mean) < 10 else None,
                markersize=3,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.set(xlabel="Epoch", ylabel=LOSS_NAMES[kind], title=title)
        axes.set_ylim(bottom=0)
        axes.legend(title="Iteration", title_fontsize=7.5, ncols=1 + len(histories[0]) // 6)
    return figure


def timeline(
    clips: pd.DataFrame, ground_truth: pd.DataFrame, scored: pd.DataFrame, run: Run
) -> Figure:
    """The final score over time, one panel per clip, beside ground truth and pseudo labels.

    The test clips (every clip, where the scene has no split) and some training clips are shown, of
    many clips an even choice, so that the page stays readable. A long clip goes over several
    panels. All panels share the score axis.
    """
    shown = _shown_clips(clips)
    strips = _strips(shown)
    truth = _anomalous(scored, ground_truth)
    labels = _row_labels(scored, run.pseudo_labels)
    seconds = _frame_rate(clips)
    minutes = seconds is not None and int(clips["frames"].max()) / seconds > LONG_CLIP
    columns = 1 if max(strip.stop - strip.start for strip in strips) > 3000 else 4
    columns = min(columns, len(strips))
    rows = -(-len(strips) // columns)
    height = 0.95 if columns > 1 else 1.25
    low = float(min(run.ensemble.min(), run.initial.min()))
    high = float(max(run.ensemble.max(), run.initial.max()))
    margin = 0.22 * (high - low or 1.0)
    with new_figure(PAGE_WIDTH, rows * height + 1.05) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(strips):
                axes.set_axis_off()
                continue
            strip = strips[place]
            rows_of = slice(strip.start, strip.stop)
            frames = scored["frame"].to_numpy()[rows_of].astype(float)
            time = (frames - 1) / seconds if seconds else frames
            if minutes:
                time = time / 60
            width = PAGE_WIDTH / columns
            thickness = 1.0 if columns > 1 else 0.6
            for begin, end in true_ranges(truth[rows_of]):
                axes.axvspan(*_extent(time, begin, end), color=BAND, linewidth=0)
            axes.plot(*_envelope(time, run.initial[rows_of], width), color=GREY, linewidth=0.6)
            axes.plot(
                *_envelope(time, run.ensemble[rows_of], width), color=BLUE, linewidth=thickness
            )
            for label, colour, offset in ((1, ORANGE, 0.55), (0, GREEN, 0.2)):
                at = low - margin + margin * offset
                spans = [_extent(time, *ends) for ends in true_ranges(labels[rows_of] == label)]
                begins, ends = zip(*spans, strict=True) if spans else ((), ())
                axes.hlines(
                    [at] * len(spans), begins, ends, color=colour, linewidth=2.2, capstyle="butt"
                )
            step = (time[-1] - time[0]) / max(len(time) - 1, 1)
            axes.set_xlim(time[0] - step / 2, time[-1] + step / 2 + (step if len(time) == 1 else 0))
            axes.set_ylim(low - margin, high + 0.05 * (high - low or 1.0))
            axes.set_title(
                strip.title,
                fontsize=7.5,
                pad=2,
                loc="left",
                fontweight="normal",
                color=BLACK if strip.split != "train" else "#666666",
                parse_math=False,
            )
            axes.xaxis.set_major_locator(MaxNLocator(4 if columns > 1 else 10, integer=not seconds))
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(labelsize=6.5, length=2, pad=1.5)
        unit = ("Minutes" if minutes else "Seconds") if seconds else "Frame"
        figure.supxlabel(unit, fontsize=8)
        figure.supylabel("Anomaly score", fontsize=8)
        # As the legend's title it keeps clear of the legend, which a figure's title does not.
        figure.legend(
            handles=_timeline_legend(run, bool(truth.any())),
            title=_timeline_title(run, clips.drop(shown.index)),
            title_fontsize=9,
            loc="outside upper center",
            ncols=5,
            handlelength=1.8,
            columnspacing=1.4,
        )
    return figure


def note(text: str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    with new_figure(COLUMN_WIDTH + 0.4, 0.8) as figure:
        figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True, parse_math=False)
    return figure


def roc_line(
    axes: Axes,
    curves: Sequence[tuple[FloatArray, FloatArray]],
    *,
    band: bool = True,
    **style: Any,
) -> None:
    """Draw one ROC curve, or the mean true positive rate of several.

    Parameters
    ----------
    curves : false and true positive rates of every seed, as of `metrics.roc_curve`.
    band : the range over the seeds is shaded.
    style : of the line, as matplotlib calls it.
    """
    if len(curves) == 1:
        axes.plot(*_thinned(*curves[0]), **style)
        return
    grid = np.linspace(0, 1, 401)
    # Where a curve rises upright it has several values: the highest one is its own there.
    rates = np.array([np.interp(grid, false, true) for false, true in curves])
    if band:
        low, high = rates.min(axis=0), rates.max(axis=0)
        axes.fill_between(grid, low, high, color=style["color"], alpha=0.15, linewidth=0)
    mean = np.concatenate(([0.0], rates.mean(axis=0)))
    axes.plot(np.concatenate(([0.0], grid)), mean, **style)


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the shared style, laid out without overlaps, that no global state knows of."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def _read_run(folder: Path) -> Run:
    measured = read_metrics(folder / "metrics.json")
    count = measured["iterations"]
    each = [folder / f"iteration{number}" for number in range(1, count + 1)]

    def scores(path: Path) -> FloatArray:
        values: FloatArray = read_parquet(path, ["score"])["score"].to_numpy(dtype=float)
        return values

    return Run(
        seed=int(measured["about"]["seed"]),
        initial=scores(folder / "initial.parquet"),
        iterations=[scores(path / "scores.parquet") for path in each],
        ensemble=scores(folder / "ensemble.parquet"),
        pseudo_labels=read_parquet(each[-1] / "pseudo_labels.parquet", ["clip", "frame", "label"]),
        histories=[read_parquet(path / "history.parquet") for path in each],
        metrics=measured,
    )


def _title(runs: Sequence[Run]) -> str:
    about = runs[0].metrics["about"]
    return f"{about['scene']}, variant {about['variant']}"


def _mean_text(values: Sequence[float]) -> str:
    text = f"{100 * np.mean(values):.1f}"
    return f"{text} ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else text


def _thinned(false: FloatArray, true: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most a few hundred points of a curve, evenly along its length."""
    length = np.concatenate(([0], np.cumsum(np.abs(np.diff(false)) + np.abs(np.diff(true)))))
    if len(length) <= 600:
        return false, true
    keep = np.unique(
        np.searchsorted(length, np.linspace(0, length[-1], 600)).clip(0, len(false) - 1)
    )
    return false[keep], true[keep]


def _shown_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """At most `PANELS` clips to draw, training clips last; `start`: the first row of a clip."""
    start = clips["frames"].cumsum() - clips["frames"]
    placed = clips.assign(start=start, split=clips["split"].fillna(""))
    is_training = placed["split"] == "train"
    training, others = placed[is_training], placed[~is_training]
    training = _spread(training, TRAINING_PANELS if len(others) else PANELS)
    return pd.concat([_spread(others, PANELS - len(training)), training])


def _spread(clips: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` clips, spread over the recording: the first few may be of one morning."""
    if len(clips) <= count:
        return clips
    return clips.iloc[np.linspace(0, len(clips) - 1, count).astype(int)]


def _strips(shown: pd.DataFrame) -> list[Strip]:
    """Panels of the shown clips, at most `PANELS` of them: long clips are cut less finely then."""
    longest = FRAMES_PER_STRIP
    while (-(-shown["frames"] // longest)).sum() > PANELS:
        longest *= 2
    strips = []
    for clip in shown.to_dict("records"):
        pieces = -(-clip["frames"] // longest)
        bounds = np.linspace(0, clip["frames"], pieces + 1).astype(int)
        for begin, end in pairwise(bounds):
            title = clip["clip"] + (" (training)" if clip["split"] == "train" else "")
            if pieces > 1:
                title += f", frames {begin + 1:,} to {end:,}"
            first = clip["start"]
            strips.append(Strip(title, clip["split"], first + int(begin), first + int(end)))
    return strips


def _anomalous(scored: pd.DataFrame, ground_truth: pd.DataFrame) -> BoolArray:
    """(frames,) true where a frame is labelled anomalous."""
    labels = ground_truth.rename(columns={"anomalous": "label"})
    found: BoolArray = _row_labels(scored, labels) > 0
    return found


def _row_labels(scored: pd.DataFrame, labels: pd.DataFrame) -> FloatArray:
    """(frames,) label of each scored frame, NaN where it has none."""
    merged = scored[["clip", "frame"]].merge(
        labels[["clip", "frame", "label"]], on=["clip", "frame"], how="left", validate="1:1"
    )
    found: FloatArray = merged["label"].to_numpy(dtype=float)
    return found


def _frame_rate(clips: pd.DataFrame) -> float | None:
    """Frames per second, where all clips have the same one."""
    rates = clips["fps"].dropna().unique()
    same = len(rates) == 1 and bool(clips["fps"].notna().all()) and rates[0] > 0
    return float(rates[0]) if same else None


def true_ranges(flags: BoolArray) -> list[tuple[int, int]]:
    """[begin, end) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(int)))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def _extent(time: FloatArray, begin: int, end: int) -> tuple[float, float]:
    """Where frames [begin, end) begin and end on the axis: half a frame to either side."""
    half = (time[-1] - time[0]) / max(len(time) - 1, 1) / 2 or 0.5
    return float(time[begin] - half), float(time[end - 1] + half)


def _envelope(time: FloatArray, scores: FloatArray, width: float) -> tuple[FloatArray, FloatArray]:
    """Least and greatest score of each bin, so that a long clip keeps its peaks."""
    bins = int(width * POINTS_PER_INCH / 2)
    if len(scores) <= 2 * bins:
        return time, scores
    bounds = np.linspace(0, len(scores), bins + 1).astype(int)[:-1]
    pairs = np.column_stack(
        (np.minimum.reduceat(scores, bounds), np.maximum.reduceat(scores, bounds))
    )
    return np.repeat(time[bounds], 2), pairs.ravel()


def _timeline_title(run: Run, left_out: pd.DataFrame) -> str:
    about = run.metrics["about"]
    title = f"{about['scene']}, variant {about['variant']}, seed {run.seed}"
    if left_out.empty:
        return title
    kind = "training clip" if (left_out["split"] == "train").all() else "clip"
    return f"{title} ({count_of(len(left_out), kind)} left out)"


def _timeline_legend(run: Run, with_truth: bool) -> list[Patch | Line2D]:
    last = run.metrics["iterations"]
    handles: list[Patch | Line2D] = [
        Line2D([], [], color=BLUE, label="final score"),
        Line2D([], [], color=GREY, linewidth=0.8, label="initial score"),
        Line2D([], [], color=ORANGE, linewidth=2.5, label=f"pseudo anomalous (t = {last})"),
        Line2D([], [], color=GREEN, linewidth=2.5, label=f"pseudo normal (t = {last})"),
    ]
    if with_truth:
        handles.append(Patch(color=BAND, label="anomalous (ground truth)"))
    return handles
