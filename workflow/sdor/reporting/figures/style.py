"""The look that all figures share: colours, sizes, small words, panels, and how they are saved."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sdor.files import atomic

# Okabe and Ito's colours, told apart with every common colour vision.
BLACK, GREY, BLUE, ORANGE = "#1a1a1a", "#8a8a8a", "#0072b2", "#d55e00"
GREEN, PURPLE, SKY = "#009e73", "#cc79a7", "#56b4e9"
METRIC_TITLES = {"merged": "merged", "test_only": "test-only"}
METRIC_COLOURS = {"merged": BLUE, "test_only": ORANGE}
SMALL = 6.5  # points: nothing in a figure is smaller
CHARACTER = 0.046  # inches of a character of that size, for texts that are cut to a width
COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.2  # inches
COLUMNS = 4  # of panels, at most
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.3,
    "figure.dpi": 100,
    # Names of scenes and clips may hold dollars.
    "text.parse_math": False,
    # Curves of many frames are thinned as they are drawn, and keep their peaks.
    "path.simplify_threshold": 0.25,
    # Fixed ids, so that the same values give the same file, byte for byte.
    "svg.hashsalt": "sdor",
    "svg.fonttype": "path",
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure in the shared style, laid out without overlaps, that no global state knows of."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, outputs: Iterable[str | Path]) -> None:
    """Write a figure in the format of each suffix, 200 dpi, without a date inside."""
    for path in outputs:
        svg = Path(path).suffix == ".svg"
        facts = {"Date": None, "Creator": None} if svg else {"Software": None}
        with atomic(path) as temporary, mpl.rc_context(STYLE):
            figure.savefig(temporary, dpi=200, metadata=facts)


def note(text: str, missing: Mapping[str, str] | None = None) -> Figure:
    """A figure that says in words why there is nothing to draw; `missing`: scene: its reason."""
    with new_figure(COLUMN_WIDTH + 0.4, 0.8) as figure:
        figure.text(0.5, 0.5, text + because(missing or {}), ha="center", va="center", wrap=True)
    return figure


def panels(figure: Figure, count: int, columns: int = COLUMNS, **style: Any) -> list[Axes]:
    """Axes of `count` panels, at most `columns` beside each other; the rest of a row is blank."""
    columns = min(count, columns)
    grid = figure.subplots(-(-count // columns), columns, squeeze=False, **style)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return list(grid.flat[:count])


def key(label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **style)


def heading(figure: Figure, keys: Iterable[Any], words: str, columns: int) -> None:
    """The legend above everything, and above it small words."""
    figure.legend(
        handles=list(keys),
        loc="outside upper center",
        ncols=columns,
        title=wrapped(words, figure.get_figwidth()),
        title_fontsize=SMALL,
    )


def footnote(figure: Figure, text: str, missing: Mapping[str, str]) -> None:
    """Small words below everything; `missing`: the scenes that are not shown, and why."""
    words = wrapped(text + because(missing, " Not shown"), figure.get_figwidth())
    figure.supxlabel(words, fontsize=SMALL, x=0.01, ha="left", color="#444444")


def because(missing: Mapping[str, str], words: str = "") -> str:
    """The scenes that are not shown, and why; nothing where all are."""
    reasons = "; ".join(f"{scene}: {reason}" for scene, reason in missing.items())
    return f"{words} ({reasons})" if missing else ""


def mean_of(seeds: int) -> str:
    """What a value over so many seeds is."""
    return f"mean of {seeds} seeds" if seeds > 1 else "one seed"


def wrapped(text: str, width: float) -> str:
    """Small words in lines of a width in inches."""
    return fill(text, int(0.93 * width / CHARACTER))
