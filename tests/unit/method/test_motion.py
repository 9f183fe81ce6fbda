"""Motion starts: cells against their rows, cuts taken out, cells to places, scores of frames."""

import logging

import numpy as np
import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.files import read_about
from sdor.method.flow import Flow, read_flow
from sdor.method.motion import (
    MotionScale,
    fast_of,
    in_places,
    initial_motion,
    read_start,
    strongest,
    without_cuts,
    write_initial_motion,
)
from sdor.method.units import Units
from sdor.study.settings import StartSettings
from sdor.video.timeline import Timeline

BOTH = StartSettings(("speed", "relative_speed"))


def at(*counts):
    return Timeline.of({f"clip{n}": np.arange(count) / 10 for n, count in enumerate(counts, 1)})


def motion(timeline, speed=1.0, change=1.0, moving=0.5):
    """Flow of all frames that is the same in all cells; the first of a clip has no pair."""
    count = len(timeline)
    pairs = np.ones(count)
    pairs[[start for start, _ in timeline.spans()]] = np.nan
    each = (np.broadcast_to(one, count) * pairs for one in (speed, moving, change))
    speed, moving, change = each
    cells = np.ones((count, 12, 18))
    return Flow(
        np.arange(count),
        cells * speed[:, None, None],
        cells * moving[:, None, None],
        np.ones((count, 24, 36)) * speed[:, None, None],
        change,
    )


def events(timeline, row=3, column=4, frames=slice(20, 26), speed=9.0):
    """Ordinary motion everywhere, and a few fast cells for some frames."""
    rng = np.random.default_rng(0)
    flow = motion(timeline)
    flow.speed[:] *= rng.uniform(0.8, 1.2, flow.speed.shape)
    flow.speed[frames, row : row + 2, column : column + 2] = speed
    return flow


def test_frames_without_a_pair_take_the_nearest():
    timeline = at(4, 1, 3)
    flow = motion(timeline, speed=np.array([0, 1, 2, 3, 0, 0, 7, 8]))
    found = without_cuts(flow, timeline)
    assert found.speed[:, 0, 0].tolist() == [1, 1, 2, 3, 0, 7, 7, 8]
    assert np.isfinite(found.fine).all()
    assert found.change.tolist() == [1, 1, 1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize("cut", [[5], [5, 6], [1], [11]])
def test_pairs_across_a_cut_a_flash_or_a_broken_frame_take_the_nearest(cut):
    timeline, change = at(12), np.ones(12)
    change[cut] = 30
    found = without_cuts(motion(timeline, np.where(change > 1, 99, 1), change), timeline)
    assert (found.speed == 1).all()


@pytest.mark.parametrize("change", [np.r_[np.ones(6), np.full(6, 9)], np.linspace(1, 30, 12)])
def test_more_motion_from_now_on_is_no_cut(change):
    timeline = at(12)
    found = without_cuts(motion(timeline, speed=change, change=change), timeline)
    np.testing.assert_array_equal(found.speed[1:, 0, 0], change[1:])


def test_a_little_change_in_a_still_scene_is_no_cut():
    timeline, change = at(12), np.zeros(12)
    change[5] = 1.5  # grey values: someone who comes into view
    found = without_cuts(motion(timeline, speed=change, change=change), timeline)
    assert found.speed[5, 0, 0] == 1.5


def test_speed_is_held_against_the_fast_cells_of_the_row():
    timeline = at(30)
    flow = without_cuts(motion(timeline), timeline)
    flow.speed[:, 2] = np.linspace(0, 10, 30 * 18).reshape(30, 18)
    flow.moving[:, 5] = 0.01  # next to nothing moves there
    flow.moving[:, 6] = 0.01
    flow.moving[0, 6] = 0.5  # of 18 cells that do, no percentile is taken
    fast = fast_of(flow)
    assert fast[2] == pytest.approx(9.5)
    assert np.isinf(fast[[5, 6]]).all()
    assert fast[0] == 1
    known = np.arange(30) < 15
    assert fast_of(flow, known)[2] == pytest.approx(0.95 * flow.speed[14, 2, -1])
    scale = MotionScale(fast, {"speed": Units(1, 2), "relative_speed": Units(0.5, 0.25)})
    relative = scale.speeds("relative_speed", flow.speed)
    assert not relative[:, 5].any()
    assert (relative[:, 0] == 1).all()
    np.testing.assert_allclose(scale.measure(flow.speed)[0, 0, 0], (1 - 1) / 2 + (1 - 0.5) / 0.25)
    # Cells of half the size lie two to a row.
    assert (scale.speeds("relative_speed", flow.fine)[:, [10, 11, 12, 13]] == 0).all()


def test_the_strongest_make_the_score():
    values = np.array([[1.0, 5, 2, 4, 3], [0, 0, 0, 0, 9]])
    assert strongest(values, 3).tolist() == [4, 3]


def test_a_cell_is_in_the_places_that_it_lies_in():
    cells = np.zeros((2, 12, 18))
    cells[0, 0, 0] = 8  # wholly in the first place
    cells[1, 5, 8] = -8  # below 0: says nothing
    places = in_places(cells)
    assert places[0, 0] == pytest.approx(8)
    assert not places[0, 1:].any()
    assert not places[1].any()
    # Row 1 of 12 reaches from 1/12 to 2/12; the first place ends at 1/7, 5/7 of the way.
    cells = np.zeros((1, 12, 18))
    cells[0, 1, 0] = 1
    found = in_places(cells).reshape(7, 7)
    assert found[0, 0] == pytest.approx(np.sqrt(5 / 7))
    assert found[1, 0] == pytest.approx(np.sqrt(2 / 7))


def test_fast_cells_stand_out_and_where():
    timeline = at(60, 40)
    start = initial_motion(events(timeline), timeline, BOTH)
    assert 18 <= start.score.argmax() <= 27
    assert start.score[22] > 2 * np.delete(start.score, slice(10, 36)).max()
    places = start.places(np.array([23, 50]))
    assert places.shape == (2, 49, 2)
    assert places[0, :, 0].argmax() == 2 * 7 + 1  # row 4 of 12 and column 4 of 18 lie in it
    assert (places[..., 1] > 0.4).all()
    assert (places[..., 1] <= 0.5).all()
    total = sum(start.scale.units[name].weighed(one) for name, one in start.detectors.items())
    np.testing.assert_allclose(start.score, total)


def test_the_same_video_has_the_same_scores_by_the_scale_of_its_scene():
    timeline = at(60, 40)
    flow = events(timeline)
    start = initial_motion(flow, timeline, BOTH)
    again = initial_motion(flow, timeline, BOTH, scale=start.scale)
    np.testing.assert_array_equal(again.score, start.score)
    first = Flow(
        flow.rows[:60], flow.speed[:60], flow.moving[:60], flow.fine[:60], flow.change[:60]
    )
    alone = initial_motion(first, at(60), BOTH, scale=start.scale)
    np.testing.assert_allclose(alone.score, start.score[:60])
    np.testing.assert_allclose(alone.cells, start.cells[:60])


def test_frames_that_are_not_used_change_nothing():
    timeline, known = at(60, 40), np.ones(100, dtype=bool)
    known[30:40] = False
    flow, other = events(timeline), events(timeline)
    other.speed[30:40] = 1e6
    one, two = (initial_motion(each, timeline, BOTH, known=known) for each in (flow, other))
    np.testing.assert_allclose(two.score, one.score)
    assert not one.score[~known].any()


def test_a_long_time_that_is_not_used_is_not_quiet():
    timeline, known = at(100), np.ones(100, dtype=bool)
    known[30:70] = False
    start = initial_motion(motion(timeline, speed=3), timeline, BOTH, known=known)
    np.testing.assert_allclose(start.detectors["speed"][known], 3)


def test_nothing_moves_and_all_is_finite():
    timeline = at(20, 1)
    start = initial_motion(motion(timeline, speed=0, change=0, moving=0), timeline, BOTH)
    assert not start.score.any()
    assert not start.cells.any()


def written(folder, flow, timeline, monkeypatch, files=(), settings=BOTH):
    monkeypatch.setattr("sdor.method.motion.read_flow", lambda *_: flow)
    outputs = folder / "initial.parquet", folder / "initial.npy"
    files = {"flow": folder / "flow.parquet", **dict(files)}
    write_initial_motion(files, timeline, settings, outputs, fps=5, seed=0, about={})
    return pd.read_parquet(outputs[0]), np.load(outputs[1])


def test_the_table_has_every_detector_and_the_array_the_places(tmp_path, monkeypatch):
    timeline = at(60, 40)
    flow = events(timeline)
    table, places = written(tmp_path, flow, timeline, monkeypatch)
    start = initial_motion(flow, timeline, BOTH)
    assert list(table) == ["clip", "frame", "row", "speed", "relative_speed", "score"]
    np.testing.assert_allclose(table["score"], start.score)
    np.testing.assert_allclose(places, start.places(timeline.sampled(5)), rtol=1e-5, atol=1e-6)
    about = read_about(tmp_path / "initial.parquet")
    assert about["between_clips"].keys() == {"speed", "relative_speed", "score"}
    again = read_start(tmp_path / "flow.parquet", timeline, BOTH, tmp_path / "initial.parquet")
    np.testing.assert_allclose(again.score, start.score)
    np.testing.assert_allclose(again.cells, start.cells)


def test_a_subset_is_scored_alone(tmp_path, monkeypatch):
    timeline = at(60, 40)
    used = timeline.index().drop(index=range(20, 26))
    used.to_parquet(tmp_path / "subset.parquet")
    table, places = written(
        tmp_path, events(timeline), timeline, monkeypatch, {"subset": tmp_path / "subset.parquet"}
    )
    assert table["row"].tolist() == [*range(20), *range(26, 100)]
    assert len(places) == len(timeline.sampled(5))
    start = initial_motion(events(timeline), timeline, BOTH)
    assert table["score"].max() < 0.3 * start.score.max()


def test_what_misleads_is_told(tmp_path, monkeypatch, caplog):
    timeline = at(60, 40)
    apart = motion(timeline, speed=np.repeat([1.0, 5.0], [60, 40]))
    with caplog.at_level(logging.WARNING):
        written(tmp_path, apart, timeline, monkeypatch)
    assert "speed: 100 % of its variance lies between clips" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        written(tmp_path, motion(timeline, speed=0, change=0), timeline, monkeypatch)
    assert "nothing stands out by its motion: the highest score is 0.0 units" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        written(tmp_path, events(timeline), timeline, monkeypatch)
    assert not caplog.text


def test_appearance_is_a_detector_of_the_mean_of_places(tmp_path, monkeypatch):
    timeline = at(60, 40)
    rows = timeline.sampled(5)
    maps = np.random.default_rng(0).normal(size=(len(rows), 49, 4)).astype(np.float16)
    maps[12:14] += 9
    np.save(tmp_path / "maps.npy", maps)
    files, settings = {"maps": tmp_path / "maps.npy"}, StartSettings(("appearance",))
    table, places = written(tmp_path, motion(timeline), timeline, monkeypatch, files, settings)
    assert abs(int(table["appearance"].argmax()) - rows[13]) <= 3
    assert not places[..., 0].any()
    np.save(tmp_path / "maps.npy", maps[1:])
    with pytest.raises(SdorError, match=r"maps\.npy"):
        written(tmp_path, motion(timeline), timeline, monkeypatch, files, settings)


def test_a_missing_flow_is_named(tmp_path):
    with pytest.raises(SdorError, match=r"flow\.parquet"):
        read_flow(tmp_path / "flow.parquet", at(5))
