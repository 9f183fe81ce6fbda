"""Tables of scenes and variants: what was measured, and what the paper reports beside it."""

import json
import re

import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.evaluation.metrics import COLUMNS
from sdor.reporting.tables import (
    Table,
    all_tables,
    anomaly_rate,
    cell_text,
    differing_settings,
    latex,
    long_table,
    markdown,
    over_runs,
    over_seeds,
    pseudo_label_table,
    reported,
    reported_auc,
    scene_table,
    variants_table,
    write_tables,
)
from sdor.study.config import with_defaults

SCENES = [
    *("ped1", "ped2", "subway-entrance", "subway-exit"),
    *("umn1", "umn2", "umn3", "umn"),
]


def cell(value, low=None, high=None, **more):
    return {"value": value, "low": low, "high": high, **more}


def metrics(scene="ped2", variant="paper", seed=0, shift=0.0, method=None, labelled=True):
    """What the evaluation writes for a run whose scores have two iterations."""
    names = ["sp", "iforest", "sp_iforest", "iteration_1", "iteration_2"]
    names += ["ensemble_1", "ensemble_2", "ours", "ours_smoothed"]

    def row(value):
        if not labelled:
            return {column: cell(None, reason="no ground truth") for column in COLUMNS}
        columns = {column: cell(value, value - 0.1, value + 0.1, skipped=0) for column in COLUMNS}
        columns["within_clip"]["clips"] = 8
        return columns

    return {
        "about": {
            "scene": scene,
            "variant": variant,
            "seed": seed,
            "method": with_defaults(method or {}, "method"),
            "weights": {
                "architecture": "resnet50",
                "source": "a_file.pt",
                "sha256": "0123456789abcdef",
            },
        },
        "settings": {"smoothing_sigma": 4.0, "draws": 1000, "bootstrap_seed": 0},
        "iterations": 2,
        "counts": {
            "clips": 28,
            "training_clips": 16,
            "test_clips": 12,
            "labelled_clips": 28,
            "clips_with_anomalies": 12,
            "frames": 4560,
            "labelled_frames": 4560,
            "anomalous_frames": 1648,
        },
        "rows": {name: row(0.5 + 0.02 * at + shift) for at, name in enumerate(names)},
        "oracles": {"split_oracle": row(0.85), "clip_rate_oracle": row(0.88)},
        "differences": {"ours - sp_iforest": row(0.1 + shift)},
        "pseudo_labels": [
            {
                "iteration": number,
                "anomalous": 456,
                "anomalous_precision": 0.75 if labelled else None,
                "normal": 912,
                "normal_precision": 0.9 if labelled else None,
            }
            for number in (1, 2)
        ],
    }


def test_the_papers_tables_are_typed_in_full():
    figures = reported()
    counts = figures.groupby("table").size().to_dict()
    # 39 cells of the upper block of Table 1 and 45 of the lower; 3 x 5 of Table 2.
    assert counts == {1: 39 + 45, 2: 15}
    assert figures["auc"].between(50, 100).all()
    assert not figures.duplicated(["table", "method", "scene"]).any()
    assert set(figures["scene"]) == set(SCENES)
    table = figures[figures["table"] == 1].pivot_table(
        index="method", columns="scene", values="auc"
    )
    assert table.shape == (18, 8)
    ours = [71.7, 83.2, 88.1, 92.7, 99.9, 99.9, 99.7, 97.4]
    assert table.loc["ours", SCENES].tolist() == ours
    initial = [56.3, 67.5, 80.5, 91.0, 87.3, 88.1, 91.5, 87.1]
    assert table.loc["sp_iforest", SCENES].tolist() == initial
    # The row of Ionescu et al. [16] is the Subway and UMN one: no figure on UCSD.
    narrowed = table.loc["ionescu_narrowed_clusters", SCENES]
    assert narrowed.isna().tolist() == [True, True, *[False] * 6]
    assert narrowed["subway-entrance"] == 93.5
    assert table.loc["ionescu_object_centric"].dropna().to_dict() == {"ped2": 97.8, "umn": 99.6}
    # What the paper says of its best rows per block (boldface).
    blocks = figures[figures["table"] == 1].set_index("method")["block"].to_dict()
    lower = table[[blocks[method] == "no labelled data" for method in table.index]]
    assert lower.idxmax().to_dict() == {
        scene: "two_sample_test" if scene in ("ped2", "subway-exit") else "ours" for scene in SCENES
    }


def test_a_reported_figure_is_that_of_the_scene_and_the_backbone():
    assert reported_auc(metrics(), "ours") == 83.2
    assert reported_auc(metrics(), "sp_iforest") == 67.5
    assert reported_auc(metrics(), "iteration_1") is None
    assert reported_auc(metrics(scene="my_yard"), "ours") is None
    # One figure of the paper stands beside both settings of its authors.
    both = [reported_auc(metrics(), f"del_giorno_2_w{width}") for width in (100, 10)]
    assert both == [57.6, 57.6]
    assert reported_auc(metrics(), "unmasking") == 82.2
    assert reported_auc(metrics(), "unmasking_motion") is None
    vgg16 = metrics(method={"backbone": "vgg16"})
    assert (reported_auc(vgg16, "ours"), reported_auc(vgg16, "sp_iforest")) == (80.0, None)
    assert reported_auc(metrics(method={"backbone": "r3d_18"}), "ours") == 82.6
    assert reported_auc(metrics(method={"backbone": "i3d"}), "ours") == 82.6
    assert reported_auc(metrics(method={"backbone": "resnet18"}), "ours") is None


@pytest.mark.parametrize(
    ("method", "initial", "ours"),
    [
        ({}, "", ""),
        ({"momentum": 0.0, "c1": 1.0}, "", ""),
        ({"epochs": 8, "trainable": "layer4"}, "", "trainable layer4 (all), epochs 8 (50)"),
        ({"pca": 20}, "pca 20 (100)", "pca 20 (100)"),
        # The paper has no word on masks.
        ({"masks": False, "iterations": 3}, "", "iterations 3 (5)"),
        ({"masks": False}, "", ""),
        ({"backbone": "vgg16"}, "", ""),
        ({"backbone": "vgg16", "input_size": 64}, "input_size 64 (224)", "input_size 64 (224)"),
    ],
)
def test_settings_that_are_not_the_papers_are_told_where_they_reach(method, initial, ours):
    run = metrics(method=method)
    for row in ("sp", "iforest", "sp_iforest"):
        assert differing_settings(run, row) == initial
    for row in ("ours", "del_giorno_2_w10"):
        assert differing_settings(run, row) == ours


def test_a_setting_reaches_the_competitors_that_use_what_it_changes():
    run = metrics(method={"pca": 20, "masks": False, "sp_bags": 9, "anomaly_rate": 0.05})
    frames = "anomaly_rate 0.05 (null)"
    assert differing_settings(run, "del_giorno_1_w10") == f"{frames}, pca 20 (100)"
    assert differing_settings(run, "unmasking") == frames
    assert differing_settings(run, "two_sample_motion") == frames


@pytest.mark.parametrize("backbone", ["i3d", "r3d_18"])
def test_networks_that_are_not_the_papers_3dconv_differ_from_it(backbone):
    # Its input size for C3D is not known: 112 is no difference to 224 of ResNet-50.
    run = metrics(method={"backbone": backbone, "input_size": 112, "epochs": 8})
    expected = f"backbone {backbone} (C3D), epochs 8 (50)"
    assert differing_settings(run, "ours") == expected
    table = scene_table([run])
    ours = next(row for row in table.rows if row[0].startswith("Our method (mean"))
    assert ours[-1] == "82.6 \N{DAGGER}"
    assert table.notes[0].endswith(f"differs in: {expected}.")
    # Beside Table 1 it is held against ResNet-50.
    beside = differing_settings(run, "ours", with_backbone=True)
    assert beside == f"backbone {backbone} (resnet50), input_size 112 (224), epochs 8 (50)"


def test_weights_that_are_not_trained_differ_from_the_papers():
    run = metrics(method={"epochs": 8})
    run["about"]["weights"] = {"source": "random", "sha256": ""}
    assert differing_settings(run, "ours") == "epochs 8 (50), weights random (trained)"
    assert differing_settings(run, "unmasking") == "weights random (trained)"
    figures = {row[0]: row[-1] for row in scene_table([run]).rows}
    assert figures["Sp + iForest (initial scores)"] == "67.5 \N{DAGGER}"


FAST = {"trainable": "layer4", "epochs": 8}
FAST_NOTE = (
    "\N{DAGGER} The paper's figure is for its own settings (in parentheses: the paper's, or this "
    "project's default where the paper states none); {} differs in: trainable layer4 (all), epochs "
    "8 (50)."
)


def test_the_papers_figure_is_marked_beside_a_run_with_other_settings():
    table = scene_table([metrics(method=FAST)])
    assert {row[0]: row[-1] for row in table.rows if row[-1]} == {
        # Nothing that differs reaches the initial scores.
        "Sp + iForest (initial scores)": "67.5",
        "Our method (mean of all iterations)": "83.2 \N{DAGGER}",
    }
    assert table.notes[0] == FAST_NOTE.format("this run")
    assert "83.2 \N{DAGGER}" in markdown([table], "")
    assert r"& 83.2 $\dagger$ \\" in latex([table], "")
    plain = scene_table([metrics()])
    assert "\N{DAGGER}" not in markdown([plain], "")
    elsewhere = scene_table([metrics(scene="my_yard", method=FAST)])
    assert "\N{DAGGER}" not in markdown([elsewhere], "")


def test_a_figure_that_the_paper_quotes_is_marked_as_of_another_protocol():
    run = metrics(method=FAST)
    run["rows"]["unmasking"] = run["rows"]["sp"]
    table = scene_table([run])
    assert {row[0]: row[-1] for row in table.rows}[
        "Unmasking, both fused"
    ] == "82.2 \N{DOUBLE DAGGER}"
    assert any(note.startswith("\N{DOUBLE DAGGER} The paper quotes") for note in table.notes)
    assert "from other papers, which judged the test data alone" in table.notes[1]
    assert r"82.2 $\ddagger$" in latex([table], "")
    assert not any("\N{DOUBLE DAGGER}" in note for note in scene_table([metrics()]).notes)
    # Another protocol does not hide that the settings differ as well.
    run["about"]["method"]["input_size"] = 112
    table = scene_table([run])
    figures = {row[0]: row[-1] for row in table.rows}
    assert figures["Unmasking, both fused"] == "82.2 \N{DAGGER}\N{DOUBLE DAGGER}"
    assert [note[0] for note in table.notes[:2]] == ["\N{DAGGER}", "\N{DOUBLE DAGGER}"]
    assert r"82.2 $\dagger$$\ddagger$" in latex([table], "")
    # A note needs a figure that it is about.
    run["about"]["scene"] = "my_yard"
    assert scene_table([run]).notes == ()


def test_a_column_of_reported_figures_without_any_is_left_out():
    assert scene_table([metrics()]).header[-1] == "reported"
    table = scene_table([metrics(scene="my_yard")])
    assert table.header[-1] == "AP"
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_the_variants_table_says_which_variant_differs():
    fast = metrics(variant="fast", method=FAST)
    fast["about"]["overrides"] = FAST
    table = variants_table([metrics(), fast, metrics(scene="umn1")])
    assert table.headings == ((0, "ped2"),)
    assert table.header == ("variant", "differs in", "merged", "test-only", "AP", "reported")
    value = "64.0 [54.0, 74.0]"
    assert table.rows == (
        ("paper", "", value, value, value, "83.2"),
        ("fast", "trainable layer4, epochs 8", value, value, value, "83.2 \N{DAGGER}"),
    )
    assert table.notes == (FAST_NOTE.format("variant fast"),)
    blind = [metrics(labelled=False), metrics(variant="fast", method=FAST, labelled=False)]
    assert [row[2:] for row in variants_table(blind).rows] == [("\N{EN DASH}",) * 3] * 2
    assert variants_table(blind).notes == ()
    assert variants_table([metrics(), metrics(scene="umn1")]).rows == ()


def test_seeds_give_mean_and_spread_and_one_seed_none():
    both = over_seeds([cell(0.80, 0.7, 0.9), cell(0.84, 0.72, 0.94)])
    assert both["mean"] == pytest.approx(82.0)
    assert both["std"] == pytest.approx(2.828427)
    assert (both["low"], both["high"]) == pytest.approx((71, 92))
    assert cell_text(both) == "82.0 ± 2.8 [71.0, 92.0]"
    one = over_seeds([cell(0.8)])
    assert one["std"] is None
    assert cell_text(one) == "80.0"
    assert cell_text(over_seeds([cell(None, reason="no ground truth")])) == "\N{EN DASH}"
    assert cell_text({"mean": -1.25, "low": -2.0, "high": 0.5}, sign=True) == (
        "\N{MINUS SIGN}1.2 [\N{MINUS SIGN}2.0, +0.5]"
    )


def test_the_scene_table_has_each_figure_once_and_oracles_at_the_bottom():
    table = scene_table([metrics(seed=0), metrics(seed=1, shift=0.02)])
    names = [row[0] for row in table.rows]
    assert "Mean of iterations 1 to 1" not in names
    assert "Mean of iterations 1 to 2" not in names
    assert names[-2:] == [name for name in names if name.startswith("Oracle")]
    assert table.rules == (len(names) - 2,)
    assert table.header[4] == "within-clip (8 clips)"
    ours = table.rows[names.index("Our method (mean of all iterations)")]
    assert ours[1] == "65.0 ± 1.4 [55.0, 75.0]"
    assert ours[-1] == "83.2"
    assert table.rows[-1][1] == "88.0 [78.0, 98.0]"
    assert "2 seeds (0, 1)" in table.caption
    assert "a_file.pt (sha256 0123456789ab)" in table.caption


def with_subset(run, rate, *, shift=0.0):
    """A run that leaves out anomalies: its oracles and its counts are of its own frames."""
    run["about"]["subset"] = {"target": 0.05, "rate": rate, "events_kept": 3, "events": 8}
    for columns in run["oracles"].values():
        for cells in columns.values():
            cells["value"] += shift
    return run


def test_what_nothing_is_random_in_has_no_spread():
    runs = [metrics(seed=0), metrics(seed=1)]
    for run in runs:
        run["rows"]["unmasking"] = run["rows"]["unmasking_motion"] = run["rows"]["iforest"]
        run["rows"]["two_sample_test"] = run["rows"]["iforest"]
    texts = {row[0]: row[1] for row in scene_table(runs).rows}
    names = ["Unmasking, both fused", "Unmasking, motion"]
    assert [texts[name] for name in names] == ["52.0 [42.0, 62.0]"] * 2
    assert texts["Two-sample test, both fused"] == "52.0 ± 0.0 [42.0, 62.0]"
    table = long_table(runs, {})
    chosen = table[(table["column"] == "merged") & (table["variant"] == "paper")]
    seeds = chosen.set_index("row")["seeds"]
    assert seeds[["unmasking", "unmasking_motion", "split_oracle", "two_sample_test"]].tolist() == [
        *(1, 1, 1, 2)
    ]


def test_seeds_that_leave_out_other_anomalies_have_oracles_and_counts_of_their_own():
    runs = [
        with_subset(metrics(seed=0), 0.05),
        with_subset(metrics(seed=1), 0.06, shift=0.04),
    ]
    for run in runs:
        run["rows"]["unmasking"] = run["rows"]["iforest"]
    cells = over_runs(runs, "oracles", "split_oracle", "merged")
    assert (cells["mean"], cells["seeds"]) == (pytest.approx(87), 2)
    assert over_runs(runs, "rows", "unmasking", "merged")["seeds"] == 2
    table = scene_table(runs)
    assert table.rows[-2][1].startswith("87.0 ± 2.8 [")
    assert table.header[4] == "within-clip (8 clips of the first seed)"
    assert "1,648 anomalous (counts of the first seed); 2 seeds (0, 1)" in table.caption
    assert "1,000 draws of 28 labelled clips of the first seed;" in table.caption
    assert pseudo_label_table(runs).caption.endswith("(percent; counts of the first seed).")
    whole = [metrics(seed=0), metrics(seed=1)]
    for plain in (runs[:1], whole):
        captions = (scene_table(plain).caption, pseudo_label_table(plain).caption)
        assert not any("first seed" in text for text in (*captions, *scene_table(plain).header))


def test_the_anomaly_rate_is_over_all_frames():
    run = metrics()
    run["counts"] |= {"frames": 8000, "labelled_frames": 4000, "anomalous_frames": 400}
    assert anomaly_rate(run) == 0.05
    assert anomaly_rate(with_subset(run, 0.031)) == 0.031


def test_a_scene_without_ground_truth_shows_no_empty_rows_but_a_reason():
    table = scene_table([metrics(scene="my_yard", labelled=False)])
    assert table.rows == ()
    assert any("no ground truth" in note for note in table.notes)


@pytest.mark.parametrize(
    ("skipped", "note"),
    [
        ({}, None),
        ({"merged": 1}, "1 draw of merged"),
        ({"merged": 1, "train_side": 1200}, "1 draw of merged, 1,200 draws of train-side"),
    ],
)
def test_draws_left_out_are_counted_in_one_line(skipped, note):
    run = metrics()
    for column, count in skipped.items():
        run["rows"]["ours"][column]["skipped"] = count
    found = [text for text in scene_table([run]).notes if "Left out" in text]
    expected = f"Left out of the intervals because a class was missing: {note}."
    assert found == ([expected] if note else [])


def test_the_long_table_holds_everything(tmp_path):
    paths = []
    runs = [metrics(seed=0), metrics(seed=1), metrics(variant="b", method=FAST)]
    for number, run in enumerate(runs):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(run))
    outputs = [tmp_path / f"auc.{suffix}" for suffix in ("csv", "md", "tex")]
    write_tables(paths, {"umn": "no video"}, *outputs, title="Results")
    table = pd.read_csv(outputs[0])
    mine = table[(table["scene"] == "ped2") & (table["variant"] == "paper")]
    detectors = mine[mine["kind"] == "detector"]
    assert len(detectors) == 9 * len(COLUMNS)
    assert (detectors["seeds"] == 2).all()
    chosen = detectors[(detectors["row"] == "ours") & (detectors["column"] == "merged")].iloc[0]
    assert (chosen["mean"], chosen["std"], chosen["reported"]) == (64.0, 0.0, 83.2)
    assert chosen["by_seed"] == "0: 64.000; 1: 64.000"
    of_paper = table["kind"] == "reported"
    compared = table[table["reported_settings"].notna() & ~of_paper]
    keys = ["variant", "row", "reported", "reported_settings"]
    assert (compared["column"] == "merged").all()
    assert compared[keys].to_numpy().tolist() == [
        ["paper", "sp_iforest", 67.5, "same"],
        ["paper", "ours", 83.2, "same"],
        ["b", "sp_iforest", 67.5, "same"],
        ["b", "ours", 83.2, "differ: trainable layer4 (all), epochs 8 (50)"],
    ]
    purity = mine[mine["column"] == "anomalous_precision"]
    assert purity["mean"].tolist() == [75.0, 75.0]
    assert table[table["kind"] == "not run"][["scene", "reason"]].to_numpy().tolist() == [
        ["umn", "no video"]
    ]
    assert of_paper.sum() == len(reported())
    # The upper block of Table 1, unmasking and the two-sample test: judged on test data alone.
    quoted = table[of_paper & table["reported_settings"].notna()]
    assert len(quoted) == 39 + 8 + 5
    assert set(quoted["reported_settings"]) == {"other protocol: test data alone"}
    assert {"Kim et al. [17]", "Ionescu et al. [40]", "Liu et al. [25]"} <= set(quoted["row"])
    assert not {"Del Giorno et al. [8]"} & set(quoted["row"])
    assert "| ours" not in outputs[1].read_text()
    assert "## Variants" in outputs[1].read_text()


def test_a_difference_of_several_seeds_has_its_interval_in_one_place_only():
    """Bounds averaged over seeds are not those of the draws averaged over seeds."""
    several = [metrics(seed=0), metrics(seed=1)]

    def found(runs):
        table = long_table(runs, {})
        chosen = table[(table["kind"] == "difference") & (table["column"] == "merged")]
        return chosen.iloc[0][["mean", "low", "high", "reason"]].tolist()

    mean, low, high, reason = found(several)
    assert mean == pytest.approx(10)
    assert pd.isna([low, high]).all()
    assert "comparisons.csv" in reason
    assert found(several[:1])[1:3] == pytest.approx([0, 20])
    parts = [with_subset(run, 0.05) for run in several]
    assert found(parts)[1:3] == pytest.approx([0, 20])
    assert not any("difference" in note for note in scene_table(several).notes)


def test_markdown_and_latex_escape_what_users_name():
    runs = [metrics(scene="my|yard_1", variant="50%_&<b>")]
    page = markdown(all_tables(runs, {"a_b": "50 % of $x & {y}"}), "A | title")
    assert "## my\\|yard\\_1, variant 50%\\_&\\<b\\>" in page
    for line in page.splitlines():
        if line.startswith("| Sp |"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 7
    source = latex(all_tables(runs, {"a_b": "50 % of $x & {y}"}), "A title")
    assert r"my\textbar{}yard\_1, variant 50\%\_\&\textless{}b\textgreater{}" in source
    assert r"50 \% of \$x \& \{y\}" in source
    assert source.count(r"\begin{tabular}") == source.count(r"\end{tabular}") > 0
    assert "±" not in "".join(line for line in source.splitlines() if line[:1] != "%")
    body = [line for line in source.splitlines() if line.endswith(r" \\")]
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) in (2, 5)


def test_headings_and_the_papers_own_rows_are_told_apart_in_every_format():
    table = Table(
        "Two kinds",
        ("method", "UMN all, as ranks"),
        (("Old_one", "59.0"), ("New", "61.0 ± 1.0 [50.0, 70.0]"), ("reported [1]", "")),
        headings=((0, "Quoted & old"), (1, "Measured")),
        soft=(0, 2),
        strong=(1,),
    )
    assert markdown([table], "Two kinds", "").splitlines() == [
        "# Two kinds",
        "",
        "| method | UMN all, as ranks |",
        "|---|---:|",
        "| **Quoted & old** |  |",
        "| *Old\\_one* | *59.0* |",
        "| **Measured** |  |",
        "| **New** | **61.0 ± 1.0 [50.0, 70.0]** |",
        "| *reported [1]* |  |",
    ]
    source = latex([table], "Two kinds").splitlines()
    start = source.index(r"\toprule")
    below = r"{\footnotesize\mdseries [50.0, 70.0]}"
    stacked = rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}61.0 $\pm$ 1.0\\{below}\end{{tabular}}"
    assert source[start + 1 : -3] == [
        r"method & \begin{tabular}[b]{@{}r@{}}UMN all,\\as ranks\end{tabular} \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{Quoted \& old}} \\",
        r"{\footnotesize\itshape Old\_one} & {\footnotesize\itshape 59.0} \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{Measured}} \\",
        rf"{{\bfseries New}} & {{\bfseries {stacked}}} \\",
        r"{\footnotesize\itshape reported [1]} &  \\",
    ]


def test_a_damaged_metrics_file_is_named(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"about": {}}')
    with pytest.raises(SdorError, match=r"metrics\.json: damaged or missing"):
        write_tables([path], {}, *[tmp_path / name for name in "abc"], title="")


def test_long_table_of_nothing_has_its_columns():
    table = long_table([], {})
    assert table["kind"].unique().tolist() == ["reported"]
