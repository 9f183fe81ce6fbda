"""Saliency is exact: the mean of a map is the frame's score, for every backbone and part."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sdor.method.features import (
    classify_features,
    extract_features,
    extract_trunk_maps,
)
from sdor.method.feedback import FIRST_ROUND, labels_of_marks
from sdor.method.saliency import class_activation, write_hidden, write_saliency
from sdor.method.scorer import Scorer
from sdor.method.sources import Sources
from sdor.method.training import train_and_score
from sdor.networks.backbones import Backbone, load_backbone, pooled
from sdor.networks.compute import Compute
from sdor.networks.feature_table import read_features
from sdor.networks.fetch import resolve_weights
from sdor.study.backbones import ARCHITECTURES
from sdor.study.config import with_defaults
from sdor.study.settings import TrainingSettings
from sdor.video.store import FrameStore

CPU = Compute(torch.device("cpu"), bf16=False)
FRAMES, SIZE = 16, 64
SETTINGS = TrainingSettings.read(
    with_defaults(
        {"hidden_units": 20, "learning_rate": 0.01, "batch_size": 8, "epochs": 2}, "method"
    )
)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_mean_of_a_map_is_the_score(name):
    torch.manual_seed(0)
    backbone = Backbone(name).eval()
    # Batch normalisation with random statistics: what the network computes is of ordinary size.
    for module in backbone.modules():
        if hasattr(module, "running_var") and module.running_var is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    scorer = Scorer(backbone, hidden_units=100, seed=1).eval()
    time = (backbone.architecture.frames,) if backbone.architecture.frames > 1 else ()
    frames = torch.randint(0, 255, (2, *time, SIZE, SIZE, 1), dtype=torch.uint8)
    with torch.inference_mode():
        maps = backbone.maps(frames)
        score = scorer.score_features(pooled(maps))
        saliency = class_activation(scorer.head, maps)
    assert saliency.dim() == 3
    torch.testing.assert_close(saliency.mean((1, 2)), score, atol=1e-4, rtol=1e-4)
    if saliency[0].numel() > 1:
        assert saliency[0].std() > 0


def test_a_units_map_is_worked_out_by_hand():
    """Two channels on 1×2 positions, two hidden units of which one is off."""
    backbone = Backbone("resnet18")
    scorer = Scorer(backbone, hidden_units=2)
    scorer.head[0] = torch.nn.Linear(2, 2)
    scorer.head[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    scorer.head[0].bias.data = torch.tensor([0.5, 0.0])
    scorer.head[2].weight.data = torch.tensor([[2.0, 7.0]])
    scorer.head[2].bias.data = torch.tensor([0.25])
    maps = torch.tensor([[[[1.0, 3.0]], [[4.0, 4.0]]]])
    # q = (2, 4), h = (2.5, -4): only unit 1 counts. phi = 2 · 2.5 + 0.25 = 5.25, and
    # M = 2 · 1 · (1, 3) = (2, 6) with the constant 2 · 0.5 + 0.25 = 1.25.
    assert class_activation(scorer.head, maps).tolist() == [[[3.25, 7.25]]]
    assert scorer.score_features(pooled(maps)).item() == pytest.approx(5.25)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 120, (FRAMES, SIZE, SIZE, 1), dtype=np.uint8)
    frames[-4:] += 120
    files = {name: folder / f"{name}.npy" for name in "ab"}
    for path, part in zip(files.values(), np.split(frames, 2), strict=True):
        np.save(path, part)
    store = FrameStore(files)
    weights = folder / "w.safetensors"
    resolve_weights("resnet18", "random", weights)
    extract_features(store, weights, folder / "f.parquet", layer="pool", compute=CPU, about={})
    extract_trunk_maps(store, weights, folder / "m.npy", compute=CPU)
    # One frame is left out: rows and frames are not the same numbers.
    index = store.index().assign(row=np.arange(FRAMES)).drop(index=2)
    index.to_parquet(folder / "index.parquet")
    labels = index.assign(label=0, weight=1 / 6).iloc[[0, 1, 2, 3, 4, 5, -4, -3, -2, -1]].copy()
    labels.loc[labels.index[-4:], ["label", "weight"]] = (1, 0.25)
    rows = {
        "all": list(files.values()),
        "layer4": [folder / "m.npy"],
        "head": [folder / "f.parquet"],
    }
    sources = {part: Sources(rows[part], folder / "index.parquet", weights) for part in rows}
    labels = labels.drop(columns="row")
    given = {"store": store, "weights": weights, "labels": labels}
    return {"folder": folder, "sources": sources, **given}


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """Folders of two iterations of each trainable part."""
    runs = {}
    for part, sources in scene["sources"].items():
        runs[part] = [tmp_path_factory.mktemp(part) for _ in (1, 2)]
        for iteration, folder in enumerate(runs[part], start=1):
            train_and_score(
                sources,
                scene["labels"],
                folder,
                replace(SETTINGS, trainable=part),
                seed=[0, iteration],
                compute=CPU,
                about={},
            )
    return runs


@pytest.mark.parametrize("part", ["all", "layer4", "head"])
def test_maps_of_a_run_average_to_its_final_scores(scene, trained, tmp_path, part):
    write_saliency(
        [folder / "model.safetensors" for folder in trained[part]],
        scene["sources"]["layer4" if part == "layer4" else "all"],
        tmp_path / "saliency.npy",
        trainable=part,
        compute=CPU,
    )
    maps = np.load(tmp_path / "saliency.npy")
    assert maps.dtype == np.float32
    assert maps.shape == (FRAMES - 1, 2, 2)
    scores = [pd.read_parquet(folder / "scores.parquet")["score"] for folder in trained[part]]
    np.testing.assert_allclose(maps.mean((1, 2)), np.mean(scores, axis=0), atol=1e-4)


@pytest.mark.parametrize("part", ["all", "layer4", "head"])
def test_the_hidden_layer_gives_the_score_by_its_linear_unit(scene, trained, tmp_path, part):
    model, hidden = trained[part][1] / "model.safetensors", tmp_path / "hidden.parquet"
    write_hidden(model, scene["sources"][part], hidden, trainable=part, compute=CPU, about={})
    index, hidden = read_features(hidden)
    scored = pd.read_parquet(trained[part][1] / "scores.parquet")
    pd.testing.assert_frame_equal(index, scored[["clip", "frame"]])
    assert hidden.shape == (FRAMES - 1, 20)
    assert (hidden >= 0).all()

    state = load_file(model)
    expected = hidden @ state["head.2.weight"].numpy()[0] + state["head.2.bias"].numpy()
    np.testing.assert_allclose(scored["score"], expected, atol=1e-4)


def test_bins_are_quarters_whose_mean_is_the_pooled_feature(scene, tmp_path):
    features = tmp_path / "features.parquet"
    given = {"bins": tmp_path / "bins.npy", "compute": CPU, "about": {}}
    extract_features(scene["store"], scene["weights"], features, **given)
    bins = np.load(tmp_path / "bins.npy")
    assert bins.shape == (FRAMES, 4, 512)
    assert bins.dtype == np.float16
    features = read_features(features)[1]
    np.testing.assert_array_equal(features, read_features(scene["folder"] / "f.parquet")[1])
    np.testing.assert_allclose(bins.astype(float).mean(1), features, rtol=0.01, atol=1e-3)
    frames = torch.from_numpy(scene["store"].gather([0]))
    with torch.inference_mode():
        maps = load_backbone(scene["weights"]).maps(frames)[0]
    np.testing.assert_allclose(bins[0, 1], maps[:, 0, 1], rtol=0.01, atol=1e-3)


@pytest.fixture
def tune(scene, trained, tmp_path):
    """Fine-tunes the head of the last iteration on marks; gives the scores that come out."""

    def run(marks, name="tuned", epochs=60):
        marks.to_csv(tmp_path / "marks.csv", index=False)
        (tmp_path / name).mkdir()
        train_and_score(
            scene["sources"]["head"],
            labels_of_marks([tmp_path / "marks.csv"], scene["sources"]["head"].index, 0),
            tmp_path / name,
            replace(SETTINGS, trainable="head", epochs=epochs),
            seed=[0, FIRST_ROUND + 1],
            compute=CPU,
            about={},
            model=trained["head"][1] / "model.safetensors",
        )
        return pd.read_parquet(tmp_path / name / "scores.parquet")["score"].to_numpy()

    return run


def test_fine_tuning_follows_the_marks(trained, tune, tmp_path):
    marks = pd.DataFrame(
        {
            "clip": ["a"] * 3 + ["b"] * 3,
            "frame": [1, 2, 4, 1, 2, 3],
            "label": ["anomaly"] * 3 + ["normal"] * 3,
        }
    )
    before = pd.read_parquet(trained["head"][1] / "scores.parquet")["score"].to_numpy()
    after = tune(marks)
    marked, others = [0, 1, 2], [7, 8, 9]
    assert (after - before)[marked].mean() > (after - before)[others].mean()
    assert len(pd.read_parquet(tmp_path / "tuned" / "history.parquet")) == 60
    np.testing.assert_array_equal(tune(marks, "again"), after)


def test_marks_of_one_kind_alone_can_be_learnt(tune):
    marks = pd.DataFrame({"clip": ["a"], "frame": [1], "label": ["anomaly"]})
    assert len(tune(marks, epochs=2)) == FRAMES - 1


def test_the_classifier_makes_of_pooled_features_what_it_makes_of_frames(scene, tmp_path):
    pooled_path = scene["folder"] / "f.parquet"
    for layer in ("logits", "softmax"):
        arguments = {"layer": layer, "compute": CPU, "about": {}}
        extract_features(scene["store"], scene["weights"], tmp_path / "whole", **arguments)
        classify_features(pooled_path, scene["weights"], tmp_path / "short", **arguments)
        whole, short = read_features(tmp_path / "whole"), read_features(tmp_path / "short")
        pd.testing.assert_frame_equal(whole[0], short[0])
        np.testing.assert_allclose(whole[1], short[1], rtol=1e-4, atol=1e-5)
