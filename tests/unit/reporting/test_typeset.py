"""A finding as text, and tables in Markdown and LaTeX."""

import pytest

from sdor.reporting.findings import REPORTED, Cell, Key
from sdor.reporting.typeset import Page, Row, Table, printed, row_name, text

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
DAGGER, QUOTED = "\N{DAGGER}", "\N{DOUBLE DAGGER}"


def markdown(tables, title, explanation=""):
    return printed("tables.md.j2", tables=tables, title=title, explanation=explanation)


def latex(tables, title, explanation=""):
    return printed("tables.tex.j2", tables=tables, title=title, explanation=explanation)


def cell(mean=None, std=None, low=None, high=None, reason="", settings="", **key):
    found = Cell(Key("ped2", "paper", **key), {}, mean, std, low, high)
    return Cell(**{**vars(found), "reason": reason, "settings": settings})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (cell(82.0, 2.83, 71, 92), "82.0 ± 2.8 [71.0, 92.0]"),
        (cell(80.0), "80.0"),
        (cell(reason="no ground truth"), DASH),
        (cell(reason="not run: no video"), "not run"),
        # A difference has its sign, and a bound near 0 a second digit that tells its side.
        (cell(-1.25, 0.3, -2.0, 0.04, against="sp"), f"{MINUS}1.2 [{MINUS}2.0, +0.04]"),
        (cell(3.0, 0.1, 1.0, 5.0, way="gain"), "+3.0 ± 0.1 [+1.0, +5.0]"),
        # The gain has the interval that the scores before are to be judged by.
        (cell(70.0, 0.1, 60.0, 80.0, way="before"), "70.0 ± 0.1"),
        (cell(1234, metric="frames"), "1,234"),
        (cell(3.5, metric="events_kept"), "3.5"),
        (cell(83.2, source=REPORTED, settings="same"), "83.2"),
        (cell(83.2, source=REPORTED, settings="differ: epochs 8 (50)"), f"83.2 {DAGGER}"),
        (
            cell(
                *(82.2, None, None, None),
                source=REPORTED,
                settings="other protocol: test data alone; differ: epochs 8 (50)",
            ),
            f"82.2 {DAGGER}{QUOTED}",
        ),
        (cell(reason="not run: nothing", source=REPORTED), ""),
    ],
)
def test_a_finding_as_text(found, words):
    assert Row((found,)).texts == (text(found),) == (words,)


def test_rows_have_names():
    assert row_name("iteration_2") == "Iteration 2 alone"
    assert row_name("ensemble_2") == "Mean of iterations 1 to 2"
    assert row_name("ours", short=True) == "Our method"
    assert row_name("my_detector") == "my_detector"


def test_a_column_in_which_nothing_is_said_is_left_out():
    rows = [Row(("a", cell(80.0), cell(source=REPORTED))), Row(("b", cell(), ""), "heading")]
    table = Table("Title", ("row", "merged", "reported"), rows).compact()
    assert table.header == ["row", "merged"]
    assert [row.texts for row in table.rows] == [("a", "80.0"), ("b", DASH)]
    assert table.rows[1].heading == "heading"


def test_csv_has_what_is_shown_in_full_precision():
    found = Cell(Key("ped2", "paper", against="sp"), {0: 1.23456, 1: 2}, 1.61728, 0.5, 0.1, 2.2)
    table = Table("Title", ("row", "difference"), [Row(("ours", found))])
    header, line = Page("rates", [table]).csv().splitlines()
    one = dict(zip(header.split(","), line.split(","), strict=True))
    assert (one["table"], one["mean"], one["holds"], one["seeds"]) == (
        "Title",
        "1.617",
        "True",
        "2",
    )
    assert one["by_seed"] == "0: 1.235; 1: 2.000"
    assert (
        Page("rates", []).csv().splitlines()[1].endswith(",not run: no anomaly rates are compared.")
    )
    assert Page("rates", [], every=[found]).csv().splitlines()[1].startswith(",ped2,paper")


def test_headings_and_the_papers_own_rows_are_told_apart_in_every_format():
    table = Table(
        "Two kinds",
        ("method", "UMN all, as ranks"),
        [
            Row(("Old_one", "59.0"), "Quoted & old", "quiet"),
            Row(("New", "61.0 ± 1.0 [50.0, 70.0]"), "Measured", "strong"),
            Row(("reported [1]", ""), style="quiet"),
            Row(("[x]", "1")),
        ],
        notes=["A|note"],
    )
    assert markdown([table], "Two kinds").splitlines() == [
        "# Two kinds",
        "",
        "| method | UMN all, as ranks |",
        "|---|---:|",
        "| **Quoted & old** |  |",
        "| *Old\\_one* | *59.0* |",
        "| **Measured** |  |",
        "| **New** | **61.0 ± 1.0 [50.0, 70.0]** |",
        "| *reported [1]* |  |",
        "| [x] | 1 |",
        "",
        "- A\\|note",
    ]
    source = latex([table], "Two kinds").splitlines()
    assert r"\caption{Two kinds. A\textbar{}note}" in source
    start = source.index(r"\toprule")
    below = r"{\footnotesize\mdseries [50.0, 70.0]}"
    stacked = rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}61.0 $\pm$ 1.0\\{below}\end{{tabular}}"
    assert source[start + 1 : -3] == [
        r"\shortstack[r]{method} & \shortstack[r]{UMN all,\\as ranks} \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{Quoted \& old}} \\",
        r"{\footnotesize\itshape Old\_one} & {\footnotesize\itshape 59.0} \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{Measured}} \\",
        rf"{{\bfseries New}} & {{\bfseries {stacked}}} \\",
        r"{\footnotesize\itshape reported [1]} &  \\",
        r"{[x]} & {1} \\",
    ]


def test_text_of_users_is_escaped():
    table = Table("my|yard_1, variant 50%_&<b>", ("a",), [Row(("50 % of $x & {y} ~^#",))])
    page = markdown([table], "A | title", "What *is* `it`")
    assert "## my\\|yard\\_1, variant 50%\\_&\\<b\\>" in page
    assert "What \\*is\\* \\`it\\`" in page
    source = latex([table], "A title", "What it is")
    assert source.startswith("% A title\n% What it is\n")
    assert r"my\textbar{}yard\_1, variant 50\%\_\&\textless{}b\textgreater{}" in source
    assert r"50 \% of \$x \& \{y\} \textasciitilde{}\textasciicircum{}\#" in source


def test_a_table_without_rows_is_its_caption():
    table = Table("Nothing", (), [], "not run: nothing there")
    assert markdown([table], "Nothing") == "# Nothing\n\nnot run: nothing there\n"
    assert latex([table], "Nothing").splitlines()[-1] == "% not run: nothing there"
