"""The approach "motion" in real runs: a road with a fast car, and an archive without labels."""

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file
from workplace import CONFIG, MOTION, Workplace, write_images

from sdor import SelfTrainedOrdinalRegression

FRAMES, FAST = 60, slice(30, 45)
ROAD = {
    "root": "road",
    "masks": [{"x": 0, "y": 0, "width": 16, "height": 8}],
    "clips": [
        {"images": "calm", "fps": 10, "ground_truth": "normal"},
        {"images": "event", "fps": 10, "ground_truth": {"ranges": [[31, 45]]}},
    ],
}
# Pictures have no times. One of the folders is no clip.
LANE = {"root": "lane", "clips": [{"images": "*"}]}
STUDY = {
    "scenes": ["road", "lane"],
    "main": "moving",
    "method": {**CONFIG["method"], "trainable": "head", "iterations": 1},
    "motion": MOTION,
    "variants": {
        "paper": {},
        "moving": {"approach": "motion"},
        "deep": {"base": "moving", "trainable": "layer4", "steps": 5, "learning_rate": 0.0001},
        "rare": {"base": "moving", "masks": False, "anomaly_rate": 0.05, "iterations": 1},
    },
    "anomaly_rates": {"variants": ["rare"], "scenes": ["road"]},
}
RUN = "results/road/{}/seed0"
ANSWERS = [
    *[f"{RUN.format(one)}/ensemble.parquet" for one in ("moving", "rare", "deep")],
    *["results/lane/moving/seed0/ensemble.parquet", f"{RUN.format('moving')}/saliency.npy"],
]


def pictures(fast: slice) -> np.ndarray:
    """A car of 12 x 10 pixels on a still, rough road: 2 pixels a frame, or 8."""
    rng = np.random.default_rng(0)
    steps = np.full(FRAMES, 2)
    steps[fast] = 8
    road, car = rng.integers(60, 120, (48, 64)), rng.integers(160, 255, (10, 12))
    found = np.repeat(road[None], FRAMES, axis=0).astype(np.uint8)
    for frame, left in zip(found, np.cumsum(steps) % 52, strict=True):
        frame[20:30, left : left + 12] = car
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    for scene, clips in {"road": ("calm", "event"), "lane": ("a",)}.items():
        for clip in clips:
            fast = FAST if clip == "event" else slice(0)
            write_images(folder / "data" / scene / clip, pictures(fast))
    (folder / "data/lane/b").mkdir()
    (folder / "data/lane/b/001.png").write_text("no picture")
    (folder / "scenes").mkdir()
    for name, scene in {"road": ROAD, "lane": LANE}.items():
        (folder / "scenes" / f"{name}.yaml").write_text(yaml.safe_dump(scene))
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **STUDY}))
    done = (workplace := Workplace(folder)).run("--", *ANSWERS)
    assert done.returncode == 0, done.stdout
    return workplace


@pytest.fixture
def changed(both):
    """The workplace, whose config and scenes are put back."""
    files = [both.folder / "config.yaml", *(both.folder / "scenes").iterdir()]
    before = {file: file.read_text() for file in files}
    yield both
    for file, text in before.items():
        file.write_text(text)


def scores(both, variant, scene="road"):
    return pd.read_parquet(both.folder / f"results/{scene}/{variant}/seed0/ensemble.parquet")


def test_motion_finds_what_is_fast(both):
    found = scores(both, "moving")
    assert len(found) == 2 * FRAMES
    event = found.loc[found["clip"] == "event", "score"].to_numpy()
    assert event[FAST].mean() > np.delete(event, FAST).max()
    assert found["score"].idxmax() >= FRAMES


def test_the_top_of_the_network_trains_with_the_heads(both):
    folder = both.folder / RUN.format("deep")
    for t in (1, 2):
        state = load_file(folder / f"iteration{t}/model.safetensors")
        assert {name.split(".")[2] for name in state if name.startswith("backbone")} == {"layer4"}
        assert np.load(folder / f"iteration{t}/places.npy").shape == (FRAMES, 49)
    assert np.isfinite(scores(both, "deep")["score"]).all()


def test_heat_lies_where_the_car_is(both):
    heat = np.load(both.folder / f"{RUN.format('moving')}/saliency.npy")
    assert len(heat) == 2 * FRAMES
    down = heat[FRAMES:][FAST].mean(axis=(0, 2))
    assert 20 / 48 <= (down.argmax() + 0.5) / len(down) <= 30 / 48


def test_the_estimator_gives_the_scores_of_the_workflow(both):
    clips = [pictures(slice(0)), pictures(FAST)]
    for frames in clips:
        frames[:, :8, :16] = 0  # the mask
    settings = {"weights": "random", "device": "cpu", "precision": "fp32", "random_state": 0}
    model = SelfTrainedOrdinalRegression(variant="motion", clip_fps=10, **MOTION, **settings)
    model.fit(clips)
    np.testing.assert_allclose(model.scores_, scores(both, "moving")["score"], rtol=1e-4, atol=1e-4)
    initial = pd.read_parquet(both.folder / f"{RUN.format('moving')}/initial.parquet")
    np.testing.assert_allclose(model.initial_scores_, initial["score"], rtol=1e-6, atol=1e-9)
    heat = np.load(both.folder / f"{RUN.format('moving')}/saliency.npy")
    np.testing.assert_allclose(model.localise(clips), heat, rtol=1e-3, atol=1e-3)


def test_of_rare_anomalies_the_frames_that_are_left_are_scored_without_a_mask_too(both):
    found, whole = scores(both, "rare"), scores(both, "moving")
    gone = pd.concat([whole, found])[["clip", "frame"]].drop_duplicates(keep=False)
    assert set(gone["clip"]) == {"event"}
    assert gone["frame"].between(31, 45).all()
    # 6 of 111 frames are nearest to 5 %.
    assert len(gone) == 9
    event = found[found["clip"] == "event"]
    fast = event["frame"].between(31, 45)
    assert event.loc[fast, "score"].mean() > event.loc[~fast, "score"].mean()
    frames = [
        np.load(both.folder / f"results/road/frames/64{it}/calm.npy") for it in ("", "-unmasked")
    ]
    assert [one[:, 0, 0].max() > 0 for one in frames] == [False, True]


def test_an_archive_is_ranked_without_labels_times_and_what_cannot_be_read(both):
    found = scores(both, "moving", "lane")
    assert found.groupby("clip").size().to_dict() == {"a": FRAMES}
    log = (both.folder / "results/logs/lane/maps/resnet18-64/trunk-top-8-5fps.log").read_text()
    assert "clip a: its frames have no times that rise, 10 a second taken; if" in log
    assert "no times" not in (both.folder / "results/logs/road/flow/360x240-grey.log").read_text()


def test_what_has_not_changed_does_not_run_again(changed):
    assert changed.planned("--", *ANSWERS) == set()
    method, motion = STUDY["method"], STUDY["motion"]
    changed.configure(method={**method, "epochs": 3, "backbone": "mobilenet_v2"})
    assert changed.planned("--", *ANSWERS) == set()
    changed.configure(method=method, motion={**motion, "places": 2})
    planned = changed.planned("--", *ANSWERS)
    assert {"place_labels", "train_places"} <= planned
    assert not planned & {"flow", "maps", "initial_motion"}
    changed.configure(motion={**motion, "fps": 10})
    planned = changed.planned("--", *ANSWERS)
    assert planned >= {"maps", "initial_motion", "place_labels", "train_places"}
    assert not planned & {"flow", "frames"}


def test_other_labels_rerun_no_training_of_either(changed):
    scene = yaml.safe_load((changed.folder / "scenes/road.yaml").read_text())
    scene["clips"][1]["ground_truth"] = {"ranges": [[32, 45]]}
    (changed.folder / "scenes/road.yaml").write_text(yaml.safe_dump(scene))
    answers = [one for one in ANSWERS if "/rare/" not in one]
    assert changed.planned("--", *answers) == set()
