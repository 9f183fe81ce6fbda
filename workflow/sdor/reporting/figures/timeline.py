"""The final score of a scene over time, beside its ground truth and the last pseudo labels."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sdor.files import read_parquet
from sdor.reporting.figures import style
from sdor.reporting.runs import Runs, read_scores

BAND = "#f3c9a5"
FRAMES_PER_STRIP = 25_000
# More are too small to read, take minutes, and burst matplotlib's picture size.
PANELS = 60
TRAINING_PANELS = 8  # beside clips of another split
LONG_CLIP = 300.0  # seconds, from where on the time axis counts minutes


class Strip(NamedTuple):
    """A stretch of a clip that fills one panel: rows [start, stop) of the scores."""

    title: str
    training: bool
    start: int
    stop: int


class Clock(NamedTuple):
    """How frames become time: frame 1 is at `first`, and each takes `step`."""

    unit: str
    first: float
    step: float


def draw(runs: Runs, iterations: int) -> Figure:
    """The first seed's scores, one panel a clip.

    The test clips (every clip, where the scene has no split) and some training clips are shown, of
    many clips an even choice, so that the page stays readable. A long clip goes over several
    panels. All panels share the score axis.
    """
    folder = runs.folders[0]
    table = read_scores(folder / "ensemble.parquet")
    table["initial"] = read_scores(folder / "initial.parquet")["score"]
    labels = read_parquet(folder / f"iteration{iterations}" / "pseudo_labels.parquet")
    for other, column in ((runs.ground_truth, "anomalous"), (labels, "label")):
        wanted = other[["clip", "frame", column]]
        table = table.merge(wanted, on=["clip", "frame"], how="left", validate="1:1")
    shown = shown_clips(runs.clips)
    strips = strips_of(shown)
    clock = clock_of(runs.clips)
    wide = max(strip.stop - strip.start for strip in strips) > 3000
    rows = len(strips) if wide else -(-len(strips) // style.COLUMNS)
    scores = table[["score", "initial"]].to_numpy()
    low, high = scores.min(), scores.max()
    span = high - low or 1.0
    with style.new_figure(style.PAGE_WIDTH, rows * (1.25 if wide else 0.95) + 1.05) as figure:
        places = style.panels(figure, len(strips), 1 if wide else style.COLUMNS, sharey=True)
        for axes, strip in zip(places, strips, strict=True):
            _strip(axes, table[strip.start : strip.stop], clock, wide=wide)
            words: Any = {"fontsize": 7.5, "fontweight": "normal", "loc": "left", "pad": 2}
            words["color"] = "#666666" if strip.training else style.BLACK
            axes.set_title(strip.title, **words)
            # Room below for the pseudo labels.
            axes.set_ylim(low - 0.22 * span, high + 0.05 * span)
        figure.supxlabel(clock.unit, fontsize=8)
        figure.supylabel("Anomaly score", fontsize=8)
        keys = [
            style.key("final score", color=style.BLUE),
            style.key("initial score", color=style.GREY, linewidth=0.8),
            Patch(color=style.ORANGE, label=f"pseudo anomalous (t = {iterations})"),
            Patch(color=style.GREEN, label=f"pseudo normal (t = {iterations})"),
            Patch(color=BAND, label="anomalous (ground truth)"),
        ]
        # As the legend's title it keeps clear of the legend, which a figure's title does not.
        figure.legend(
            handles=keys if (table["anomalous"] > 0).any() else keys[:-1],
            title=f"{runs.title}, seed {runs.seeds[0]}{_left_out(runs.clips, shown)}",
            title_fontsize=9,
            loc="outside upper center",
            ncols=5,
            handlelength=1.8,
            handleheight=0.5,
        )
    return figure


def shown_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """At most `PANELS` clips to draw, training clips last; `start`: the first row of a clip."""
    placed = clips.assign(start=clips["frames"].cumsum() - clips["frames"])
    is_training = clips["split"] == "train"
    training = _spread(placed[is_training], PANELS if is_training.all() else TRAINING_PANELS)
    return pd.concat([_spread(placed[~is_training], PANELS - len(training)), training])


def strips_of(shown: pd.DataFrame) -> list[Strip]:
    """Panels of the shown clips, at most `PANELS` of them: long clips are cut less finely then."""
    longest = FRAMES_PER_STRIP
    while (-(-shown["frames"] // longest)).sum() > PANELS:
        longest *= 2
    strips = []
    for clip in shown.to_dict("records"):
        training = clip["split"] == "train"
        parts = -(-clip["frames"] // longest)
        for begin, end in pairwise(np.linspace(0, clip["frames"], parts + 1).astype(int).tolist()):
            title = f"{clip['clip']} (training)" if training else clip["clip"]
            title += f", frames {begin + 1:,} to {end:,}" if parts > 1 else ""
            strips.append(Strip(title, training, clip["start"] + begin, clip["start"] + end))
    return strips


def clock_of(clips: pd.DataFrame) -> Clock:
    """Seconds or minutes where all clips have the same frame rate, else frame numbers."""
    rates = clips["fps"].unique()
    if len(rates) > 1 or not rates[0] > 0:
        return Clock("Frame", 1.0, 1.0)
    if clips["frames"].max() / rates[0] > LONG_CLIP:
        return Clock("Minutes", 0.0, 1 / (60 * rates[0]))
    return Clock("Seconds", 0.0, 1 / rates[0])


def _strip(axes: Axes, table: pd.DataFrame, clock: Clock, *, wide: bool) -> None:
    """One panel; frames reach half a frame to either side."""
    time = clock.first + (table["frame"].to_numpy(float) - 1) * clock.step
    axes.plot(time, table["initial"], color=style.GREY, linewidth=0.6)
    axes.plot(time, table["score"], color=style.BLUE, linewidth=0.6 if wide else 1.0)
    for flags, colour, bottom, top in (
        (table["anomalous"] > 0, BAND, 0.0, 1.0),
        (table["label"] == 1, style.ORANGE, 0.07, 0.115),
        (table["label"] == 0, style.GREEN, 0.015, 0.06),
    ):
        # Where stretches begin and end, by turns; between them is nothing.
        edges = np.flatnonzero(np.diff(flags.to_numpy(int), prepend=0, append=0))
        heights = np.where(np.arange(len(edges) - 1) % 2, np.nan, top)
        if len(edges):
            at = clock.first + (table["frame"].iloc[0] + edges - 1.5) * clock.step
            # The thin edge keeps a single frame of a long clip in sight.
            look: Any = {"color": colour, "linewidth": 0.3, "zorder": 1, "fill": True}
            look["transform"] = axes.get_xaxis_transform()
            axes.stairs(heights, at, baseline=bottom, **look)
    axes.set_xlim(time[0] - clock.step / 2, time[-1] + clock.step / 2)
    axes.xaxis.set_major_locator(MaxNLocator(10 if wide else 4, integer=clock.unit == "Frame"))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=6.5, length=2, pad=1.5)


def _spread(clips: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` clips, spread over the recording: the first few may be of one morning."""
    return clips.iloc[np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int)]


def _left_out(clips: pd.DataFrame, shown: pd.DataFrame) -> str:
    others = clips.drop(shown.index)
    kind = "training clip" if (others["split"] == "train").all() else "clip"
    number = f"{len(others):,} {kind}{'s' if len(others) > 1 else ''}"
    return f" ({number} left out)" if len(others) else ""
