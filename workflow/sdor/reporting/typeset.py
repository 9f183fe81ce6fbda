"""Findings as text, and tables of them as CSV, Markdown and LaTeX (by the templates in report/)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import jinja2
import pandas as pd

from sdor.reporting.findings import NOT_RUN, PERCENT, REPORTED, STEPS, Cell
from sdor.reporting.reported import DIFFER, FOLDER, TEST_DATA_ALONE
from sdor.study.config import load_yaml

# Names, columns and words of the tables.
TABLES = load_yaml(FOLDER / "tables.yaml")
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
DAGGER, DOUBLE_DAGGER = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
# Of the CSV files: what a finding is about, then its values over the seeds (percent or counts).
CSV_COLUMNS = [
    *("table", "scene", "variant", "row", "way", "metric", "against", "round", "source"),
    *("mean", "std", "low", "high", "holds", "seeds", "by_seed", "clips", "draws"),
    *("settings", "reason"),
]
MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_<>|"})
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "{}$&#%_"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$"}
    | {DAGGER: r"$\dagger$", DOUBLE_DAGGER: r"$\ddagger$", MINUS: r"$-$", DASH: "--"}
    | {"…": r"\dots{}", "·": r"$\cdot$"}
)


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes
    ----------
    heading : in a line of its own above the first of the rows that have it.
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

    @property
    def findings(self) -> list[Cell]:
        """The cells that are findings."""
        return [one for one in self.cells if isinstance(one, Cell)]


@dataclass(frozen=True)
class Table:
    """A table to be printed.

    Attributes
    ----------
    caption : one line above it. notes : lines below it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    notes: Sequence[str] = ()

    @property
    def lines(self) -> list[Row]:
        """The rows, each heading with the first of its rows alone."""
        before = ["", *(row.heading for row in self.rows)]
        return [
            replace(row, heading="") if row.heading == last else row
            for row, last in zip(self.rows, before, strict=False)
        ]

    def compact(self) -> Self:
        """Without the columns in which nothing is said."""
        said = [any(column) for column in zip(*(row.texts for row in self.rows), strict=True)]
        kept = [at for at, _ in enumerate(self.header) if not said or said[at]]
        rows = [replace(row, cells=tuple(row.cells[at] for at in kept)) for row in self.rows]
        return replace(self, header=[self.header[at] for at in kept], rows=rows)


def text(cell: Cell) -> str:
    """A finding such as "83.2 ± 0.7 [71.0, 92.3]"; a dash where there is no value."""
    key = cell.key
    if cell.mean is None:
        no_value = NOT_RUN if cell.reason.startswith(NOT_RUN) else DASH
        return "" if key.source == REPORTED else no_value
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
    for start, words in zip(
        STEPS, ("Iteration {} alone", "Mean of iterations 1 to {}"), strict=True
    ):
        if row.startswith(start):
            return words.format(row.removeprefix(start))
    names: dict[str, str] = TABLES["rows"] | (TABLES["short"] if short else {})
    return names.get(row, row)


def count_of(number: float, name: str) -> str:
    """A count and its noun, such as "1 clip" or "1,200 clips"."""
    return f"{number:,.0f} {name}{'' if number == 1 else 's'}"


def csv_text(cells: Iterable[tuple[str, Cell]], nothing: str) -> str:
    """Findings, each with the title of the table that shows it, as a CSV file; or why none is."""
    records: list[dict[str, object]] = [
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
    table = pd.DataFrame.from_records(records or [{"reason": nothing}], columns=CSV_COLUMNS)
    whole = table.astype(dict.fromkeys(("round", "seeds", "clips", "draws"), "Int64"))
    return whole.round(3).to_csv(index=False, lineterminator="\n")


def printed(template: str, **content: object) -> str:
    """A page by its template in report/."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for escape in (md, tex, tex_header, tex_cell):
        environment.filters[escape.__name__] = escape
    return environment.get_template(template).render(content).rstrip() + "\n"


def md(words: str) -> str:
    """Keep text from being read as table borders, tags or emphasis."""
    return " ".join(words.translate(MARKDOWN).split())


def tex(words: str) -> str:
    """Keep text from being read as commands."""
    return " ".join(words.split()).translate(LATEX)


def tex_header(words: str) -> str:
    """The name of a column; what comes after a comma goes below."""
    first, comma, rest = words.partition(", ")
    return _stack("b", f"{tex(first)},", tex(rest)) if comma else tex(first)


def tex_cell(words: str, style: str, is_first: bool) -> str:
    """A cell; a value has its interval below it, so that wide tables stay readable."""
    value, bracket, interval = (words, "", "") if is_first else words.partition(" [")
    found = tex(value)
    if bracket:
        found = _stack("t", found, rf"{{\footnotesize\mdseries [{tex(interval)}}}")
    found = f"{{{style} {found}}}" if style and found else found
    # A bracket that opens a row would be read as the optional argument of the \\ before it.
    return f"{{{found}}}" if found[:1] == "[" else found


def _stack(position: str, *lines: str) -> str:
    """Lines above each other in one cell."""
    joined = r"\\".join(lines)
    return rf"\begin{{tabular}}[{position}]{{@{{}}r@{{}}}}{joined}\end{{tabular}}"
