"""The simulated expert marks what it should, and the AUC is told with and without those frames."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from synthetic_study import about

from sdor.errors import SdorError
from sdor.evaluation.expert import simulated_expert
from sdor.evaluation.feedback import evaluate_feedback
from sdor.files import write_parquet
from sdor.method.marks import HEADER, csv_of, lengths_of, read_marks, widened
from sdor.study.plan import FeedbackSettings

NEIGHBOURS = 1


@pytest.fixture
def scene():
    """Clips a and b of 30 frames; c is not labelled. Frames 11-15 of b are anomalous."""
    frames = pd.DataFrame(
        {"clip": np.repeat(["a", "b", "c"], 30), "frame": np.tile(np.arange(1, 31), 3)}
    )
    anomalous = (frames["clip"] == "b") & frames["frame"].between(11, 15)
    truth = frames.assign(anomalous=anomalous.astype("int8"))[:60]
    # Highest: all of b 11-20 (half of them normal), then a 28-30, then the unlabelled clip.
    score = np.zeros(90)
    score[40:50] = 3
    score[27:30] = 2
    score[60:] = 1
    return frames.assign(score=score), truth


@pytest.fixture
def mark(scene, tmp_path):
    """Writes the marks of the next round; gives what they stand for, as it is read."""

    def run(scene=scene, **changes):
        settings = {"picks": 2, "share": 0.2, "neighbours": NEIGHBOURS, **changes}
        rng = np.random.default_rng(settings.pop("seed", 0))
        paths = sorted(tmp_path.glob("round*.csv"))
        scores, near = scene[0], settings["neighbours"]
        touched = widened(read_marks(paths, lengths_of(scores)), scores, near)
        marks = simulated_expert(*scene, **settings, touched=touched, rng=rng)
        paths.append(tmp_path / f"round{len(paths) + 1}.csv")
        paths[-1].write_text(HEADER + csv_of(marks))
        table = read_marks(paths, lengths_of(scores))
        assert (table["first"] == np.maximum(table["frame"] - near, 1)).all()
        assert (table["last"] == np.minimum(table["frame"] + near, 30)).all()
        found = widened(table, scores, near)
        return found[found["round"] == len(paths)]

    return run


@pytest.mark.parametrize("seed", range(5))
def test_true_and_false_positives_of_the_top_are_picked(mark, seed):
    marks = mark(seed=seed)
    picked = marks[marks["picked"]]
    assert (picked["label"] == 1).sum() == (picked["label"] == 0).sum() == 2
    true = picked[picked["label"] == 1]
    assert (true["clip"] == "b").all()
    assert true["frame"].between(11, 15).all()
    # The top 18 are the 13 labelled frames with a score and five of the unlabelled clip.
    false = picked[picked["label"] == 0]
    assert set(map(tuple, false[["clip", "frame"]].to_numpy())) <= {
        *(("b", frame) for frame in range(16, 21)),
        *(("a", frame) for frame in range(28, 31)),
    }


def test_neighbours_stay_in_the_clip_and_take_the_nearer_pick(scene, mark, tmp_path):
    scores, truth = scene
    # Two frames alone are high: the last one of a (normal) and b 13 (anomalous).
    scores = scores.assign(score=0.0)
    scores.loc[[29, 42], "score"] = 1.0
    marks = mark((scores, truth), share=2 / 90, neighbours=3)
    found = {(row.clip, row.frame): (row.label, row.picked) for row in marks.itertuples()}
    assert found == {
        **{("a", frame): (0, frame == 30) for frame in range(27, 31)},
        **{("b", frame): (1, frame == 13) for frame in range(10, 17)},
    }
    # b 13 (anomalous) and b 17 (normal): 14 belongs to 13, 16 to 17, and 15 in the middle to 13.
    (tmp_path / "round1.csv").unlink()
    scores.loc[[29, 42, 46], "score"] = 0.0, 1.0, 1.0
    marks = mark((scores, truth), share=2 / 90, neighbours=3).set_index("frame")
    assert marks.loc[14:17, "label"].tolist() == [1, 1, 0, 0]


def test_what_was_marked_before_is_not_marked_again(mark):
    first, second = mark(), mark()
    assert second["picked"].any()
    assert first.merge(second, on=["clip", "frame"]).empty


def test_an_expert_who_finds_nothing_marks_nothing(scene, mark):
    scores, truth = scene
    assert mark((scores, truth[:0])).empty


def test_rounds_are_judged_with_and_without_the_marked_frames(scene, mark, tmp_path):
    scores, truth = scene
    clips = pd.DataFrame(
        {"clip": ["a", "b", "c"], "frames": 30, "split": ["train", "test", "test"], "fps": 25.0}
    )
    rng = np.random.default_rng(0)
    after = scores.assign(score=rng.random(90))
    paths = {}
    for name, table in (("clips", clips), ("truth", truth), ("s0", scores), ("s1", after)):
        paths[name] = tmp_path / f"{name}.parquet"
        write_parquet(paths[name], table, {})
    marked, marks = mark(), tmp_path / "round1.csv"
    output = tmp_path / "feedback.json"
    settings = FeedbackSettings(
        rounds=1, picks=2, share=0.2, neighbours=NEIGHBOURS, epochs=2, replay=0
    )

    def judge(*scores):
        given = paths["clips"], paths["truth"], scores, [marks], output
        evaluate_feedback(*given, settings=settings, draws=20, about=about("yard"))

    judge(paths["s0"], paths["s1"])
    write_parquet(tmp_path / "s2.parquet", after[:-1], {})
    with pytest.raises(SdorError, match="scores after round 1: found the end"):
        judge(paths["s0"], tmp_path / "s2.parquet")
    swapped = after.iloc[[1, 0, *range(2, 90)]]
    for name, table, words in (
        (
            "s3",
            swapped,
            "scores after round 1: found clip a, frame 2 where clip a, frame 1 belongs",
        ),
        ("s4", after.assign(score=np.nan), "clip a, frame 1: score is nan"),
    ):
        write_parquet(tmp_path / f"{name}.parquet", table, {})
        with pytest.raises(SdorError, match=words):
            judge(paths["s0"], tmp_path / f"{name}.parquet")
    whole = marks.read_bytes()
    marks.write_text("clip,frame,label\nb,31,normal\n")
    with pytest.raises(SdorError, match=r"round1\.csv: line 2: frame: 31, and clip b has 30"):
        judge(paths["s0"], paths["s1"])
    marks.write_bytes(whole)
    before, one = json.loads(output.read_text())["rounds"]
    assert before["all"] == before["unmarked"]
    assert before["marked"] == 0
    assert (one["anomalous_picks"], one["normal_picks"]) == (2, 2)
    assert one["marked_frames"] == len(marked)
    rest = truth.merge(marked, on=["clip", "frame"], how="left")
    rest = rest[rest["label"].isna()][["clip", "frame", "anomalous"]]
    for key, table in (("unmarked", after), ("before_unmarked", scores)):
        both = rest.merge(table, on=["clip", "frame"])
        expected = roc_auc_score(both["anomalous"], both["score"])
        assert one[key]["merged"]["value"] == pytest.approx(expected)
    both = truth.merge(after, on=["clip", "frame"])
    expected = roc_auc_score(both["anomalous"], both["score"])
    assert one["all"]["merged"]["value"] == pytest.approx(expected)
