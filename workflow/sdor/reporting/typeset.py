"""Findings as text, and tables of them as CSV, Markdown and LaTeX (by the templates in report/)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import jinja2
import pandas as pd

from sdor.reporting.findings import NOT_RUN, PERCENT, REPORTED, Cell
from sdor.reporting.reported import DIFFER, FOLDER, TEST_DATA_ALONE
from sdor.study.config import load_yaml

# Names, columns and words of the tables.
TABLES = load_yaml(FOLDER / "tables.yaml")
METRICS, COLUMNS, WORDS = TABLES["metrics"], TABLES["columns"], TABLES["words"]
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
    """

    cells: tuple[str | Cell, ...]
    heading: str = ""
    style: str = ""

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

    def compact(self) -> Self:
        """Without the columns in which nothing is said."""
        said = [any(column) for column in zip(*(row.texts for row in self.rows), strict=True)]
        kept = [at for at, _ in enumerate(self.header) if not said or said[at]]
        rows = [replace(row, cells=tuple(row.cells[at] for at in kept)) for row in self.rows]
        return replace(self, header=[self.header[at] for at in kept], rows=rows)


@dataclass(frozen=True)
class Page:
    """One of the files of tables, in the words of `tables.yaml`.

    Attributes
    ----------
    tables : empty where there is nothing to show. asked : whether they were asked for.
    every : findings of its CSV file, if not just those of the tables.
    """

    name: str
    tables: Sequence[Table]
    asked: bool = False
    every: Iterable[Cell] | None = None

    @property
    def title(self) -> str:
        """Its heading."""
        return str(TABLES["pages"][self.name]["title"])

    @property
    def explanation(self) -> str:
        """How to read it."""
        return str(TABLES["pages"][self.name]["explanation"]).format(**WORDS)

    @property
    def nothing(self) -> str:
        """Why there is no table."""
        return f"{NOT_RUN}: {TABLES['pages'][self.name]['nothing'][-1 if self.asked else 0]}."

    def printed(self, kind: str) -> str:
        """The page as "md" or "tex"; without a table it is its title and the reason."""
        tables, explanation = self.tables, self.explanation
        if not tables:
            tables, explanation = [Table(self.title, (), (), self.nothing)], ""
        words = {"title": self.title, "explanation": explanation}
        return printed(f"tables.{kind}.j2", tables=tables, **words)

    def csv(self) -> str:
        """The findings, each with the title of the table that shows it; or why none is."""
        shown = [("", cell) for cell in self.every or ()]
        if self.every is None:
            rows = [(table.title, row) for table in self.tables for row in table.rows]
            shown = [(title, cell) for title, row in rows for cell in row.findings]
        records: list[dict[str, object]] = [
            {
                **cell.key._asdict(),
                **vars(cell),
                "table": title,
                "holds": cell.holds,
                "seeds": len(cell.by_seed) or None,
                "by_seed": "; ".join(f"{seed}: {one:.3f}" for seed, one in cell.by_seed.items()),
            }
            for title, cell in shown
        ]
        table = pd.DataFrame(records or [{"reason": self.nothing}], columns=CSV_COLUMNS)
        whole = table.astype(dict.fromkeys(("round", "seeds", "clips", "draws"), "Int64"))
        return whole.round(3).to_csv(index=False, lineterminator="\n")


def text(cell: Cell) -> str:
    """A finding such as "83.2 ± 0.7 [71.0, 92.3]"; a dash where there is no value."""
    key = cell.key
    if cell.mean is None:
        no_value = NOT_RUN if cell.reason.startswith(NOT_RUN) else DASH
        return "" if key.source == REPORTED else no_value
    if key.metric not in PERCENT:
        return f"{cell.mean:,.{0 if cell.mean == round(cell.mean) else 1}f}"
    if key.source == REPORTED:
        marks = DAGGER if DIFFER in cell.settings else ""
        marks += DOUBLE_DAGGER if TEST_DATA_ALONE in cell.settings else ""
        return f"{cell.mean:.1f} {marks}".strip()
    sign = "+" if key.against or key.way == "gain" else ""
    found = f"{cell.mean:{sign}.1f}"
    if cell.std is not None and not key.against:
        found += f" ± {cell.std:.1f}"
    # The gain has the interval that the scores before and after are to be judged by.
    if cell.low is not None and cell.high is not None and key.way != "before":
        # A second digit where the first would not tell on which side of 0 a bound is.
        bounds = (
            f"{one:{sign}.{2 if one and not round(one, 1) else 1}f}"
            for one in (cell.low, cell.high)
        )
        found += f" [{', '.join(bounds)}]"
    return found.replace("-", MINUS)


def row_name(row: str, *, short: bool = False) -> str:
    """What a row is called in print."""
    kind, _, t = row.rpartition("_")
    names: dict[str, str] = TABLES["rows"] | (TABLES["short"] if short else {})
    return names[row] if row in names else TABLES["steps"].get(kind, row).format(t)


def printed(template: str, **content: object) -> str:
    """A page by its template in report/."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": md, "tex": tex, "tex_cell": tex_cell}
    return environment.get_template(template).render(content).rstrip() + "\n"


def md(words: str) -> str:
    """Keep text from being read as table borders, tags or emphasis."""
    return " ".join(words.translate(MARKDOWN).split())


def tex(words: str) -> str:
    """Keep text from being read as commands."""
    return " ".join(words.split()).translate(LATEX)


def tex_cell(words: str, style: str, is_first: bool) -> str:
    """A cell; a value has its interval below it, so that wide tables stay readable."""
    value, bracket, interval = (words, "", "") if is_first else words.partition(" [")
    found = tex(value)
    if bracket:
        below = rf"{{\footnotesize\mdseries [{tex(interval)}}}"
        found = rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{found}\\{below}\end{{tabular}}"
    # In braces: a bracket that opens a row would be read as the argument of the \\ before it.
    return f"{{{style}{found}}}" if found else ""
