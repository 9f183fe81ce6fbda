"""Any two rows are compared over the same draws, and the page says what holds and what does not."""

import numpy as np
import pandas as pd
import pytest
from synthetic_study import DRAWS, frames_of, scores, strengths_of, write_run, write_study

from sdor.errors import SdorError
from sdor.evaluation import metrics
from sdor.evaluation.metrics import COLUMNS
from sdor.files import write_parquet
from sdor.reporting.comparisons import (
    HOW_TO_READ,
    TABLE_COLUMNS,
    compare,
    difference,
    gain,
    markdown,
    page,
    read_draws,
    sentence,
)
from sdor.reporting.paper_tables import read_findings

NAN = float("nan")


def run(variant="paper", seed=0, scene="ped2", clips=28, **values):
    """Metrics of rows with these values in every column, and an interval around them."""
    rows = {
        row: {key: {"value": value, "low": value - 0.1, "high": value + 0.1} for key in COLUMNS}
        for row, value in values.items()
    }
    return {
        "about": {"scene": scene, "variant": variant, "seed": seed, "method": {}},
        "settings": {"draws": 4, "bootstrap_seed": 0},
        "counts": {"labelled_clips": clips, "clips_with_anomalies": clips, "test_clips": clips},
        "iterations": 1,
        "rows": rows,
        "oracles": {},
    }


def write_draws(path, **rows):
    """The given values in every column, the draws in no order."""
    parts = [
        pd.DataFrame(dict.fromkeys(COLUMNS, values)).assign(row=row, draw=[3, 0, 2, 1])
        for row, values in rows.items()
    ]
    write_parquet(path, pd.concat(parts), {})
    return path


def test_a_difference_is_worked_out_by_hand(tmp_path):
    ours = [run(seed=0, ours=0.7), run(seed=1, ours=0.9)]
    other = [run("vgg16", seed=0, ours=0.6)]
    paths = [
        # In the order of the draws 0 to 3: 0.6, NaN, 0.7, 0.8 and 0.8, NaN, 0.9, 1.0.
        write_draws(tmp_path / "a.parquet", ours=[0.8, 0.6, 0.7, NAN]),
        write_draws(tmp_path / "b.parquet", ours=[1.0, 0.8, 0.9, NAN]),
        write_draws(tmp_path / "c.parquet", ours=[0.95, 0.5, 0.5, NAN]),
    ]
    draws = read_draws([*ours, *other], paths)
    assert draws["ped2", "paper"]["ours"][:, 0] == pytest.approx([0.7, NAN, 0.8, 0.9], nan_ok=True)
    found = difference(ours, other, ("ours", "ours"), "merged", draws)
    # The means differ by 0.8 - 0.6. Over the draws the differences are 20, 30 and -5 points: their
    # 2.5 % point lies 0.05 of the way from -5 to 20, their 97.5 % point 0.95 from 20 to 30.
    assert found == {
        "difference": pytest.approx(20.0),
        "low": pytest.approx(-3.75),
        "high": pytest.approx(29.5),
        "draws": 3,
        "skipped": 1,
        "holds": False,
        "reason": None,
    }
    back = difference(other, ours, ("ours", "ours"), "test_only", draws)
    assert (back["low"], back["high"]) == pytest.approx((-29.5, 3.75))


def test_a_difference_holds_when_its_interval_leaves_out_zero(tmp_path):
    one = [run(ours=0.7, sp=0.6, iforest=0.7)]
    rows = {"ours": [0.7, 0.8, 0.6, 0.9], "sp": [0.6, 0.7, 0.5, 0.8], "iforest": [0.9] * 4}
    draws = read_draws(one, [write_draws(tmp_path / "a.parquet", **rows)])
    found = difference(one, one, ("ours", "sp"), "merged", draws)
    assert (found["low"], found["high"], found["holds"]) == pytest.approx((10, 10, True))
    assert difference(one, one, ("sp", "ours"), "merged", draws)["holds"]
    assert difference(one, one, ("ours", "ours"), "merged", draws)["holds"] is False
    assert difference(one, one, ("ours", "iforest"), "merged", draws)["high"] <= 0


def test_the_paired_interval_of_one_seed_is_that_of_its_metrics_file(tmp_path):
    frames = frames_of(6, 8)
    about = {"scene": "ped2", "variant": "paper", "seed": 0}
    one = [write_run(tmp_path, about, frames, strengths_of(1.4))]
    draws = read_draws(one, [tmp_path / "draws.parquet"])
    for column in COLUMNS:
        found = difference(one, one, ("ours", "sp_iforest"), column, draws)
        known = one[0]["differences"]["ours - sp_iforest"][column]
        expected = [100 * known[name] for name in ("value", "low", "high")]
        assert [found[name] for name in ("difference", "low", "high")] == pytest.approx(expected)
        assert found["skipped"] == known["skipped"]
    # An oracle is a row like any other: within clips it is no better than chance.
    found = difference(one, one, ("ours", "split_oracle"), "test_only", draws)
    assert found["difference"] == pytest.approx(
        100 * (one[0]["rows"]["ours"]["test_only"]["value"] - 0.5)
    )


def test_what_cannot_be_compared_says_why(tmp_path):
    path = write_draws(tmp_path / "a.parquet", ours=[0.5] * 4, sp=[0.4] * 4)
    whole, other = [run(ours=0.7, sp=0.6)], [run("b", ours=0.7, clips=27)]
    draws = read_draws([*whole, *other], [path, path])

    def reason(left, right, rows=("ours", "ours")):
        found = difference(left, right, rows, "merged", draws)
        assert found["holds"] is None
        return found["reason"]

    assert reason(whole, whole, ("ours", "unmasking")) == "one of the two has no value"
    assert "not judged on the same clips" in reason(whole, other)
    assert reason(whole, [run("c", ours=0.7)]) == "no draws to pair"
    part = [run("rate05", ours=0.7)]
    part[0]["about"]["subset"] = {"target": 0.05}
    assert reason(whole, part).startswith("not of the same frames")
    # Without an interval of its own (all draws would be alike) a row has none to compare.
    few = [run(ours=0.7, sp=0.6)]
    cell = {"value": 0.7, "low": None, "high": None, "interval_reason": "fewer than 2 clips"}
    few[0]["rows"]["ours"] = dict.fromkeys(COLUMNS, cell)
    assert reason(few, few, ("ours", "sp")) == "fewer than 2 clips"


def test_a_gain_on_a_part_of_the_frames_has_the_bounds_of_its_metrics_files():
    group = [run("rate05", seed=seed, ours=0.7, sp_iforest=0.6) for seed in (0, 1)]
    for one, low in zip(group, (0.02, -0.04), strict=True):
        cell = {"value": 0.1, "low": low, "high": 0.2, "skipped": 1}
        one["differences"] = {"ours - sp_iforest": dict.fromkeys(COLUMNS, cell)}
        one["about"]["subset"] = {"target": 0.05}
    found = gain(group, "merged", {})
    assert found["difference"] == pytest.approx(10)
    assert (found["low"], found["high"]) == pytest.approx((-1, 20))
    assert (found["draws"], found["skipped"], found["holds"]) == (3, 1, False)


def test_a_gain_on_all_frames_is_the_difference_of_the_averaged_draws(study):
    group = study.group("ped2", "paper")
    found = gain(group, "merged", study.draws)
    sides = ("ours", "sp_iforest")
    assert found == difference(group, group, sides, "merged", study.draws)
    averaged = [run["differences"]["ours - sp_iforest"]["merged"]["low"] for run in group]
    assert found["low"] != pytest.approx(100 * np.mean(averaged), abs=1e-6)
    assert "bounds are their means" in HOW_TO_READ


def test_counts_of_seeds_with_frames_of_their_own_are_said_to_be_of_the_first(study):
    runs = [run for run in study.runs if run["about"]["variant"] == "rate05"]
    passages = page(compare(runs, study.draws, "paper"), runs, "paper")
    assert [passage.opening[0] for passage in passages[:2]] == [
        "The unit is the clip: 18 labelled, 12 of them with anomalies (counts of the first seed).",
        "The unit is the clip: 12 test clips; in the scene 12 clips with anomalies (counts of the "
        "first seed).",
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two scenes, three variants (one on a part of the frames), two seeds."""
    variants = {
        "paper": ({}, 1.4),
        "vgg16": ({"backbone": "vgg16"}, 0.9),
        "rate05": ({"anomaly_rate": 0.05}, 1.5),
    }
    folder = tmp_path_factory.mktemp("study")
    competitors = ("del_giorno_1_w100", "unmasking")
    files = write_study(
        folder, {"ped2": (6, 12), "yard": (2, 3)}, variants, competitors=competitors
    )
    return read_findings(files)


def test_all_pairs_of_headline_rows_are_in_the_table(study):
    table = compare(study.runs, study.draws, "paper")
    assert list(table.columns) == TABLE_COLUMNS
    headline = ["ours", "sp", "iforest", "sp_iforest", "del_giorno_1_w100", "unmasking"]
    headline += ["iteration_2", "ours_smoothed"]
    mine = table[(table["scene"] == "ped2") & (table["column"] == "merged")]
    # 8 rows of the main variant and 1 of vgg16 in pairs, and the part of the frames on its own.
    assert len(mine) == 9 * 8 // 2 + 1
    of_paper = mine[(mine["left_variant"] == "paper") & (mine["right_variant"] == "paper")]
    pairs = {tuple(sorted(pair)) for pair in of_paper[["left_row", "right_row"]].to_numpy()}
    assert len(pairs) == len(of_paper) == 8 * 7 // 2
    assert set(of_paper["left_row"]) | set(of_paper["right_row"]) == set(headline)
    own = mine[mine["left_variant"] == "rate05"]
    keys = ["left_row", "right_variant", "right_row"]
    assert own[keys].to_numpy().tolist() == [["ours", "rate05", "sp_iforest"]]
    assert set(table["column"]) == {"merged", "test_only"}
    assert (table["draws"] + table["skipped"] == DRAWS).all()
    assert (table["holds"] == ((table["low"] > 0) | (table["high"] < 0))).all()


def test_pairs_of_two_variants_are_paired_draw_by_draw(study):
    """The interval is that of the differences of each draw, worked out from the scores."""
    frames = frames_of(6, 12)
    weights = metrics.draw_clips(18, DRAWS, 0)
    place = list(strengths_of(1.4)).index("ours")

    def drawn(strength, number):
        values = [scores(frames, strength, [seed, number]) for seed in (0, 1)]
        return np.mean([metrics.per_draw(one, frames, weights)["merged"] for one in values], axis=0)

    # The rows of the main variant have two competitors more before ours.
    low, high = np.percentile(100 * (drawn(1.4, place + 2) - drawn(0.9, place)), [2.5, 97.5])
    table = compare(study.runs, study.draws, "paper")
    chosen = table[(table["right_variant"] == "vgg16") & (table["left_row"] == "ours")].iloc[0]
    assert (chosen["low"], chosen["high"]) == pytest.approx((low, high))


def test_the_page_says_what_holds_group_by_group(study):
    table = compare(study.runs, study.draws, "paper")
    passages = page(table, study.runs, "paper")
    titles = [passage.title for passage in passages]
    assert titles == ["ped2, merged", "ped2, test-only", "yard, merged", "yard, test-only"]
    first = passages[0]
    assert [heading for heading, _ in first.groups] == [
        "Our method against every other row",
        "The initial scores against the competitors",
        "Variants",
        "With fewer anomalies, each variant on frames of its own",
    ]
    sentences = [text for _, texts in first.groups for text in texts]
    assert len(sentences) == 7 + 2 + 1 + 1
    assert first.lead == sentences[2]
    assert first.lead.startswith("On ped2 (merged), our method is ")
    assert first.lead.endswith("]: holds.")
    assert sentences[8].startswith("On ped2 (merged), Sp + iForest is ")
    assert "our method (vgg16)" in sentences[9]
    assert "our method (rate05) is" in sentences[10]
    part = table[(table["scene"] == "ped2") & (table["column"] == "merged")]
    holding = int(part["holds"].sum())
    assert first.opening == (
        "The unit is the clip: 18 labelled, 12 of them with anomalies.",
        f"Of 37 pairs {holding} hold; if no two rows differed, about 2 would by chance.",
    )
    assert passages[3].opening[0] == (
        "The unit is the clip: 3 test clips; in the scene 3 clips with anomalies."
    )
    # Three clips can all agree by chance; no sentence is to be taken for more.
    assert passages[3].opening[-1].startswith("Caution: 3 clips cannot show that any difference")


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (
            {"difference": 10.27, "low": 4.51, "high": 16.5, "holds": True},
            "our method is 10.3 points above Sp + iForest [4.5, 16.5]: holds.",
        ),
        (
            {"difference": -1.0, "low": -3.04, "high": 0.04, "holds": False},
            "our method is 1.0 points below Sp + iForest [\N{MINUS SIGN}3.0, 0.04]: does not hold.",
        ),
        (
            {"difference": 0.04, "low": -0.04, "high": 0.5, "holds": False},
            "our method is level with Sp + iForest [\N{MINUS SIGN}0.04, 0.5]: does not hold.",
        ),
        (
            {"difference": 2.0, "low": NAN, "holds": pd.NA, "reason": "fewer than 2 clips"},
            "our method is 2.0 points above Sp + iForest; no interval: fewer than 2 clips.",
        ),
        (
            {
                "difference": 3.0,
                "low": 1.0,
                "high": 5.0,
                "holds": True,
                "right_variant": "b",
                "right_row": "ours",
            },
            "our method is 3.0 points above our method (b) [1.0, 5.0]: holds.",
        ),
        (
            {
                "difference": 3.0,
                "low": 1.0,
                "high": 5.0,
                "holds": True,
                "right_row": "two_sample_test",
            },
            "our method is 3.0 points above two-sample test, both fused [1.0, 5.0]: holds.",
        ),
    ],
)
def test_sentences(pair, words):
    sides = {"left_variant": "paper", "left_row": "ours", "right_variant": "paper"}
    place = {"scene": "ped2", "column": "merged", "right_row": "sp_iforest"}
    assert sentence({**place, **sides, **pair}, "paper") == f"On ped2 (merged), {words}"


def test_pairs_of_other_variants_are_counted_and_told_where_they_hold(tmp_path):
    runs = [run(name, ours=value) for name, value in (("a", 0.9), ("b", 0.7), ("c", 0.71))]
    steady, other = [0.9, 0.9, 0.9, 0.9], [0.7, 0.7, 0.7, 0.7]
    wild = [0.9, 0.5, 0.9, 0.5]
    paths = [
        write_draws(tmp_path / f"{number}.parquet", ours=values)
        for number, values in enumerate((steady, other, wild))
    ]
    draws = read_draws(runs, paths)
    table = compare(runs, draws, "none of them")
    (heading, sentences), *rest = page(table, runs, "none of them")[0].groups
    assert (heading, rest) == ("Variants", [])
    assert sentences == (
        "Among the other variants 1 of 3 pairs holds:",
        "On ped2 (merged), our method (a) is 20.0 points above our method (b) [20.0, 20.0]: holds.",
    )


def test_markdown_has_every_sentence_and_escapes_names(study):
    passages = page(compare(study.runs, study.draws, "paper"), study.runs, "paper")
    text = markdown(passages, "Which | hold", "nothing")
    assert text.startswith("# Which \\| hold\n")
    assert HOW_TO_READ in text
    bullets = [line for line in text.splitlines() if line.startswith("- On ")]
    assert len(bullets) == sum(len(texts) for one in passages for _, texts in one.groups)
    assert markdown([], "Which hold", "not run: nothing there") == (
        "# Which hold\n\nnot run: nothing there\n"
    )


def test_scenes_without_ground_truth_have_no_pairs(tmp_path):
    blind = run(scene="yard")
    blind["rows"] = {"ours": dict.fromkeys(COLUMNS, metrics.empty_cell("no ground truth"))}
    blind["rows"]["sp"] = blind["rows"]["ours"]
    empty = pd.DataFrame({name: pd.Series(dtype=float) for name in ("row", "draw", *COLUMNS)})
    write_parquet(tmp_path / "draws.parquet", empty, {})
    draws = read_draws([blind], [tmp_path / "draws.parquet"])
    table = compare([blind], draws, "paper")
    assert (len(table), list(table.columns)) == (0, TABLE_COLUMNS)
    assert page(table, [blind], "paper") == []


def test_draws_that_are_not_of_their_metrics_are_named(tmp_path):
    path = write_draws(tmp_path / "draws.parquet", ours=[0.5] * 4)
    with pytest.raises(SdorError, match=r"draws\.parquet: row sp has 0 draws, its metrics\.json 4"):
        read_draws([run(ours=0.7, sp=0.6)], [path])
    write_parquet(path, pd.DataFrame({"row": ["ours"], "draw": [0]}), {})
    with pytest.raises(SdorError, match=r"draws\.parquet: damaged .*no column merged"):
        read_draws([run(ours=0.7)], [path])
