"""Metrics against hand-worked numbers, scikit-learn, and what is known of the released data."""

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from sdor.evaluation.bootstrap import draw_clips, measure, paired
from sdor.evaluation.metrics import (
    COLUMNS,
    LabelledFrames,
    clip_rate_oracle,
    per_draw,
    smooth,
    split_oracle,
)

# First and last anomalous frames of the released test clips (from 1, inclusive).
PED1 = """\
60:152 50:175 91:200 31:168 5:90,140:200 1:100,110:200 1:175 1:94 1:48 1:140 70:165
130:200 1:156 1:200 138:200 123:200 1:47 54:120 64:138 45:175 31:200 16:107 8:165 50:171 40:135
77:144 10:122 105:200 1:15,45:113 175:200 1:180 1:52,65:115 5:165 1:121 86:200 15:108"""
PED2 = """\
61:180 95:180 1:146 31:180 1:129 1:159 46:180 1:180 1:120 1:150 1:180 88:180"""
PED2_LENGTHS = [180, 180, 150, 180, 150, 180, 180, 180, 120, 150, 180, 180]


def build(clips: list[tuple[str, list[int]]]) -> LabelledFrames:
    """Frames of clips given as (split, labels)."""
    return LabelledFrames(
        np.repeat(np.arange(len(clips)), [len(labels) for _, labels in clips]),
        np.array([label for _, labels in clips for label in labels], dtype=bool),
        tuple(split for split, _ in clips),
    )


def ucsd(training: list[int], lengths: list[int], ranges: str) -> LabelledFrames:
    clips = [("train", [0] * length) for length in training]
    for length, text in zip(lengths, ranges.split(), strict=True):
        labels = np.zeros(length, dtype=int)
        for part in text.split(","):
            first, last = map(int, part.split(":"))
            labels[first - 1 : last] = 1
        clips.append(("test", labels.tolist()))
    return build(clips)


def ped1() -> LabelledFrames:
    return ucsd([200] * 34, [200] * 36, PED1)


def ped2() -> LabelledFrames:
    # How the 2,550 training frames are cut into 16 clips changes no column.
    return ucsd([150] * 15 + [300], PED2_LENGTHS, PED2)


def values(scores: np.ndarray, frames: LabelledFrames) -> dict[str, float | None]:
    cells = measure(scores, frames, draw_clips(len(frames.split), 0, 0))
    return {column: cell.value for column, cell in cells.items()}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["train", "test", ""]),
            st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 10_000),
)
def test_a_draw_is_scikit_learns_figure_of_the_resampled_frames(clips, seed):
    frames = build([(split, [label for _, label in rows]) for split, rows in clips])
    scores = np.array([score for _, rows in clips for score, _ in rows], dtype=float)
    weights = draw_clips(len(clips), 3, seed)
    drawn = per_draw(scores, frames, weights)
    for number, draw in enumerate(weights):
        copies = draw[frames.clip].astype(int)
        labels, split = frames.anomalous, np.array(frames.split)[frames.clip]

        def check(column, kept, number=number, copies=copies, labels=labels):
            times = copies * kept
            y, s = np.repeat(labels, times), np.repeat(scores, times)
            got = drawn[column][number]
            if not y.any() or y.all():
                assert np.isnan(got)
            elif column == "average_precision":
                assert got == pytest.approx(average_precision_score(y, s), abs=1e-12)
            else:
                assert got == pytest.approx(roc_auc_score(y, s), abs=1e-12)

        everything = np.ones(len(labels), dtype=int)
        check("merged", everything)
        check("average_precision", everything)
        check("test_only", (split == "test").astype(int))
        check("train_side", (labels | (split == "train")).astype(int))
        judged = split == "test" if any(frames.split) else np.ones(len(labels), dtype=bool)
        chosen = judged[np.searchsorted(frames.clip, np.arange(len(clips)))]
        padded = [
            roc_auc_score(
                [0, *labels[frames.clip == clip], 1], [-1, *scores[frames.clip == clip], 9]
            )
            for clip in np.flatnonzero(chosen)
        ]
        macro = np.repeat(padded, draw[chosen].astype(int))
        got = drawn["macro_auc"][number]
        assert got == pytest.approx(macro.mean(), abs=1e-12) if len(macro) else np.isnan(got)
        y, s = (np.repeat(one, copies * judged) for one in (labels, scores))
        got = drawn["eer"][number]
        if not y.any() or y.all():
            assert np.isnan(got)
        else:
            wrong, found, _ = roc_curve(y, s, drop_intermediate=False)
            # Both rates grow along the curve: where they add up to 1, misses are false positives.
            expected = np.interp(1, wrong + found, wrong)
            assert got == pytest.approx(expected, abs=1e-12)


def test_columns_by_hand():
    frames = build([("train", [0, 0]), ("test", [0, 1]), ("test", [1, 0, 0])])
    scores = np.array([0.1, 0.5, 0.6, 0.9, 0.5, 0.2, 0.7])
    got = values(scores, frames)
    # 0.9 beats all five normal frames; 0.5 beats 0.1 and 0.2, ties with 0.5: 7.5 of 10 pairs.
    assert got["merged"] == pytest.approx(0.75)
    # Against 0.1 and 0.5 alone: 2 + 1.5 of 4.
    assert got["train_side"] == pytest.approx(0.875)
    # Against 0.6, 0.2 and 0.7: 3 + 1 of 6.
    assert got["test_only"] == pytest.approx(4 / 6)
    # 1 in the second clip, 1 of 2 in the third.
    assert got["within_clip"] == pytest.approx(0.75)
    # Precision 1 at 0.9; at 0.5 two of five frames.
    assert got["average_precision"] == pytest.approx((1 + 2 / 5) / 2)
    # The second clip has 1 + 1 + 1 + 1 of 2 x 2 pairs; the third 1 + 1 + 2 + 1 of 2 x 3.
    assert got["macro_auc"] == pytest.approx((1 + 5 / 6) / 2)
    # Of the test clips: at 0.7 half of the anomalous and a third of the normal frames are flagged,
    # at 0.6 half and two thirds: between them the misses, 1/2, are met half way.
    assert got["eer"] == pytest.approx(0.5)


def test_the_merged_protocol_rewards_knowing_the_split():
    one, two = ped1(), ped2()
    assert (one.anomalous.sum(), len(one.clip)) == (4045, 14_000)
    assert (two.anomalous.sum(), len(two.clip)) == (1648, 4560)
    assert round(100 * values(split_oracle(one), one)["merged"], 1) == 84.2
    on_ped2 = values(split_oracle(two), two)
    assert round(100 * on_ped2["merged"], 1) == 93.8
    assert (on_ped2["train_side"], on_ped2["test_only"], on_ped2["within_clip"]) == (1, 0.5, 0.5)


def test_the_clip_rate_oracle_of_ped2():
    frames = ped2()
    got = values(clip_rate_oracle(frames), frames)
    assert round(100 * got["merged"], 1) == 98.0
    assert round(100 * got["test_only"], 1) == 84.0
    assert got["within_clip"] == 0.5


@pytest.mark.data
@pytest.mark.parametrize(("name", "typed"), [("UCSDped1", PED1), ("UCSDped2", PED2)])
def test_the_typed_ranges_are_the_released_ones(data_root, name, typed):
    path = data_root / "UCSD_Anomaly_Dataset.v1p2" / name / "Test" / f"{name}.m"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found = re.findall(r"gt_frame\s*=\s*\[(.*?)\]", path.read_text())
    assert [re.sub(r"\s+", "", text) for text in found] == typed.split()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    frames = build([("test", [0, 0, 1, 1])])
    scores = np.array([0.1, 0.2, 0.3, value])
    for judge in (measure, partial(paired, np.zeros(4))):
        with pytest.raises(ValueError, match="expected 4 finite scores"):
            judge(scores, frames, draw_clips(1, 5))
    with pytest.raises(ValueError, match="expected 4 finite scores"):
        per_draw(np.zeros(3), frames, draw_clips(1, 5))


@pytest.mark.parametrize(
    ("clips", "reasons"),
    [
        ([], dict.fromkeys(COLUMNS, "no ground truth")),
        ([("test", [0, 0])], dict.fromkeys(COLUMNS, "no anomalous frames")),
        ([("test", [1, 1])], dict.fromkeys(COLUMNS, "no normal frames")),
        (
            [("", [0, 1]), ("", [0, 1])],
            {"train_side": "no labelled training clips", "test_only": "no labelled test clips"},
        ),
        (
            [("train", [0, 0]), ("test", [1, 1])],
            {
                "test_only": "the test clips hold one class only",
                "within_clip": "no clip holds both classes",
                **dict.fromkeys(("macro_auc", "eer"), "the test clips hold one class only"),
            },
        ),
    ],
)
def test_a_column_that_cannot_be_computed_says_why(clips, reasons):
    frames = build(clips)
    scores = np.arange(len(frames.clip), dtype=float)
    cells = measure(scores, frames, draw_clips(len(clips), 20))
    assert {name: cell.reason for name, cell in cells.items() if cell.value is None} == reasons


def test_four_clips_have_values_but_no_interval():
    clips = [("test", [0, 1, 0])] * 4
    for frames, has_interval in ((build(clips), False), (build([*clips, ("test", [0])]), True)):
        scores = np.random.default_rng(0).random(len(frames.clip))
        cells = measure(scores, frames, draw_clips(len(frames.split), 50, 0))
        gaps = paired(scores, -scores, frames, draw_clips(len(frames.split), 50, 0))
        for column in ("merged", "test_only", "average_precision", "macro_auc", "eer"):
            for cell in (cells[column], gaps[column]):
                assert cell.value is not None
                assert (cell.low is not None) == has_interval
        assert cells["merged"].reason == ("" if has_interval else "fewer than 5 labelled clips")
        assert cells["within_clip"].reason == "fewer than 5 clips with both classes"


def test_clips_of_one_class_count_in_the_macro_auc_alone():
    frames = build([("train", [0, 0]), ("test", [0, 1]), ("test", [0, 0]), ("test", [1, 1])])
    cells = measure(np.array([0, 0, 1, 0, 0, 0, 0, 0.0]), frames, draw_clips(4, 0))
    assert (cells["within_clip"].value, cells["within_clip"].clips) == (0, 1)
    # The clip that is ranked the wrong way has 3 of its 4 pairs, both others all of theirs.
    assert (cells["macro_auc"].value, cells["macro_auc"].clips) == (pytest.approx(2.75 / 3), 3)


def test_the_equal_error_rate_is_lower_for_the_better():
    frames = ped2()
    noise = np.random.default_rng(0).normal(size=len(frames.clip))
    worse, better = noise + frames.anomalous, noise + 2 * frames.anomalous
    gap = paired(better, worse, frames, draw_clips(28, 200))["eer"]
    assert gap.high < 0


def test_draws_without_both_classes_are_skipped_and_counted():
    frames = build([("", [0, 1]), *[("", [0, 0])] * 4])
    weights = draw_clips(5, 400, 1)
    cell = measure(np.arange(10) % 7.0, frames, weights)["merged"]
    assert cell.skipped == int((weights[:, 0] == 0).sum()) > 0


def test_intervals_are_seeded_and_hold_the_value():
    frames = ped2()
    scores = np.random.default_rng(0).normal(size=len(frames.clip)) + frames.anomalous
    first = measure(scores, frames, draw_clips(28, 200, 5))
    assert first == measure(scores, frames, draw_clips(28, 200, 5))
    assert first != measure(scores, frames, draw_clips(28, 200, 6))
    for cell in first.values():
        assert cell.low < cell.value < cell.high


def test_intervals_cover_the_truth_about_as_often_as_they_claim():
    # Each clip shifts all its scores, so frames of a clip are not independent.
    rng = np.random.default_rng(2)

    def sample(clips):
        labels = (rng.random((clips, 30)) < 0.3).astype(int)
        noise = rng.normal(size=(clips, 30)) + rng.normal(size=(clips, 1))
        return build([("test", list(row)) for row in labels]), (noise + labels).ravel()

    frames, scores = sample(3000)
    truth = roc_auc_score(frames.anomalous, scores)
    hits = 0
    for trial in range(200):
        frames, scores = sample(40)
        cell = measure(scores, frames, draw_clips(40, 200, trial))["merged"]
        hits += cell.low <= truth <= cell.high
    assert 0.88 <= hits / 200 <= 0.99


def test_a_paired_difference_is_narrower_than_two_intervals_apart():
    frames = ped2()
    rng = np.random.default_rng(3)
    common = rng.normal(size=28)[frames.clip]
    worse = common + 0.3 * rng.normal(size=len(frames.clip)) + 0.5 * frames.anomalous
    better = worse + 0.1 * frames.anomalous
    weights = draw_clips(28, 300, 0)
    cell = paired(better, worse, frames, weights)["merged"]
    each = measure(better, frames, weights)["merged"], measure(worse, frames, weights)["merged"]
    assert cell.value == pytest.approx(each[0].value - each[1].value)
    assert cell.low > 0
    assert cell.high - cell.low < (each[0].high - each[0].low) / 2
    same = paired(worse, worse, frames, weights)["merged"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_smoothing_stays_inside_the_clip():
    scores = np.array([0.0, 0.0, 0.0, 9.0, 9.0, 9.0])
    clips = np.array(["a", "a", "a", "b", "b", "b"], dtype=object)
    np.testing.assert_allclose(smooth(scores, clips, 2.0), scores)
    peak = smooth(np.array([0.0, 1.0, 0.0, 0.0]), np.zeros(4, dtype=int), 1.0)
    assert 0 < peak[0] < peak[1] < 1
    np.testing.assert_array_equal(smooth(scores, clips, 0), scores)


@pytest.mark.parametrize("clips", [5, 70])
def test_a_long_video_has_scikit_learns_figures(clips):
    rng = np.random.default_rng(0)
    clip = np.sort(rng.integers(0, clips, 150_000))
    anomalous = rng.random(150_000) < 0.1
    frames = LabelledFrames(clip, anomalous, ("test",) * clips)
    scores = rng.normal(size=150_000) + anomalous
    # 1000 draws over 15,000 thresholds: the average precision adds up several blocks.
    cells = measure(scores, frames, draw_clips(clips, 1000, 0))
    for column, oracle in (
        ("merged", roc_auc_score),
        ("average_precision", average_precision_score),
    ):
        cell, expected = cells[column], oracle(anomalous, scores)
        assert cell.value == pytest.approx(expected, abs=1e-12)
        assert expected - 0.02 < cell.low < expected < cell.high < expected + 0.02
