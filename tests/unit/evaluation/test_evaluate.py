"""A run's files become metrics.json: rows, counts, pseudo labels, and faults named in words."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from synthetic_study import about

from sdor.errors import SdorError
from sdor.evaluation import metrics
from sdor.evaluation.about import About, Subset
from sdor.evaluation.evaluate import evaluate, evaluate_pool, evaluate_run
from sdor.evaluation.scores import RunTables
from sdor.files import write_parquet
from sdor.networks.provenance import Provenance
from sdor.study.plan import EvaluationSettings

ABOUT = about("yard", seed=3, versions={"numpy": "1"}, weights=Provenance("resnet50", "npm", "f"))
SETTINGS = EvaluationSettings(smoothing_sigma=1.0, bootstrap_draws=50)
NAMES = ["Train1", "Train2", "Test1", "Test2"]
FRAMES = pd.DataFrame({"clip": np.repeat(NAMES, 10), "frame": np.tile(np.arange(1, 11), 4)})
TIMES = FRAMES.assign(time=(FRAMES["frame"] - 1) * 5.0, sampled=True)


@pytest.fixture
def tables():
    """Two training and two test clips of 10 frames; the last clip is not labelled."""
    clips = pd.DataFrame(
        {
            "clip": NAMES,
            "split": ["train", "train", "test", "test"],
            "fps": 10.0,
            "frames": 10,
            "labelled": [True, True, True, False],
        }
    )
    base = FRAMES
    truth = base[:30].assign(anomalous=np.repeat([0, 1], [25, 5]).astype("int8"))
    rng = np.random.default_rng(0)
    initial = base.assign(sp=rng.random(40), iforest=rng.random(40))
    initial["score"] = (initial["sp"] + initial["iforest"]) / 2
    single = rng.random((2, 40))
    iterations = [base.assign(score=scores.astype("float32")) for scores in single]
    ensemble = base.assign(score=single.mean(axis=0).astype("float32"))
    labels = base.iloc[[0, 1, 26, 27, 28, 39]].assign(label=[0, 0, 1, 1, 0, 1], weight=1.0)
    return {
        "clips": clips,
        "ground_truth": truth,
        "initial": initial,
        "scores": iterations,
        "ensemble": ensemble,
        "pseudo_labels": [labels, labels],
    }


def run(tables):
    index = FRAMES[FRAMES["clip"].isin(tables["clips"]["clip"])].reset_index(drop=True)
    given = {"competitors": {}, "index": index, **tables}
    return evaluate(RunTables(**given), SETTINGS, ABOUT, times=TIMES, lead=3)[0]


def test_every_detector_has_every_column(tables):
    got = run(tables)
    assert list(got.rows) == [
        *("sp", "iforest", "initial", "iteration_1", "iteration_2"),
        *("ensemble_1", "ensemble_2", "ours", "ours_smoothed"),
    ]
    assert list(got.oracles) == ["split_oracle", "clip_rate_oracle"]
    assert got.rows["ensemble_1"] == got.rows["iteration_1"]
    assert got.oracles["split_oracle"]["train_side"].value == 1.0
    assert got.oracles["split_oracle"]["test_only"].value == 0.5
    difference = got.differences["ours - initial"]["merged"].value
    rows = got.rows
    assert difference == pytest.approx(
        rows["ours"]["merged"].value - rows["initial"]["merged"].value
    )
    assert got.about == ABOUT
    json.dumps(got.as_document(), allow_nan=False)


def test_a_perfect_ranking_scores_one_and_its_reverse_zero(tables):
    order = np.repeat([0.0, 1.0, 0.5], [25, 5, 10]).astype("float32")
    for table in (*tables["scores"], tables["ensemble"]):
        table["score"] = order
    assert run(tables).rows["ours"]["merged"].value == 1.0
    for table in (*tables["scores"], tables["ensemble"]):
        table["score"] = -order
    assert run(tables).rows["ours"]["merged"].value == 0.0


def test_counts_are_those_of_the_scene_and_of_its_labelled_part(tables):
    assert run(tables).counts == {
        "clips": 4,
        "training_clips": 2,
        "test_clips": 2,
        "labelled_clips": 3,
        "clips_with_anomalies": 1,
        "frames": 40,
        "labelled_frames": 30,
        "anomalous_frames": 5,
        "anomalies": 1,
    }


def test_events_are_those_of_the_labelled_frames_for_the_answer_and_what_it_began_with(tables):
    # The last five frames of Test1 are anomalous; the highest of all have no label.
    for table in (tables["ensemble"], *tables["scores"]):
        table["score"] = [0.0] * 27 + [5.0, 4.0, 3.0] + [9.0] * 10
    assert run(tables).events["ours"] == {
        "anomalies_found": [1],
        "true_events": [1],
        "seconds_watched": [13.0],
    }
    assert run(tables).events.keys() == {"initial", "ours"}
    assert run({**tables, "ground_truth": tables["ground_truth"][:0]}).events == {}


def test_pseudo_label_precision_counts_labelled_frames_only(tables):
    # A: rows 26 and 27 are anomalous, row 39 is of the unlabelled clip; N: row 28 is anomalous.
    assert run(tables).pseudo_labels[1] == {
        "iteration": 2,
        "anomalous": 3,
        "anomalous_precision": 1.0,
        "normal": 3,
        "normal_precision": pytest.approx(2 / 3),
    }


def test_pseudo_labels_of_places_are_judged_by_their_frames_each_once(tables):
    members = [(3, 0, 0, -1), (3, 1, 0, -1), (26, 4, 1, 0), (26, 4, 1, 1), (26, 9, 1, 1)]
    members += [(24, 4, 1, 1), (27, 8, 0, -1)]
    rows, *columns = zip(*members, strict=True)
    names = ("place", "label", "share")
    labels = tables["ground_truth"].iloc[list(rows)][["clip", "frame"]].reset_index(drop=True)
    labels = labels.assign(**dict(zip(names, columns, strict=True)), weight=0.5)
    assert run({**tables, "pseudo_labels": [labels]}).pseudo_labels == [
        {
            "iteration": 1,
            "anomalous": 2,
            "anomalous_precision": 0.5,
            "normal": 2,
            "normal_precision": 0.5,
            "anomalous_places": 3,
            "normal_places": 3,
        }
    ]
    twice = pd.concat([labels, labels[:1]])
    with pytest.raises(SdorError, match="pseudo_labels of iteration 1: clip Train1, frame 4: not"):
        run({**tables, "pseudo_labels": [twice]})


def test_the_share_of_variance_between_clips_needs_no_label(tables):
    clip_means = np.repeat([0.0, 0.0, 1.0, 1.0], 10) + np.tile([-0.5, 0.5], 20)
    competitors = {"unmasking": tables["ensemble"].assign(score=clip_means)}
    got = run({**tables, "competitors": competitors}).between_clips
    # Two halves of variance 1/4 each: one between the clips, one inside them.
    assert got["unmasking"] == pytest.approx(0.5)
    assert got["split_oracle"] == got["clip_rate_oracle"] == 1
    blind = run({**tables, "ground_truth": tables["ground_truth"][:0], "competitors": competitors})
    assert blind.between_clips == {
        name: share for name, share in got.items() if not name.endswith("oracle")
    }


def test_a_scene_without_ground_truth_has_no_numbers_but_a_reason(tables):
    tables["ground_truth"] = tables["ground_truth"][:0]
    got = run(tables)
    for row in (*got.rows.values(), *got.oracles.values()):
        assert all(cell.value is None for cell in row.values())
        assert {cell.reason for cell in row.values()} == {"no ground truth"}
    assert got.pseudo_labels[0]["anomalous_precision"] is None
    json.dumps(got.as_document(), allow_nan=False)


def test_a_competitor_is_one_more_row(tables):
    other = {"unmasking": tables["initial"][["clip", "frame", "score"]]}
    got = run({**tables, "competitors": other})
    assert got.rows["unmasking"] == got.rows["initial"]


def summed(tables):
    """An ensemble whose score is the sum of two columns."""
    parts = {"motion": tables["initial"]["score"], "appearance": tables["ensemble"]["score"]}
    return tables["ensemble"].assign(**parts, score=sum(parts.values()))


def test_an_answer_may_be_the_sum_of_its_parts(tables):
    got = run({**tables, "ensemble": summed(tables)})
    assert got.rows["ours"] != got.rows["ensemble_2"]


def shifted(table):
    return table.assign(frame=table["frame"].replace(7, 70))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda t: {**t, "initial": shifted(t["initial"])},
            "initial: found clip Train1, frame 70 where clip Train1, frame 7 belongs",
        ),
        (
            lambda t: {**t, "initial": t["initial"][:-1]},
            r"initial: found the end where clip Test2, frame 10 belongs \(39 rows, expected 40\)",
        ),
        (
            lambda t: {**t, "scores": [t["scores"][0], shifted(t["scores"][1])]},
            "scores of iteration 2: found clip Train1, frame 70",
        ),
        (
            lambda t: {**t, "ground_truth": t["ground_truth"].drop(index=12)},
            "ground_truth: found clip Train2, frame 4 where clip Train2, frame 3 belongs",
        ),
        (
            lambda t: {**t, "ground_truth": t["ground_truth"].replace("Test1", "Cellar")},
            "ground_truth: clip Cellar",
        ),
        (
            lambda t: {**t, "index": FRAMES.iloc[[*range(20), 19, *range(20, 40)]]},
            "scores of iteration 1: found clip Test1, frame 1 where clip Train2, frame 10 belongs",
        ),
        (
            lambda t: {**t, "clips": t["clips"][:3]},
            "found clip Test2, frame 1 where the end belongs",
        ),
        (
            lambda t: {**t, "ensemble": t["ensemble"].assign(score=t["ensemble"]["score"] + 1)},
            "ensemble: clip Train1, frame 4: the score is not the mean of the iterations",
        ),
        (
            lambda t: {**t, "ensemble": summed(t).assign(places=0.5)},
            r"ensemble: clip \w+, frame \d+: the score is not the sum of its parts",
        ),
        (
            lambda t: {
                **t,
                "pseudo_labels": [t["clips"].assign(frame=99)],
            },
            "pseudo_labels of iteration 1: clip Train1, frame 99: not a frame of the scene",
        ),
        (
            lambda t: {**t, "initial": t["initial"].assign(sp=np.nan)},
            "initial: clip Train1, frame 1: sp is nan",
        ),
    ],
)
def test_tables_that_do_not_match_are_named_with_clip_and_frame(tables, damage, words):
    with pytest.raises(SdorError, match=words) as caught:
        run(damage(tables))
    assert "\n" not in str(caught.value)


@pytest.fixture
def files(tables, tmp_path):
    """The files of one run."""

    def put(name, table):
        write_parquet(tmp_path / name, table, {})
        return tmp_path / name

    return {
        "clips": put("clips.parquet", tables["clips"]),
        "ground_truth": put("ground_truth.parquet", tables["ground_truth"]),
        "initial": put("initial.parquet", tables["initial"]),
        "scores": [put(f"scores{n}.parquet", one) for n, one in enumerate(tables["scores"])],
        "pseudo_labels": [
            put(f"labels{n}.parquet", one) for n, one in enumerate(tables["pseudo_labels"])
        ],
        "ensemble": put("ensemble.parquet", tables["ensemble"]),
    }


def run_files(files, folder, **more):
    output, draws = folder / "metrics.json", folder / "draws.parquet"
    evaluate_run(
        RunTables.read(**files, **more), SETTINGS, ABOUT, output, draws, times=TIMES, lead=3
    )
    return json.loads(output.read_text())


def test_a_run_is_evaluated_from_its_files(tables, files, tmp_path):
    assert run_files(files, tmp_path) == json.loads(json.dumps(run(tables).as_document()))


def test_the_draws_of_every_row_give_its_interval(files, tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "LEAST_CLIPS", 2)
    got = run_files(files, tmp_path)
    draws = pd.read_parquet(tmp_path / "draws.parquet")
    assert set(draws["row"]) == {*got["rows"], *got["oracles"]}
    assert draws.groupby("row")["draw"].apply(list).map(lambda one: one == list(range(50))).all()
    for row, cells in got["rows"].items():
        drawn = draws.loc[draws["row"] == row, "merged"].dropna()
        assert np.percentile(drawn, 2.5) == pytest.approx(cells["merged"]["low"])


def test_a_run_on_a_part_of_the_frames_is_judged_on_that_part(tables, files, tmp_path):
    kept = tables["initial"][["clip", "frame"]].drop(index=range(25, 28)).reset_index(drop=True)
    facts = {"target": 0.05, "rate": 2 / 37, "events_kept": 1, "events": 2, "seed": 0}
    write_parquet(tmp_path / "subset.parquet", kept, {"subset": facts})
    for name in ("initial", "ensemble"):
        part = kept.merge(pd.read_parquet(files[name]), on=["clip", "frame"])
        write_parquet(files[name], part, {})
    for path in [*files["scores"], *files["pseudo_labels"]]:
        write_parquet(path, kept.merge(pd.read_parquet(path), on=["clip", "frame"]), {})
    got = run_files(files, tmp_path, subset=tmp_path / "subset.parquet")
    assert got["counts"]["frames"] == 37
    assert got["counts"]["anomalous_frames"] == 2
    assert got["about"]["subset"] == facts
    assert About.read(got["about"]).subset == Subset(**facts)


def test_frames_that_differ_by_rounding_are_ties(files, tmp_path):
    rng = np.random.default_rng(1)
    for path in (files["ensemble"], *files["scores"]):
        table = pd.read_parquet(path)
        write_parquet(path, table.assign(score=0.3 + 1e-7 * rng.normal(size=40)), {})
    rows = run_files(files, tmp_path)["rows"]
    for row in ("ours", "ours_smoothed", "iteration_1", "ensemble_2"):
        for column in ("merged", "test_only", "within_clip", "eer"):
            assert rows[row][column]["value"] == 0.5


def test_scenes_are_pooled_as_they_are_or_by_their_ranks(tables, files, tmp_path):
    truth = tables["ground_truth"]["anomalous"].to_numpy()
    single = tables["ensemble"]["score"].to_numpy()
    # The same scene again with scores ten times as high: ranks do not know, raw scores do.
    higher = {**files}
    for name in ("initial", "ensemble"):
        table = pd.read_parquet(files[name])
        columns = [column for column in table if column not in ("clip", "frame")]
        higher[name] = tmp_path / f"high-{name}.parquet"
        write_parquet(higher[name], table.assign(**{one: 10 * table[one] for one in columns}), {})
    higher["scores"] = []
    for number, path in enumerate(files["scores"]):
        table = pd.read_parquet(path)
        higher["scores"].append(tmp_path / f"high{number}.parquet")
        write_parquet(higher["scores"][-1], table.assign(score=10 * table["score"]), {})
    found = {}
    for way in ("raw", "ranks"):
        about_pool = About.of_pool([ABOUT, replace(ABOUT, scene="hall")], "both", way)
        members = [RunTables.read(**files), RunTables.read(**higher)]
        evaluate_pool(members, SETTINGS, about_pool, tmp_path / "pool.json")
        pooled = json.loads((tmp_path / "pool.json").read_text())
        assert pooled["counts"]["clips"] == 8
        assert pooled["about"]["scene"] == "both"
        assert pooled["about"]["pooled"] == ["yard", "hall"]
        found[way] = pooled["rows"]["ours"]["merged"]["value"]
    alone = roc_auc_score(truth, single[:30])
    raw = roc_auc_score(np.tile(truth, 2), np.concatenate([single[:30], 10 * single[:30]]))
    assert found["ranks"] == pytest.approx(alone)
    assert found["raw"] == pytest.approx(raw)
    assert abs(raw - alone) > 0.001
