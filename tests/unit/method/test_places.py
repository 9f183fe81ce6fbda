"""Heads learn places: repeatable, to the loss of Eq. 8, each on its own share of A."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.method.place_labels import Looked
from sdor.method.places import (
    Heads,
    save_heads,
    score_network,
    score_places,
    train_and_score_places,
    train_heads,
    train_network,
)
from sdor.method.sources import Sources
from sdor.networks.backbones import Backbone
from sdor.networks.compute import Compute
from sdor.networks.inputs import Inputs
from sdor.study.settings import PlaceTrainingSettings
from sdor.video.timeline import Timeline

CPU = Compute(torch.device("cpu"), bf16=False)
SMALL = PlaceTrainingSettings(
    places=3,
    trainable="head",
    heads=2,
    hidden_units=8,
    learning_rate=0.01,
    batch_size=16,
    steps=60,
)


def learnable():
    """Maps (20, 49, 4) whose first component tells A, rows 15 to 19 at place 3, from the rest."""
    maps = np.random.default_rng(0).normal(size=(20, 49, 4)).astype(np.float16)
    maps[..., 0] = 0
    maps[15:, 3, 0] = 3
    members = [(row, 3, 1, share, 0.2) for share in (0, 1) for row in range(15, 20)]
    members += [(row, place, 0, -1, 1 / 490) for row in range(10) for place in range(49)]
    return maps, pd.DataFrame(members, columns=["row", "place", "label", "share", "weight"])


def trained(seed=(0, 1), settings=SMALL):
    maps, labels = learnable()
    return train_heads(maps, labels, settings, seed=seed, compute=CPU)


def state(heads):
    return {name: one.numpy().tobytes() for name, one in heads.state_dict().items()}


def test_the_seed_makes_the_heads():
    first = state(trained()[0])
    assert state(trained()[0]) == first
    assert state(trained(seed=(1, 1))[0]) != first
    assert state(trained(seed=(0, 2))[0]) != first


def test_there_are_heads_for_each_share_of_a_and_none_is_another():
    heads, _ = trained()
    assert heads.weight.shape == (4, 4, 8)
    assert len({one.numpy().tobytes() for one in heads.weight.detach()}) == 4


def test_the_loss_falls_and_a_is_told_from_n():
    heads, history = trained()
    assert history["epoch"].tolist() == [*range(1, 11)]
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    scores = score_places(heads, learnable()[0], CPU)
    assert scores[15:, 3].min() > 0.6
    assert np.abs(np.delete(scores, 3, axis=1)).mean() < 0.2


def test_a_head_sees_its_own_share_alone():
    maps, labels = learnable()
    labels.loc[labels["share"] == 1, "place"] = 9
    maps[15:, 9, 1] = 9
    heads, _ = train_heads(maps, labels, SMALL, seed=[0], compute=CPU)
    with torch.inference_mode():
        scores = heads(torch.from_numpy(maps[15:, [3, 9]].astype(np.float32)).reshape(1, 10, 4))
    scores = scores.reshape(4, 5, 2).mean(dim=1)
    assert (scores[:2, 0] > 0.6).all()
    assert (scores[2:, 1] > 0.6).all()
    assert (scores[2:, 0] < 0.4).all()  # of the other share, it learnt nothing


def test_the_first_loss_is_the_distance_to_the_targets():
    settings = PlaceTrainingSettings(3, "head", 1, 8, 1e-12, 16, 1)
    maps, labels = learnable()
    _, history = train_heads(0 * maps, labels, settings, seed=[5], compute=CPU)
    heads = Heads(4, 8, 2, seed=[5])
    with torch.inference_mode():
        scores = heads(torch.zeros(1, 1, 4)).numpy()
    expected = (np.abs(scores - 1) + np.abs(scores)).mean() / 2
    assert history["loss"].tolist() == pytest.approx([expected])


def test_a_score_is_the_mean_of_the_heads(monkeypatch):
    heads, maps = trained()[0], learnable()[0]
    weight, bias, out, shift = (one.detach().numpy() for one in heads.parameters())
    each = [
        np.maximum(maps.astype(np.float32) @ weight[n] + bias[n], 0) @ out[n] + shift[n]
        for n in range(4)
    ]
    expected = np.mean(each, axis=0)[..., 0]
    np.testing.assert_allclose(score_places(heads, maps, CPU), expected, atol=1e-5)
    monkeypatch.setattr("sdor.method.places.SCORED", 100)
    np.testing.assert_allclose(score_places(heads, maps, CPU), expected, atol=1e-5)


def test_a_file_holds_the_heads(tmp_path):
    heads, path = trained()[0], tmp_path / "model.safetensors"
    save_heads(heads, path)
    again = Heads(*heads.weight.shape[1:], len(heads.weight), seed=[9])
    again.load_state_dict(load_file(path))
    assert state(again) == state(heads)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_loss_that_is_not_finite_is_told():
    maps, labels = learnable()
    maps[2] = np.nan
    with pytest.raises(SdorError, match="the loss is nan; lower learning_rate"):
        train_heads(maps, labels, SMALL, seed=[0], compute=CPU)


def test_files_hold_what_was_trained_and_scored(tmp_path):
    maps, labels = learnable()
    timeline = Timeline.of({"a": np.arange(20) / 10, "b": np.arange(20) / 10})
    looked = Looked.of(timeline, 5)
    np.save(tmp_path / "maps.npy", maps)
    write_parquet(tmp_path / "labels.parquet", labels, {})

    def run():
        sources = Sources([tmp_path / "maps.npy"], tmp_path, tmp_path)
        files = sources, tmp_path / "labels.parquet", tmp_path
        return train_and_score_places(looked, *files, SMALL, seed=[0, 1], compute=CPU, about={})

    history = run()
    assert len(history) == 10
    places = np.load(tmp_path / "places.npy")
    assert places.shape == (20, 49)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    np.testing.assert_allclose(scores["score"], looked.spread(looked.frame_scores(places, 3)))
    assert scores[["clip", "frame"]].equals(timeline.index())
    first = (tmp_path / "model.safetensors").read_bytes()
    run()
    assert (tmp_path / "model.safetensors").read_bytes() == first
    np.save(tmp_path / "maps.npy", maps[1:])
    with pytest.raises(SdorError, match=r"maps\.npy.*expected 20 rows"):
        run()


DEEP = replace(SMALL, trainable="layer4", learning_rate=0.001, batch_size=4 * 49, steps=20)


@pytest.fixture(scope="module")
def deep():
    """A network, 40 frames of noise, bright at place 3 in A, and what its trunk makes of them.

    Every second frame is looked at: the rows of `learnable`.
    """
    torch.manual_seed(0)
    backbone = Backbone("resnet18").eval()
    frames = np.random.default_rng(0).integers(0, 60, (40, 64, 64, 3), dtype=np.uint8)
    frames[30:, :12, 26:38] += 190
    with torch.inference_mode():
        maps = backbone.trunk_maps(torch.from_numpy(frames)).movedim(1, -1).contiguous()
    return backbone, {"layer4": Inputs(maps.numpy(), CPU), "all": Inputs(frames, CPU)}


def fitted(deep, seed=0, **changes):
    """Scorer, history and scores (20, 49)."""
    backbone, inputs = deep
    settings, rows = replace(DEEP, **changes), np.arange(0, 40, 2)
    given = inputs[settings.trainable], rows
    scorer, history = train_network(backbone, *given, learnable()[1], settings, seed=[seed])
    return scorer, history, score_network(scorer, *given)


def test_a_network_learns_places_from_whole_frames(deep):
    _, history, scores = fitted(deep)
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert scores.shape == (20, 49)
    assert scores[15:, 3].mean() > scores[:10].mean() + 0.3


@pytest.mark.parametrize("trainable", ["layer4", "all"])
def test_only_what_is_named_of_a_network_changes(deep, trainable):
    backbone, before = deep[0], {name: one.clone() for name, one in deep[0].state_dict().items()}
    scorer, _, _ = fitted(deep, trainable=trainable, steps=2)
    after = scorer.backbone.state_dict()
    changed = {name.split(".")[1] for name, one in after.items() if not one.equal(before[name])}
    whole = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert changed == ({"layer4"} if trainable == "layer4" else whole)
    assert all(one.equal(before[name]) for name, one in backbone.state_dict().items())
    statistics = [name for name in before if "running" in name]
    assert all(after[name].equal(before[name]) for name in statistics)


def test_the_seed_makes_the_network(deep):
    first, again, other = (fitted(deep, seed, steps=3)[2] for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_loss_of_whole_frames_is_that_of_drawn_places(deep):
    """Without a step worth the name, both losses are the mean over all of A, and over all of N."""
    scorer, history, scores = fitted(deep, learning_rate=1e-12, steps=60, heads=1)
    labels = learnable()[1]
    labels = labels[labels["share"] < 1]
    with torch.inference_mode():
        batch = next(deep[1]["layer4"].batches([np.arange(0, 40, 2)]))
        each = scorer(batch).numpy()
    np.testing.assert_allclose(each.mean(axis=0), scores, atol=1e-5)
    of_labels = np.abs(each[:, labels["row"], labels["place"]] - labels["label"].to_numpy())
    expected = (of_labels * labels["weight"].to_numpy()).sum(axis=1).mean() / 2
    assert history["loss"].mean() == pytest.approx(expected, rel=0.02)
