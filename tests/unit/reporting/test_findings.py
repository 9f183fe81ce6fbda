"""Everything that is printed is in one table, once, with its interval or the reason for none."""

import numpy as np
import pandas as pd
import pytest
from synthetic_study import (
    DRAWS,
    about,
    change,
    frames_of,
    gathered,
    scores,
    strengths_of,
    write_feedback,
    write_localisation,
    write_run,
    write_study,
)

from sdor.errors import SdorError
from sdor.evaluation import metrics
from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import draw_clips
from sdor.evaluation.metrics import COLUMNS as METRICS
from sdor.files import read_json, write_parquet
from sdor.reporting.findings import INITIAL, OURS, SCHEMA, read_findings
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
    files = write_study(folder, {"ped2": (6, 8), "plaza": (3, 5)}, VARIANTS, pooled=("both",))
    files = write_feedback(write_localisation(files, folder, skip=("plaza",)), folder, "ped2")
    return gathered(files, PLAN, folder)


def chosen(findings, **key):
    table = findings.table
    for name, value in key.items():
        table = table[table[name] == value]
    return table


def test_the_table_has_its_columns_and_no_finding_twice(findings):
    table = findings.table
    assert list(table.columns) == list(SCHEMA)
    keys = ["scene", "variant", "seed", "row", "way", "metric", "against", "round", "source"]
    assert not table.duplicated(keys).any()
    assert findings.plan == PLAN
    assert [run.seed for run in findings.runs] == [0, 1] * 6
    assert findings.grouped["ped2", "vgg16"][0].overrides == {"backbone": "vgg16", "epochs": 8}
    assert findings.grouped["ped2", "rate05"][1].subset.events_kept == 4


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


def test_a_finding_over_its_seeds_has_mean_spread_and_mean_bounds(findings):
    cell = findings.cell("ped2", "paper", metric="test_only")
    one = chosen(findings, scene="ped2", variant="paper", row="ours", way="", against="")
    one = one[(one["metric"] == "test_only") & (one["source"] == "measured")]
    assert cell.by_seed == pytest.approx(dict(zip((0, 1), 100 * one["value"], strict=True)))
    assert cell.mean == pytest.approx(100 * one["value"].mean())
    assert cell.std == pytest.approx(100 * one["value"].std())
    assert (cell.low, cell.high) == pytest.approx(
        (100 * one["low"].mean(), 100 * one["high"].mean())
    )
    assert cell.holds is None
    assert findings.cell("ped2", "paper", "unmasking").std is None  # nothing in it is random
    assert findings.cell("ped2", "paper", "split_oracle").std is None
    # Each seed that leaves out other anomalies has oracles and counts of its own.
    assert findings.cell("ped2", "rate05", "split_oracle").std > 0
    rate = findings.cell("ped2", "rate05", "", metric="anomaly_rate")
    assert (rate.mean, rate.std) == pytest.approx((5.1, 0.2 / 2**0.5))
    assert findings.cell("ped2", "paper", "", metric="anomaly_rate").std is None
    assert findings.counts["ped2", "rate05"]["clips"] == 14


def test_what_is_not_there_says_why(findings):
    reasons = {
        findings.cell("ped1", "paper").reason: "not run: no video there",
        findings.cell("umn1", "paper").reason: "not run: not part of this configuration",
        findings.cell("ped2", "paper", "two_sample_test").reason: (
            "not run: not among the competitors of this configuration"
        ),
        findings.cell("plaza", "paper", metric="rbdc", way="all_clips").reason: "no pixel masks",
    }
    assert list(reasons) == list(reasons.values())


def test_a_difference_is_worked_out_by_hand(tmp_path):
    runs = {
        # In the order of the draws 0 to 3: 0.6, NaN, 0.7, 0.8 and 0.8, NaN, 0.9, 1.0.
        ("paper", 0): (0.7, [0.8, 0.6, 0.7, NAN]),
        ("paper", 1): (0.9, [1.0, 0.8, 0.9, NAN]),
        ("vgg16", 0): (0.6, [0.95, 0.5, 0.5, NAN]),
    }
    findings = by_hand(tmp_path, runs)
    found = findings.cell("ped2", "paper", against="vgg16/ours")
    # The means differ by 0.8 - 0.6. Over the draws the differences are 20, 30 and -5 points: their
    # 2.5 % point lies 0.05 of the way from -5 to 20, their 97.5 % point 0.95 from 20 to 30.
    assert found.mean == pytest.approx(20)
    assert (found.low, found.high) == pytest.approx((-3.75, 29.5))
    assert (found.draws, found.holds) == (3, False)
    back = findings.cell("ped2", "vgg16", metric="test_only", against="paper/ours")
    assert (back.low, back.high) == pytest.approx((-29.5, 3.75))


def test_a_difference_holds_when_its_interval_leaves_out_zero(tmp_path):
    runs = {
        ("paper", 0): (0.7, [0.6, 0.7, 0.5, 0.8]),
        ("vgg16", 0): (0.6, [0.7, 0.8, 0.6, 0.9]),
        ("wide", 0): (0.6, [0.5, 0.6, 0.6, 0.8]),
    }
    findings = by_hand(tmp_path, runs)
    found = findings.cell("ped2", "paper", against="vgg16/ours")
    assert (found.low, found.high, found.holds) == pytest.approx((-10, -10, True))
    assert findings.cell("ped2", "paper", against="wide/ours").holds is False


def test_a_difference_that_cannot_be_said_has_a_reason(tmp_path):
    level = [0.5] * 4
    runs = {("paper", 0): (0.7, level), ("vgg16", 0): (0.7, level), ("wide", 0): (None, level)}

    def edit(content):
        if content["about"]["variant"] == "vgg16":
            content["counts"]["labelled_clips"] = 27

    findings = by_hand(tmp_path, runs, edit)
    assert findings.cell("ped2", "paper", against="wide/ours").reason == (
        "one of the two has no value"
    )
    apart = findings.cell("ped2", "paper", against="vgg16/ours")
    assert apart.reason == "the variants were not judged on the same clips"
    assert (apart.mean, apart.low) == (0, None)

    def without_interval(content):
        cell = {"value": 0.7, "low": None, "high": None, "reason": "fewer than 2 clips"}
        content["rows"][OURS] = dict.fromkeys(METRICS, cell)

    runs = {("paper", 0): (0.7, level), ("vgg16", 0): (0.7, level)}
    findings = by_hand(tmp_path, runs, without_interval)
    assert findings.cell("ped2", "paper", against="vgg16/ours").reason == "fewer than 2 clips"


NAN = float("nan")


def by_hand(folder, runs, edit=lambda _: None):
    """Findings of runs: (variant, seed): value of ours, and in the draws 3, 0, 2, 1."""
    made = {"metrics": [], "draws": []}
    for (variant, seed), (value, values) in runs.items():
        place = folder / variant / str(seed)
        write_run(place, about("ped2", variant, seed), frames_of(2, 2), strengths_of(1))
        cell = {"value": value, "low": 0.1, "high": 0.9}

        def set_value(content, cell=cell):
            content["rows"] = {OURS: dict.fromkeys(METRICS, cell)}
            content["oracles"] = content["differences"] = {}
            content["settings"]["bootstrap_draws"] = 4

        change(place / "metrics.json", set_value)
        change(place / "metrics.json", edit)
        drawn = pd.DataFrame(dict.fromkeys(METRICS, values))
        write_parquet(place / "draws.parquet", drawn.assign(row=OURS, draw=[3, 0, 2, 1]), {})
        made["metrics"].append(place / "metrics.json")
        made["draws"].append(place / "draws.parquet")
    ablation = Comparison(tuple(dict.fromkeys(variant for variant, _ in runs)), ("ped2",))
    return gathered(made, Plan("paper", ablations={"a": ablation}), folder)


def test_the_paired_interval_of_one_seed_is_that_of_its_metrics_file(tmp_path):
    files = write_study(tmp_path, {"ped2": (6, 8)}, {"paper": ({}, 1.4)}, seeds=[0])
    findings = gathered(files, Plan("paper"), tmp_path)
    for metric in ("merged", "test_only"):
        known = read_json(files["metrics"][0])["differences"]["ours - initial"][metric]
        found = findings.cell("ped2", "paper", metric=metric, against=INITIAL)
        assert [found.mean, found.low, found.high] == pytest.approx(
            [100 * known[name] for name in ("value", "low", "high")]
        )
        assert found.draws == DRAWS - known["skipped"]


def test_pairs_of_two_variants_are_paired_draw_by_draw(findings):
    """The interval is that of the differences of each draw, worked out from the scores."""
    frames = frames_of(6, 8)
    weights = draw_clips(14, DRAWS)
    place = list(strengths_of(1.4)).index("ours")

    def drawn(strength, number):
        values = [scores(frames, strength, [seed, number]) for seed in (0, 1)]
        return np.mean([metrics.per_draw(one, frames, weights)["merged"] for one in values], axis=0)

    # The rows of the main variant have five competitors more before ours.
    low, high = np.percentile(100 * (drawn(1.4, place + 5) - drawn(1.0, place)), [2.5, 97.5])
    found = findings.cell("ped2", "paper", against="vgg16/ours")
    assert (found.low, found.high) == pytest.approx((low, high))
    back = findings.cell("ped2", "vgg16", against="paper/ours")
    assert (back.mean, back.low) == pytest.approx((-found.mean, -found.high))


def test_a_gain_is_of_the_averaged_draws_or_of_each_seed_where_its_frames_are_its_own(findings):
    gain = findings.cell("ped2", "paper", against=INITIAL)
    averaged = chosen(findings, scene="ped2", variant="paper", against=INITIAL, metric="merged")
    assert averaged["seed"].notna().sum() == 2
    assert gain.low != pytest.approx(100 * averaged.loc[averaged["seed"].notna(), "low"].mean())
    own = chosen(findings, scene="ped2", variant="rate05", against=INITIAL, metric="merged")
    assert own["seed"].tolist() == [0, 1]
    part = findings.cell("ped2", "rate05", against=INITIAL)
    assert (part.mean, part.low) == pytest.approx(
        (100 * own["value"].mean(), 100 * own["low"].mean())
    )
    other = findings.cell("ped2", "rate05", against="paper/ours")
    assert other.reason == "not of the same frames: some anomalies are left out"


def test_the_papers_figures_are_there_and_beside_what_they_compare_to(findings):
    alone = chosen(findings, source="reported", variant="")
    assert len(alone) == 39 + 45 + 15

    def beside(variant, row="ours", against=""):
        cell = findings.cell("ped2", variant, row, against=against, source="reported")
        return cell.mean, cell.settings

    assert beside("paper") == beside("paper", against="table 1") == (83.2, "same")
    assert beside("vgg16") == (80.0, "differ: epochs 8 (50)")
    # In Table 1 it would be beside ResNet-50.
    differ = "differ: backbone vgg16 (resnet50), epochs 8 (50)"
    assert beside("vgg16", against="table 1") == (83.2, differ)
    assert beside("paper", "initial") == (67.5, "same")
    assert beside("vgg16", "initial")[0] is None
    # One value of the paper stands beside both settings of its authors.
    assert beside("paper", "del_giorno_1_w10") == beside("paper", "del_giorno_1_w100")
    assert beside("paper", "unmasking") == (82.2, "other protocol: test data alone")
    assert beside("paper", "unmasking_motion")[0] is beside("paper", "iteration_1")[0] is None
    assert findings.cell("plaza", "paper", source="reported").mean is None


def test_a_scene_that_was_not_run_says_why(findings):
    assert chosen(findings, scene="ped1", source="measured")["reason"].tolist() == [
        "no video there"
    ]


def test_what_a_run_came_from_is_read_as_it_was_written(findings):
    for run in findings.runs:
        assert About.read(run.as_document()) == run


def test_files_that_do_not_fit_are_named(tmp_path):
    files = write_study(tmp_path, {"ped2": (2, 2)}, {"paper": ({}, 1.4)}, seeds=[0])
    drawn = pd.read_parquet(files["draws"][0])
    write_parquet(files["draws"][0], drawn[drawn["row"] != "sp"], {})
    with pytest.raises(SdorError, match=r"row sp has 0 draws, its metrics\.json 200"):
        gathered(files, Plan("paper"), tmp_path)
    write_parquet(files["draws"][0], drawn[["row", "draw"]], {})
    with pytest.raises(SdorError, match=r"draws\.parquet: damaged .*no column merged"):
        gathered(files, Plan("paper"), tmp_path)
    change(files["metrics"][0], lambda content: content["about"].pop("method"))
    with pytest.raises(SdorError, match=r"metrics\.json: damaged or missing file"):
        gathered(files, Plan("paper"), tmp_path)
    with pytest.raises(SdorError, match=r"draws\.parquet: damaged or missing file"):
        read_findings(files["draws"][0])
