"""Everything that is printed is in one table, once, with its interval or the reason for none."""

import pytest
from synthetic_study import DRAWS, write_feedback, write_localisation, write_study

from sdor.reporting.findings import (
    COLUMNS,
    StudyFiles,
    read_findings,
    write_findings,
)
from sdor.study.plan import Comparison, Plan

VARIANTS = {
    "paper": ({}, 1.4),
    "vgg16": ({"backbone": "vgg16", "epochs": 8}, 1.0),
    "rate05": ({"anomaly_rate": 0.05}, 1.5),
}
PLAN = Plan(
    "paper",
    backbones=Comparison(("vgg16", "paper"), ("ped2",)),
    ablations={"net": Comparison(("vgg16", "paper", "rate05"), ("ped2",))},
    not_run={"ped1": "no video there"},
)


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    made = write_study(folder, {"ped2": (6, 8), "plaza": (3, 5)}, VARIANTS, pooled=("both",))
    made = write_feedback(write_localisation(made, folder, skip=("plaza",)), folder, "ped2")
    files = StudyFiles(made.metrics, made.draws, made.localisation, made.feedback, made.pooled)
    write_findings(files, PLAN, folder / "findings.parquet")
    return read_findings(folder / "findings.parquet")


def chosen(findings, **key):
    table = findings.table
    for name, value in key.items():
        table = table[table[name] == value]
    return table


def test_the_table_has_its_columns_and_no_finding_twice(findings):
    table = findings.table
    assert list(table.columns) == COLUMNS
    keys = ["scene", "variant", "seed", "row", "way", "metric", "against", "round", "source"]
    assert not table.duplicated(keys).any()
    assert findings.plan == PLAN
    assert [run["seed"] for run in findings.runs] == [0, 1] * 6


def test_a_value_has_its_interval_and_the_draws_behind_it(findings):
    one = chosen(findings, scene="ped2", variant="paper", seed=1, row="ours", way="", against="")
    merged = one[one["metric"] == "merged"].iloc[0]
    assert merged["low"] < merged["value"] < merged["high"] <= 1
    assert (merged["draws"], merged["reason"]) == (DRAWS, "")
    assert one.loc[one["metric"] == "within_clip", "clips"].tolist() == [8]
    counts = chosen(findings, scene="ped2", variant="paper", seed=0, row="", way="")
    counts = counts.set_index("metric")["value"]
    assert counts["frames"] == 14 * 30
    assert counts["draws"] == DRAWS
    assert counts["anomaly_rate"] == pytest.approx(4 / 14)


def test_pools_localisation_and_feedback_have_ways_of_their_own(findings):
    assert set(chosen(findings, scene="both")["way"]) == {"raw", "ranks"}
    located = chosen(findings, scene="ped2", metric="pixel_auc", way="test_only")
    assert located["value"].tolist() == pytest.approx([0.5, 0.52])
    absent = chosen(findings, scene="plaza", metric="pixel_auc")
    assert set(absent["reason"]) == {"no pixel masks"}
    gained = chosen(findings, way="gain", metric="merged", round=2)
    assert gained["value"].tolist() == pytest.approx([0.03, 0.03])
    assert chosen(findings, metric="marked", round=2)["value"].tolist() == [20, 20]


def test_paired_differences_are_of_all_seeds_or_say_why_not(findings):
    paired = findings.table[findings.table["seed"].isna() & (findings.table["against"] != "")]
    paired = paired[(paired["source"] == "measured") & (paired["scene"] == "ped2")]
    sides = paired.set_index(["variant", "row", "against", "metric"])
    gain = sides.loc[("paper", "ours", "sp_iforest", "merged")]
    assert gain["low"] < gain["value"] < gain["high"]
    back = sides.loc[("vgg16", "ours", "paper/ours", "merged")]
    there = sides.loc[("paper", "ours", "vgg16/ours", "merged")]
    assert [back["value"], back["low"]] == pytest.approx([-there["value"], -there["high"]])
    other = sides.loc[("rate05", "ours", "paper/ours", "merged")]
    assert other["reason"] == "not of the same frames: some anomalies are left out"
    # Each of its seeds has frames of its own, and so an interval of its own.
    own = chosen(findings, scene="ped2", variant="rate05", against="sp_iforest", metric="merged")
    assert own["seed"].tolist() == [0, 1]


def test_the_papers_figures_are_there_and_beside_what_they_compare_to(findings):
    alone = chosen(findings, source="reported", variant="")
    assert len(alone) == 39 + 45 + 15
    beside = chosen(findings, scene="ped2", source="reported", row="ours")
    beside = beside[beside["variant"].isin(["paper", "vgg16"])].set_index(["variant", "against"])
    assert beside["value"].to_dict() == pytest.approx(
        {
            ("paper", "table 1"): 0.832,
            ("paper", "table 2"): 0.832,
            ("vgg16", "table 1"): 0.832,
            ("vgg16", "table 2"): 0.8,
        }
    )
    assert beside.loc[("paper", "table 1"), "settings"] == "same"
    assert beside.loc[("vgg16", "table 2"), "settings"] == "differ: epochs 8 (50)"
    assert beside.loc[("vgg16", "table 1"), "settings"] == (
        "differ: backbone vgg16 (resnet50), epochs 8 (50)"
    )
    quoted = chosen(findings, scene="ped2", source="reported", row="unmasking", variant="paper")
    assert quoted["settings"].tolist() == ["other protocol: test data alone"]


def test_a_scene_that_was_not_run_says_why(findings):
    assert chosen(findings, scene="ped1", source="measured")["reason"].tolist() == [
        "no video there"
    ]
