"""Any two headline rows are compared, and the page says what holds and what does not."""

from dataclasses import replace

import pytest
from synthetic_study import DRAWS, blind, change, gathered, write_study

from sdor.reporting.comparisons import comparisons
from sdor.reporting.findings import right_side
from sdor.reporting.typeset import text
from sdor.study.plan import Plan


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    """Two scenes, three variants (one on a part of the frames), two seeds."""
    variants = {
        "paper": ({}, 1.4),
        "vgg16": ({"backbone": "vgg16"}, 0.9),
        "rate05": ({"anomaly_rate": 0.05}, 1.5),
    }
    folder = tmp_path_factory.mktemp("study")
    competitors = ("del_giorno_1_w100", "unmasking")
    scenes = {"ped2": (6, 12), "yard": (2, 3)}
    files = write_study(folder, scenes, variants, competitors=competitors)
    return gathered(files, Plan("paper"), folder)


def test_all_pairs_of_headline_rows_are_compared(findings):
    headline = ["ours", "sp", "iforest", "initial", "del_giorno_1_w100", "unmasking"]
    headline += ["iteration_2", "ours_smoothed"]
    cells = [one for one in comparisons(findings).every if one.key.scene == "ped2"]
    cells = [one for one in cells if one.key.metric == "merged"]
    # 8 rows of the main variant and 1 of vgg16 in pairs, and the part of the frames on its own.
    assert len(cells) == 9 * 8 // 2 + 1
    sides = [((cell.key.variant, cell.key.row), right_side(cell.key)) for cell in cells]
    pairs = {frozenset((left, right)) for left, right in sides}
    assert len(pairs) == len(cells)
    rows = {row for pair in pairs for variant, row in pair if variant == "paper"}
    assert rows == set(headline)
    assert [pair for pair in sides if pair[0][0] == "rate05"] == [
        (("rate05", "ours"), ("rate05", "initial"))
    ]
    for cell in cells:
        assert cell.draws <= DRAWS
        assert cell.holds == (cell.low > 0 or cell.high < 0)


def headings(table):
    return list(dict.fromkeys(row.heading for row in table.rows))


def test_the_page_says_what_holds_group_by_group(findings):
    found = comparisons(findings)
    titles = [table.title for table in found.tables]
    metrics = ("merged", "test-only", "within-clip")
    assert titles == [f"{scene}, {metric}" for scene in ("ped2", "yard") for metric in metrics]
    first, _, within, _, last, _ = found.tables
    assert headings(first) == [
        "Our method against every other row",
        "The initial scores against the competitors",
        "Variants",
        "With fewer anomalies, each variant on frames of its own",
    ]
    rows = [row.texts for row in first.rows]
    assert len(rows) == 7 + 2 + 1 + 1
    gain = findings.cell("ped2", "paper", against="initial")
    assert rows[2] == ("Our method", "Initial scores", text(gain), "holds")
    assert rows[2][2].startswith("+")
    assert rows[8][:2] == ("Initial scores", "Unmasking, both fused")
    assert rows[9][:2] == ("Our method", "Our method (vgg16)")
    assert rows[10][:2] == ("Our method (rate05)", "Initial scores (rate05)")
    assert {row[3] for row in rows} == {"holds", "does not hold"}
    merged = [one for one in found.every if (one.key.scene, one.key.metric) == ("ped2", "merged")]
    holding = sum(cell.holds for cell in merged)
    assert first.caption == (
        "The unit is the clip: 18 labelled clips; clips with anomalies in the scene: 12. Pairs "
        f"with an interval: 37 of 37; of these {holding} hold, where about 2 would by chance if no "
        "two rows differed."
    )
    assert within.caption.startswith("The unit is the clip: 12 clips of both classes; clips with")
    assert last.caption.startswith(
        "The unit is the clip: 3 test clips; clips with anomalies in the scene: 3."
    )
    # Three clips can all agree by chance; no line is to be taken for more.
    assert "Caution: 3 clips cannot show that any difference holds" in last.caption


def test_counts_of_seeds_with_frames_of_their_own_are_said_to_be_of_the_first(tmp_path):
    variants = {"rate05": ({"anomaly_rate": 0.05}, 1.5)}
    files = write_study(tmp_path, {"ped2": (6, 12)}, variants)
    merged, test_only, _ = comparisons(gathered(files, Plan("paper"), tmp_path)).tables
    unit = "clips with anomalies in the scene: 12 (counts of the first seed)."
    assert merged.caption.startswith(f"The unit is the clip: 18 labelled clips; {unit}")
    assert test_only.caption.startswith(f"The unit is the clip: 12 test clips; {unit}")
    assert headings(merged) == ["With fewer anomalies, each variant on frames of its own"]


def test_a_difference_without_an_interval_says_why(findings):
    cells = dict(findings.cells)
    for key, cell in cells.items():
        if key.variant == "paper" and key.against == "initial":
            cells[key] = replace(cell, low=None, high=None, reason="fewer than 2 clips")
    changed = replace(findings)
    vars(changed)["cells"] = cells
    row = comparisons(changed).tables[0].rows[2].texts
    assert row[3] == "no interval: fewer than 2 clips"
    assert "Pairs with an interval: 34 of 37" in comparisons(changed).tables[0].caption


def test_markdown_has_every_line_and_escapes_names(findings):
    found = comparisons(findings)
    page = found.printed("md")
    assert page.startswith("# Which differences hold\n")
    assert found.explanation in page.replace("\\", "")
    for table in found.tables:
        for row in table.rows:
            assert " | ".join(row.texts) in page
    assert replace(found, tables=[]).printed("md") == (
        "# Which differences hold\n\nnot run: no scene has ground truth to compare by.\n"
    )


def test_scenes_without_ground_truth_have_no_pairs(tmp_path):
    files = write_study(tmp_path, {"yard": (2, 2)}, {"paper": ({}, 1.4)})
    for path in files["metrics"]:
        change(path, blind)
    assert comparisons(gathered(files, Plan("paper"), tmp_path)).tables == []
