"""Networks of int8 look at frames as those of torch do, or are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from sdor.errors import SdorError
from sdor.files import read_parquet
from sdor.method.features import extract_features
from sdor.method.maps import PlaceMaps, place_maps
from sdor.networks import fast
from sdor.networks.backbones import load_backbone
from sdor.networks.compute import Compute, choose_compute
from sdor.networks.feature_table import read_features
from sdor.networks.fetch import resolve_weights
from sdor.networks.inputs import Inputs
from sdor.study.settings import MapSettings
from sdor.video.store import FrameStore

CPU = Compute(torch.device("cpu"), bf16=False)
INT8 = Compute(torch.device("cpu"), bf16=False, int8=True)
BOTH = MapSettings(fps=5, stages=("trunk", "top"), components=6)
installed = pytest.mark.skipif(not fast.is_there(), reason="no openvino and nncf, or no int8 here")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    resolve_weights("resnet18", "random", path)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Sixty frames of noise that grows brighter, so that they are told apart."""
    path = tmp_path_factory.mktemp("frames") / "gate.npy"
    noise = np.random.default_rng(0).integers(0, 100, (60, 64, 64, 1))
    np.save(path, (noise + 2 * np.arange(60).reshape(-1, 1, 1, 1)).astype(np.uint8))
    return FrameStore({"gate": path})


@pytest.fixture(scope="module")
def quantised(weights, store):
    frames = Inputs(store, CPU)
    network = PlaceMaps(load_backbone(weights), BOTH.stages)
    return fast.quantised(network, frames, np.arange(60)), network


@installed
def test_it_gives_what_torch_gives(quantised, store):
    made, network = quantised
    frames = torch.from_numpy(store.gather(np.arange(8)))
    with torch.inference_mode():
        expected = network(frames).numpy()
    given = made(frames).numpy()
    assert given.shape == expected.shape == (8, 49, 256 + 512)
    assert given.dtype == np.float16
    far = np.linalg.norm(given - expected, axis=2) / np.linalg.norm(expected, axis=2)
    assert far.max() < 0.3


@installed
def test_it_is_the_same_out_of_a_file(quantised, store):
    made, _ = quantised
    again = fast.Quantised.of_arrays(made.arrays(), threads=1)
    frames = torch.from_numpy(store.gather(np.arange(3)))
    np.testing.assert_array_equal(again(frames).numpy(), made(frames).numpy())
    assert fast.Quantised.of_arrays({}, threads=1) is None


@installed
def test_the_same_frames_make_the_same_network(quantised, store):
    made, network = quantised
    again = fast.quantised(network, Inputs(store, CPU), np.arange(60))
    assert again.parts[1] == made.parts[1]


@installed
def test_maps_and_features_are_ranked_as_in_torch(weights, store, tmp_path):
    backbone = load_backbone(weights)
    rows = np.arange(60)
    for name, compute in (("torch", CPU), ("int8", INT8)):
        bins = tmp_path / f"{name}.npy"
        file = tmp_path / f"{name}.parquet"
        extract_features(store, weights, file, bins=bins, compute=compute, about={})
        assert np.load(bins).shape == (60, 4, 512)
    ours, theirs = (read_features(tmp_path / f"{name}.parquet")[1] for name in ("int8", "torch"))
    assert read_parquet(tmp_path / "int8.parquet", ["frame"])["frame"].tolist() == [*range(1, 61)]
    assert 0 < np.abs(ours - theirs).max() < 0.3 * np.abs(theirs).max()
    _, maps = place_maps(backbone, Inputs(store, INT8), rows, BOTH)
    assert maps.shape == (60, 49, 12)


@installed
def test_a_network_whose_int8_ranks_otherwise_is_refused(store):
    class Fine(nn.Module):
        """What it gives follows from differences that int8 does not keep."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 1)
            self.after = nn.Conv2d(4, 4, 1)

        def forward(self, frames):
            seen = self.after(self.conv(frames.movedim(-1, 1).float()))
            return torch.sin(1e3 * seen).flatten(2).transpose(1, 2)[:, :49]

    with pytest.raises(SdorError, match=r"precision: int8: distances .* set precision: bf16"):
        fast.quantised(Fine(), Inputs(store, CPU), np.arange(60))


def test_without_the_extra_it_says_what_to_install(store, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(fast, "import_module", missing)
    with pytest.raises(SdorError, match=r"openvino, which is not installed \(extra fast"):
        fast.quantised(nn.Identity(), Inputs(store, CPU), np.arange(60))


def test_what_trains_is_not_int8():
    chosen, usual = choose_compute("cpu", "int8"), choose_compute("cpu", "auto")
    assert chosen.int8
    assert chosen.bf16 == usual.bf16
    assert not usual.int8
