"""What is marked as normal falls, with what looks and moves like it; all else stays as it was."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from synthetic_walkers import QUICK as METHOD

import sdor.operator.learn as module
from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.method.flow import ACROSS, DOWN, FINE
from sdor.networks.compute import choose_compute
from sdor.operator.archive import Archive
from sdor.operator.learn import learn, learn_round, standing_out
from sdor.operator.look import Looks
from sdor.operator.model import CameraModel
from sdor.operator.rank import rank

LENGTH, RATE, DIMS = 600, 10, 8
# Who passes, and when: seconds from each clip's beginning, and the row and column of the place.
CARTS, RUNNERS = ((10, 2, 1), (30, 2, 4)), ((20, 4, 2), (45, 4, 5))
COMPUTE = choose_compute("cpu", "fp32")


def looks(rng):
    """A minute of people who walk, of carts, and of people who run."""
    speed = rng.uniform(0, 6, (LENGTH, DOWN, ACROSS)).astype(np.float32)
    looked = np.arange(0, LENGTH, 2)
    maps = rng.normal(0, 0.5, (len(looked), 49, DIMS))
    for of, passing in enumerate((CARTS, RUNNERS)):
        for second, row, column in passing:
            rows = slice(second * RATE, (second + 2) * RATE)
            cells = np.s_[rows, row * 12 // 7 + 1, column * 18 // 7 + 1 : column * 18 // 7 + 3]
            speed[cells] += 40
            seen = slice(second * RATE // 2, (second + 2) * RATE // 2)
            maps[seen, 7 * row + column, of] += 8
    return Looks(
        frame=np.arange(LENGTH) + 1,
        time=np.arange(LENGTH) / RATE,
        speed=speed,
        moving=np.full(speed.shape, 0.5, np.float32),
        fine=speed.repeat(FINE, 1).repeat(FINE, 2).astype(np.float16),
        change=np.full(LENGTH, 0.5, np.float32),
        thumb=np.full((LENGTH, DOWN, ACROSS), 100, np.uint8),
        colour=np.zeros(LENGTH, np.float32),
        looked=looked,
        maps=maps.astype(np.float16),
    )


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """Folder of an archive of two clips, with what is made of it."""
    folder, rng = tmp_path_factory.mktemp("camera"), np.random.default_rng(0)
    clips = []
    for name in ("a", "b"):
        Path(folder, "looks", name).mkdir(parents=True)
        np.savez(folder / "looks" / name / "0000.npz", **looks(rng).arrays())
        clips.append({"clip": name, "look": name, "parts": 1, "stretch": len(clips)})
    table = pd.DataFrame(clips).assign(offset=0.0, failure="", frames=LENGTH)
    write_parquet(folder / "looks.parquet", table, {})
    rank(
        (folder / "looks.parquet", folder / "looks"),
        (folder / "model.safetensors", folder / "scores.parquet"),
        METHOD,
        {},
        seed=0,
        compute=COMPUTE,
        about={"camera": "gate", "weights": "w"},
        say=[].append,
    )
    return folder


def learnt(camera, folder, *marks):
    """Scores before and after marks of (clip, second, label)."""
    table = pd.DataFrame([(clip, second * RATE + 1, label) for clip, second, label in marks])
    table.columns = ["clip", "frame", "label"]
    after = learn(
        Archive.read(camera / "looks.parquet", camera / "looks"),
        CameraModel.load(camera / "model.safetensors"),
        table,
        (folder / "model.safetensors", folder / "scores.parquet"),
        about={"round": 1},
        say=[].append,
    )
    return pd.read_parquet(camera / "scores.parquet"), after


def height(scores, clip, second):
    own = scores.loc[scores["clip"] == clip].reset_index(drop=True)["score"]
    return own[second * RATE] - scores["score"].median()


def test_what_is_dismissed_falls_with_its_like_and_nothing_else(camera, tmp_path):
    before, after = learnt(camera, tmp_path, ("a", 11, 0))
    for clip, second in (("a", 11), ("a", 31), ("b", 11), ("b", 31)):
        assert height(before, clip, second) > 2
        assert height(after, clip, second) < 0.4 * height(before, clip, second)
    for clip, second in (("a", 21), ("b", 46)):
        assert height(after, clip, second) == pytest.approx(height(before, clip, second), rel=0.1)


def test_what_looks_like_both_kinds_stays(camera, tmp_path):
    marks = ("a", 11, 0), ("b", 11, 1)
    _, dismissed = learnt(camera, tmp_path, marks[0])
    before, after = learnt(camera, tmp_path, *marks)
    assert height(after, "b", 11) == pytest.approx(height(before, "b", 11), rel=0.1)
    assert height(after, "b", 31) > 2 * height(dismissed, "b", 31)
    assert height(after, "a", 11) < 0.5 * height(before, "a", 11)


def test_marks_of_a_moment_without_anything_unusual_leave_what_is(camera, tmp_path):
    before, after = learnt(camera, tmp_path, ("a", 0, 0), ("b", 58, 0))
    for second in (11, 21, 31, 46):
        assert height(after, "a", second) == pytest.approx(height(before, "a", second), rel=0.15)


def test_a_saved_model_knows_what_was_marked(camera, tmp_path):
    _, after = learnt(camera, tmp_path, ("a", 11, 0))
    model = CameraModel.load(tmp_path / "model.safetensors")
    assert model.about["camera"] == "gate"
    assert model.about["quantiles"][-1] == after["score"].max()
    piece = Archive.read(camera / "looks.parquet", camera / "looks").piece(1, 26, 38)
    found, _ = model.score(piece.looks, piece.seconds)
    own = after[(after["stretch"] == 1) & after["seconds"].between(26, 38)]
    middle = slice(40, -40)
    np.testing.assert_allclose(found["score"][middle], own["score"][middle], atol=1e-5)


def test_heat_fades_with_what_was_dismissed(camera, tmp_path):
    learnt(camera, tmp_path, ("a", 11, 0))
    piece = Archive.read(camera / "looks.parquet", camera / "looks").piece(0, 24, 38)
    cart = []
    for folder in (camera, tmp_path):
        model = CameraModel.load(folder / "model.safetensors")
        _, places = model.score(piece.looks, piece.seconds)
        heat = model.heat(piece.looks, piece.seconds, places, np.array([70]))[0]
        cart.append(heat[6:10, 20:26].max() - np.median(heat))
    assert cart[1] < 0.2 * cart[0]


def test_a_mark_is_about_what_stands_out():
    frames = np.array([[0.0, 3, 9, 5, 7, 8], [1, 1, 9, 1, 5, 4], [-4, -2, -3, -5, -1, -6]])
    assert [[*np.flatnonzero(one)] for one in standing_out(frames)] == [[2, 4, 5], [2, 4], [4]]


def test_a_job_says_how_many_marks_are_gone_and_refuses_a_round_of_none(tmp_path, monkeypatch):
    clips = pd.DataFrame({"clip": ["gate"], "frames": [9]})
    archive = SimpleNamespace(read=lambda *_: SimpleNamespace(frames=lambda: clips))
    monkeypatch.setattr(module, "Archive", archive)
    monkeypatch.setattr(module, "CameraModel", SimpleNamespace(load=lambda _: None))
    monkeypatch.setattr(module, "learn", lambda *_, **__: range(1000))
    write_parquet(tmp_path / "scores.parquet", clips, {})
    files = tmp_path / "model", tmp_path / "scores.parquet"
    marks = [tmp_path / "round1.csv", tmp_path / "round2.csv"]
    marks[0].write_text("id,clip,frame,label\na,gate,3,normal\nb,old,3,normal\nc,old,5,anomaly\n")
    given = tmp_path / "looks", files, files
    said = learn_round(marks[:1], *given, about={}, say=print)
    assert said == "1 mark, 1,000 frames scored; 2 marks are of clips that are gone"
    marks[1].write_text("clip,frame,label\n")
    with pytest.raises(SdorError, match=r"round2\.csv: holds no marks"):
        learn_round(marks, *given, about={}, say=print)
