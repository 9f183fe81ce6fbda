"""The final score of a scene over time, beside its ground truth and the last pseudo labels."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sdor.files import read_parquet
from sdor.method.scores import LEAST_SIZE, all_alike
from sdor.reporting.figures import style
from sdor.reporting.runs import Runs, read_scores

BAND = "#f3c9a5"
# More are too small to read, take minutes, and burst matplotlib's picture size.
PANELS = 60
TRAINING_PANELS = 8  # beside clips of another split
LONG_CLIP = 300.0  # seconds, from where on the time axis counts minutes
WIDE = 3000  # frames, from where on a clip takes the page's width


def draw(runs: Runs, iterations: int) -> Figure:
    """The first seed's scores, one panel a clip, all with the same score axis.

    The test clips (every clip, where the scene has no split) and some training clips are shown, of
    many clips an even choice, so that the page stays readable.
    """
    folder = runs.folders[0]
    table = read_scores(folder / "ensemble.parquet")
    table["initial"] = read_scores(folder / "initial.parquet")["score"]
    labels = read_parquet(folder / f"iteration{iterations}" / "pseudo_labels.parquet")
    # Of places, their frames; one that has places in both sets is shown in A.
    labels = labels.groupby(["clip", "frame"], as_index=False)[["label"]].max()
    for other, column in ((runs.ground_truth, "anomalous"), (labels, "label")):
        wanted = other[["clip", "frame", column]]
        table = table.merge(wanted, on=["clip", "frame"], how="left", validate="1:1")
    shown = shown_clips(runs.clips)
    unit, clock = clock_of(runs.times)
    wide = shown["frames"].max() > WIDE
    columns, height = (1, 1.25) if wide else (style.COLUMNS, 0.95)
    scores = table[["score", "initial"]].to_numpy()
    low, high = scores.min(), scores.max()
    span = 1.0 if all_alike(scores.ravel(), LEAST_SIZE) else high - low
    size = style.PAGE_WIDTH, -(-len(shown) // columns) * height + 1.05
    with style.new_figure(*size) as figure:
        places = style.panels(figure, len(shown), columns, sharey=True)
        for axes, (clip, split) in zip(places, shown[["clip", "split"]].to_numpy(), strict=True):
            of_clip = table[table["clip"] == clip]
            _panel(axes, of_clip, clock[of_clip.index].to_numpy())
            axes.xaxis.set_major_locator(MaxNLocator(10 if wide else 4, integer=unit == "Frame"))
            words: Any = {"fontsize": 7.5, "fontweight": "normal", "loc": "left", "pad": 2}
            axes.set_title(f"{clip} (training)" if split == "train" else clip, **words)
            # Room below for the pseudo labels.
            axes.set_ylim(low - 0.22 * span, high + 0.05 * span)
        figure.supxlabel(unit, fontsize=8)
        figure.supylabel("Anomaly score", fontsize=8)
        keys = [
            style.key("final score", color=style.BLUE),
            style.key("initial score", color=style.GREY, linewidth=0.8),
            Patch(color=style.ORANGE, label=f"pseudo anomalous (t = {iterations})"),
            Patch(color=style.GREEN, label=f"pseudo normal (t = {iterations})"),
            Patch(color=BAND, label="anomalous (ground truth)"),
        ]
        if not (table["anomalous"] > 0).any():
            keys.pop()
        left_out = len(runs.clips) - len(shown)
        # As the legend's title it keeps clear of the legend, which a figure's title does not.
        title = f"{runs.title}, seed {runs.seeds[0]}"
        title += f" (clips left out: {left_out:,})" if left_out else ""
        place: Any = {"loc": "outside upper center", "ncols": 5, "handlelength": 1.8}
        figure.legend(handles=keys, title=title, title_fontsize=9, handleheight=0.5, **place)
    return figure


def shown_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """At most `PANELS` clips to draw, training clips last, spread over the recording.

    The first few alone may be of one morning.
    """

    def spread(some: pd.DataFrame, count: int) -> pd.DataFrame:
        return some.iloc[np.linspace(0, len(some) - 1, min(count, len(some))).astype(int)]

    is_training = clips["split"] == "train"
    training = spread(clips[is_training], PANELS if is_training.all() else TRAINING_PANELS)
    return pd.concat([spread(clips[~is_training], PANELS - len(training)), training])


def clock_of(times: pd.DataFrame) -> tuple[str, "pd.Series[float]"]:
    """Unit of the time axis, and where on it each frame is.

    Seconds or minutes of the source where the time of every frame is known, else frame numbers.
    """
    if times["time"].isna().any():
        return "Frame", times["frame"].astype(float)
    if times.groupby("clip")["time"].agg(np.ptp).max() > LONG_CLIP:
        return "Minutes", times["time"] / 60
    return "Seconds", times["time"]


def _panel(axes: Axes, table: pd.DataFrame, time: npt.NDArray[np.float64]) -> None:
    """Scores of a clip, and bars where frames are anomalous or labelled.

    A frame's bar reaches half way to the frames beside it.
    """
    between = (time[1:] + time[:-1]) / 2
    half = (time[-1] - time[0]) / max(2 * len(time) - 2, 1) or 0.5
    borders = np.concatenate([[time[0] - half], between, [time[-1] + half]])
    axes.plot(time, table["initial"], color=style.GREY, linewidth=0.6)
    axes.plot(time, table["score"], color=style.BLUE, linewidth=0.6 if len(time) > WIDE else 1.0)
    for flags, colour, bottom, top in (
        (table["anomalous"] > 0, BAND, 0.0, 1.0),
        (table["label"] == 1, style.ORANGE, 0.07, 0.115),
        (table["label"] == 0, style.GREEN, 0.015, 0.06),
    ):
        # Where stretches begin and end, by turns; between them is nothing.
        edges = np.flatnonzero(np.diff(flags.to_numpy(int), prepend=0, append=0))
        heights = np.where(np.arange(len(edges) - 1) % 2, np.nan, top)
        if len(edges):
            # The thin edge keeps a single frame of a long clip in sight.
            look: Any = {"color": colour, "linewidth": 0.3, "zorder": 1, "fill": True}
            look["transform"] = axes.get_xaxis_transform()
            axes.stairs(heights, borders[edges], baseline=bottom, **look)
    axes.set_xlim(borders[0], borders[-1])
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=6.5, length=2, pad=1.5)
