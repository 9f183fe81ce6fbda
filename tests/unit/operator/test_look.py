"""One look sees what the workflow's stages see, once a file; what was learnt scores any piece."""

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from synthetic_walkers import QUICK as METHOD
from synthetic_walkers import RUNS, walkers

from sdor.errors import SdorError
from sdor.files import digest, read_about, write_parquet
from sdor.method.flow import flow_of
from sdor.method.maps import PlaceMaps, seeing
from sdor.method.marks import read_marks
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.operator.archive import Archive, content_of, look_at_camera
from sdor.operator.basis import camera_basis
from sdor.operator.look import CELLS, Eye, look, sampled
from sdor.operator.model import MARGIN, CameraModel
from sdor.operator.moments import clocks_of, write_moments
from sdor.operator.pace import Pace
from sdor.operator.rank import rank
from sdor.study.scenes import Clip, Scene
from sdor.study.settings import EventSettings
from sdor.video.frames import extract_frames, read_clip
from sdor.video.picture import Picture
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline

COMPUTE = choose_compute("cpu", "fp32")
BLIND = Eye(lambda pictures: np.zeros((len(pictures), 49, 1), np.float16), 8, 5.0)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    resolve_weights("resnet18", "random", file)
    return load_backbone(file)


@pytest.fixture(scope="module")
def films(tmp_path_factory, write_video):
    """Three files of six seconds, in the last of which one runs."""
    folder = tmp_path_factory.mktemp("films")
    for number, frames in enumerate(walkers()[0], start=1):
        write_video(folder / f"{number}.mkv", frames[..., np.newaxis], fps=10)
    return folder


@pytest.fixture
def camera(films, tmp_path):
    root = Path(shutil.copytree(films, tmp_path / "films"))
    clips = [Clip(f"clip{n}", "video", root / f"{n}.mkv", f"{n}.mkv") for n in (1, 2, 3)]
    return Scene("gate", root, tuple(clips))


@pytest.fixture(scope="module")
def basis(films, backbone):
    clips = [Clip(f"clip{n}", "video", films / f"{n}.mkv", f"{n}.mkv") for n in (1, 2, 3)]
    scene = Scene("gate", films, tuple(clips))
    return camera_basis(scene, backbone, COMPUTE, METHOD.maps, METHOD.input_size)


@pytest.fixture(scope="module")
def eye(backbone, basis):
    see = seeing(PlaceMaps(backbone, METHOD.maps.stages), COMPUTE, basis)
    return Eye(see, METHOD.input_size, METHOD.maps.fps)


@pytest.fixture(scope="module")
def watched(films, eye, basis, tmp_path_factory):
    """A folder with all that is made of the camera."""
    folder = tmp_path_factory.mktemp("watch")
    clips = [Clip(f"clip{n}", "video", films / f"{n}.mkv", f"{n}.mkv") for n in (1, 2, 3)]
    looked_at(Scene("gate", films, tuple(clips)), eye, folder)
    ranked(folder, basis)
    return folder


def looked_at(camera, eye, folder, said=None):
    return look_at_camera(
        camera,
        eye,
        (folder / "looks.parquet", folder / "looks"),
        threads=1,
        say=[].append if said is None else said.append,
        about={},
    )


def ranked(folder, basis, said=None):
    outputs = [folder / name for name in ("model.safetensors", "scores.parquet")]
    return rank(
        (folder / "looks.parquet", folder / "looks"),
        tuple(outputs),
        METHOD,
        basis,
        seed=0,
        compute=COMPUTE,
        about={"camera": "gate"},
        say=[].append if said is None else said.append,
    )


@pytest.mark.parametrize("rate", [5, 10, 24, 30])
def test_frames_are_sampled_as_on_a_timeline(eye, rate):
    times = np.arange(3 * rate) / rate + 0.5
    pictures = [
        Picture(n, t, lambda: np.zeros((8, 8, 3), np.uint8)) for n, t in enumerate(times, 1)
    ]
    rows = [*sampled(pictures, eye)]
    timeline = Timeline.of({"clip": times})
    expected = timeline.sampled(10.0)
    assert [row.frame - 1 for row in rows] == expected.tolist()
    before = times[timeline.before(expected, 0.1)]
    np.testing.assert_allclose([row.pair[2] for row in rows], times[expected] - before)
    looked = [row.frame - 1 for row in rows if row.picture is not None]
    assert looked == timeline.sampled(5.0).tolist()


def test_only_what_is_needed_of_a_picture_is_converted(eye):
    converted = []

    def convert(number):
        converted.append(number)
        return np.zeros((8, 8, 3), np.uint8)

    pictures = [Picture(n, n / 100, lambda n=n: convert(n)) for n in range(100)]
    assert len([*sampled(pictures, eye)]) == 10
    assert len(converted) == len(set(converted)) <= 20


def test_images_without_a_rate_begin_at_nought():
    images = [Picture(n, np.nan, lambda: np.zeros((8, 8, 3), np.uint8)) for n in (1, 2, 3)]
    assert [row.time for row in sampled(images, BLIND)] == [0.0, 0.1, 0.2]


def test_motion_is_that_of_the_stage(camera, eye, tmp_path):
    file = tmp_path / "clip3.npy"
    found = extract_frames(camera.clips[2], [], CELLS, file)
    expected = flow_of(FrameStore({"clip3": file}), Timeline.of({"clip3": found.times}))
    looks = [*look(read_clip(camera.clips[2], []), eye)]
    for name in ("speed", "moving", "change"):
        seen = np.concatenate([getattr(one, name) for one in looks])
        np.testing.assert_allclose(seen, getattr(expected, name), rtol=1e-6)


def test_a_new_day_is_looked_at_alone(camera, eye, tmp_path):
    days, said = tmp_path / "watch", []
    first = Scene("gate", camera.root, camera.clips[:2])
    looked_at(first, eye, days, said)
    times = {path: path.stat().st_mtime_ns for path in days.glob("looks/*/*.npz")}
    table = looked_at(camera, eye, days, said)
    assert [*table["clip"]] == ["clip1", "clip2", "clip3"]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert len([*days.glob("looks/*/*.npz")]) == 3
    assert said[-1].endswith("; 2 files were looked at before")


def test_a_look_outlives_a_disk_that_is_away_and_is_removed_after_a_week(camera, eye, tmp_path):
    part, watch, said = Scene("gate", camera.root, camera.clips[:1]), tmp_path / "watch", []
    looked_at(camera, eye, watch)
    (watch / "looks/.clip9-0.half").mkdir()  # of a killed run
    looked_at(part, eye, watch, said)
    words = "camera gate: 2 files are gone; what was seen of them is kept for 7 days: "
    assert said[-1] == f"{words}nothing is looked at again if they come back"
    assert len([*(watch / "looks").iterdir()]) == 3
    looked_at(camera, eye, watch, said)
    assert said[-1].endswith("3 files were looked at before")
    assert not [*watch.glob("looks/*/missed")]
    looked_at(part, eye, watch)
    early, late = sorted(watch.glob("looks/*/missed"))
    os.utime(early, (time.time() - 8 * 86_400,) * 2)
    looked_at(part, eye, watch, said)
    assert said[-1].startswith("camera gate: 1 file is gone; what was seen of it is kept")
    assert not early.parent.exists()
    assert late.exists()


def test_a_moved_file_keeps_its_look_and_a_changed_one_does_not(camera, eye, tmp_path):
    before = looked_at(camera, eye, tmp_path / "watch")["look"]
    shutil.copy(camera.clips[0].path, camera.root / "copy")
    (camera.root / "copy").rename(camera.clips[0].path)
    assert [*looked_at(camera, eye, tmp_path / "watch")["look"]] == [*before]
    shutil.copy(camera.clips[2].path, camera.clips[0].path)
    after = looked_at(camera, eye, tmp_path / "watch")["look"]
    assert (after != before).sum() == 1


def test_a_file_that_cannot_be_read_for_a_while_is_not_looked_at_anew(camera, eye, tmp_path):
    before = looked_at(camera, eye, tmp_path / "watch")["look"]
    away = camera.clips[1].path.rename(tmp_path / "away")
    assert "" in set(looked_at(camera, eye, tmp_path / "watch")["look"])
    away.rename(camera.clips[1].path)
    said = []
    assert [*looked_at(camera, eye, tmp_path / "watch", said)["look"]] == [*before]
    assert said == [said[0]]
    assert said[0].endswith("3 files were looked at before")


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(camera, eye, tmp_path):
    (camera.root / "text.mp4").write_text("no video")
    (camera.root / "empty.mp4").touch()
    more = [
        Clip(n, "video", camera.root / f"{n}.mp4", f"{n}.mp4") for n in ("text", "empty", "gone")
    ]
    table = looked_at(Scene("gate", camera.root, (*more, *camera.clips)), eye, tmp_path / "watch")
    wrong = table[table["look"] == ""]
    assert [*wrong["clip"]] == ["text", "empty", "gone"]
    assert all(wrong["failure"])
    assert [*table["clip"]][:3] == ["clip1", "clip2", "clip3"]
    none = looked_at(Scene("gate", camera.root, tuple(more)), eye, tmp_path / "none")
    assert [*none["look"]] == ["", "", ""]


def test_sound_alone_is_not_read_and_the_rest_goes_on(camera, eye, tmp_path, sound):
    path = Path(shutil.copy(sound, camera.root / "sound.mp4"))
    more = Clip("sound", "video", path, path.name)
    table = looked_at(Scene("gate", camera.root, (more, *camera.clips)), eye, tmp_path / "watch")
    assert [*table["clip"]] == ["clip1", "clip2", "clip3", "sound"]
    assert [*table["failure"]] == ["", "", "", f"{path}: no video stream in this file"]
    assert [*(table["look"] != "")] == [True, True, True, False]


def test_a_look_that_is_broken_off_leaves_nothing_and_the_next_goes_on(
    camera, eye, tmp_path, monkeypatch
):
    import sdor.operator.archive as archive

    whole, calls = archive.look, []

    def broken(*given):
        calls.append(given)
        yield from whole(*given)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "look", broken)
    with pytest.raises(KeyboardInterrupt):
        looked_at(camera, eye, tmp_path / "watch")
    assert len([*(tmp_path / "watch").glob("looks/*")]) == 1
    looked_at(camera, eye, tmp_path / "watch")
    assert len(calls) == 4


def test_who_runs_is_ranked_highest(watched):
    scores = pd.read_parquet(watched / "scores.parquet")
    assert [*scores.columns[:5]] == ["clip", "frame", "time", "stretch", "seconds"]
    assert len(scores) == 180
    assert roc_auc_score(walkers()[1], scores["score"]) > 0.98


def test_a_saved_model_scores_a_piece_as_the_whole(watched):
    scores = pd.read_parquet(watched / "scores.parquet")
    model = CameraModel.load(watched / "model.safetensors")
    archive = Archive.read(watched / "looks.parquet", watched / "looks")
    clip = scores[scores["clip"] == "clip3"].reset_index(drop=True)
    stretch = clip["stretch"][0]
    for begin, end in ((0.0, 1.0), (1.0, 2.0), (5.0, 9.0)):
        piece = archive.piece(stretch, begin - MARGIN, end + MARGIN)
        found, _ = model.score(piece.looks, piece.seconds)
        own = (piece.seconds >= begin) & (piece.seconds < end)
        expected = clip[(clip["seconds"] >= begin) & (clip["seconds"] < end)]
        np.testing.assert_allclose(found["score"][own], expected["score"], atol=1e-5)
    quantiles = model.about["quantiles"]
    assert (quantiles[0], quantiles[-1]) == (scores["score"].min(), scores["score"].max())


def test_a_moment_is_when_and_where_one_runs(watched, tmp_path):
    archive = Archive.read(watched / "looks.parquet", watched / "looks")
    outputs = tuple(tmp_path / name for name in ("events.parquet", "heat.npy", "looks.npy"))
    files = (watched / "model.safetensors", watched / "scores.parquet")
    settings = EventSettings(budget=3, per="scene", lead=3.0)
    found = write_moments(archive, files, outputs, settings, about={})
    first = found.iloc[0]
    assert (first["clip"], first["kind"], first["rank"]) == ("clip3", "moment", 1)
    assert RUNS[1] <= first["peak"] - 1 <= RUNS[2]
    row, column = np.unravel_index(np.load(outputs[1])[0].argmax(), (24, 36))
    assert abs(5 * row - 60) <= 15  # pixels from the runner's middle
    assert abs(5 * column - (20 + 7 * (first["peak"] - 1 - RUNS[1]))) <= 25
    assert first["x0"] <= (column + 0.5) / 36 <= first["x1"]
    assert len(np.load(outputs[1])) == len(np.load(outputs[2])) == len(found)


def test_a_marked_moment_stays_or_stays_away_and_takes_no_place(watched, tmp_path):
    archive = Archive.read(watched / "looks.parquet", watched / "looks")
    outputs = tuple(tmp_path / name for name in ("events.parquet", "heat.npy", "looks.npy"))
    files = (watched / "model.safetensors", watched / "scores.parquet")
    settings = EventSettings(budget=1, per="scene", lead=3.0)
    [before] = write_moments(archive, files, outputs, settings, {}).to_dict("records")

    def marked(label):
        (tmp_path / "round1.csv").write_text(
            "id,event,clip,frame,first,last,label\n"
            f"a,{before['event']},clip3,{before['peak']},{before['first']},{before['last']},{label}\n"
        )
        marks = read_marks([tmp_path / "round1.csv"], archive.clips)
        return write_moments(archive, files, outputs, settings, {}, marks)

    kept = marked("anomaly").set_index("event").loc[before["event"]]
    assert (kept["mark"], kept["group"], kept["rank"]) == ("anomaly", "marked", 0)
    columns = ["clip", "first", "last", "peak", "score", "unusual", "begin_seconds", "x0", "y1"]
    assert kept[columns].to_dict() == {name: before[name] for name in columns}
    assert np.isfinite(np.load(outputs[2])[-1]).all()
    gone = marked("normal")
    assert before["event"] not in set(gone["event"])
    assert read_about(outputs[0])["dismissed"] == [["clip3", before["first"], before["last"]]]
    assert marked("skip").to_dict("records")[0] == before


def test_moments_are_called_alike_whatever_else_is_found_and_otherwise_in_each_camera(
    watched, tmp_path
):
    archive = Archive.read(watched / "looks.parquet", watched / "looks")
    outputs = tuple(tmp_path / name for name in ("events.parquet", "heat.npy", "looks.npy"))
    model = CameraModel.load(watched / "model.safetensors")
    scores = pd.read_parquet(watched / "scores.parquet")

    def called(camera, scores, row):
        files = (tmp_path / "model.safetensors", tmp_path / "scores.parquet")
        model.save(files[0])
        write_parquet(files[1], scores, {"camera": camera, "changes": [[row, "dark"]]})
        return [
            *write_moments(archive, files, outputs, EventSettings(2, "scene", 3.0), {})["event"]
        ]

    gate, door = (called(camera, scores, 70) for camera in ("gate", "door"))
    assert len({*gate, *door}) == 6
    assert gate[-1] == digest(b"gate/clip2/11/change")[:10]
    later = scores[10:].reset_index(drop=True)
    assert called("gate", later, 60)[-1] == gate[-1]


def test_damage_is_named_with_what_to_do(camera, eye, tmp_path):
    looked_at(camera, eye, tmp_path)
    part = next(tmp_path.glob("looks/*/*.npz"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(
        SdorError, match=r"looks/clip\d-.*npz: damaged or missing .*delete its folder"
    ):
        Archive.read(tmp_path / "looks.parquet", tmp_path / "looks")
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(SdorError, match=r"model\.safetensors: damaged"):
        CameraModel.load(tmp_path / "model.safetensors")


def test_a_look_that_is_gone_in_part_is_named(camera, tmp_path, monkeypatch):
    monkeypatch.setattr("sdor.operator.archive.PART", 30)
    monkeypatch.setattr("sdor.operator.look.CHUNK", 30)
    table = looked_at(camera, BLIND, tmp_path)
    assert [*table["parts"]] == [2, 2, 2]
    gone = tmp_path / "looks" / table["look"][1]
    (gone / "0001.npz").unlink()
    for words in (f"{gone.name}/0001.npz: damaged or missing", f"{gone.name}/0000.npz"):
        with pytest.raises(SdorError, match=words):
            Archive.read(tmp_path / "looks.parquet", tmp_path / "looks")
        shutil.rmtree(gone, ignore_errors=True)


def test_parts_of_a_file_have_their_own_clocks_and_adjoin(camera, tmp_path):
    path = camera.clips[0].path.rename(camera.root / "20261126_130000.mkv")
    whole = Clip("a", "video", path, path.name, last=29)
    clips = whole, replace(whole, name="b", first=30, last=None)
    table = looked_at(Scene("gate", camera.root, clips), BLIND, tmp_path)
    assert [*table["clock"]] == ["2026-11-26T13:00:00", "2026-11-26T13:00:02.900000"]
    assert [*table["first"]] == [*table["begin"]] == [*table["offset"]] == [0.0, 2.9]
    assert [*table["stretch"]] == [0, 0]
    archive = Archive.read(tmp_path / "looks.parquet", tmp_path / "looks")
    scores = pd.DataFrame({"clip": ["a", "b", "b"], "time": [0.0, 2.9, 3.0]})
    clocks = [one.isoformat()[17:21] for one in clocks_of(scores, archive.clips)]
    assert clocks == ["00", "02.9", "03"]


def test_a_clock_that_is_mended_reaches_looks_that_are_kept(camera, tmp_path, monkeypatch):
    looked_at(camera, BLIND, tmp_path)
    monkeypatch.setattr("sdor.video.clock.clock_of", lambda *_: datetime(2026, 11, 26))
    assert [*looked_at(camera, BLIND, tmp_path)["clock"]] == 3 * ["2026-11-26T00:00:00"]


def test_what_a_disk_does_not_give_is_a_file_not_read_and_what_it_does_not_take_ends(
    camera, tmp_path, monkeypatch
):
    def failing(number):
        def fail(*_, **__):
            raise OSError(number, os.strerror(number))

        return fail

    def bad(clip, doubts):
        return failing(errno.ESTALE)() if clip.name == "clip1" else read_clip(clip, doubts)

    monkeypatch.setattr("sdor.operator.archive.read_clip", bad)
    table = looked_at(camera, BLIND, tmp_path)
    assert table["failure"].tolist() == ["", "", os.strerror(errno.ESTALE)]
    monkeypatch.undo()
    monkeypatch.setattr(np, "savez", failing(errno.ENOSPC))
    with pytest.raises(SdorError, match=r"No space left on device\); make room for it"):
        looked_at(camera, BLIND, tmp_path)


def test_looks_have_the_rights_of_other_folders(camera, tmp_path):
    (tmp_path / "other").mkdir()
    looked_at(camera, BLIND, tmp_path)
    modes = {one.stat().st_mode for one in (tmp_path / "other", *tmp_path.glob("looks/*"))}
    assert len(modes) == 1


def test_a_folder_of_images_is_known_by_some_of_their_bytes(tmp_path):
    clip = Clip("a", "images", tmp_path, "a")
    contents = [content_of(clip)]
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"before")
    contents.append(content_of(clip))
    for number in (0, 2, 4):
        (tmp_path / f"{number}.png").write_bytes(b"behind")
        contents.append(content_of(clip))
    assert len({str(one) for one in contents}) == 5


def test_pictures_are_seen_without_what_masks_hide(camera, eye):
    from sdor.study.scenes import Rectangle

    hidden = replace(eye, masks=(Rectangle(0, 0, 180, 120),))
    looks = next(look(read_clip(camera.clips[2], []), hidden))
    assert not looks.thumb.any()
    assert not np.nan_to_num(looks.speed).any()


def test_facts_of_a_file(camera, eye, tmp_path):
    looked_at(camera, eye, tmp_path)
    facts = json.loads(next(tmp_path.glob("looks/clip1*/facts.json")).read_text())
    assert (facts["frames"], facts["width"], facts["height"]) == (60, 180, 120)
    assert facts["fps"] == pytest.approx(10, abs=0.01)
    assert facts["seconds"] == pytest.approx(6, abs=0.01)


def test_pace_says_how_far_it_is(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace("gate", [(3600.0, 90_000), (600.0, 15_000)], [(600.0, 15_000)], said.append)
    assert said == [
        "camera gate: 2 files, 1 h 10 min of video, 105,000 frames; 1 file was looked at before"
    ]
    now[0] = 4.0
    pace.at("b", 20.0)
    assert len(said) == 1
    now[0] = 10.0
    pace.at("b", 100.0)
    assert said[1:] == [
        "camera gate: 1 min 40 s of 10 min looked at, 10.0 x real time; about 50 s left"
    ]
    now[0] = 39.0
    pace.at("b", 300.0)
    assert len(said) == 2


def test_pace_of_parts_of_files_counts_what_is_theirs(camera, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("sdor.operator.pace.FIRST", 0.0)
    clip = replace(camera.clips[0], first=31, last=45)
    looked_at(Scene("gate", camera.root, (clip,)), BLIND, tmp_path, said)
    assert said[0] == "camera gate: 1 file, 1.5 s of video, 15 frames"
    assert said[1].startswith("camera gate: 1.4 s of 1.5 s looked at")


def test_pace_of_a_single_frame_has_no_rate(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace("gate", [(3600.0, 90_000)], [(3600.0, 90_000)], said.append)
    now[0] = 10.0
    pace.at("a", 0.0)
    assert said[1:] == ["camera gate: 0.0 s of 1 h looked at"]


@pytest.mark.parametrize(("frames", "words"), [(3, "too little video"), (0, "nothing of it can")])
def test_a_camera_without_enough_video_says_so_and_has_no_scores(
    frames, words, camera, eye, basis, tmp_path, write_video
):
    path = camera.root / "short.mkv"
    path.write_text("no video")
    if frames:
        write_video(path, walkers()[0][0][:frames, ..., np.newaxis], fps=10)
    looked_at(Scene("gate", camera.root, (Clip("short", "video", path, path.name),)), eye, tmp_path)
    scores = ranked(tmp_path, basis)
    assert len(scores) == 0
    assert words in read_about(tmp_path / "scores.parquet")["failure"]
    with pytest.raises(SdorError, match=r"model\.safetensors"):
        CameraModel.load(tmp_path / "model.safetensors")
    files = (tmp_path / "model.safetensors", tmp_path / "scores.parquet")
    outputs = tuple(tmp_path / name for name in ("events.parquet", "heat.npy", "looks.npy"))
    archive = Archive.read(tmp_path / "looks.parquet", tmp_path / "looks")
    settings = EventSettings(budget=3, per="scene", lead=3.0)
    assert len(write_moments(archive, files, outputs, settings, {})) == 0
    assert np.load(outputs[1]).shape == (0, 24, 36)


def test_more_video_than_is_trained_on_is_scored_whole(watched, basis, tmp_path, monkeypatch):
    import sdor.operator.rank as module

    monkeypatch.setattr(module, "TRAINED", 60)
    monkeypatch.setattr(module, "EVERY", 0.0)
    shutil.copytree(watched, tmp_path / "watch")
    said = []
    scores = ranked(tmp_path / "watch", basis, said)
    assert len(scores) == 180
    assert said[0] == "camera gate: training on 12 s of video"
    assert said[-1] == "camera gate: 2 of 3 parts of its video scored"
