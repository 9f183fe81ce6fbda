"""Figure 4: frames of the strongest events and false alarm, and where their scores come from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from scipy.ndimage import binary_fill_holes

from sdor.evaluation.events import anomalies_of
from sdor.evaluation.metrics import BoolArray
from sdor.files import read_array
from sdor.method.events import find_events, of_clips
from sdor.reporting.figures import style
from sdor.reporting.runs import Picture, Runs, read_scores
from sdor.study.scenes import Scene
from sdor.study.settings import EventSettings
from sdor.video.masks import pixel_mask

Map = npt.NDArray[np.floating[Any]]

RED = "#e6142d"
SCALE = (1.0, 99.9)  # percentiles, of all values of a scene and column
# The hotter, the more of the grey frame is hidden.
LUMA = (0.299, 0.587, 0.114)
HEAT = np.linspace(0, 1, 256)
COLOURS = ListedColormap(np.c_[mpl.colormaps["inferno"](HEAT)[:, :3], 0.8 * HEAT**1.5])
SAMPLED_VALUES = 2_000_000
ROWS_PER_BLOCK = 8


class Cell(NamedTuple):
    """A picture of the figure.

    Attributes
    ----------
    image : uint8 [height, width] or [height, width, 3].
    text : what is written below.
    aspect : width by height of the picture as it was recorded.
    heat : a map [h, w] of any size, 0 to 1, to be laid over it.
    outline : bool mask of any size whose outline is drawn.
    """

    image: Picture
    text: str
    aspect: float
    heat: Map | None = None
    outline: BoolArray | None = None


def draw(
    scenes: Sequence[tuple[Scene, Mapping[str, Runs]]], stored: str, count: int | None = None
) -> Figure:
    """A frame a row, chosen by `choose_frames`, and beside it the maps of every column.

    A map's colours are those of its scene and column, from the 1st to the 99.9th percentile of all
    their values, so that rows can be compared.

    Parameters
    ----------
    scenes : each with title of a column: its runs, of which the first seed is shown. The final
        score of the first column chooses the frames.
    stored : the name of the stored frames that are shown, see `Runs.frame`.
    count : events a scene; as a rule three of one or two scenes, and one of more.
    """
    shown = count or (3 if len(scenes) < 3 else 1)
    return lay_out([row for scene, runs in scenes for row in rows_of(scene, runs, stored, shown)])


def choose_frames(
    times: pd.DataFrame, ground_truth: pd.DataFrame, ensemble: pd.DataFrame, count: int
) -> pd.DataFrame:
    """The frames that are shown, by rule and not by eye.

    An event is an unbroken run of anomalous frames of one clip, and as strong as its highest score.
    Of each of the `count` strongest the highest-scoring frame is shown, and after them the
    highest-scoring normal frame. A scene without any known event shows the highest-scoring frame of
    each of its `count` top moments instead: false alarms, where they are known to be normal.

    Returns
    -------
    clip, frame, why ("true event", "false alarm, 3 frames from a true event", …), in the order in
    which they are shown.
    """
    truth = ground_truth[["clip", "frame", "anomalous"]]
    table = ensemble.merge(truth, on=["clip", "frame"], how="left")
    number = anomalies_of(table, times)
    anomalous = table[number > 0]
    if anomalous.empty:
        found = find_events(of_clips(ensemble, times), EventSettings(count, "scene", lead=0))
        moments = found[["clip", "peak"]].rename(columns={"peak": "frame"})
        moments = moments.merge(table, on=["clip", "frame"])
        known = np.where(moments["anomalous"] == 0, "false alarm", "top moment, no ground truth")
        return moments[["clip", "frame"]].assign(why=known)
    peaks = anomalous.groupby(number[number > 0])["score"].idxmax()
    events = table.loc[peaks].nlargest(count, "score").assign(why="true event")
    alarms = table[table["anomalous"] == 0].nlargest(1, "score").assign(why="false alarm")
    # An alarm may be no more than an event that begins early.
    near = anomalous.merge(alarms, on="clip", suffixes=("", "_alarm"))
    if len(near):
        distance = int((near["frame"] - near["frame_alarm"]).abs().min())
        alarms["why"] += f", {distance} frame{'s' if distance > 1 else ''} from a true event"
    return pd.concat([events, alarms])[["clip", "frame", "why"]].reset_index(drop=True)


def rows_of(
    scene: Scene, columns: Mapping[str, Runs], stored: str, count: int
) -> Iterator[dict[str, Cell]]:
    """The rows of one scene, which need not be located: title of a column: its picture."""
    rankings, maps, limits = {}, {}, {}
    for title, runs in columns.items():
        rankings[title] = read_scores(runs.folders[0] / "ensemble.parquet")
        maps[title] = read_array(runs.folders[0] / "saliency.npy", len(rankings[title]))
        stride = max(1, -(-maps[title].size // SAMPLED_VALUES))
        limits[title] = np.percentile(np.asarray(maps[title][::stride], dtype=float), SCALE)
    first, ranking = next(iter(columns.values())), next(iter(rankings.values()))
    aspect = first.clips["width"].iloc[0] / first.clips["height"].iloc[0]
    chosen = choose_frames(first.times, first.ground_truth, ranking, count)
    for clip, frame, why in chosen.itertuples(index=False):
        frames = ranking["clip"] == clip
        row = int(np.flatnonzero(frames & (ranking["frame"] == frame))[0])
        source = scene.clip(clip)
        image, truth = first.frame(clip, frame, stored), source.ground_truth
        outline = None
        if truth and truth.pixel_masks:
            of_clip = first.clips.set_index("clip").loc[clip]
            size, total = (of_clip["width"], of_clip["height"]), of_clip["last"] - of_clip["first"]
            outline = pixel_mask(source, truth.pixel_masks, frame, total + 1, size)
        text = f"{first.scene}, {clip}, frame {frame}: {why}"
        cells = {"Frame": Cell(image, text, aspect, outline=outline)}
        for title, (low, high) in limits.items():
            heat = (np.asarray(maps[title][row], dtype=float) - low) / (high - low or 1.0)
            scores = rankings[title]["score"]
            # Rounded down, so that only the highest one of many frames could come near 100.
            rank = int(1000 * (scores < scores[row]).mean()) / 10
            text = f"score {scores[row]:.2f}, percentile {rank:.1f}"
            cells[title] = Cell(image, text, aspect, heat.clip(0, 1))
        yield cells


def lay_out(shown: Sequence[Mapping[str, Cell]]) -> Figure:
    """The rows below each other; many of them in two blocks beside each other."""
    if not shown:
        return style.note("No saliency map to show")
    titles = list(dict.fromkeys(title for row in shown for title in row))
    blocks = 1 + (len(shown) > ROWS_PER_BLOCK)
    rows, columns = -(-len(shown) // blocks), blocks * len(titles)
    width = style.PAGE_WIDTH / max(style.COLUMNS, columns)
    texts = [style.wrapped(cell.text, width) for row in shown for cell in row.values()]
    words = 0.1 + 0.11 * max(text.count("\n") for text in texts)
    tall = width / min(cell.aspect for row in shown for cell in row.values())
    with style.new_figure(width * columns, rows * (tall + words) + 1.0) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, row in enumerate(shown):
            block, place = divmod(number, rows)
            for column, title in enumerate(titles):
                axes = grid[place, block * len(titles) + column]
                if place == 0:
                    axes.set_title(style.wrapped(title, 0.8 * width), fontsize=7.5)
                if title in row:
                    _show(axes, row[title])
                    axes.set_xlabel(style.wrapped(row[title].text, width), fontsize=style.SMALL)
        # As the colours look on a middle grey.
        over = COLOURS(HEAT)[:, :3] * COLOURS(HEAT)[:, 3:] + 0.5 * (1 - COLOURS(HEAT)[:, 3:])
        place_of_bar: Any = {"location": "bottom", "aspect": 40, "pad": 0.02}
        key = ScalarMappable(cmap=ListedColormap(over))
        bar = figure.colorbar(
            key, ax=grid, shrink=min(1, 3 / figure.get_figwidth()), **place_of_bar
        )
        ends = [f"{SCALE[0]:g}st percentile", f"{SCALE[1]:g}th percentile"]
        bar.set_ticks([0, 1], labels=ends, fontsize=style.SMALL)
        bar.set_label("Localised score, on the scale of its scene and column", fontsize=style.SMALL)
        if any(cell.outline is not None for row in shown for cell in row.values()):
            line = style.key("outline of the ground truth", color=RED)
            figure.legend(handles=[line], loc="lower left", fontsize=style.SMALL)
    return figure


def _show(axes: Axes, cell: Cell) -> None:
    """A picture in its shape, with a map or the outline of a mask over it."""
    extent = (0, cell.aspect, 1, 0)
    grey = cell.image if cell.heat is None or cell.image.ndim == 2 else cell.image @ LUMA
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent)
    if cell.heat is not None:
        over: Any = {"cmap": COLOURS, "vmin": 0, "vmax": 1, "interpolation": "bilinear"}
        axes.imshow(cell.heat, extent=extent, **over)
    if cell.outline is not None and cell.outline.any():
        # Spokes of a wheel need no outline each; a margin closes outlines at the picture's edge.
        padded = np.pad(binary_fill_holes(cell.outline).astype(float), 1)
        height, width = cell.outline.shape
        x = (np.arange(-1, width + 1) + 0.5) / width * cell.aspect
        y = (np.arange(-1, height + 1) + 0.5) / height
        lines = axes.contour(x, y, padded, levels=[0.5], colors=[RED], linewidths=0.9)
        # Red alone is lost on dark clothes.
        lines.set_path_effects([Stroke(linewidth=1.9, foreground="white", alpha=0.7), Normal()])
    axes.set_axis_on()
    axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
