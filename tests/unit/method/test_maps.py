"""Places are principal components of the network's last maps, as scikit-learn finds them."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.decomposition import PCA
from torch import nn

from sdor.method import maps as module
from sdor.method.grid import smoothed_maps
from sdor.method.maps import place_maps, project, write_place_maps
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import Compute
from sdor.networks.fetch import resolve_weights
from sdor.networks.inputs import Inputs
from sdor.study.settings import MapSettings
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline

CPU = Compute(torch.device("cpu"), bf16=False)
BOTH = MapSettings(fps=5, stages=("trunk", "top"), components=6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    resolve_weights("resnet18", "random", path)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("frames") / "gate.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8))
    return FrameStore({"gate": path})


@pytest.fixture(scope="module")
def backbone(weights):
    return load_backbone(weights)


def raw(backbone, store, stage):
    """The stage's maps at 7 x 7 places, (frames, 49, channels), computed without the package."""
    with torch.inference_mode():
        found = backbone.trunk_maps(torch.from_numpy(store.gather(range(len(store)))))
        found = backbone.top_maps(found) if stage == "top" else found
        found = nn.functional.adaptive_avg_pool2d(found, 7)
    return found.flatten(2).transpose(1, 2).numpy()


def test_components_are_those_of_scikit_learn(backbone, store):
    basis, maps = place_maps(backbone, Inputs(store, CPU), np.arange(40), BOTH)
    assert maps.dtype == np.float16
    assert maps.shape == (40, 49, 12)
    for number, stage in enumerate(BOTH.stages):
        values = raw(backbone, store, stage).reshape(40 * 49, -1)
        pca = PCA(6, whiten=True, svd_solver="full").fit(values)
        expected = pca.transform(values)
        own = maps[..., 6 * number : 6 * number + 6].reshape(40 * 49, 6).astype(float)
        signs = np.sign((own * expected).sum(axis=0))
        np.testing.assert_allclose(own, signs * expected, atol=0.03)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=0.01)
        np.testing.assert_allclose(basis[f"{stage}.mean"], pca.mean_, atol=1e-3)


def test_components_are_fitted_on_a_sample_and_hold_for_all(backbone, store, monkeypatch):
    monkeypatch.setattr(module, "SAMPLED", 5)
    monkeypatch.setattr(module, "BATCH_SIZE", 4)
    rows = np.arange(1, 40, 2)
    basis, maps = place_maps(backbone, Inputs(store, CPU), rows, BOTH)
    half = {stage: raw(backbone, store, stage)[rows].astype(np.float16) for stage in BOTH.stages}
    np.testing.assert_allclose(
        maps.astype(float), project(half, basis).astype(float), atol=0.02, rtol=0.01
    )
    sample = half["top"][[0, 5, 10, 14, 19]].astype(np.float32)
    np.testing.assert_allclose(basis["top.mean"], sample.mean((0, 1)), atol=1e-3)


@pytest.mark.parametrize("stages", [("trunk",), ("top",), ("top", "trunk")])
def test_stages_stand_in_the_order_of_the_settings(backbone, store, stages):
    settings = MapSettings(fps=5, stages=stages, components=6)
    _, maps = place_maps(backbone, Inputs(store, CPU), np.arange(40), settings)
    _, both = place_maps(backbone, Inputs(store, CPU), np.arange(40), BOTH)
    parts = {"trunk": both[..., :6], "top": both[..., 6:]}
    np.testing.assert_array_equal(maps, np.concatenate([parts[one] for one in stages], axis=2))


def test_equal_frames_have_finite_places(backbone, tmp_path):
    np.save(tmp_path / "gate.npy", np.full((9, 64, 64, 1), 77, np.uint8))
    frames = Inputs(FrameStore({"gate": tmp_path / "gate.npy"}), CPU)
    many = MapSettings(fps=5, stages=("trunk", "top"), components=60)  # of 49 places, 48 may differ
    _, maps = place_maps(backbone, frames, np.arange(9), many)
    assert np.isfinite(maps).all()
    assert not np.ptp(maps.astype(float), axis=0).any()


def test_one_frame_has_places(backbone, store):
    _, maps = place_maps(backbone, Inputs(store, CPU), np.array([3]), BOTH)
    assert maps.shape == (1, 49, 12)
    assert np.isfinite(maps).all()


def test_files_hold_maps_and_basis(backbone, weights, store, tmp_path):
    paths, rows = (tmp_path / "maps.npy", tmp_path / "basis.safetensors"), np.arange(0, 40, 2)
    write_place_maps(store, weights, rows, BOTH, paths, compute=CPU)
    basis, maps = place_maps(backbone, Inputs(store, CPU), rows, BOTH)
    np.testing.assert_array_equal(np.load(paths[0]), maps)
    found = load_file(paths[1])
    assert found.keys() == basis.keys()
    for name, values in basis.items():
        np.testing.assert_array_equal(found[name], values)


def test_places_are_smoothed_each_on_its_own():
    timeline = Timeline.of({"a": np.arange(8) / 10, "b": np.arange(4) / 10})
    maps = np.random.default_rng(0).random((12, 49, 3)).astype(np.float16)
    known = np.arange(12) != 3
    smooth = smoothed_maps(maps, np.arange(12), timeline, known)
    assert smooth.dtype == np.float16
    whole = timeline.smoothed(maps.astype(np.float32), np.arange(12), 0.2, known)
    np.testing.assert_array_equal(smooth, whole.astype(np.float16))
