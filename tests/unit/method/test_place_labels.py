"""A and N among places, by hand; and which frames were looked at."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.method.place_labels import Looked, place_labels, write_place_labels
from sdor.study.settings import PlaceLabelSettings
from sdor.video.timeline import Timeline

few = settings(max_examples=25, derandomize=True, deadline=None)


def asked(**changes):
    given = {"places": 2, "anomalous_fractions": [0.1, 0.2], "normal_fraction": 0.5}
    return PlaceLabelSettings.read({**given, "normal": "typical", "moving_share": 0.75, **changes})


def scored(count=10):
    """Frames whose scores rise from 0, and places of which number 5 and 7 are the strongest."""
    places = np.zeros((count, 49))
    places[:, 5], places[:, 7] = 1 + np.arange(count), 3 * (1 + np.arange(count))
    moving = np.zeros((count, 49))
    moving[:, :7] = 0.5
    return np.arange(count, dtype=float), places, moving


def test_a_is_the_strongest_places_of_the_highest_frames():
    table = place_labels(*scored(), asked())
    for share, rows, weights in [(0, [9], [10, 30]), (1, [8, 9], [9, 27, 10, 30])]:
        members = table[table["share"] == share]
        assert members["row"].tolist() == np.repeat(rows, 2).tolist()
        assert members["place"].tolist() == [5, 7] * len(rows)
        assert set(members["label"]) == {1}
        np.testing.assert_allclose(members["weight"], np.array(weights) / sum(weights))


def test_n_is_all_places_of_the_lowest_frames_with_a_share_of_moving_ones():
    table = place_labels(*scored(), asked(normal="lowest"))
    normal = table[table["share"] == -1]
    assert set(normal["label"]) == {0}
    assert normal["row"].tolist() == np.repeat(np.arange(5), 49).tolist()
    assert normal["place"].tolist() == [*range(49)] * 5
    moves = normal["place"] < 7
    np.testing.assert_allclose(normal["weight"][moves], 0.75 / 35)
    np.testing.assert_allclose(normal["weight"][~moves], 0.25 / 210)


def test_typical_frames_are_in_the_shortest_range_that_is_not_of_a():
    scores, places, moving = scored(20)
    # Two frames are emptier than usual, eleven usual, and seven much higher but dense.
    scores[:] = [0, 1, *np.linspace(5, 6, 11), *np.linspace(50, 50.001, 7)]
    found = {
        normal: set(
            place_labels(scores, places, moving, asked(normal=normal)).query("share < 0")["row"]
        )
        for normal in ("typical", "lowest")
    }
    assert found == {"typical": {*range(2, 12)}, "lowest": {*range(10)}}


def test_a_and_n_have_no_frame_in_common():
    scores, places, moving = scored(20)
    scores[:] = [*range(10), *np.linspace(50, 50.001, 10)]  # the densest half is the highest
    table = place_labels(scores, places, moving, asked())
    groups = table.groupby("label")["row"].unique()
    assert not set(groups[0]) & set(groups[1])


def test_places_below_zero_are_drawn_from_the_lowest_up():
    scores, places, moving = scored()
    table = place_labels(scores, places - 100, moving, asked(anomalous_fractions=[0.2]))
    weights = table[table["share"] == 0]["weight"].to_numpy()
    np.testing.assert_allclose(weights, np.array([0, 18, 1, 21]) / 40)
    even = place_labels(scores, 0 * places, moving, asked(anomalous_fractions=[0.2]))
    np.testing.assert_allclose(even[even["share"] == 0]["weight"], 1 / 4)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_kind_of_places_alone_has_to_do(value):
    scores, places, moving = scored()
    table = place_labels(scores, places, np.full_like(moving, value), asked())
    np.testing.assert_allclose(table[table["share"] == -1]["weight"], 1 / (5 * 49))


@few
@given(st.integers(0, 10**6), st.integers(20, 60), st.sampled_from(["typical", "lowest"]))
def test_weights_are_probabilities(seed, count, normal):
    rng = np.random.default_rng(seed)
    scores, places = rng.normal(size=count), rng.normal(size=(count, 49))
    known = rng.random(count) < 0.8
    known[:20] = True
    settings = asked(normal=normal, anomalous_fractions=[0.05, 0.1, 0.15])
    table = place_labels(scores, places, rng.random((count, 49)) ** 4, settings, known)
    np.testing.assert_allclose(table.groupby("share")["weight"].sum(), 1)
    assert (table["weight"] >= 0).all()
    assert known[table["row"]].all()
    assert not table.duplicated(["row", "place", "share"]).any()
    frames = table.groupby("share")["row"].nunique()
    of = [int(known.sum() * part + 1e-9) for part in (0.5, 0.05, 0.1, 0.15)]
    assert frames.tolist() == of


def test_too_few_frames_and_scores_that_are_not_finite_are_refused():
    with pytest.raises(
        ValueError, match=r"9 looked-at frames .* give 0 pseudo anomalous .* at least 10 frames"
    ):
        place_labels(*scored(9), asked())
    for part in (0, 1):
        given = scored()
        given[part].flat[3] = np.nan
        with pytest.raises(ValueError, match="a score is not finite; lower learning_rate"):
            place_labels(*given, asked())


def at(*counts):
    return Timeline.of({f"clip{n}": np.arange(count) / 10 for n, count in enumerate(counts, 1)})


def test_scores_go_from_frames_that_were_looked_at_to_all_and_back():
    looked = Looked.of(at(5, 4), 5)
    assert looked.rows.tolist() == [0, 2, 4, 5, 7]
    spread = looked.spread(np.array([0.0, 2, 4, 10, 20]))
    assert spread.tolist() == [0, 1, 2, 3, 4, 10, 15, 20, 20]
    assert looked.at_rows(spread).tolist() == [0, 2, 4, 10, 20]
    places = np.zeros((5, 49))
    places[:, :4] = [6, 5, 4, 1]
    np.testing.assert_allclose(looked.frame_scores(places, 3), 5)


def subset(folder, timeline, dropped):
    index = timeline.index().assign(row=np.arange(len(timeline)), score=1.0).drop(index=dropped)
    write_parquet(folder / "initial.parquet", index, {})
    return folder / "initial.parquet"


def test_frames_that_are_not_used_have_no_scores(tmp_path):
    looked = Looked.read(subset(tmp_path, at(5, 4), [2, 3]), at(5, 4), 5)
    assert looked.known.tolist() == [True, False, True, True, True]
    assert looked.spread(np.array([0.0, 99, 4, 10, 20])).tolist() == [0, 1, 4, 10, 15, 20, 20]
    assert looked.at_rows(np.arange(7.0)).tolist() == [0, 0, 2, 3, 5]


def test_a_clip_that_is_not_looked_at_is_named(tmp_path):
    with pytest.raises(
        SdorError, match=r"clip clip2: of its frames .* none is looked at; raise fps"
    ):
        Looked.read(subset(tmp_path, at(5, 4), [5, 7]), at(5, 4), 5)


def test_files_hold_the_same_labels(tmp_path):
    scores, places, moving = scored()
    timeline = at(12, 8)
    index = subset(tmp_path, timeline, [])
    looked = Looked.read(index, timeline, 5)
    table = timeline.index().assign(score=looked.spread(scores))
    write_parquet(tmp_path / "scores.parquet", table, {})
    np.save(tmp_path / "initial.npy", np.stack([places, moving], axis=2))
    np.save(tmp_path / "places.npy", places[:, ::-1])
    output = tmp_path / "labels.parquet"
    files = {"initial.npy": places, "places.npy": places[:, ::-1]}
    for name, own in files.items():
        both = tmp_path / name, tmp_path / "initial.npy"
        write_place_labels(looked, tmp_path / "scores.parquet", both, output, asked(), about={})
        found, expected = pd.read_parquet(output), place_labels(scores, own, moving, asked())
        pd.testing.assert_frame_equal(found[list(expected)], expected)
        frames = timeline.index().iloc[looked.rows[found["row"]]].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[["clip", "frame"]], frames)
    np.save(tmp_path / "places.npy", places[1:])
    with pytest.raises(SdorError, match=r"places\.npy.*expected 10 rows"):
        write_place_labels(looked, tmp_path / "scores.parquet", both, output, asked(), about={})
