"""Each table of the paper and of ours: measured, reported beside it, or not run and why."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from synthetic_study import (
    blind,
    change,
    gathered,
    write_feedback,
    write_localisation,
    write_study,
)

from sdor.evaluation.metrics import COLUMNS
from sdor.reporting.findings import NOT_RUN, Findings
from sdor.reporting.tables import (
    ablations,
    events,
    feedback,
    glance_table,
    localisation,
    paper_pages,
    pseudo_label_table,
    rates,
    scene_page,
    scene_table,
    table_1,
    table_2,
    variants_table,
    write_tables,
)
from sdor.reporting.typeset import text
from sdor.study.plan import Comparison, Plan, Pool

DASH, DAGGER, QUOTED = "\N{EN DASH}", "\N{DAGGER}", "\N{DOUBLE DAGGER}"
NAMES = [
    "table1",
    "table2",
    "events",
    "localisation",
    "feedback",
    "rates",
    "ablations",
    "comparisons",
]
PAPER = ["Ped1", "Ped2", "Subway Entrance", "Subway Exit", "UMN 1", "UMN 2", "UMN 3"]
SHOWN = {"merged": "merged", "test-only": "test_only", "within-clip": "within_clip"}
SCENES = {"ped2": (6, 8), "plaza": (3, 5)}
VARIANTS = {
    "paper": ({}, 1.4),
    "vgg16": ({"backbone": "vgg16"}, 1.0),
    "rate05": ({"anomaly_rate": 0.05}, 1.5),
}
PLAN = Plan(
    "paper",
    backbones=Comparison(("vgg16", "paper"), ("ped1", "ped2", "plaza")),
    anomaly_rates=Comparison(("rate05",), ("ped1", "ped2")),
    ablations={"net_and_more": Comparison(("paper", "vgg16"), ("ped1", "ped2"))},
    not_run={"ped1": "no video_here & there"},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def findings(folder):
    """Two scenes, three variants, two seeds, and one scene that is not there."""
    files = write_study(folder, SCENES, VARIANTS)
    files = write_feedback(write_localisation(files, folder, skip=("plaza",)), folder, "ped2")
    return gathered(files, PLAN, folder)


def of(folder, scenes=None, variants=None, edit=None, plan=None, **more):
    """Findings of another study; `edit` changes its metrics files."""
    variants = variants or {"paper": ({}, 1.4)}
    files = write_study(folder, scenes or {"ped2": (6, 8)}, variants, **more)
    for path in files["metrics"] if edit else ():
        change(path, edit)
    return gathered(files, plan or Plan(next(iter(variants))), folder)


def rows_of(table):
    """Name: the cells by column, of the first row of that name."""
    found = {}
    for row in table.rows:
        found.setdefault(row.texts[0], dict(zip(table.header[1:], row.texts[1:], strict=True)))
    return found


def below(table, name):
    """The row below the row of that name."""
    at = [row.texts[0] for row in table.rows].index(name)
    assert table.rows[at + 1].style == "quiet"
    return table.rows[at + 1].texts


def headings(table):
    found = enumerate(row.heading for row in table.rows)
    return list(
        {heading: (at, heading) for at, heading in reversed(list(found)) if heading}.values()
    )[::-1]


def words(findings, scene, row="ours", metric="merged", variant="paper", **more):
    return text(findings.cell(scene, variant, row, metric=metric, **more))


def test_the_scene_table_has_each_row_once_and_oracles_at_the_bottom(findings):
    table = scene_table(findings, "ped2", "paper")
    names = list(rows_of(table))
    assert "Mean of iterations 1 to 1" not in names
    assert "Mean of iterations 1 to 2" not in names
    assert names[-2:] == [name for name in names if name.startswith("Oracle")]
    assert headings(table) == [(len(names) - 2, "Oracles, which use the ground truth")]
    within = "within-clip (clips: 8)"
    names = ["detector", "merged", "train-side", "test-only", within, "AP", "macro AUC (clips: 8)"]
    names += ["EER", "between clips", "reported"]
    assert table.header == names
    ours = rows_of(table)["Our method (final score)"]
    assert ours["merged"] == words(findings, "ped2")
    assert re.fullmatch(r"\d\d\.\d ± \d+\.\d \[\d\d\.\d, \d\d\.\d\]", ours["merged"])
    assert ours["reported"] == "83.2"
    # What is the same in all frames of a clip lies between clips as a whole.
    assert rows_of(table)["Oracle: the clip is from the test split"]["between clips"] == "100.0"
    assert 0 < findings.cell("ped2", "paper", metric="between_clips").mean < 50
    assert rows_of(table)["Unmasking, both fused"]["reported"] == f"82.2 {QUOTED}"
    assert "±" not in rows_of(table)["Unmasking, both fused"]["merged"]
    assert "; seeds: 0, 1; " in table.caption
    assert "<npm> (sha256 ffffffffffff)" in table.caption
    assert table.notes[0].startswith(f"{QUOTED} The paper quotes these values")
    # A scene that the paper does not know has no column of its values.
    assert scene_table(findings, "plaza", "paper").header[-1] == "between clips"
    part = scene_table(findings, "ped2", "rate05")
    assert part.header[4] == "within-clip (clips: 8 of the first seed)"
    assert "120 anomalous (counts of the first seed); seeds: 0, 1; 200 draws of 14" in part.caption


def test_rows_and_settings_of_the_approach_motion_are_its_own(tmp_path):
    study = {"variants": {"fast": ({"approach": "motion"}, 1.4)}, "competitors": ["unmasking"]}
    findings = of(tmp_path, **study)
    table = scene_table(findings, "ped2", "fast")
    names = list(rows_of(table))
    assert names[:3] == ["Speed of the flow", "Speed within its row", "Initial scores"]
    # The mean of all iterations is not the answer, which adds motion to it.
    assert "Mean of iterations 1 to 2" in names
    assert table.notes[-1].startswith("Iterations and their means are of appearance alone")
    reported = {name: cells["reported"] for name, cells in rows_of(table).items()}
    assert reported["Initial scores"] == f"67.5 {DAGGER}"
    assert "variant fast differs in: approach motion (paper)." in table.notes[0]
    merged = table_1(findings).tables[0]
    shown = [row.cells[0] for row in merged.rows]
    assert {"Speed of the flow", "Initial scores", "Our method"} <= {*shown}
    assert not {"Appearance (Sp)", "Sp", "iForest"} & {*shown}


def test_the_papers_figure_is_marked_beside_a_run_with_other_settings(tmp_path):
    findings = of(tmp_path, variants={"fast": ({"trainable": "layer4", "epochs": 8}, 1.4)})
    table = scene_table(findings, "ped2", "fast")
    reported = {name: cells["reported"] for name, cells in rows_of(table).items()}
    # Nothing that differs reaches the initial scores.
    assert reported["Initial scores"] == "67.5"
    assert reported["Our method (final score)"] == f"83.2 {DAGGER}"
    assert table.notes[0] == (
        f"{DAGGER} The paper's value is for its own settings (in parentheses: the paper's, or "
        "this project's default where the paper states none); variant fast differs in: trainable "
        "layer4 (all), epochs 8 (50)."
    )


def test_missing_values_and_intervals_are_explained_once(tmp_path):
    findings = of(tmp_path, {"subway-exit": (4, 1)}, seeds=[0])
    table = scene_table(findings, "subway-exit", "paper")
    notes = [note for note in table.notes if note[0] not in (DAGGER, QUOTED)]
    assert notes[:2] == [
        "No interval (fewer than 5 clips on either side): train-side.",
        "No interval (fewer than 5 labelled test clips): test-only, macro AUC, EER.",
    ]
    assert re.fullmatch(
        r"Draws left out of the intervals because a class was missing: \d+ of merged.*", notes[-1]
    )

    def no_test_clips(content):
        empty = {"value": None, "low": None, "high": None, "reason": "no labelled test clips"}
        for row in content["rows"].values():
            row["test_only"] = empty

    _, test_only, _ = table_1(of(tmp_path / "b", edit=no_test_clips)).tables
    assert rows_of(test_only)["Our method"]["Ped2"] == DASH
    assert test_only.notes == ["No value (no labelled test clips): Ped2."]


def test_pseudo_labels_are_told_by_iteration(findings):
    table = pseudo_label_table(findings, "ped2", "paper")
    assert [row.texts for row in table.rows] == [
        ("1", "42", "60.0 ± 0.0", "84", "95.0 ± 0.0"),
        ("2", "42", "70.0 ± 0.0", "84", "95.0 ± 0.0"),
    ]


def test_the_variants_table_says_which_variant_differs(findings, tmp_path):
    (table,) = variants_table(findings)
    assert headings(table) == [(0, "ped2"), (3, "plaza")]
    columns = [it for name in SHOWN for it in (name, f"gain, {name}")]
    assert table.header == ["variant", "differs in", *columns, "reported"]
    shown = [
        words(findings, "ped2", metric=metric, against=against)
        for metric in SHOWN.values()
        for against in ("", "initial")
    ]
    assert table.rows[0].texts[:-1] == ("paper", "", *shown)
    assert table.rows[1].texts[:2] == ("vgg16", "backbone vgg16")
    assert [row.texts[-1] for row in table.rows[:3]] == ["83.2", "80.0", f"83.2 {DAGGER}"]
    assert table.notes[0].endswith("variant rate05 differs in: anomaly_rate 0.05 (null).")
    assert variants_table(of(tmp_path)) == []


def test_at_a_glance_ours_stands_beside_the_initial_scores(findings):
    table = glance_table(findings, [("ped2", "paper"), ("plaza", "vgg16")])
    first, second = (row.texts for row in table.rows)
    assert first[:5] == (
        *("ped2", "paper", words(findings, "ped2", "initial"), words(findings, "ped2")),
        words(findings, "ped2", against="initial"),
    )
    assert (first[-1], second[-1]) == ("83.2", "")


def test_table_1_has_the_papers_columns_then_the_others(findings):
    merged, test_only, _, not_run = table_1(findings).tables
    assert merged.header == ["method", *PAPER, "UMN all", "plaza"]
    assert test_only.header == merged.header
    assert [row.texts for row in not_run.rows] == [("ped1", NOT_RUN, "no video_here & there")]
    of_plaza = findings.table[findings.table["scene"].isin(["plaza", ""])]
    runs = [run for run in findings.runs if run.scene == "plaza"]
    alone = table_1(Findings(of_plaza, PLAN, runs)).tables[0]
    assert alone.header == ["method", "plaza", *PAPER, "UMN all"]


def test_table_1_holds_the_papers_upper_block_as_it_is(findings):
    merged = table_1(findings).tables[0]
    end = headings(merged)[1][0]
    upper = [row.texts for row in merged.rows[:end]]
    assert {row.style for row in merged.rows[:end]} == {"quiet"}
    assert len(upper) == 12
    assert upper[0] == ("Kim et al. [17]", f"59.0 {QUOTED}", f"69.3 {QUOTED}", *[DASH] * 6, "")
    # All of it was judged on test data alone.
    shown = [cell for row in upper for cell in row[1:] if cell not in (DASH, "")]
    assert len(shown) == 39
    assert all(cell.endswith(f" {QUOTED}") for cell in shown)


def test_table_1_has_measured_reported_and_not_run_below_each_other(findings):
    merged, test_only, within_clip, _ = table_1(findings).tables
    found = rows_of(merged)
    assert found["Our method"]["Ped2"] == words(findings, "ped2")
    assert found["Our method"]["plaza"] == words(findings, "plaza")
    # Its data is absent, it is not in the configuration.
    assert found["Our method"]["Ped1"] == found["Our method"]["UMN 2"] == "not run"
    assert below(merged, "Our method") == (
        *("reported", "71.7", "83.2", "88.1", "92.7"),
        *("99.9", "99.9", "99.7", "97.4", ""),
    )
    assert [row.texts[0] for row in merged.rows if row.style == "strong"] == ["Our method"]
    # A competitor that was run, with its parts, and one that was not.
    assert found["Unmasking, motion"]["Ped2"] == words(findings, "ped2", "unmasking_motion")
    assert below(merged, "Unmasking, both fused")[:3] == (
        *("reported [40]", f"68.4 {QUOTED}", f"82.2 {QUOTED}"),
    )
    assert set(found["Two-sample test, both fused"].values()) == {"not run"}
    assert below(merged, "Two-sample test, both fused")[2] == f"87.5 {QUOTED}"
    assert "Two-sample test, motion" not in found
    for width in (100, 10):
        row = below(merged, f"Del Giorno et al. #1, w = {width}")
        assert row[:3] == ("reported [8]", "50.3", "63.0")
    oracle = found["Oracle: the clip is from the test split"]["Ped2"]
    assert oracle == words(findings, "ped2", "split_oracle")
    twin = rows_of(test_only)
    assert twin["Our method"]["Ped2"] == words(findings, "ped2", metric="test_only")
    inside = words(findings, "ped2", metric="within_clip")
    assert within_clip.title == "Table 1, within clips"
    assert rows_of(within_clip)["Our method"]["Ped2"] == inside
    assert {row.style for row in test_only.rows} == {"", "strong"}
    assert list(twin) == [name for name in found if "[" not in name and name != "reported"]
    assert [note[:24] for note in merged.notes] == [
        f"{QUOTED} The paper quotes these",
        "The paper does not state",
        "Unmasking's appearance i",
    ]
    assert list(test_only.notes) == []


def test_table_1_marks_what_was_run_with_other_settings(tmp_path):
    variants = {"fast": ({"epochs": 8, "backbone": "resnet18"}, 1.4)}
    merged = table_1(of(tmp_path, variants=variants, seeds=[0])).tables[0]
    assert below(merged, "Our method")[1:3] == ("71.7", f"83.2 {DAGGER}")
    # The initial scores depend on the backbone, but not on the epochs.
    assert below(merged, "Initial scores")[2] == f"67.5 {DAGGER}"
    # Of another protocol, and with other settings; not run, only the protocol can be told.
    assert below(merged, "Unmasking, both fused")[1:3] == (
        f"68.4 {QUOTED}",
        f"82.2 {DAGGER}{QUOTED}",
    )
    assert merged.notes[0].endswith(
        "variant fast differs in: backbone resnet18 (resnet50), epochs 8 (50)."
    )


def test_umn_stands_in_three_ways(tmp_path):
    variants = {"paper": ({}, 1.4), "vgg16": ({"backbone": "vgg16"}, 1.0)}
    plan = replace(
        PLAN, pools={"umn": Pool(("umn1", "umn2"), "umn-joint")}, ablations={}, not_run={}
    )
    scenes = {"umn1": (2, 3), "umn2": (2, 3), "umn-joint": (4, 6)}
    findings = of(tmp_path, scenes, variants, pooled=("umn",), plan=plan)
    merged = table_1(findings).tables[0]
    ways = ["UMN all, as they are", "UMN all, as ranks", "UMN all, one model"]
    assert list(merged.header[8:]) == ways
    ours = rows_of(merged)["Our method"]
    assert ours[ways[0]] == words(findings, "umn", way="raw")
    assert ours[ways[2]] == words(findings, "umn-joint")
    assert below(merged, "Our method")[8:] == ("97.4", "97.4", "97.4")
    assert any("does not say how it put UMN's scenes together" in note for note in merged.notes)
    # Table 2 has the scores pooled as they are, and scenes of their own where they are asked for.
    found = rows_of(table_2(findings).tables[0])
    assert found["VGG, variant vgg16"][ways[0]] == words(
        findings, "umn", variant="vgg16", way="raw"
    )
    # Without the joint scene and with a member that is not there, the columns say so.
    absent = replace(plan, pools={"umn": Pool(("umn1", "umn2", "umn3"))})
    lacking = Findings(findings.table[findings.table["scene"] != "umn"], absent, findings.runs)
    table = table_1(lacking).tables[0]
    assert [rows_of(table)["Our method"][way] for way in ways] == ["not run"] * 3
    assert lacking.cell("umn", "paper", way="raw").reason == (
        "not run: not all of its scenes are there, or it was not asked for"
    )


def test_table_2_has_every_backbone_of_the_paper_and_of_the_study(findings):
    merged, test_only, _ = table_2(findings).tables
    assert list(merged.header) == ["backbone", *PAPER[:4], "UMN all", "plaza"]
    found = rows_of(merged)
    assert list(found) == ["VGG, variant vgg16", "reported", "ResNet-50, variant paper", "3DConv"]
    assert list(found["VGG, variant vgg16"].values()) == [
        *("not run", words(findings, "ped2", variant="vgg16"), "not run", "not run", "not run"),
        words(findings, "plaza", variant="vgg16"),
    ]
    assert below(merged, "VGG, variant vgg16") == (
        *("reported", "70.4", "80.0", "86.5", "90.3", "97.4", ""),
    )
    assert below(merged, "3DConv")[1:3] == ("70.1", "82.6")
    assert list(rows_of(test_only)) == ["VGG, variant vgg16", "ResNet-50, variant paper"]
    other = replace(PLAN, backbones=Comparison(("paper", "mobile"), ("ped2",)))
    notes = table_2(replace(findings, plan=other)).tables[0].notes
    assert "Not run: variants mobile." in notes


def test_a_backbone_that_the_paper_does_not_have_names_itself(tmp_path):
    variants = {
        "paper": ({}, 1.4),
        "r3d": ({"backbone": "r3d_18", "input_size": 112}, 1.2),
        "i3d": ({"backbone": "i3d"}, 1.2),
        "small": ({"backbone": "resnet18"}, 1.2),
    }
    plan = Plan("paper", backbones=Comparison(("r3d", "i3d", "small"), ("ped2",)))
    table = table_2(of(tmp_path, variants=variants, seeds=[0], plan=plan)).tables[0]
    assert [row.texts[0] for row in table.rows] == [
        *("R3D-18 (paper: 3DConv), variant r3d", "reported"),
        *("I3D (paper: 3DConv), variant i3d", "reported"),
        *("resnet18, variant small", "VGG", "reported", "ResNet-50", "reported"),
    ]
    assert table.rows[1].texts[2] == table.rows[3].texts[2] == f"82.6 {DAGGER}"
    assert [note.rpartition("; ")[2] for note in table.notes[:2]] == [
        "variant r3d differs in: backbone r3d_18 (C3D).",
        "variant i3d differs in: backbone i3d (C3D).",
    ]
    assert table.notes[2].startswith("The paper's 3DConv is C3D (Tran et al. 2015)")
    assert table.notes[3].endswith("r3d: input_size 112; i3d: no more; small: no more.")


def test_anomalies_are_found_against_seconds_watched(findings):
    (table,) = events(findings).tables
    assert table.header[:5] == ["ranked by", "anomalies", "true, of 5", "found, 5", "seconds, 5"]
    assert headings(table) == [(0, "ped2"), (2, "plaza")]
    # Seeds 0 and 1 take 50 and 51 seconds; there are six events, so ten are six.
    ours = table.rows[0].texts
    assert ours == ("Our method (final score)", "8", *("3", "3", "50.5"), *("3", "3", "60.5") * 2)
    assert table.rows[1].texts == ("Initial scores", *ours[1:])
    watched = findings.cell("ped2", "paper", way="first_5", metric="seconds_watched")
    assert watched.by_seed == {0: 50, 1: 51}


def test_localisation_has_its_measures_and_names_scenes_without_masks(findings):
    page = localisation(findings)
    (table,) = page.tables
    assert table.header[2:] == [
        *("clips", "pixel AUC", "40 % criterion", "RBDC", "TBDC", "RBDC, boxes", "TBDC, boxes")
    ]
    assert [row.texts for row in table.rows] == [
        ("ped2", "paper", "test clips", *["51.0 ± 1.4 [50.0, 70.0]"] * 6),
        ("ped2", "paper", "all clips", *["61.0 ± 1.4 [50.0, 70.0]"] * 6),
    ]
    assert table.notes == ["No value (no pixel masks): plaza, test clips, plaza, all clips."]
    assert "training clips" in page.explanation
    without = findings.table[findings.table["scene"] != "ped2"]
    assert localisation(replace(findings, table=without)).tables == []


def test_feedback_has_a_line_a_round_with_and_without_what_was_marked(findings):
    page = feedback(findings)
    (table,) = page.tables
    assert headings(table) == [(0, "ped2, variant paper")]
    # Seeds 0 and 1 have 0.8 and 0.81 after two rounds, 0.03 less on what was not marked; the bounds
    # of before are left out: what was learnt has the paired interval of the gain.
    assert table.rows[2].texts[:7] == (
        *("2", "20", "150", "80.5 ± 0.7 [70.5, 90.5]", "77.5 ± 0.7 [70.5, 90.5]"),
        *("74.5 ± 0.7", "+3.0 ± 0.0 [\N{MINUS SIGN}1.0, +6.0]"),
    )
    assert table.header[3:] == [
        f"{column}, {name}"
        for column in ("merged", "test-only")
        for name in ("all", "unmarked", "before", "gain")
    ]
    assert "the model of the last iteration alone, not the mean" in page.explanation


def test_rates_tell_target_and_what_was_reached(findings):
    (table,) = rates(findings).tables
    assert headings(table) == [(0, "ped2")]
    part, whole = (row.texts for row in table.rows)
    # Seeds 0 and 1 reach 5.0 and 5.2 %, and keep 3 and 4 of the 8 events.
    assert part[:3] == ("5 %", "3.5 of 8", "5.1 ± 0.1")
    assert part[3:6] == (
        words(findings, "ped2", "initial", variant="rate05"),
        words(findings, "ped2", variant="rate05"),
        words(findings, "ped2", variant="rate05", against="initial"),
    )
    # 8 of 14 clips are half anomalous.
    assert whole[:3] == ("as it is, variant paper", DASH, "28.6")
    assert whole[5] == words(findings, "ped2", against="initial")


def test_ablations_are_held_against_the_main_variant_or_else_their_first(findings):
    (table,) = ablations(findings).tables
    assert table.title == "Net and more"
    assert headings(table) == [(0, "ped2; differences to variant paper")]
    assert table.notes == ["Not run or without ground truth: ped1."]
    main, other = (row.texts for row in table.rows)
    assert main[:3] == ("paper", DASH, words(findings, "ped2"))
    assert main[6:] == ("", "", "")
    assert main[2:6] == tuple(
        words(findings, "ped2", metric=metric)
        for metric in ("merged", "train_side", "test_only", "within_clip")
    )
    assert other[:2] == ("vgg16", "backbone vgg16")
    assert other[6:] == tuple(
        words(findings, "ped2", metric=metric, variant="vgg16", against="paper/ours")
        for metric in SHOWN.values()
    )


def test_ablations_without_the_main_variant_are_held_against_their_first(tmp_path):
    study = Comparison(("vgg16", "rate05"), ("ped2", "plaza"))
    findings = of(tmp_path, SCENES, VARIANTS, plan=Plan("paper", ablations={"others": study}))
    (table,) = ablations(findings).tables
    assert [number for number, _ in headings(table)] == [0, 2]
    assert headings(table)[0][1] == "ped2; differences to variant vgg16"
    # A variant on a part of the frames cannot be paired with one on all of them.
    assert table.rows[1].texts[6:] == (DASH, DASH, DASH)


def test_a_scene_without_ground_truth_has_no_rows_and_no_column_but_a_note(tmp_path):
    def edit(content):
        if content["about"]["scene"] == "plaza":
            blind(content)

    findings = of(tmp_path, SCENES, edit=edit, seeds=[0])
    table = scene_table(findings, "plaza", "paper")
    assert list(table.rows) == []
    assert any("no ground truth" in note for note in table.notes)
    merged = table_1(findings).tables[0]
    assert "plaza" not in merged.header
    assert merged.notes[-1] == "Ranked but not measured, for want of ground truth: plaza."
    assert [row.texts[0] for row in glance_table(findings, list(findings.grouped)).rows] == ["ped2"]


def test_every_page_has_its_three_files_and_comparisons_two(findings, folder, tmp_path):
    assert [page.name for page in paper_pages(findings)] == NAMES
    write_tables(folder / "findings.parquet", tmp_path)
    expected = {f"{name}.{suffix}" for name in (*NAMES, "auc") for suffix in ("csv", "md", "tex")}
    assert {path.name for path in tmp_path.iterdir()} == expected - {"comparisons.tex"}
    table = pd.read_csv(tmp_path / "table1.csv", keep_default_na=False, na_values=[""])
    one = table[(table["scene"] == "ped2") & (table["row"] == "ours")]
    one = one[(one["metric"] == "merged") & (one["source"] == "measured")].iloc[0]
    value = findings.cell("ped2", "paper")
    assert (one["variant"], one["seeds"]) == ("paper", 2)
    for name in ("mean", "std", "low", "high"):
        assert one[name] == pytest.approx(getattr(value, name), abs=0.0006)
    absent = table[(table["scene"] == "ped1") & (table["source"] == "measured")]
    assert set(absent["reason"]) == {"not run: no video_here & there"}
    quoted = table[(table["source"] == "reported") & table["variant"].isna()]
    assert set(quoted.loc[quoted["row"] == "kim", "settings"]) == {
        "other protocol: test data alone"
    }
    # Everything that is found anywhere is in the first of them.
    whole = pd.read_csv(tmp_path / "auc.csv")
    assert len(whole) == len(findings.cells)
    assert set(COLUMNS) | {"pixel_auc", "marked", "anomalous_precision"} <= set(whole["metric"])
    assert (tmp_path / "comparisons.md").read_text().count("## ") == 6


def test_pages_are_escaped_in_markdown_and_latex(findings, folder, tmp_path):
    write_tables(folder / "findings.parquet", tmp_path)
    page = (tmp_path / "table1.md").read_text()
    assert "no video\\_here & there" in page
    assert "| **Our method** | **not run** |" in page
    assert "| *reported* | *71.7* | *83.2* |" in page
    for line in page.splitlines():
        if line.startswith(("| Sp", "| *", "| Unmasking")):
            assert len(re.findall(r"(?<!\\)\|", line)) == 11
    source = (tmp_path / "table1.tex").read_text()
    assert r"no video\_here \& there" in source
    assert r"Del Giorno et al. \#1, w = 100" in source
    assert r"82.2 $\ddagger$" in source
    for page in (scene_page(findings), *paper_pages(findings)[:-1]):
        text = (tmp_path / f"{page.name}.tex").read_text()
        body = "\n".join(line for line in text.splitlines() if line[:1] != "%")
        assert body.count("{") == body.count("}")
        assert body.count(r"\begin{table}") == body.count(r"\end{table}") > 0
        assert body.isascii()


def test_pages_with_nothing_to_show_say_why_in_one_line(tmp_path):
    of(tmp_path, {"yard": (2, 2)}, seeds=[0], edit=blind)
    write_tables(tmp_path / "findings.parquet", tmp_path / "tables")
    why = {
        "table1": "not run: no scene with ground truth was run.",
        "table2": "not run: the configuration compares no backbones.",
        "events": "not run: no scene with ground truth was run.",
        "localisation": "not run: no saliency maps were asked for, or no scene has pixel masks.",
        "feedback": "not run: feedback was asked for on no scene that is there.",
        "rates": "not run: no anomaly rates are compared.",
        "ablations": "not run: there is no ablation.",
        "comparisons": "not run: no scene has ground truth to compare by.",
    }
    assert list(why) == NAMES
    for name, reason in why.items():
        title, *rest = (tmp_path / "tables" / f"{name}.md").read_text().splitlines()
        assert title.startswith("# ")
        assert [line for line in rest if line] == [reason]
        if name != "comparisons":
            source = (tmp_path / "tables" / f"{name}.tex").read_text()
            assert source.splitlines()[-1] == f"% {reason}"
        table = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert table["reason"].tolist() == [reason]
