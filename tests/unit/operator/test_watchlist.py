"""From video to the page: what is shown of cameras, whose files some are wrong."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_walkers import walkers

from sdor.files import write_parquet
from sdor.operator.moments import pieces_of
from sdor.operator.watchlist import make_previews, moments_of, write_watchlist
from sdor.study.scenes import Clip, Scene

EVENT = {
    "event": "0123456789",
    "rank": 1,
    "clip": "night",
    "first": 20,
    "last": 40,
    "peak": 30,
    "begin": 1.9,
    "end": 3.9,
    "stretch": 0,
    "begin_seconds": 1.9,
    "end_seconds": 3.9,
    "peak_time": 2.9,
    "score": 2.0,
    "unusual": 9.0,
    "percentile": 100.0,
    "group": "unlike",
    "kind": "moment",
    "clock": pd.Timestamp("2026-11-26 13:00:02.900"),
    "x0": 0.1,
    "y0": 0.2,
    "x1": 0.3,
    "y1": 0.4,
}
CHANGE = {"event": "change50", "rank": 0, "group": "", "kind": "picture changed"}
CHANGE |= dict.fromkeys(("score", "unusual", "percentile", "x0", "y0", "x1", "y1"), np.nan)


@pytest.fixture
def gate(tmp_path, write_video):
    """A camera with one file, and what was made of it."""
    path = write_video(tmp_path / "night.mkv", walkers()[0][2][..., np.newaxis], fps=10)
    scene = Scene("gate", tmp_path, (Clip("night", "video", path, path.name),))
    folder = tmp_path / "results/gate/watch"
    write_parquet(folder / "events.parquet", pd.DataFrame([EVENT, {**EVENT, **CHANGE}]), {})
    heat = np.zeros((2, 24, 36), dtype=np.float32)
    heat[0, 5:9, 4:12] = 3
    np.save(folder / "heat.npy", heat)
    scores = {"clip": "night", "time": np.arange(60) / 10, "score": np.arange(60.0)}
    write_parquet(folder / "scores.parquet", pd.DataFrame(scores), {})
    rows = [
        {
            "clip": "night",
            "source": "night.mkv",
            "seconds": 6.0,
            "failure": "",
            "remarks": ["near frame 3: odd"],
        },
        {
            "clip": "i",
            "source": "<i>.mp4",
            "seconds": 0.0,
            "failure": f"{tmp_path}/<i>.mp4: cannot be read",
            "remarks": [],
        },
    ]
    looks = pd.DataFrame(rows).assign(stretch=[0, -1], offset=0.0, first=0.0)
    write_parquet(folder / "looks.parquet", looks, {"root": str(tmp_path)})
    return scene, folder


def written(gate, tmp_path, **more):
    scene, folder = gate
    assert make_previews(scene, folder, folder / "previews", 3.0) == 2
    outputs = tmp_path / "results/watchlist.html", tmp_path / "results/watchlist.csv"
    given = {"lead": 3.0, "settings": {"events": {"budget": 20}}, **more}
    assert write_watchlist([scene], [folder], outputs, **given) == 2
    return outputs[0].read_text(), list(csv.DictReader(outputs[1].open()))


def test_a_page_shows_moments_changes_and_what_was_not_read(gate, tmp_path):
    page, _ = written(gate, tmp_path, left=[("a: b.mp4", "is still being written")])
    assert page.count("data:video/mp4;base64,") == 2
    for words in ("2026-11-26 13:00:02", "cannot be read", "odd", "is still being written"):
        assert words in page
    assert "<bdi>a: b.mp4</bdi></code>: is still being written" in page
    assert "(3 of 3 files)" in page
    assert page.count("<section aria-labelledby") == 2
    assert "Highest of the ordinary" not in page
    assert "<i>.mp4" not in page
    assert str(tmp_path / "<i>") not in page
    assert "budget: 20" in page


def test_a_table_has_a_row_a_moment_with_its_preview(gate, tmp_path):
    _, rows = written(gate, tmp_path)
    assert [row["event"] for row in rows] == ["0123456789", "change50"]
    first = rows[0]
    assert (first["camera"], first["rank"], first["peak_frame"]) == ("gate", "1", "30")
    assert (tmp_path / "results" / first["preview"]).is_file()
    assert Path(first["preview"]).parts[:2] == ("gate", "watch")
    assert first["clock"] == "2026-11-26T13:00:02.900"


def test_cameras_share_one_order(gate, tmp_path):
    scene, folder = gate
    other = folder.parents[1] / "yard/watch"
    for name in ("heat.npy", "scores.parquet", "looks.parquet"):
        other.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes((folder / name).read_bytes())
    rows = [{**EVENT, "event": "a", "unusual": 20.0}, {**EVENT, "event": "b", "group": "ordinary"}]
    write_parquet(other / "events.parquet", pd.DataFrame(rows), {})
    yard = Scene("yard", scene.root, scene.clips)
    outputs = tmp_path / "results/watchlist.html", tmp_path / "results/watchlist.csv"
    write_watchlist([scene, yard], [folder, other], outputs, lead=3.0, settings={})
    table = pd.read_csv(outputs[1], dtype={"event": str})
    assert [*table["event"]] == ["a", "0123456789", "b", "change50"]
    assert [*table["rank"]][:3] == [1, 2, 3]


def test_a_file_that_a_recorder_deletes_meanwhile_loses_its_pictures_only(gate, tmp_path, caplog):
    scene, folder = gate
    scene.clips[0].path.unlink()
    page, rows = written((replace(scene, clips=()), folder), tmp_path)
    assert page.count("no picture can be made of it") == 2
    assert f"ffplay -ss 1.9 -t 2.0 {tmp_path}/night.mkv" in page
    assert [(row["source"], row["preview"]) for row in rows] == [("night.mkv", "")] * 2
    assert "moment 0123456789 is not shown" in caplog.text


@pytest.mark.parametrize(("home", "shown"), [("", 50), ("../watchlist.html", 200)])
def test_a_page_has_a_limit_for_moments_and_changes_together(gate, tmp_path, home, shown):
    scene, folder = gate
    events = [*([EVENT] * 180), *([{**EVENT, **CHANGE}] * 60)]
    write_parquet(folder / "events.parquet", pd.DataFrame(events), {})
    np.save(folder / "heat.npy", np.zeros((240, 24, 36), dtype=np.float32))
    outputs = tmp_path / "watchlist.html", tmp_path / "watchlist.csv"
    write_watchlist([scene], [folder], outputs, lead=3.0, home=home, settings={})
    page = outputs[0].read_text()
    assert page.count("<article") == shown
    assert f"240 moments ({shown} of 240 are shown, the rest is in watchlist.csv)" in page
    assert len(pd.read_csv(outputs[1])) == 240


@pytest.mark.parametrize(
    ("seconds", "failure", "reason"),
    [(0.0, "", "nothing of it can be read"), (6.0, "too little video", "too little video")],
)
def test_a_camera_without_scores_is_listed_with_the_reason(
    gate, tmp_path, seconds, failure, reason
):
    scene, folder = gate
    looks = pd.read_parquet(folder / "looks.parquet").assign(seconds=seconds)
    write_parquet(folder / "looks.parquet", looks, {"root": str(tmp_path)})
    for name in ("events", "scores"):
        table = pd.read_parquet(folder / f"{name}.parquet").iloc[:0]
        write_parquet(folder / f"{name}.parquet", table, {"failure": failure} if failure else {})
    np.save(folder / "heat.npy", np.zeros((0, 24, 36), dtype=np.float32))
    assert make_previews(scene, folder, folder / "previews", 3.0) == 0
    outputs = tmp_path / "watchlist.html", tmp_path / "watchlist.csv"
    assert write_watchlist([scene], [folder], outputs, lead=3.0, settings={}) == 0
    page = outputs[0].read_text()
    assert f"<code><bdi>gate</bdi></code>: {reason}" in page
    assert "tands out" not in page
    assert outputs[1].read_text().count("\n") == 1


def test_heat_is_on_one_scale_for_a_camera(gate):
    scene, folder = gate
    write_parquet(folder / "events.parquet", pd.DataFrame([EVENT, {**EVENT, "event": "b"}]), {})
    heat = np.load(folder / "heat.npy")
    heat[1] = heat[0] / 4
    np.save(folder / "heat.npy", heat)
    assert [one.heat.max() for one in moments_of(scene, folder, 3.0)] == [1, 0.25]


def test_a_clip_that_is_there_is_as_its_scene_says(gate):
    scene, folder = gate
    clip = replace(scene.clips[0], first=3, fps=5.0)
    found = moments_of(replace(scene, clips=(clip,)), folder, 3.0)
    assert [one.clip for one in found] == [clip, clip]


def test_an_event_is_shown_in_all_its_files(gate, tmp_path):
    scene, folder = gate
    looks = pd.read_parquet(folder / "looks.parquet").iloc[[0, 0]]
    names = {"clip": ["evening", "night"], "source": ["evening.mkv", "night.mkv"]}
    looks = looks.assign(**names, offset=[0.0, 6.5], first=[0.0, 0.5])
    write_parquet(folder / "looks.parquet", looks, {"root": str(tmp_path)})
    ends = {"begin": 0.5, "begin_seconds": 5.0, "end_seconds": 9.9}
    write_parquet(folder / "events.parquet", pd.DataFrame([{**EVENT, **ends}]), {})
    np.save(folder / "heat.npy", np.zeros((1, 24, 36), dtype=np.float32))
    (found,) = moments_of(scene, folder, 3.0)
    assert [(it.clip.source, it.begin, it.end) for it in found.loop] == [
        ("evening.mkv", 2.0, 6.0),
        ("night.mkv", 0.5, pytest.approx(3.9)),
    ]
    assert found.seconds == pytest.approx(1.0 + 3.4)


def test_pieces_are_what_there_is_of_a_stretch():
    rows = [("b", 1, 10.0, 2.0), ("z", 0, 0.0, 0.0), ("c", 1, 25.0, 0.0), ("a", 1, 0.0, 0.0)]
    looks = pd.DataFrame(rows, columns=["clip", "stretch", "offset", "first"]).assign(seconds=10.0)
    assert pieces_of(looks, 1, 8.0, 30.0) == [("a", 8, 10), ("b", 2, 12), ("c", 0, 5)]
    assert pieces_of(looks, 1, -9.0, 10.0) == [("a", 0, 10)]
    assert pieces_of(looks, 1, 10.0, 10.0) == [("b", 2, 2)]
    assert pieces_of(looks, 1, 21.0, 24.0) == []


def test_curves_are_of_what_is_near_in_any_file(gate):
    scene, folder = gate
    time = np.tile(np.arange(10_000) / 10, 2)
    scores = pd.DataFrame({"clip": np.repeat(["day", "night"], 10_000), "time": time})
    scores["score"] = np.arange(20_000.0)
    # Parts of a clip are in several row groups.
    scores.to_parquet(folder / "scores.parquet", row_group_size=3000)
    events = pd.DataFrame([{**EVENT, "peak_time": at} for at in (2.9, 400.0)])
    write_parquet(folder / "events.parquet", events, {})
    early, late = (one.curve for one in moments_of(scene, folder, 3.0))
    assert early[[0, -1], 0].tolist() == [0, 152.9]
    assert early[0, 1] == 10_000
    assert late[[0, -1], 0].tolist() == [250, 550]
    assert (np.diff(late[:, 1]) == 1).all()


def test_a_round_that_moved_nothing_says_so(gate, tmp_path):
    scene, watch = gate
    folder = watch / "round1"
    for name in ("events.parquet", "heat.npy", "scores.parquet"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes((watch / name).read_bytes())
    outputs = tmp_path / "gate.html", tmp_path / "gate.csv"
    write_watchlist([scene], [folder], outputs, lead=3.0, home="all.html", settings={})
    assert "<p>Since the last round of marks: nothing moved</p>" in outputs[0].read_text()


def test_a_damaged_list_before_stops_no_page(gate, tmp_path):
    scene, watch = gate
    folder = watch / "round1"
    folder.mkdir()
    for name in ("events.parquet", "heat.npy", "scores.parquet"):
        (folder / name).write_bytes((watch / name).read_bytes())
    (watch / "events.parquet").write_bytes(b"PAR1")
    outputs = tmp_path / "gate.html", tmp_path / "gate.csv"
    write_watchlist([scene], [folder], outputs, lead=3.0, settings={})
    page = outputs[0].read_text()
    assert "watch/events.parquet: the list before cannot be read: what moved" in page
    assert "since the last round of marks" not in page


def test_the_page_of_a_round_says_what_the_marks_moved(gate, tmp_path):
    scene, watch = gate
    spans = {"a": (1, 10), "b": (20, 30), "c": (40, 50), "d": (52, 60)}
    rows = [
        {**EVENT, "event": name, "rank": rank, "first": first, "last": last, "mark": ""}
        for rank, (name, (first, last)) in enumerate(spans.items(), start=1)
    ]
    write_parquet(watch / "events.parquet", pd.DataFrame(rows), {})
    for row, rank in zip(rows, (2, 1, 0, 3), strict=True):
        row["rank"] = rank
    rows[2] |= {"mark": "anomaly", "group": "marked"}
    folder = watch / "round1"
    about = {"dismissed": [], "gone": 3}
    write_parquet(folder / "events.parquet", pd.DataFrame(rows[:3]), about)
    np.save(folder / "heat.npy", np.zeros((3, 24, 36), dtype=np.float32))
    (folder / "scores.parquet").write_bytes((watch / "scores.parquet").read_bytes())
    outputs = tmp_path / "gate.html", tmp_path / "gate.csv"
    write_watchlist([scene], [folder], outputs, lead=3.0, home="all.html", settings={})
    page = outputs[0].read_text()
    assert "Since the last round of marks: 1 fell, 1 left, 1 rose" in page
    assert "<li>fell from 1 to 2: 0:01.9 of <code><bdi>night.mkv</bdi></code></li>" in page
    assert "<li>left, before 3:" in page
    assert page.index("Unlike the rest") < page.index("Marked as anomalies")
    assert '<span class="changed">Anomaly</span>' in page
    assert pd.read_csv(outputs[1])["mark"].fillna("").tolist() == ["", "", "anomaly"]
    gone = "3 marks are of clips that are gone: nothing is learnt from them</p>"
    assert f"<p>{gone}" in page
    # The page of all cameras has a line of each.
    np.save(watch / "heat.npy", np.zeros((4, 24, 36), dtype=np.float32))
    write_watchlist([scene, scene], [folder, watch], outputs, lead=3.0, settings={})
    page = outputs[0].read_text()
    words = "<p><bdi>gate</bdi>, since the last round of marks: 1 fell, 1 left, 1 rose</p>"
    assert page.count("since the last round of marks") == page.count(words) == 1
    assert f"<p><bdi>gate</bdi>: {gone}" in page
