"""The paper's approach on the watchlist: from an ensemble to files that a page takes."""

import numpy as np
import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.method.feedback import labels_of_marks
from sdor.method.marks import seen_clips
from sdor.method.saliency import write_saliency
from sdor.method.scorer import new_scorer, save_scorer
from sdor.method.sources import Sources
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import choose_compute
from sdor.networks.fetch import resolve_weights
from sdor.operator.paper import Trained, write_paper_moments
from sdor.operator.review.listing import Listing
from sdor.operator.watchlist import moments_of, write_watchlist
from sdor.study.scenes import Clip, Scene
from sdor.study.settings import EventSettings
from sdor.study.study import read_method
from sdor.video.frames import Reading, holds_frames
from sdor.video.picture import Doubt

CPU = choose_compute("cpu", "fp32")
FIRST, LENGTH, RATE = 11, 40, 10  # the clip "later" is frames 11 to 50 of its file
PEAK = 30  # of that clip


@pytest.fixture
def gate(tmp_path):
    """A camera whose second file is named first, goes on with the first, and a third is odd."""
    names = {"later": "b_2026-11-26_13-00-03.avi", "early": "a_2026-11-26_13-00-00.avi"}
    clips = [Clip(key, "video", tmp_path / name, name) for key, name in names.items()]
    clips[0] = Clip("later", "video", clips[0].path, clips[0].source, first=FIRST)
    clips.append(Clip("odd", "video", tmp_path / "odd.mp4", "odd.mp4"))
    kept, words = np.ones(LENGTH, dtype=bool), f"clip odd: {tmp_path}/odd.mp4: cannot be read"
    found = {
        "later": Reading((FIRST - 1 + np.arange(LENGTH)) / RATE, kept, 8, 8, (Doubt(7, "odd"),)),
        "early": Reading(np.arange(LENGTH) / RATE, np.arange(LENGTH) % 2 == 0, 8, 8),
        "odd": Reading(np.zeros(0), kept[:0], 0, 0, failure=words),
    }
    return Scene("gate", tmp_path, tuple(clips)), found


@pytest.fixture
def trained(tmp_path):
    """An ensemble whose score rises towards one frame, and the maps of random networks."""
    frames = np.arange(LENGTH) + 1
    index = pd.DataFrame({"clip": np.repeat(["later", "early"], (LENGTH, LENGTH // 2))})
    index["frame"] = np.concatenate([frames, frames[::2]])  # of one, every other is stored
    index.assign(row=np.arange(len(index))).to_parquet(tmp_path / "initial.parquet")
    score = np.linspace(0, 0.1, len(index))
    score[PEAK - 3 : PEAK + 2] = [0.5, 0.9, 1.0, 0.9, 0.5]
    index.assign(score=score).to_parquet(tmp_path / "ensemble.parquet")
    maps = np.random.default_rng(0).normal(0, 1, (len(index), 4, 4, 256)).astype(np.float32)
    np.save(tmp_path / "trunk.npy", maps)
    resolve_weights("resnet18", "random", tmp_path / "w.safetensors")
    backbone = load_backbone(tmp_path / "w.safetensors")
    settings = read_method({"backbone": "resnet18", "trainable": "layer4"}, "test").training
    models = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    for seed, path in enumerate(models):
        save_scorer(new_scorer(backbone, settings, seed=[seed]), path, {})
    paths = tmp_path / "initial.parquet", tmp_path / "w.safetensors"
    sources = Sources([tmp_path / "trunk.npy"], *paths)
    return Trained(tmp_path / "ensemble.parquet", models, sources, "layer4")


def written(gate, run, tmp_path):
    given = {"compute": CPU, "about": {}}
    settings = EventSettings(3, "scene", 1.0)
    return write_paper_moments(*gate, run, tmp_path / "watch", settings, **given)


def test_moments_are_in_frames_and_seconds_of_the_source(gate, trained, tmp_path):
    first = written(gate, trained, tmp_path).iloc[0]
    peak = PEAK + FIRST - 1
    assert (first["clip"], first["peak"]) == ("later", peak)
    assert first["peak_time"] == pytest.approx((peak - 1) / RATE)
    # "later" begins at 13:00:03, a second into it is its first frame: it goes on with "early".
    assert (first["stretch"], first["peak_seconds"]) == (0, pytest.approx(4 + (PEAK - 1) / RATE))
    assert first["clock"] == pd.Timestamp("2026-11-26 13:00:06.900")


def test_heat_is_that_of_the_peak_frame_above_its_median(gate, trained, tmp_path):
    found = written(gate, trained, tmp_path)
    given = {"trainable": "layer4", "compute": CPU}
    write_saliency(trained.models, trained.sources, tmp_path / "all.npy", **given)
    every, heat = np.load(tmp_path / "all.npy"), np.load(tmp_path / "watch/heat.npy")
    assert heat.shape == (len(found), *every.shape[1:])
    own = every[PEAK - 1]
    np.testing.assert_allclose(heat[0], np.maximum(own - np.median(own), 0), atol=1e-5)
    assert heat[0].max() > 0


def test_a_page_takes_them_and_lists_what_was_not_read(gate, trained, tmp_path):
    written(gate, trained, tmp_path)
    first = moments_of(gate[0], tmp_path / "watch", 1.0)[0]
    assert (first.peak_frame, first.source) == (PEAK + FIRST - 1, gate[0].clips[0].source)
    assert first.curve.shape == (LENGTH, 2)
    assert len(pd.read_parquet(tmp_path / "watch/scores.parquet")) == LENGTH + LENGTH // 2
    page = tmp_path / "watchlist.html"
    write_watchlist([gate[0]], [tmp_path / "watch"], (page, tmp_path / "c"), lead=1.0, settings={})
    text = page.read_text()
    assert "<bdi>gate/odd.mp4</bdi></code>: cannot be read" in text
    assert "frame 7: odd" in text
    assert "8.0 s of video" in text
    document = Listing("gate", tmp_path / "watch").document
    assert (document["similar"], document["events"][0]["alike"]) == (False, [])


def test_what_is_learnt_from_are_the_frames_that_were_marked_in_the_source(trained, tmp_path):
    path, early = tmp_path / "round1.csv", f"early,{PEAK},normal"
    path.write_text(f"clip,frame,label\nlater,{PEAK + FIRST - 1},anomaly\n{early}\n")
    given = trained.sources.index, 1, {"later": FIRST, "early": 1}
    labels = labels_of_marks([path], *given)
    # Of the other clip, every other frame is stored.
    marked = [["later", frame, 1] for frame in (PEAK - 1, PEAK, PEAK + 1)]
    marked.append(["early", PEAK - 1, 0])
    assert labels[["clip", "frame", "label"]].to_numpy().tolist() == marked
    path.write_text("id,clip,frame,label\n1,gone,3,normal\n")
    with pytest.raises(SdorError, match=r"round1\.csv: no frame is marked as anomalous or normal"):
        labels_of_marks([path], *given)
    path.write_text(f"clip,frame,label\ngone,3,normal\n{early}\n")
    folder = tmp_path / "learnt/round1"
    with pytest.raises(SdorError, match=r"round1\.csv: line 2: clip: there is no gone"):
        labels_of_marks([path], *given, folder)
    seen_clips(tmp_path / "watch/clips.json", ["gone"])  # as the list did that it was marked in
    labels = labels_of_marks([path], *given, folder)
    assert {*labels["clip"]} == {"early"}
    path.write_text("clip,frame,label\n")
    with pytest.raises(SdorError, match=r"round1\.csv: holds no marks"):
        labels_of_marks([path], *given)


@pytest.mark.parametrize(
    ("readable", "words"),
    [(True, "too little video to learn from"), (False, "nothing of it can be read")],
)
def test_a_camera_with_too_little_video_says_so(gate, tmp_path, readable, words):
    scene, found = gate
    if not readable:
        found = dict.fromkeys(found, found["odd"])
    assert written((scene, found), None, tmp_path).empty
    page = tmp_path / "watchlist.html"
    given = {"lead": 1.0, "settings": {}}
    assert write_watchlist([scene], [tmp_path / "watch"], (page, tmp_path / "c"), **given) == 0
    assert f"<bdi>gate</bdi></code>: {words}" in page.read_text()


def test_frames_are_counted_in_all_clips_that_can_be_read(tmp_path, write_video):
    frames = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 1), dtype=np.uint8)
    (tmp_path / "text.mp4").write_text("no video")
    paths = [tmp_path / "text.mp4", *(write_video(tmp_path / f"{one}.mkv", frames) for one in "ab")]
    clips = [Clip(path.stem, "video", path, path.name) for path in paths]
    assert holds_frames(clips, 24)
    assert not holds_frames(clips, 25)
