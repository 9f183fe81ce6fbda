"""Findings as text, and tables of them as CSV, Markdown and LaTeX."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import pandas as pd

from sdor.reporting.findings import NOT_RUN, OURS, PERCENT, REPORTED, STEPS, Cell
from sdor.reporting.reported import DIFFER, TEST_DATA_ALONE

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
DAGGER, DOUBLE_DAGGER = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
COLUMN_NAMES = {
    "merged": "merged",
    "train_side": "train-side",
    "test_only": "test-only",
    "within_clip": "within-clip",
    "average_precision": "AP",
}
ROW_NAMES = {
    "sp": "Sp",
    "iforest": "iForest",
    "sp_iforest": "Sp + iForest (initial scores)",
    "del_giorno_1_w100": "Del Giorno et al. #1, w = 100",
    "del_giorno_1_w10": "Del Giorno et al. #1, w = 10",
    "del_giorno_2_w100": "Del Giorno et al. #2, w = 100",
    "del_giorno_2_w10": "Del Giorno et al. #2, w = 10",
    "unmasking_appearance": "Unmasking, appearance",
    "unmasking_motion": "Unmasking, motion",
    "unmasking": "Unmasking, both fused",
    "two_sample_appearance": "Two-sample test, appearance",
    "two_sample_motion": "Two-sample test, motion",
    "two_sample_test": "Two-sample test, both fused",
    "ours": "Our method (mean of all iterations)",
    "ours_smoothed": "Our method, smoothed in time",
    "split_oracle": "Oracle: the clip is from the test split",
    "clip_rate_oracle": "Oracle: the clip's share of anomalies",
}
SHORT_NAMES = {"sp_iforest": "Sp + iForest", OURS: "Our method"}
# Of the CSV files: what a finding is about, then its values over the seeds (percent or counts).
CSV_COLUMNS = [
    *("table", "scene", "variant", "row", "way", "metric", "against", "round", "source"),
    *("mean", "std", "low", "high", "holds", "seeds", "by_seed", "clips", "draws"),
    *("settings", "reason"),
]
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        DAGGER: r"$\dagger$",
        DOUBLE_DAGGER: r"$\ddagger$",
        MINUS: r"$-$",
        DASH: "--",
        "…": r"\dots{}",
        "·": r"$\cdot$",
    }
)
MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_<>|"})
LATEX_TABLE = r"""
\begin{table}[tp]
\centering
\caption{%s}
\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%%
\begin{tabular}{l%s}
\toprule
%s
\midrule
%s
\bottomrule
\end{tabular}}
\end{table}"""


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes
    ----------
    heading : in a line of its own above it.
    style : "quiet" for what was not measured here, "strong" for our method.
    rule : a line is drawn above it.
    """

    cells: tuple[str | Cell, ...]
    heading: str = ""
    style: str = ""
    rule: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The cells as they are printed."""
        return tuple(one if isinstance(one, str) else text(one) for one in self.cells)


@dataclass(frozen=True)
class Table:
    """A table to be printed.

    Attributes
    ----------
    caption : one line above it. notes : lines below it.
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[Row]
    caption: str = ""
    notes: Sequence[str] = ()

    @property
    def findings(self) -> list[Cell]:
        """All findings that it shows."""
        return [one for row in self.rows for one in row.cells if isinstance(one, Cell)]

    @classmethod
    def of(
        cls,
        title: str,
        header: Sequence[str],
        rows: Sequence[Row],
        caption: str = "",
        notes: Sequence[str] = (),
    ) -> Self:
        """A table without the columns in which nothing is said."""
        said = [any(column) for column in zip(*(row.texts for row in rows), strict=True)]
        kept = [at for at in range(len(header)) if not said or said[at]]
        shown = [replace(row, cells=tuple(row.cells[at] for at in kept)) for row in rows]
        return cls(title, tuple(header[at] for at in kept), shown, caption, notes)


def text(cell: Cell) -> str:
    """A finding such as "83.2 ± 0.7 [71.0, 92.3]"; a dash where there is no value."""
    key = cell.key
    if cell.mean is None and key.source == REPORTED:
        return ""
    if cell.mean is None:
        return NOT_RUN if cell.reason.startswith(NOT_RUN) else DASH
    if key.metric not in PERCENT:
        return f"{cell.mean:,.0f}" if cell.mean == round(cell.mean) else f"{cell.mean:,.1f}"
    if key.source == REPORTED:
        marks = DAGGER if DIFFER in cell.settings else ""
        marks += DOUBLE_DAGGER if TEST_DATA_ALONE in cell.settings else ""
        return f"{cell.mean:.1f} {marks}".strip()
    form = "+.1f" if key.against or key.way == "gain" else ".1f"
    found = f"{cell.mean:{form}}"
    if cell.std is not None and not key.against:
        found += f" ± {cell.std:.1f}"
    # The gain has the interval that the scores before and after are to be judged by.
    if cell.low is not None and cell.high is not None and key.way != "before":
        found += f" [{bound(cell.low, form)}, {bound(cell.high, form)}]"
    return found.replace("-", MINUS)


def bound(value: float, form: str = ".1f") -> str:
    """A bound, with a second digit where the first would not tell on which side of 0 it is."""
    near = value != 0 and round(value, 1) == 0
    return f"{value:{form.replace('.1', '.2') if near else form}}"


def row_name(row: str, *, short: bool = False) -> str:
    """What a row is called in print."""
    if short and row in SHORT_NAMES:
        return SHORT_NAMES[row]
    names = (f"{STEPS[0]}", "Iteration {} alone"), (f"{STEPS[1]}", "Mean of iterations 1 to {}")
    for start, words in names:
        if row.startswith(start):
            return words.format(row.removeprefix(start))
    return ROW_NAMES.get(row, row)


def count_of(number: float, name: str) -> str:
    """A count and its noun, such as "1 clip" or "1,200 clips"."""
    return f"{number:,.0f} {name}{'' if number == 1 else 's'}"


def csv_table(cells: Iterable[tuple[str, Cell]]) -> pd.DataFrame:
    """Findings (with the title of the table that shows them) as they go into a CSV file."""
    records: list[Mapping[str, object]] = [
        {
            **cell.key._asdict(),
            **vars(cell),
            "table": table,
            "holds": cell.holds,
            "seeds": len(cell.by_seed) or None,
            "by_seed": "; ".join(f"{seed}: {one:.3f}" for seed, one in cell.by_seed.items()),
        }
        for table, cell in cells
    ]
    table = pd.DataFrame.from_records(records, columns=CSV_COLUMNS)
    return table.astype(dict.fromkeys(("round", "seeds", "clips", "draws"), "Int64")).round(3)


def markdown(tables: Sequence[Table], title: str, explanation: str = "") -> str:
    """The tables as one Markdown page."""
    blocks = [f"# {markdown_text(title)}", markdown_text(explanation)]
    for table in tables:
        blocks.append(f"## {markdown_text(table.title)}" if table.title != title else "")
        blocks.append(markdown_text(table.caption))
        lines = []
        if table.rows:
            rule = "|".join(["---", *["---:"] * (len(table.header) - 1)])
            lines = [_markdown_row(table.header), f"|{rule}|"]
        for row in table.rows:
            if row.heading:
                lines.append(_markdown_row((row.heading, *[""] * (len(row.cells) - 1)), "**"))
            emphasis = {"quiet": "*", "strong": "**"}.get(row.style, "")
            lines.append(_markdown_row(row.texts, emphasis))
        blocks += ["\n".join(lines), "\n".join(f"- {markdown_text(one)}" for one in table.notes)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def latex(tables: Sequence[Table], title: str, explanation: str = "") -> str:
    """The tables as LaTeX to be included; the document needs the packages booktabs and graphicx."""
    blocks = [f"% {' '.join(one.split())}" for one in (title, explanation) if one]
    for table in tables:
        if not table.rows:
            blocks += [f"% {' '.join(one.split())}" for one in (table.title, table.caption)]
            continue
        width = len(table.header)
        lines = []
        for number, row in enumerate(table.rows):
            if row.rule or (number and row.heading):
                lines.append(r"\midrule")
            if row.heading:
                heading = latex_text(row.heading)
                lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{heading}}}}} \\")
            style = {"quiet": r"\footnotesize\itshape", "strong": r"\bfseries"}.get(row.style, "")
            lines.append(_latex_row(row.texts, style))
        caption = latex_text(" ".join([f"{table.title}.", table.caption, *table.notes]))
        # What comes after a comma in the name of a column goes below.
        names = [one.partition(", ") for one in table.header]
        header = [
            _stack("b", f"{latex_text(first)},", latex_text(rest)) if comma else latex_text(first)
            for first, comma, rest in names
        ]
        parts = (caption, "r" * (width - 1), " & ".join(header) + r" \\", "\n".join(lines))
        blocks.append(LATEX_TABLE % parts)
    return "\n".join(blocks) + "\n"


def markdown_text(words: str) -> str:
    """Keep text from being read as table borders, tags or emphasis."""
    return " ".join(words.translate(MARKDOWN).split())


def latex_text(words: str) -> str:
    """Keep text from being read as commands."""
    return " ".join(words.split()).translate(LATEX)


def _markdown_row(cells: Sequence[str], emphasis: str = "") -> str:
    texts = [markdown_text(one) for one in cells]
    return f"| {' | '.join(f'{emphasis}{one}{emphasis}' if one else '' for one in texts)} |"


def _latex_row(cells: Sequence[str], style: str) -> str:
    """A line; each value has its interval below it, so that wide tables stay readable."""
    texts = [latex_text(cells[0])]
    for cell in cells[1:]:
        value, bracket, interval = (latex_text(one) for one in cell.partition(" ["))
        below = rf"{{\footnotesize\mdseries [{interval}}}"
        texts.append(_stack("t", value, below) if bracket else value)
    if style:
        texts = [f"{{{style} {one}}}" if one else "" for one in texts]
    # A bracket that opens a row would be read as the optional argument of the \\ before it.
    return " & ".join(f"{{{one}}}" if one[:1] == "[" else one for one in texts) + r" \\"


def _stack(position: str, *lines: str) -> str:
    """Lines above each other in one cell."""
    joined = r"\\".join(lines)
    return rf"\begin{{tabular}}[{position}]{{@{{}}r@{{}}}}{joined}\end{{tabular}}"
