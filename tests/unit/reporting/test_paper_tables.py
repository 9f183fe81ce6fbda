"""The paper's tables: measured, reported beside it, or not run and why; all of it in CSV too."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from synthetic_study import blind, write_feedback, write_localisation, write_study

from sdor.errors import SdorError
from sdor.files import write_json
from sdor.reporting.comparisons import compare, difference
from sdor.reporting.paper_tables import (
    ablations,
    csv_table,
    difference_text,
    feedback,
    localisation,
    paper_tables,
    rates,
    read_findings,
    table_1,
    table_2,
    write_paper_tables,
)
from sdor.reporting.tables import cell_text, over_seeds, reported

DASH, DAGGER, QUOTED = "\N{EN DASH}", "\N{DAGGER}", "\N{DOUBLE DAGGER}"
NAMES = ["table1", "table2", "localisation", "feedback", "rates", "ablations"]
SCENES = {"ped2": (6, 8), "plaza": (3, 5)}
VARIANTS = {
    "paper": ({}, 1.4),
    "vgg16": ({"backbone": "vgg16"}, 1.0),
    "rate05": ({"anomaly_rate": 0.05}, 1.5),
}
STUDIES = {
    "backbones": {"variants": ["vgg16", "paper"]},
    "anomaly_rate": {"variants": ["rate05"], "scenes": ["ped1", "ped2"]},
    "net_and_more": {"variants": ["paper", "vgg16"], "scenes": ["ped2", "ped1"]},
}
NOT_RUN = {"ped1": "no video_here & there"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two scenes, three variants, two seeds, and one scene that is not there."""
    folder = tmp_path_factory.mktemp("study")
    made = write_study(folder, SCENES, VARIANTS, studies=STUDIES, not_run=NOT_RUN)
    return write_feedback(write_localisation(made, folder, skip=("plaza",)), folder, "ped2")


@pytest.fixture(scope="module")
def findings(files):
    return read_findings(files)


def rows_of(table):
    """Name: the cells by column, of the first row of that name."""
    found = {}
    for row in table.rows:
        found.setdefault(row[0], dict(zip(table.header[1:], row[1:], strict=True)))
    return found


def reported_below(table, name):
    """The row below the row of that name."""
    at = [row[0] for row in table.rows].index(name)
    return table.rows[at + 1], at + 1


def measured_text(findings, scene, row, column="merged", variant="paper", part="rows"):
    group = findings.group(scene, variant)
    cells = [run[part][row][column] for run in group]
    return cell_text(over_seeds(cells if part == "rows" else cells[:1]))


def test_table_1_has_the_papers_columns_then_the_others(findings):
    merged, test_only = table_1(findings).tables
    paper = ["Ped1", "Ped2", "Subway Entrance", "Subway Exit", "UMN 1", "UMN 2", "UMN 3", "UMN all"]
    assert list(merged.header) == ["method", *paper, "plaza"]
    assert test_only.header == merged.header
    alone = replace(findings, runs=findings.group("plaza", "paper"))
    assert list(table_1(alone).tables[0].header) == ["method", "plaza", *paper]


def test_table_1_holds_the_papers_upper_block_as_it_is(findings):
    merged, _ = table_1(findings).tables
    start, end = (number for number, _ in merged.headings[:2])
    upper = merged.rows[start:end]
    assert len(upper) == 12
    assert merged.soft[:12] == tuple(range(12))
    assert upper[0] == ("Kim et al. [17]", f"59.0 {QUOTED}", f"69.3 {QUOTED}", *[DASH] * 6, "")
    # All of it was judged on test data alone.
    for row in upper:
        assert all(cell in (DASH, "") or cell.endswith(f" {QUOTED}") for cell in row[1:])
    figures = reported()
    known = figures[figures["block"] == "labelled normal data"]
    assert sum(cell not in (DASH, "") for row in upper for cell in row[1:]) == len(known) == 39


def test_table_1_has_measured_reported_and_not_run_below_each_other(findings):
    merged, test_only = table_1(findings).tables
    found = rows_of(merged)
    ours = found["Our method"]
    assert ours["Ped2"] == measured_text(findings, "ped2", "ours")
    assert re.fullmatch(r"\d\d\.\d ± \d+\.\d \[\d\d\.\d, \d\d\.\d\]", ours["Ped2"])
    assert ours["plaza"] == measured_text(findings, "plaza", "ours")
    # Its data is absent, it is not in the configuration.
    assert ours["Ped1"] == ours["UMN 2"] == "not run"
    below, at = reported_below(merged, "Our method")
    assert below == (
        *("reported", "71.7", "83.2", "88.1", "92.7"),
        *("99.9", "99.9", "99.7", "97.4", ""),
    )
    assert at in merged.soft
    assert at - 1 in merged.strong
    # A competitor that was run, with its parts, and one that was not.
    cells = findings.group("ped2", "paper")[0]["rows"]["unmasking_motion"]["merged"]
    assert found["Unmasking, motion"]["Ped2"] == cell_text(over_seeds([cells]))
    assert "±" not in found["Unmasking, both fused"]["Ped2"]
    below, _ = reported_below(merged, "Unmasking, both fused")
    assert below[:3] == ("reported [40]", f"68.4 {QUOTED}", f"82.2 {QUOTED}")
    assert set(found["Two-sample test, both fused"].values()) == {"not run"}
    assert "Two-sample test, motion" not in found
    for width in (100, 10):
        below, _ = reported_below(merged, f"Del Giorno et al. #1, w = {width}")
        assert below[:3] == ("reported [8]", "50.3", "63.0")
    oracle = found["Oracle: the clip is from the test split"]
    assert oracle["Ped2"] == measured_text(findings, "ped2", "split_oracle", part="oracles")
    assert "±" not in oracle["Ped2"]
    twin = rows_of(test_only)
    assert twin["Our method"]["Ped2"] == measured_text(findings, "ped2", "ours", "test_only")
    assert test_only.soft == ()
    assert not any(name.startswith("reported") for name in twin)
    assert list(twin) == [name for name in found if "[" not in name and name != "reported"]


def test_table_1_says_what_the_papers_figures_are_worth(findings):
    merged, test_only = table_1(findings).tables
    assert [note[:24] for note in merged.notes] == [
        f"{QUOTED} The paper quotes these",
        "The paper does not state",
    ]
    assert "test data alone" in merged.notes[0]
    assert test_only.notes == ()


def test_table_1_marks_what_was_run_with_other_settings(tmp_path):
    variants = {"fast": ({"epochs": 8, "backbone": "resnet18"}, 1.4)}
    files = write_study(tmp_path, {"ped2": (6, 8)}, variants, seeds=[0])
    merged, _ = table_1(read_findings(files)).tables
    below, _ = reported_below(merged, "Our method")
    assert below[1:3] == ("71.7", f"83.2 {DAGGER}")
    # The initial scores depend on the backbone, but not on the epochs.
    assert reported_below(merged, "Sp + iForest")[0][2] == f"67.5 {DAGGER}"
    # Of another protocol, and with other settings; not run, only the protocol can be told.
    assert reported_below(merged, "Unmasking, both fused")[0][1:3] == (
        f"68.4 {QUOTED}",
        f"82.2 {DAGGER}{QUOTED}",
    )
    assert reported_below(merged, "Two-sample test, both fused")[0][2] == f"87.5 {QUOTED}"
    assert merged.notes[0].startswith(f"{DAGGER} The paper's figure is for its own settings")
    assert merged.notes[0].endswith(
        "variant fast differs in: backbone resnet18 (resnet50), epochs 8 (50)."
    )


def test_umn_stands_in_three_ways(tmp_path):
    pools = {"umn": {"scenes": ["umn1", "umn2"], "joint": "umn-joint"}}
    scenes = {"umn1": (2, 3), "umn2": (2, 3), "umn-joint": (4, 6)}
    variants = {"paper": ({}, 1.4), "vgg16": ({"backbone": "vgg16"}, 1.0)}
    files = write_study(tmp_path, scenes, variants, pooled=("umn",), pools=pools, studies=STUDIES)
    findings = read_findings(files)
    merged, _ = table_1(findings).tables
    ways = ["UMN all, as they are", "UMN all, as ranks", "UMN all, one model"]
    assert list(merged.header[8:]) == ways
    ours = rows_of(merged)["Our method"]
    pooled = findings.pooled["umn", "paper", "raw"]
    assert ours[ways[0]] == cell_text(over_seeds([run["rows"]["ours"]["merged"] for run in pooled]))
    assert ours[ways[2]] == measured_text(findings, "umn-joint", "ours")
    assert reported_below(merged, "Our method")[0][8:] == ("97.4", "97.4", "97.4")
    assert any("does not say how it put UMN's scenes together" in note for note in merged.notes)
    records = csv_table(table_1(findings))
    chosen = records[(records["row"] == "ours") & (records["column"] == "merged")]
    chosen = chosen[chosen["mean"].notna()]
    assert chosen[["scene", "way", "reported"]].to_numpy().tolist() == [
        ["umn1", "", 99.9],
        ["umn2", "", 99.9],
        ["umn", "raw", 97.4],
        ["umn", "ranks", 97.4],
        ["umn-joint", "", 97.4],
    ]
    # Table 2 has the scores pooled as they are.
    found = rows_of(table_2(findings).tables[0])
    assert found["VGG, variant vgg16"]["UMN all"] == cell_text(
        over_seeds(
            [run["rows"]["ours"]["merged"] for run in findings.pooled["umn", "vgg16", "raw"]]
        )
    )
    # Without the joint scene and with a member that is not there, the columns say so.
    absent = replace(findings, pooled={}, pools={"umn": {"scenes": ["umn1", "umn2", "umn3"]}})
    lacking = rows_of(table_1(absent).tables[0])["Our method"]
    assert [lacking[way] for way in ways] == ["not run"] * 3
    records = csv_table(table_1(absent))
    reasons = records.loc[(records["way"] == "raw") & (records["row"] == "ours"), "reason"]
    assert reasons.iloc[0].startswith("not run: not all of its scenes are there")


def test_table_2_has_every_backbone_of_the_paper_and_of_the_study(findings):
    merged, test_only = table_2(findings).tables
    assert list(merged.header) == [
        *("backbone", "Ped1", "Ped2", "Subway Entrance", "Subway Exit", "UMN all", "plaza")
    ]
    found = rows_of(merged)
    assert list(found) == ["VGG, variant vgg16", "reported", "ResNet-50, variant paper", "3DConv"]
    vgg16 = measured_text(findings, "ped2", "ours", variant="vgg16")
    assert list(found["VGG, variant vgg16"].values()) == [
        *("not run", vgg16, "not run", "not run", "not run"),
        measured_text(findings, "plaza", "ours", variant="vgg16"),
    ]
    below, at = reported_below(merged, "VGG, variant vgg16")
    assert below == ("reported", "70.4", "80.0", "86.5", "90.3", "97.4", "")
    assert at in merged.soft
    assert reported_below(merged, "3DConv")[0][1:3] == ("70.1", "82.6")
    assert list(rows_of(test_only)) == ["VGG, variant vgg16", "ResNet-50, variant paper"]
    other = replace(findings, studies={"backbones": {"variants": ["paper", "mobile"]}})
    assert "Not run: variants mobile." in table_2(other).tables[0].notes


def test_a_backbone_that_the_paper_does_not_have_names_itself(tmp_path):
    variants = {
        "paper": ({}, 1.4),
        "r3d": ({"backbone": "r3d_18", "input_size": 112}, 1.2),
        "i3d": ({"backbone": "i3d"}, 1.2),
        "small": ({"backbone": "resnet18"}, 1.2),
    }
    studies = {"backbones": {"variants": ["r3d", "i3d", "small"]}}
    files = write_study(tmp_path, {"ped2": (6, 8)}, variants, seeds=[0], studies=studies)
    table = table_2(read_findings(files)).tables[0]
    assert [row[0] for row in table.rows] == [
        *("R3D-18 (paper: 3DConv), variant r3d", "reported"),
        *("I3D (paper: 3DConv), variant i3d", "reported"),
        *("resnet18, variant small", "VGG", "reported", "ResNet-50", "reported"),
    ]
    assert table.rows[1][2] == table.rows[3][2] == f"82.6 {DAGGER}"
    assert [note.rpartition("; ")[2] for note in table.notes[:2]] == [
        "variant r3d differs in: backbone r3d_18 (C3D).",
        "variant i3d differs in: backbone i3d (C3D).",
    ]
    assert table.notes[2].startswith("The paper's 3DConv is C3D (Tran et al. 2015)")
    records = csv_table(table_2(read_findings(files))).set_index(["variant", "column", "scene"])
    settings = records.loc[("i3d", "merged", "ped2"), "reported_settings"]
    assert settings == "differ: backbone i3d (C3D)"
    vgg16 = replace(read_findings(files), studies={"backbones": {"variants": ["small"]}})
    assert not any("C3D" in note for note in table_2(vgg16).tables[0].notes)


def test_ablations_are_held_against_the_main_variant(findings):
    (table,) = ablations(findings).tables
    assert table.title == "Net and more"
    assert table.headings == ((0, "ped2; differences to variant paper"),)
    assert table.notes == ("Not run: ped1.",)
    main, other = table.rows
    assert main[:3] == ("paper", DASH, measured_text(findings, "ped2", "ours"))
    assert main[5:] == ("", "")
    assert other[:2] == ("vgg16", "backbone vgg16")
    groups = [findings.group("ped2", name) for name in ("vgg16", "paper")]
    for column, text in zip(("merged", "test_only"), other[5:], strict=True):
        found = difference(*groups, ("ours", "ours"), column, findings.draws)
        expected = f"{found['difference']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"
        assert text == expected.replace("-", "\N{MINUS SIGN}")
    # The same pair, the other way round, is in the comparisons.
    table = compare(findings.runs, findings.draws, "paper")
    pair = table[(table["right_variant"] == "vgg16") & (table["left_row"] == "ours")].iloc[0]
    records = csv_table(ablations(findings))
    mine = records[(records["against"] == "paper") & (records["column"] == "merged")].iloc[0]
    assert (mine["mean"], mine["low"]) == pytest.approx((-pair["difference"], -pair["high"]))


def test_ablations_without_the_main_variant_are_held_against_their_first(findings):
    studies = {"others": {"variants": ["vgg16", "rate05"]}}
    (table,) = ablations(replace(findings, studies=studies)).tables
    assert [number for number, _ in table.headings] == [0, 2]
    assert table.headings[0][1] == "ped2; differences to variant vgg16"
    # A variant on a part of the frames cannot be paired with one on all of them.
    assert table.rows[1][5:] == (DASH, DASH)
    records = csv_table(ablations(replace(findings, studies=studies)))
    reason = records.loc[records["against"] == "vgg16", "reason"].iloc[0]
    assert reason == "not of the same frames: some anomalies are left out"


def test_rates_tell_target_and_what_was_reached(findings):
    (table,) = rates(findings).tables
    assert table.headings == ((0, "ped2"),)
    part, whole = table.rows
    # Seeds 0 and 1 reach 5.0 and 5.2 %, and keep 3 and 4 of the 8 events.
    assert part[:3] == ("5 %", "5.1 ± 0.1", "3.5 of 8")
    assert part[3] == measured_text(findings, "ped2", "sp_iforest", variant="rate05")
    assert part[4] == measured_text(findings, "ped2", "ours", variant="rate05")
    assert part[5].startswith("+")
    # 8 of 14 clips are half anomalous.
    assert whole[:3] == ("as it is, variant paper", "28.6", DASH)
    # Without a subset, the difference is that of the comparisons.
    group = findings.group("ped2", "paper")
    found = difference(group, group, ("ours", "sp_iforest"), "merged", findings.draws)
    assert whole[5] == difference_text(found)
    averaged = [run["differences"]["ours - sp_iforest"]["merged"] for run in group]
    assert whole[5] != cell_text({**over_seeds(averaged), "std": None}, sign=True)
    records = csv_table(rates(findings))
    reached = records[records["column"] == "anomaly_rate"]
    assert reached[["variant", "target"]].to_numpy().tolist()[0] == ["rate05", 0.05]
    assert reached["mean"].tolist() == pytest.approx([5.1, 100 * 4 / 14])
    assert records[records["scene"] == "ped1"]["reason"].tolist() == [f"not run: {NOT_RUN['ped1']}"]


def test_localisation_has_the_four_measures_and_names_scenes_without_masks(findings):
    (table,) = localisation(findings).tables
    assert table.header[2:] == ("clips", "pixel AUC", "40 % criterion", "RBDC", "TBDC")
    assert table.rows == (
        ("ped2", "paper", "all clips", *["61.0 ± 1.4 [50.0, 70.0]"] * 4),
        ("ped2", "paper", "test clips", *["51.0 ± 1.4 [50.0, 70.0]"] * 4),
    )
    assert table.notes == ("Not measured (no pixel masks): plaza.",)
    records = csv_table(localisation(findings))
    assert records["column"].tolist()[:4] == ["pixel_auc", "pixel_criterion", "rbdc", "tbdc"]
    assert set(records[records["scene"] == "plaza"]["reason"]) == {"no pixel masks"}
    means = records[records["scene"] == "ped2"].groupby("clips")["mean"].unique()
    assert means["all clips"] == pytest.approx([61])
    assert means["test clips"] == pytest.approx([51])
    assert "training clips" in localisation(findings).explanation
    scenes = {key: value for key, value in findings.localisation.items() if key[0] == "plaza"}
    nothing = localisation(replace(findings, localisation=scenes))
    assert (nothing.tables, nothing.nothing) == ((), "not run: no scene has pixel masks.")
    # Files without figures of the test clips have a line less, and no note about it twice.
    older = {
        key: [{name: one[name] for name in one if name != "test_only"} for one in group]
        for key, group in findings.localisation.items()
    }
    (table,) = localisation(replace(findings, localisation=older)).tables
    assert [row[2] for row in table.rows] == ["all clips"]
    assert table.notes == (
        "Not measured, test clips (not measured): ped2.",
        "Not measured (no pixel masks): plaza.",
    )


def test_feedback_has_a_line_a_round_with_and_without_what_was_marked(findings):
    (table,) = feedback(findings).tables
    assert table.headings == ((0, "ped2, variant paper"),)
    assert len(table.rows) == 3
    # Seeds 0 and 1 have 0.8 and 0.81 after two rounds, 0.03 less on what was not marked.
    assert table.rows[2][:3] == ("2", "20", "150")
    assert table.rows[2][3] == "80.5 ± 0.7 [70.5, 90.5]"
    assert table.rows[2][4].startswith("77.5")
    # The bounds of before are left out: what was learnt has the paired interval of the gain.
    assert table.rows[2][5] == "74.5 ± 0.7"
    assert table.rows[2][6] == "+3.0 ± 0.0 [\N{MINUS SIGN}1.0, +6.0]"
    assert table.header[3:] == tuple(
        f"{column}, {name}"
        for column in ("merged", "test-only")
        for name in ("all", "unmarked", "before", "gain")
    )
    assert "the model of the last iteration alone, not the mean" in feedback(findings).explanation
    records = csv_table(feedback(findings))
    chosen = records[(records["round"] == 1) & (records["frames"] == "unmarked")]
    assert chosen["column"].tolist() == ["merged", "test_only", "average_precision"]
    assert chosen["mean"].tolist() == pytest.approx([72.5] * 3)
    gained = records[(records["round"] == 1) & (records["frames"] == "gain")]
    assert gained["high"].tolist() == pytest.approx([6.0] * 3)


def test_feedback_files_without_a_gain_have_no_column_of_it(findings):
    older = {
        key: [
            {"rounds": [{k: one[k] for k in one if k != "gain"} for one in run["rounds"]]}
            for run in group
        ]
        for key, group in findings.feedback.items()
    }
    old = feedback(replace(findings, feedback=older))
    assert not any("gain" in name for name in old.tables[0].header)
    assert "gain" not in set(csv_table(old)["frames"])


def test_every_table_has_its_three_files_and_comparisons_two(files, tmp_path):
    write_paper_tables(files, tmp_path)
    expected = {f"{name}.{suffix}" for name in NAMES for suffix in ("csv", "md", "tex")}
    assert {path.name for path in tmp_path.iterdir()} == expected | {
        *("comparisons.csv", "comparisons.md")
    }
    table = pd.read_csv(tmp_path / "table1.csv")
    one = table[(table["scene"] == "ped2") & (table["row"] == "ours")]
    one = one[one["column"] == "merged"].iloc[0]
    assert (one["kind"], one["variant"], one["seeds"]) == ("measured", "paper", 2)
    assert (one["reported"], one["reported_settings"]) == (83.2, "same")
    known = read_findings(files).group("ped2", "paper")
    value = over_seeds([run["rows"]["ours"]["merged"] for run in known])
    for name in ("mean", "std", "low", "high"):
        assert one[name] == pytest.approx(value[name], abs=0.0006)
    absent = table[(table["scene"] == "ped1") & (table["kind"] == "measured")]
    assert set(absent["reason"]) == {f"not run: {NOT_RUN['ped1']}"}
    assert absent.loc[absent["row"] == "ours", "reported"].tolist()[0] == 71.7
    quoted = table[(table["row"] == "unmasking") & (table["scene"] == "ped2")]
    assert quoted["reported_settings"].tolist()[0] == "other protocol: test data alone"
    assert table.loc[table["kind"] == "oracle", "row"].nunique() == 2
    upper = table[table["kind"] == "reported"]
    assert len(upper) == 39
    assert set(upper["reported_settings"]) == {"other protocol: test data alone"}
    # That holds too where the method was not run.
    quoted = table[(table["row"] == "two_sample_test") & (table["scene"] == "ped2")]
    assert quoted["reported_settings"].tolist()[0] == "other protocol: test data alone"
    compared = pd.read_csv(tmp_path / "comparisons.csv")
    findings = read_findings(files)
    assert len(compared) == len(compare(findings.runs, findings.draws, "paper"))
    assert set(compared["holds"]) <= {True, False}
    assert (tmp_path / "comparisons.md").read_text().count("## ") == 4


def test_pages_are_escaped_in_markdown_and_latex(files, tmp_path):
    write_paper_tables(files, tmp_path)
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
    for name in NAMES:
        text = (tmp_path / f"{name}.tex").read_text()
        body = "\n".join(line for line in text.splitlines() if line[:1] != "%")
        assert body.count("{") == body.count("}")
        assert body.count(r"\begin{table}") == body.count(r"\end{table}") > 0
        assert body.isascii()


def test_tables_with_nothing_to_show_say_why_in_one_line(tmp_path):
    files = write_study(tmp_path / "runs", {"yard": (2, 2)}, {"paper": ({}, 1.4)}, seeds=[0])
    content = json.loads(files.metrics[0].read_text())
    write_json(files.metrics[0], blind(content))
    write_paper_tables(files, tmp_path / "tables")
    why = {
        "table1": "not run: no scene with ground truth was run.",
        "table2": "not run: the configuration has no study called backbones.",
        "localisation": "not run: no saliency maps were asked for.",
        "feedback": "not run: feedback was asked for on no scene that is there.",
        "rates": "not run: there is no study called anomaly_rate.",
        "ablations": "not run: there is no study of settings.",
    }
    assert list(why) == NAMES
    for name, reason in why.items():
        title, *rest = (tmp_path / "tables" / f"{name}.md").read_text().splitlines()
        assert title.startswith("# ")
        assert [line for line in rest if line] == [reason.replace("_", "\\_")]
        assert (tmp_path / "tables" / f"{name}.tex").read_text().splitlines()[-1] == f"% {reason}"
        table = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert table["reason"].tolist() == [reason]
    assert "not run: no scene has ground truth" in (tmp_path / "tables/comparisons.md").read_text()
    assert pd.read_csv(tmp_path / "tables" / "comparisons.csv").empty


def test_a_scene_without_ground_truth_has_no_column_but_a_note(tmp_path):
    files = write_study(tmp_path, SCENES, {"paper": ({}, 1.4)}, seeds=[0])
    path = next(path for path in files.metrics if "plaza" in str(path))
    write_json(path, blind(json.loads(path.read_text())))
    merged, _ = table_1(read_findings(files)).tables
    assert "plaza" not in merged.header
    assert merged.notes[-1] == "Ranked but not measured, for want of ground truth: plaza."


def test_missing_values_and_intervals_are_explained_once(tmp_path):
    files = write_study(tmp_path, {"ped2": (6, 8), "subway-exit": (1, 1)}, {"paper": ({}, 1.4)})
    for path in files.metrics:
        content = json.loads(path.read_text())
        if content["about"]["scene"] == "ped2":
            empty = {"value": None, "low": None, "high": None, "reason": "no labelled test clips"}
            for row in content["rows"].values():
                row["test_only"] = empty
            write_json(path, content)
    _, test_only = table_1(read_findings(files)).tables
    assert rows_of(test_only)["Our method"]["Ped2"] == DASH
    assert test_only.notes == (
        "No value (no labelled test clips): Ped2.",
        "No interval (fewer than 2 labelled test clips): Subway Exit.",
    )


def test_all_tables_come_in_the_order_of_the_report(findings):
    assert [table.name for table in paper_tables(findings)] == NAMES


def test_damaged_files_are_named(files, tmp_path):
    path = tmp_path / "localisation.json"
    path.write_text('{"about": {"scene": "a", "variant": "b"}}')
    with pytest.raises(SdorError, match=r"localisation\.json: damaged or missing"):
        write_paper_tables(replace(files, localisation=[path]), tmp_path)
