from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from sdor.competitors import unmasking
from sdor.competitors.motion import MotionCubes
from sdor.competitors.two_sample_test import two_sample_scores
from sdor.competitors.unmasking import (
    MAX_WINDOWS,
    Appearance,
    Windows,
    bounded_windows,
    fit_in_span,
    smooth,
    unmask,
    unmasking_scores,
    write_channel_scores,
)
from sdor.errors import SdorError
from sdor.files import read_about
from sdor.video.store import FrameStore

WINDOWS = Windows()
BOTH = {"unmasking": unmasking_scores, "two_sample_test": partial(two_sample_scores, seed=0)}
LABELS = np.repeat([0, 1], [11, 10])
WITH_HISTORY = np.repeat([0, 1], [21, 10])


def similar_rows(labels, dims, change, seed):
    """Rows as neighbouring frames are: a common part, noise, and a part that class 1 adds."""
    rng = np.random.default_rng(seed)
    common = np.abs(rng.normal(size=dims))
    rows = common + 0.5 * rng.normal(size=(len(labels), dims))
    rows += change * labels[:, np.newaxis] * rng.normal(size=dims)
    return np.maximum(rows, 0)


def exact_model(**more):
    return LogisticRegression(
        C=0.5, fit_intercept=False, solver="newton-cholesky", tol=1e-10, max_iter=1000, **more
    )


class FrameNumbers:
    """A channel whose only feature is the frame's number, plus 1000 in the second bin."""

    def rows(self, frames):
        return np.stack([frames, frames + 1000], axis=1)[..., np.newaxis].astype(np.float64)


def scripted(monkeypatch, accuracy, seen=None):
    """Replace the fits: `accuracy` maps (first frame of the window, bin) to the score."""

    def unmask_by_script(rows, labels, *_, **__):
        numbers = rows[:, 0].astype(int)
        place, window = divmod(int(numbers[-1]), 1000)
        if seen is not None and place == 0:
            seen.append((numbers, labels))
        return np.full(10, accuracy(window - 2 * int(labels.sum()), place))

    monkeypatch.setattr(unmasking, "unmask", unmask_by_script)


def moments(frames=115, dims=500, changed=slice(85, 100)):
    """Bins of a scene that drifts slowly; in `changed`, one bin looks different."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 4, frames)
    drift = np.stack([np.sin(time), np.cos(time)])
    common = 1 + np.abs(rng.normal(size=(4, dims)))
    bins = common + 0.3 * np.einsum("bdk,kt->tbd", rng.normal(size=(4, dims, 2)), drift)
    bins += 0.1 * rng.normal(size=bins.shape)
    bins[changed, 2] += 1.5 * rng.normal(size=dims)
    return Appearance(np.maximum(bins, 0).astype(np.float16))


def street(frames, changed, seed=0):
    """Grey frames where one square walks, and another one runs through in `changed`."""
    rng = np.random.default_rng(seed)
    video = 80 + rng.normal(0, 1, (frames, 120, 160))
    for frame in range(frames):
        video[frame, 20:34, 10 + frame // 2 : 20 + frame // 2] += 110
        if changed.start <= frame < changed.stop:
            x = 10 + 6 * (frame - changed.start)
            video[frame, 80:100, x : x + 20] += 150
    return video.clip(0, 255).astype(np.uint8)[..., np.newaxis]


@pytest.mark.parametrize(("labels", "weighed"), [(LABELS, False), (WITH_HISTORY, True)])
@pytest.mark.parametrize("change", [0.0, 0.3, 1.0])
def test_the_fit_in_the_span_is_the_fit_on_all_features(labels, weighed, change):
    rows = normalize(similar_rows(labels, 600, change, seed=1))
    weights = {0: 21.0, 1: 10.0} if weighed else None
    expected = exact_model(class_weight=weights).fit(rows, labels)
    model = LogisticRegression(
        C=0.5, fit_intercept=False, solver="liblinear", tol=1e-6, class_weight=weights
    )
    shares, decisions = fit_in_span(rows @ rows.T, labels, model)
    scale = np.abs(expected.coef_).max()
    np.testing.assert_allclose(shares @ rows, expected.coef_[0], atol=1e-3 * scale)
    np.testing.assert_allclose(decisions, expected.decision_function(rows), atol=1e-4)


@pytest.mark.parametrize(("labels", "weighed"), [(LABELS, False), (WITH_HISTORY, True)])
@pytest.mark.parametrize("change", [0.0, 0.3, 0.6])
def test_unmasking_drops_the_same_features_as_a_literal_reading(
    monkeypatch, labels, weighed, change
):
    dims, windows = 700, Windows(loops=6)
    rows = similar_rows(labels, dims, change, seed=2)
    rows[4] = 0  # a frame where nothing moves
    model = exact_model(class_weight={0: 21.0, 1: 10.0} if weighed else None)
    left, accuracies, removed = np.arange(dims), [], []
    for _ in range(windows.loops):
        unit = normalize(rows[:, left])
        model.fit(unit, labels)
        decisions = model.decision_function(unit)
        accuracies.append(np.mean((1 + np.sign(decisions) * (2 * labels - 1)) / 2))
        order = np.argsort(model.coef_[0])
        out = np.concatenate([order[:25], order[-25:]])
        removed.append(set(left[out]))
        left = np.delete(left, out)

    chosen = []
    extremes = unmasking._extremes

    def watched(weights, count):
        chosen.append(extremes(weights, count))
        return chosen[-1]

    monkeypatch.setattr(unmasking, "_extremes", watched)
    found = unmask(rows, labels, windows, weigh_classes=weighed)
    np.testing.assert_allclose(found, accuracies)
    assert len(chosen) == windows.loops - 1
    left = np.arange(dims)
    for out, expected in zip(chosen, removed[:-1], strict=True):
        assert set(left[out]) == expected
        left = np.delete(left, out)


def test_a_bin_where_nothing_moves_tells_nothing():
    found = unmask(np.zeros((21, 500)), LABELS, WINDOWS)
    np.testing.assert_allclose(found, np.full(10, 0.5))


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("still", [slice(0), slice(0, 5), slice(11, 21), slice(8, 16)])
def test_past_and_present_are_judged_alike(still, weighed):
    rows = similar_rows(LABELS, 700, 0.3, seed=3)
    rows[still] = 0
    one, other = (
        unmask(rows, labels, WINDOWS, weigh_classes=weighed) for labels in (LABELS, 1 - LABELS)
    )
    np.testing.assert_allclose(one, other)


@pytest.mark.parametrize("scores", BOTH.values(), ids=BOTH)
def test_motion_that_stops_is_seen_as_motion_that_begins_is(scores):
    rows = np.random.default_rng(4).random((60, 1, 500)) + 1
    rows[30:] = 0

    class Bins:
        def __init__(self, values):
            self.values = values

        def rows(self, frames):
            return self.values[frames]

    # A last half that is still, and nothing else, had 11/21: the larger class.
    stops, begins = (scores(Bins(values), [60], WINDOWS) for values in (rows, rows[::-1].copy()))
    # The halves of a window have 11 and 10 frames, so the frame in the middle is all that differs.
    assert stops.max() == pytest.approx(begins.max(), abs=0.5 / 21)
    assert min(stops.max(), begins.max()) > 0.6


def test_scores_go_to_the_last_half_and_are_averaged_by_hand(monkeypatch):
    # Windows of 5 frames start at 0, 2 and 3; the higher of the two bins counts.
    accuracy = {(0, 0): 0.6, (0, 1): 0.7, (2, 0): 0.8, (2, 1): 0.1, (3, 0): 0.2, (3, 1): 1.0}
    scripted(monkeypatch, lambda start, place: accuracy[start, place])
    monkeypatch.setattr(unmasking, "smooth", lambda scores, _: scores)
    found = unmasking_scores(FrameNumbers(), [8], Windows(half=2, stride=2))
    np.testing.assert_allclose(found, [0.5, 0.5, 0.5, 0.7, 0.7, 0.8, 0.9, 1.0])


def test_smoothing_by_hand_stays_in_the_clip():
    one, two = np.exp(-1 / 338), np.exp(-4 / 338)  # 2 sigma^2 = 338
    found = smooth(np.array([1.0, 0.0, 0.0, 5.0]), [3, 1])
    expected = [1 / (1 + one + two), one / (1 + 2 * one), two / (1 + one + two), 5.0]
    np.testing.assert_allclose(found, expected)


def test_smoothing_has_25_taps():
    impulse = np.zeros(60)
    impulse[30] = 1
    assert list(np.flatnonzero(smooth(impulse, [60]))) == list(range(18, 43))


def test_fusing_before_or_after_smoothing_is_the_same():
    scores = list(np.random.default_rng(0).random((2, 70)))
    smoothed = [smooth(values, [50, 20]) for values in scores]
    fused = smooth(np.mean(scores, axis=0), [50, 20])
    np.testing.assert_allclose(np.mean(smoothed, axis=0), fused)


@pytest.mark.parametrize("stride", range(1, 11))
def test_every_frame_from_the_twelfth_on_is_scored(stride):
    for length in range(45):
        starts = Windows(stride=stride).starts(length)
        scored = {t for start in starts for t in range(start + 11, start + 21)}
        assert scored == set(range(11, length) if length > 20 else ())


def test_the_stride_grows_with_the_scene_but_not_beyond_the_window():
    assert bounded_windows([163] * 28).stride == 5  # Ped2
    assert bounded_windows([75_000]).stride == 5
    assert bounded_windows([100_000]).stride == 7
    assert bounded_windows([150_000]).stride == 10
    assert len(bounded_windows([150_000]).starts(150_000)) <= MAX_WINDOWS
    assert bounded_windows([10**7]).stride == 10


@pytest.mark.parametrize("scores", BOTH.values(), ids=BOTH)
def test_clips_shorter_than_a_window_know_nothing(scores):
    found = scores(moments(frames=42, changed=slice(0, 0)), [20, 1, 21], WINDOWS)
    np.testing.assert_allclose(found[:21], 0.5)
    assert found[21:].max() > 0.5


@pytest.mark.parametrize("scores", BOTH.values(), ids=BOTH)
def test_a_change_of_appearance_scores_highest(scores):
    scores = scores(moments(), [115], WINDOWS)
    assert 80 <= scores.argmax() < 105
    assert scores[83:102].min() > scores[:70].max()


@pytest.mark.parametrize("scores", BOTH.values(), ids=BOTH)
def test_a_change_of_motion_scores_highest(tmp_path, scores):
    np.save(tmp_path / "a.npy", street(130, changed=slice(90, 110)))
    channel = MotionCubes(FrameStore({"a": tmp_path / "a.npy"}))
    assert 85 <= scores(channel, [130], Windows(stride=10)).argmax() < 120


def test_a_clip_is_scored_as_if_it_were_alone():
    channel = moments(frames=100, changed=slice(30, 45))
    few = Windows(loops=3)
    both = unmasking_scores(channel, [60, 40], few)
    first = unmasking_scores(Appearance(channel.bins[:60]), [60], few)
    second = unmasking_scores(Appearance(channel.bins[60:]), [40], few)
    np.testing.assert_array_equal(both, np.concatenate([first, second]))


def test_rows_that_windows_share_are_made_once(monkeypatch):
    asked = []

    class Counting(FrameNumbers):
        def rows(self, frames):
            asked.extend(frames.tolist())
            return super().rows(frames)

    scripted(monkeypatch, lambda *_: 0.5)
    unmasking_scores(Counting(), [63, 50], WINDOWS)
    assert asked == list(range(113))


def test_history_joins_the_first_class_when_it_is_late_enough(monkeypatch):
    seen = []
    scripted(monkeypatch, lambda *_: 0.75, seen)
    two_sample_scores(FrameNumbers(), [200], WINDOWS, seed=0)
    starts = [int(numbers[-1]) - 20 for numbers, _ in seen]
    assert starts == [*range(0, 179, 5), 179]
    for start, (numbers, labels) in zip(starts, seen, strict=True):
        past = numbers[:-21]
        assert list(numbers[-21:]) == list(range(start, start + 21))
        assert len(past) == (10 if start >= 65 else 0)
        assert list(labels) == [0] * (len(past) + 11) + [1] * 10
        assert len(set(past)) == len(past)
        assert all(11 <= frame < start for frame in past)
    drawn = [frame for numbers, _ in seen for frame in numbers[:-21]]
    assert max(drawn) > 65  # frames after the first pool have joined it
    assert len(set(drawn)) <= 50 + len(seen)


def test_history_is_left_out_while_recent_scores_are_below_the_mean(monkeypatch):
    seen = []
    scripted(monkeypatch, lambda start, _: 0.9 if start < 50 or start >= 110 else 0.6, seen)
    two_sample_scores(FrameNumbers(), [200], WINDOWS, seed=0)
    asked = {int(numbers[-1]) - 20 for numbers, _ in seen if len(numbers) > 21}
    # Windows from 50 on give 0.6 to frames from 61 on, windows from 110 on 0.9 from 121 on.
    assert not asked & set(range(75, 125))
    assert asked >= set(range(140, 180, 5))


def test_the_seed_decides_the_two_sample_test(monkeypatch):
    monkeypatch.setattr(unmasking, "unmask", lambda rows, *_, **__: rows[:, 0] % 1000 / 1000)
    first = two_sample_scores(FrameNumbers(), [100, 100], WINDOWS, seed=1)
    np.testing.assert_array_equal(
        first, two_sample_scores(FrameNumbers(), [100, 100], WINDOWS, seed=1)
    )
    other = two_sample_scores(FrameNumbers(), [100, 100], WINDOWS, seed=2)
    plain = unmasking_scores(FrameNumbers(), [100, 100], WINDOWS)
    for clip in (slice(0, 100), slice(100, 200)):
        assert not np.allclose(first[clip], other[clip])
        assert not np.allclose(first[clip], plain[clip])
        # No history so far: windows with it score frames from the 76th on, which 12 taps reach.
        np.testing.assert_allclose(first[clip][:64], plain[clip][:64])


def test_appearance_has_unit_length_per_bin():
    bins = np.random.default_rng(0).random((6, 4, 30)).astype(np.float16)
    bins[2, 1] = 0
    lengths = np.linalg.norm(Appearance(bins).rows(np.array([0, 2])), axis=2)
    np.testing.assert_allclose(lengths, [[1, 1, 1, 1], [1, 0, 1, 1]], rtol=1e-5)
    bins[5, 3, 7] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        Appearance(bins).rows(np.array([5]))


@pytest.fixture
def scene(tmp_path):
    """Files of a scene of two clips, of 24 and of 21 frames."""
    channel = moments(frames=45, dims=512, changed=slice(12, 18))
    np.save(tmp_path / "bins.npy", channel.bins)
    clips = {"b": tmp_path / "b.npy", "a": tmp_path / "a.npy"}
    np.save(clips["b"], street(24, changed=slice(12, 18)))
    np.save(clips["a"], street(21, changed=slice(12, 12), seed=1))
    outputs = {name: tmp_path / f"{name}.parquet" for name in ("appearance", "motion", "fused")}
    return {"bins_path": tmp_path / "bins.npy", "grey_files": clips, "outputs": outputs}


@pytest.mark.parametrize("scores", BOTH.values(), ids=BOTH)
def test_three_tables_with_every_frame_come_out(scene, scores):
    write_channel_scores(scores, **scene, about={"scene": "gate"})
    tables = {name: pd.read_parquet(path) for name, path in scene["outputs"].items()}
    for table in tables.values():
        assert list(table) == ["clip", "frame", "score"]
        assert list(table["clip"]) == ["b"] * 24 + ["a"] * 21
        assert list(table["frame"]) == [*range(1, 25), *range(1, 22)]
        assert table["score"].between(0, 1).all()
    fused = (tables["appearance"]["score"] + tables["motion"]["score"]) / 2
    np.testing.assert_allclose(tables["fused"]["score"], fused)
    assert not np.allclose(tables["appearance"]["score"], tables["motion"]["score"])
    about = read_about(scene["outputs"]["fused"])
    assert about == {"score": "the higher, the more anomalous", "scene": "gate", "stride": 5}


@pytest.mark.parametrize(
    ("bins", "reason"),
    [
        (np.ones((44, 4, 512)), "expected 45 rows, as its table has, found 44"),
        (np.ones((45, 4, 64)), "64 features a bin, but unmasking removes 450"),
        (np.full((45, 4, 512), np.nan), "not finite"),
    ],
)
def test_unfit_bins_are_refused_by_name(scene, bins, reason):
    np.save(scene["bins_path"], bins.astype(np.float16))
    with pytest.raises(SdorError, match=rf"bins\.npy: .*{reason}"):
        write_channel_scores(unmasking_scores, **scene, about={})


def test_damaged_bins_are_named(scene):
    scene["bins_path"].write_bytes(scene["bins_path"].read_bytes()[:5000])
    with pytest.raises(SdorError, match=r"bins\.npy: damaged or missing"):
        write_channel_scores(unmasking_scores, **scene, about={})
