import errno
import shutil
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sdor.errors import SdorError
from sdor.files import forget_checkpoint, read_parquet
from sdor.method import training
from sdor.method.features import extract_features, extract_trunk_maps
from sdor.method.scorer import Scorer, load_scorer, save_scorer
from sdor.method.sources import Sources
from sdor.method.training import Checkpoint, Done, epoch_batches, score_rows, train_and_score
from sdor.networks.backbones import Backbone, pooled
from sdor.networks.compute import Compute
from sdor.networks.fetch import resolve_weights
from sdor.networks.inputs import Inputs
from sdor.study.config import with_defaults
from sdor.study.settings import TrainingSettings
from sdor.video.store import FrameStore

CPU = Compute(torch.device("cpu"), bf16=False)
FRAMES, SIZE = 24, 32
SETTINGS = TrainingSettings.read(
    with_defaults(
        {
            "trainable": "head",
            "hidden_units": 32,
            "learning_rate": 0.01,
            "batch_size": 8,
            "epochs": 4,
        },
        "method",
    )
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Two clips of noise, the last frames brighter, and everything that a training reads."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 120, (FRAMES, SIZE, SIZE, 1), dtype=np.uint8)
    frames[-4:] += 120
    half = FRAMES // 2
    for name, part in (("a", frames[:half]), ("b", frames[half:])):
        np.save(folder / f"{name}.npy", part)
    files = {name: folder / f"{name}.npy" for name in "ab"}
    store = FrameStore(files)
    weights = folder / "w.safetensors"
    resolve_weights("resnet18", "random", weights)
    extract_features(store, weights, folder / "f.parquet", layer="pool", compute=CPU, about={})
    extract_trunk_maps(store, weights, folder / "m.npy", compute=CPU)
    store.index().assign(row=np.arange(len(store))).to_parquet(folder / "index.parquet")
    labels = store.index().assign(label=0, weight=1 / 6)
    labels = labels.iloc[[0, 1, 2, 3, 4, 5, -4, -3, -2, -1]].copy()
    labels.loc[labels.index[-4:], ["label", "weight"]] = (1, 0.25)
    labels.to_parquet(folder / "labels.parquet")
    rows = {
        "all": list(files.values()),
        "layer4": [folder / "m.npy"],
        "head": [folder / "f.parquet"],
    }
    return {
        "folder": folder,
        "store": store,
        "weights": weights,
        "rows": rows,
        "labels": pd.read_parquet(folder / "labels.parquet"),
    }


def run(scene, folder, *, iteration=1, warm=None, seed=0, about=None, **changes):
    settings = replace(SETTINGS, **changes)
    rows = scene["rows"][settings.trainable]
    folder.mkdir(exist_ok=True)
    train_and_score(
        Sources(rows, scene["folder"] / "index.parquet", scene["weights"]),
        read_parquet(scene["folder"] / "labels.parquet"),
        folder,
        settings,
        seed=[seed, iteration],
        compute=CPU,
        about=about or {},
        model=warm,
    )
    return pd.read_parquet(folder / "scores.parquet")["score"].to_numpy()


@pytest.mark.parametrize("trainable", ["all", "layer4", "head"])
def test_training_separates_what_it_is_told_to(scene, tmp_path, trainable):
    scores = run(scene, tmp_path, trainable=trainable, epochs=10, steps_per_epoch=4)
    assert scores[-4:].min() > scores[:6].max()
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert history["epoch"].tolist() == list(range(1, 11))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    # It stays until the ensemble is there: jobs of a group that fails lose their outputs.
    assert (tmp_path / "checkpoint.pt").exists()
    forget_checkpoint(tmp_path / "scores.parquet")
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("trainable", ["all", "layer4", "head"])
def test_a_saved_model_scores_as_it_did(scene, tmp_path, trainable):
    scores = run(scene, tmp_path, trainable=trainable)
    scorer = load_scorer(tmp_path / "model.safetensors", scene["weights"], trainable=trainable)
    with torch.inference_mode():
        frames = torch.from_numpy(scene["store"].gather(np.arange(FRAMES)))
        again = scorer.score_features(pooled(scorer.backbone.maps(frames))).numpy()
    np.testing.assert_allclose(again, scores, atol=1e-4)


def test_the_three_ways_in_give_the_same_score(scene):
    backbone = Backbone("resnet18").eval()
    scorers = {
        part: Scorer(backbone, hidden_units=32, trainable=part, seed=1)
        for part in ("all", "layer4", "head")
    }
    frames = torch.from_numpy(scene["store"].gather(np.arange(4)))
    with torch.inference_mode():
        trunk = backbone.trunk_maps(frames)
        whole = scorers["all"](frames)
        torch.testing.assert_close(scorers["layer4"](trunk.movedim(1, -1)), whole)
        torch.testing.assert_close(scorers["head"](pooled(backbone.top_maps(trunk))), whole)


@pytest.mark.parametrize("trainable", ["all", "layer4", "head"])
def test_only_the_named_part_changes(scene, tmp_path, trainable):
    run(scene, tmp_path, trainable=trainable)
    trained = {name for name in load_file(tmp_path / "model.safetensors") if "head" not in name}
    start = load_file(scene["weights"])
    changed = {name.removeprefix("backbone.net.") for name in trained}
    expected = {
        "all": {name for name in start if not name.startswith("fc")},
        "layer4": {name for name in start if name.startswith("layer4")},
        "head": set(),
    }[trainable]
    assert changed == expected


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(scene, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(scene, tmp_path / name, trainable="layer4", seed=seed)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert models[0] == models[1]
    assert models[0] != models[2]


@pytest.fixture
def steps(monkeypatch):
    """Counts the steps of trainings, and kills one after so many, as told by `steps.last`."""
    loss_of, counted = training.loss_of, SimpleNamespace(taken=0, last=None)

    def counting(*arguments):
        if counted.taken == counted.last:
            counted.last = None
            raise KeyboardInterrupt
        counted.taken += 1
        return loss_of(*arguments)

    monkeypatch.setattr(training, "loss_of", counting)
    return counted


@pytest.mark.parametrize(("momentum", "last"), [(0, 14), (0.9, 14), (0.9, 3)])
def test_an_interrupted_training_ends_like_an_undisturbed_one(
    scene, tmp_path, monkeypatch, steps, momentum, last
):
    changes = {"trainable": "layer4", "momentum": momentum, "steps_per_epoch": 5}
    expected = run(scene, tmp_path / "whole", **changes)
    monkeypatch.setattr(training, "SECONDS_LOST", 0)  # a checkpoint whenever the last is written
    steps.taken, steps.last = 0, last
    with pytest.raises(KeyboardInterrupt):
        run(scene, tmp_path / "cut", **changes)
    assert (tmp_path / "cut" / "checkpoint.pt").is_file()
    scores = run(scene, tmp_path / "cut", **changes)
    assert 20 <= steps.taken < 20 + last, "some of the work was kept"
    np.testing.assert_array_equal(scores, expected)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert models[0] == models[1]


@pytest.mark.parametrize("spoil", ["settings", "bytes"])
def test_a_checkpoint_that_does_not_fit_is_not_used(scene, tmp_path, steps, spoil):
    expected = run(scene, tmp_path / "whole")
    whole, steps.taken, steps.last = steps.taken, 0, steps.taken // SETTINGS.epochs
    with pytest.raises(KeyboardInterrupt):
        run(scene, tmp_path / "cut", about={"code": "old"} if spoil == "settings" else {})
    assert (tmp_path / "cut" / "checkpoint.pt").is_file()
    if spoil == "bytes":
        (tmp_path / "cut" / "checkpoint.pt").write_bytes(b"PK half a file")
    steps.taken = 0
    np.testing.assert_array_equal(run(scene, tmp_path / "cut"), expected)
    assert steps.taken == whole


def test_checkpoints_take_a_hundredth_of_the_time_and_a_kill_costs_a_minute(tmp_path, monkeypatch):
    now, release, save = 0.0, Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *given: (release.wait(), save(*given)))
    monkeypatch.setattr(training.time, "monotonic", lambda: now)
    scorer = Scorer(Backbone("resnet18"), trainable="head")
    optimiser = torch.optim.SGD(scorer.head.parameters(), lr=0.1)
    with Checkpoint(tmp_path / "checkpoint.pt") as checkpoint:
        now = 59.0  # of an epoch that takes longer
        assert not checkpoint.due
        now = 60.0
        assert checkpoint.due
        for cost, until in ((0.2, 20), (5.0, 60)):
            kept = now
            release.clear()
            checkpoint.save(scorer, optimiser, Done())
            now = kept + cost
            assert not checkpoint.due, "the last one is still being written"
            release.set()
            checkpoint._written.result()
            now = kept + until - 0.1
            assert not checkpoint.due
            now = kept + until + 0.1
            assert checkpoint.due


def test_a_disk_that_is_full_stops_a_training_that_keeps_its_state(scene, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(SdorError, match=r"checkpoint\.pt: not written .*make room"):
        run(scene, tmp_path)


def test_a_warm_restart_goes_on_from_the_model_before(scene, tmp_path):
    first = run(scene, tmp_path / "1", learning_rate=0.01)
    cold = run(scene, tmp_path / "cold", iteration=2, epochs=1, learning_rate=1e-9)
    warm = run(
        scene,
        tmp_path / "warm",
        iteration=2,
        epochs=1,
        learning_rate=1e-9,
        warm=tmp_path / "1" / "model.safetensors",
    )
    np.testing.assert_allclose(warm, first, atol=1e-5)
    assert np.abs(cold - first).max() > 1e-3


def test_frozen_normalisation_keeps_its_statistics(scene, tmp_path):
    start = load_file(scene["weights"])
    name = "layer4.1.bn2.running_mean"
    for mode, same in (("frozen", True), ("train", False)):
        run(scene, tmp_path / mode, trainable="layer4", batchnorm=mode)
        trained = load_file(tmp_path / mode / "model.safetensors")[f"backbone.net.{name}"]
        assert torch.equal(trained, start[name]) is same


def test_a_diverging_training_says_what_to_do(scene, tmp_path):
    with pytest.raises(SdorError, match=r"epoch \d+: the loss is (nan|inf); lower learning_rate"):
        run(scene, tmp_path, loss="l2", learning_rate=1e30)
    assert not (tmp_path / "model.safetensors").exists()


def test_rows_of_another_scene_are_refused(scene, tmp_path):
    np.save(tmp_path / "m.npy", np.load(scene["folder"] / "m.npy")[:-1])
    other = {**scene, "rows": {"layer4": [tmp_path / "m.npy"]}}
    with pytest.raises(SdorError, match=r"m\.npy: 23 rows, but .* has 24 frames"):
        run(other, tmp_path / "out", trainable="layer4")


def test_pseudo_labels_of_other_frames_are_refused(scene, tmp_path):
    strange = scene["labels"].assign(clip="z")
    strange.to_parquet(tmp_path / "labels.parquet")
    shutil.copy(scene["folder"] / "index.parquet", tmp_path)
    with pytest.raises(SdorError, match="labels are of other frames"):
        run({**scene, "folder": tmp_path}, tmp_path / "out")


def test_batches_hold_half_of_each_and_draw_by_weight():
    labels = pd.DataFrame(
        {"row": np.arange(30), "label": [1] * 10 + [0] * 20, "weight": [0] * 9 + [1] + [0.05] * 20}
    )
    rng = np.random.default_rng(0)
    batches = list(epoch_batches(labels, SETTINGS, rng=rng))
    assert len(batches) == 4  # 30 frames in batches of 8
    for rows, targets in batches:
        assert targets.tolist() == [1] * 4 + [0] * 4
        assert set(rows[:4]) == {9}
        assert rows[4:].min() >= 10


def test_proportional_batches_and_fixed_steps():
    labels = pd.DataFrame(
        {"row": np.arange(30), "label": [1] * 10 + [0] * 20, "weight": [0.1] * 10 + [0.05] * 20}
    )
    settings = replace(SETTINGS, batch="proportional", batch_size=9, steps_per_epoch=7, c1=3)
    batches = list(epoch_batches(labels, settings, rng=np.random.default_rng(0)))
    assert len(batches) == 7
    assert batches[0][1].tolist() == [3] * 3 + [0] * 6


def test_scores_do_not_depend_on_the_batch(scene):
    scorer = Scorer(Backbone("resnet18"), hidden_units=32)
    scores = score_rows(scorer, Inputs(scene["store"], CPU))
    with torch.inference_mode():
        alone = [scorer(torch.from_numpy(scene["store"].gather([row]))) for row in range(3)]
    np.testing.assert_allclose(scores[:3], torch.cat(alone).numpy(), atol=1e-5)


def test_a_3d_network_trains_on_windows(scene, tmp_path):
    resolve_weights("r3d_18", "random", tmp_path / "w.safetensors")
    small = {**scene, "weights": tmp_path / "w.safetensors"}
    scores = run(small, tmp_path / "out", trainable="all", epochs=1, steps_per_epoch=1)
    assert scores.shape == (FRAMES,)
    assert np.isfinite(scores).all()


def test_a_model_of_another_network_is_refused(scene, tmp_path):
    scorer = Scorer(Backbone("resnet18"), hidden_units=32, trainable="head")
    save_scorer(scorer, tmp_path / "model.safetensors", {})
    with pytest.raises(SdorError, match="another backbone or trainable part"):
        load_scorer(tmp_path / "model.safetensors", scene["weights"], trainable="all")
    with pytest.raises(SdorError, match="another backbone"):
        scorer.load_trained({**scorer.trained_state(), "extra": torch.zeros(1)})
