"""A clip with what was found in it, as a video; and a model as ONNX, which needs no torch."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from synthetic_walkers import HEIGHT, WIDTH, walkers

from sdor.command import main
from sdor.errors import SdorError
from sdor.files import file_sha256
from sdor.method.flow import DOWN
from sdor.method.motion import MotionScale
from sdor.method.places import Heads
from sdor.method.places import score_places as score_in_torch
from sdor.method.units import Units
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.operator import overlay
from sdor.operator.camera import open_camera
from sdor.operator.look import Eye
from sdor.operator.model import CameraModel, score_places
from sdor.operator.overlay import CURVE, RED, TEXT, score_clip
from sdor.study.scenes import Clip, Rectangle
from sdor.study.study import read_method
from sdor.video.decode import read_video

COMPONENTS, SIZE = 8, 64
METHOD = read_method(
    {
        "approach": "motion",
        "backbone": "resnet18",
        "input_size": SIZE,
        "iterations": 2,
        "components": COMPONENTS,
        "hidden_units": 10,
    },
    "test",
)
NEEDS_ONNX = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="needs the extra export"
)


def heads(seed, dims=2 * COMPONENTS):
    return Heads(dims, 10, 3, seed=[seed])


@pytest.fixture
def model():
    """A model that nobody trained: motion as it is usual among the walkers, heads at random."""
    rng = np.random.default_rng(0)
    basis = {
        f"{stage}.{name}": rng.normal(0, 0.1, shape).astype(np.float32)
        for stage, wide in (("trunk", 256), ("top", 512))
        for name, shape in (("mean", (wide,)), ("components", (wide, COMPONENTS)))
    }
    units = {name: Units(1.0, 0.5) for name in ("relative_speed", "speed")}
    units["speed"] = Units(30.0, 10.0)
    learnt = [{name: one.numpy() for name, one in heads(t).state_dict().items()} for t in (1, 2)]
    about = {"compute": {"device": "cpu", "precision": "fp32"}, "masks": []}
    about["quantiles"] = np.linspace(-2, 8, 11).tolist()
    scale = MotionScale(np.full(DOWN, 40.0), units)
    return CameraModel(METHOD, learnt, basis, scale, (Units(0.0, 3.0), Units(0.0, 1.0)), about)


@pytest.fixture
def eye():
    """It sees nothing in the places."""
    return Eye(lambda some: np.zeros((len(some), 49, 2 * COMPONENTS), np.float16), SIZE, 5.0)


@pytest.fixture
def clip(tmp_path, write_video):
    """Six seconds, in which one runs from 2.5 to 4.0 s."""
    path = tmp_path / "gate 2026-11-26 13-00-00.mkv"
    write_video(path, walkers()[0][2][..., np.newaxis], fps=10)
    return Clip("gate", "video", path, path.name)


@pytest.fixture
def saved(model, tmp_path):
    """The model in a folder of results, with the weights of its network."""
    weights = tmp_path / "results/weights/resnet18.safetensors"
    weights.parent.mkdir(parents=True)
    resolve_weights("resnet18", "random", weights)
    model.about["weights"] = file_sha256(weights)
    path = tmp_path / "results/gate/watch/model.safetensors"
    model.save(path)
    return path


def test_heads_score_as_in_torch(model):
    maps = np.random.default_rng(0).normal(size=(500, 49, 2 * COMPONENTS)).astype(np.float16)
    expected = score_in_torch(heads(1), maps, choose_compute("cpu", "fp32"))
    np.testing.assert_allclose(score_places(model.heads[0], maps), expected, atol=1e-6)


def test_an_overlay_shows_who_runs_when_and_how_much(clip, model, eye, tmp_path, monkeypatch):
    said, put = [], cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *given: (said.append(given[1]), put(*given)))
    output = tmp_path / "overlay.mp4"
    model.about["masks"] = [vars(Rectangle(4, 4, 40, 20))]
    assert overlay.overlay(clip, model, eye, output) == 60
    frames = [one.pixels.astype(int) for one in read_video(output, doubts=[])]
    assert {one.shape for one in frames} == {(HEIGHT + TEXT + CURVE, WIDTH, 3)}
    red = [one[:HEIGHT, :, 0] - one[:HEIGHT, :, 1] for one in frames]  # the clip is grey
    assert red[5].max() < red[32].max() / 2
    row, column = np.unravel_index(cv2.blur(red[32] * 1.0, (9, 9)).argmax(), (HEIGHT, WIDTH))
    assert abs(row - 60) <= 15  # pixels from the runner's middle
    assert abs(column - 69) <= 25
    edge = frames[30][4, 4:44].mean(axis=1)
    assert np.ptp(edge) > 120  # dashes
    for number in (3, 30, 57):
        hot = np.abs(frames[number][HEIGHT + TEXT :] - RED).sum(axis=(0, 2))
        assert abs(hot.argmin() - number / 59 * (WIDTH - 1)) <= 2
    clocks, scores = said[::2], said[1::2]
    assert (clocks[0], clocks[-1]) == ("2026-11-26 13:00:00", "2026-11-26 13:00:05")
    during = [number for number, one in enumerate(scores) if one.startswith("event 1, score ")]
    assert during
    assert set(during) <= set(range(20, 46))


def test_where_no_clock_is_known_it_is_the_time_in_the_file():
    assert overlay._words(3725.9, None) == "1:02:05"
    assert overlay._words(1.5, datetime(2026, 1, 1, 23, 59, 59)) == "2026-01-02 00:00:00"


def test_the_curve_is_the_score_that_events_are_found_on():
    score = np.random.default_rng(0).normal(size=300)
    seconds = np.arange(300) / 10
    scored = overlay.Scored(seconds, score, np.zeros((300, 24, 36), np.float16), 10.0, (64, 48))
    smooth, events = overlay._smoothed(scored), overlay._events(scored)
    assert len(events)
    for event in events.itertuples():
        assert smooth[event.peak] == pytest.approx(event.score)


def test_a_long_clip_is_scored_in_pieces_as_at_once(model, eye, tmp_path, write_video, monkeypatch):
    path = write_video(tmp_path / "long.mkv", np.concatenate(walkers()[0])[..., np.newaxis], fps=10)
    found = []
    for piece in (overlay.PIECE, 70):
        monkeypatch.setattr(overlay, "PIECE", piece)
        with (tmp_path / str(piece)).open("w+b") as spool:
            found.append(score_clip(Clip("long", "video", path, ""), model, eye, spool))
    whole, parts = found
    np.testing.assert_array_equal(whole.seconds, parts.seconds)
    assert len(whole.score) == 180
    np.testing.assert_allclose(whole.score, parts.score, atol=1e-3)
    np.testing.assert_allclose(whole.heat, parts.heat, atol=1e-2)


def test_what_cannot_be_drawn_is_one_line(clip, saved, model, eye, tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SdorError, match="is the clip itself; give another --output"):
        overlay.overlay(clip, model, eye, clip.path)
    for arguments, words in (
        ([tmp_path / "text.mp4", "--model", saved], "text.mp4: cannot be read as video"),
        ([tmp_path / "gone.mp4", "--model", saved], "gone.mp4: cannot be read as video"),
        ([clip.path, "--model", tmp_path / "none"], "none: no such model; snakemake watchlist"),
        ([clip.path, "--model", clip.path], "damaged or missing file"),
    ):
        output = ["--output", str(tmp_path / "overlay.mp4")]
        assert main(["overlay", *map(str, arguments), *output]) == 1
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("sdor: ")
        assert words in line
    assert not list(tmp_path.glob("*overlay*"))
    saved.parents[2].joinpath("weights/resnet18.safetensors").write_bytes(b"other")
    with pytest.raises(SdorError, match=r"not the weights that .* was trained with"):
        open_camera(saved)


def test_a_folder_stands_for_the_model_of_its_last_round(saved, model):
    assert open_camera(saved.parent)[2] == open_camera(saved)[2]
    (saved.parent / "round1").mkdir()
    replace(model, about={**model.about, "round": 1}).save(saved.parent / "round1" / saved.name)
    found, eye, _ = open_camera(saved.parent)
    assert (found.about["round"], eye.size) == (1, model.method.input_size)
    marks = saved.parents[3] / "feedback" / saved.parents[1].name
    marks.mkdir(parents=True)
    assert "round" not in open_camera(saved.parent)[0].about  # its marks were taken away
    (marks / "round1.csv").touch()
    assert open_camera(saved.parent)[0].about["round"] == 1


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise AssertionError(f"{name} is imported")
sys.meta_path.insert(0, Refuse())
from sdor.command import main
sys.exit(main(sys.argv[1:]))
"""


@NEEDS_ONNX
def test_an_exported_model_gives_the_same_scores_without_torch(clip, saved, tmp_path, monkeypatch):
    from sdor.operator import export

    output = tmp_path / "model.onnx"
    found = export.export(saved, output)
    assert (found["frames"], found["of"]) == (32, "random pictures")
    assert found["apart"] < 1e-4
    scores = []
    for path in (saved, output):
        model, eye, _ = open_camera(path)
        with (tmp_path / "spool").open("w+b") as spool:
            scores.append(score_clip(clip, model, eye, spool).score)
    np.testing.assert_allclose(*scores, atol=0.02)
    seen, table = tmp_path / "seen.mp4", tmp_path / "scores.csv"
    for command in (["overlay", "--output", seen], ["score", "--scores", table]):
        arguments = [*map(str, command), str(clip.path), "--model", str(output)]
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *arguments],
            env={"PYTHONPATH": str(Path(overlay.__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert len([*read_video(seen, doubts=[])]) == 60
    np.testing.assert_allclose(pd.read_csv(table)["score"], scores[1], atol=1e-3)
    monkeypatch.setattr(export, "AGREES", -1.0)
    with pytest.raises(SdorError, match=r"model.onnx: not written: ONNX Runtime .* differ by"):
        export.export(saved.parent, output)  # its folder stands for it
    output.write_bytes(b"no graph")
    with pytest.raises(SdorError, match=r"model.onnx: damaged"):
        open_camera(output)
