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
from sdor.study.plan import FeedbackSettings

NOTHING = pd.DataFrame({"clip": [], "frame": []})


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


def mark(scene, **changes):
    settings = {"picks": 2, "share": 0.2, "neighbours": 1, "touched": NOTHING, **changes}
    seed = settings.pop("seed", 0)
    return simulated_expert(*scene, **settings, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_true_and_false_positives_of_the_top_are_picked(scene, seed):
    marks = mark(scene, seed=seed)
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


def test_neighbours_stay_in_the_clip_and_take_the_nearer_pick(scene):
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
    scores.loc[[29, 42, 46], "score"] = 0.0, 1.0, 1.0
    marks = mark((scores, truth), share=2 / 90, neighbours=3).set_index("frame")
    assert marks.loc[14:17, "label"].tolist() == [1, 1, 0, 0]


def test_what_was_marked_before_is_not_marked_again(scene):
    first = mark(scene)
    second = mark(scene, touched=first)
    both = first.merge(second, on=["clip", "frame"])
    assert both.empty


def test_an_expert_who_finds_nothing_marks_nothing(scene):
    scores, truth = scene
    assert mark((scores, truth[:0])).empty


def test_rounds_are_judged_with_and_without_the_marked_frames(scene, tmp_path):
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
    marks = tmp_path / "marks.parquet"
    write_parquet(marks, mark(scene).assign(round=1), {})
    output = tmp_path / "feedback.json"
    settings = FeedbackSettings(rounds=1, picks=2, share=0.2, neighbours=1, epochs=2)

    def judge(*scores):
        given = paths["clips"], paths["truth"], scores, [marks], output
        evaluate_feedback(*given, settings=settings, draws=20, about=about("yard"))

    judge(paths["s0"], paths["s1"])
    write_parquet(tmp_path / "s2.parquet", after[:-1], {})
    with pytest.raises(SdorError, match="scores after round 1: found the end"):
        judge(paths["s0"], tmp_path / "s2.parquet")
    swapped = after.iloc[[1, 0, *range(2, 90)]]
    unknown = mark(scene).assign(frame=31)
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
    write_parquet(marks, unknown, {})
    with pytest.raises(SdorError, match=r"marks\.parquet: clip ., frame 31: not a frame"):
        judge(paths["s0"], paths["s1"])
    marks.write_bytes(whole)
    before, one = json.loads(output.read_text())["rounds"]
    assert before["all"] == before["unmarked"]
    assert before["marked"] == 0
    assert (one["anomalous_picks"], one["normal_picks"]) == (2, 2)
    marked = pd.read_parquet(marks)
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
