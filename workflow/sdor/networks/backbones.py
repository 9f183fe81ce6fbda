"""Backbones psi: ImageNet (or Kinetics) networks up to their last feature map.

A backbone is cut in two: a `trunk` and a `top` (its last stage), so that training may leave the
trunk frozen and start from its cached maps. The feature q = psi(x) is the mean of the last map over
space (and time), for every architecture: that makes class activation maps exact.
"""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.networks.i3d import i3d
from sdor.networks.provenance import read_provenance
from sdor.networks.vision import models
from sdor.study.backbones import ARCHITECTURES, Architecture

Stages = tuple[list[nn.Module], list[nn.Module], list[nn.Module]]


def _resnet(net: nn.Module) -> Stages:
    *trunk, top, _pool, classifier = net.children()
    return trunk, [top], [classifier]


def _vgg(net: nn.Module) -> Stages:
    layers = list(net.features)  # type: ignore[arg-type]
    fifth_block = 24  # conv5_1, after the fourth pooling
    classifier: list[nn.Module] = [net.avgpool, nn.Flatten(), net.classifier]  # type: ignore[list-item]
    return layers[:fifth_block], layers[fifth_block:], classifier


def _mobilenet(net: nn.Module) -> Stages:
    layers = list(net.features)  # type: ignore[arg-type]
    last_stride = 14  # the blocks at the coarsest resolution
    return layers[:last_stride], layers[last_stride:], [net.classifier]  # type: ignore[list-item]


def _i3d(net: nn.Module) -> Stages:
    *trunk, mixed_5b, mixed_5c, pool, logits = net.children()
    return trunk, [mixed_5b, mixed_5c], [pool, logits]


CUTS: dict[str, Callable[[nn.Module], Stages]] = {
    "resnet": _resnet,
    "vgg": _vgg,
    "mobilenet": _mobilenet,
    "i3d": _i3d,
}


def build(name: str) -> nn.Module:
    """The network of a backbone, with its classifier and without trained weights."""
    wanted = ARCHITECTURES[name].build
    network: nn.Module = i3d() if wanted == "i3d" else attrgetter(wanted)(models())()
    return network


class Backbone(nn.Module):
    """psi of Eq. 5, with the parameter names of torchvision (or of `i3d`) under `net.`.

    Parameters
    ----------
    name : a key of ARCHITECTURES.
    stride_in_1x1 : downsampling bottlenecks of ResNet-50 stride in their first convolution
        (He et al. 2016) instead of the 3×3 one (torchvision).
    bn_eps : epsilon of every batch normalisation, where the weights were trained with another
        one than torch's.
    classifier : False leaves the trained classifier out, for weights that have none: the network
        then gives features of the layer "pool" only.
    """

    def __init__(
        self,
        name: str,
        *,
        stride_in_1x1: bool = False,
        bn_eps: float | None = None,
        classifier: bool = True,
    ) -> None:
        super().__init__()
        self.name = name
        self.dims = self.architecture.dims
        self.net = build(name)
        if stride_in_1x1:
            _move_strides(self.net)
        if bn_eps is not None:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                    module.eps = bn_eps
        # Kept out of the module tree: the same modules are already registered under `net`.
        self._trunk, self._top, self._classifier = CUTS[self.architecture.cut](self.net)
        if not classifier:
            for child, module in list(self.net.named_children()):
                if module in self._classifier:
                    setattr(self.net, child, nn.Identity())
            self._classifier.clear()
        # On the CPU even where the network itself is built without memory for its weights.
        mean = torch.tensor(self.architecture.mean, device="cpu")
        std = torch.tensor(self.architecture.std, device="cpu")
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    @property
    def architecture(self) -> Architecture:
        """How the network is built, cut and fed."""
        return ARCHITECTURES[self.name]

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 frames as stored → network input, on the frames' own device.

        Parameters
        ----------
        frames : (B, H, W, C) or, for a 3-D network, (B, T, H, W, C); C = 1 is repeated to 3.

        Returns
        -------
        (B, 3, H, W) or (B, 3, T, H, W) float32, channels last in memory.
        """
        return torch.addcmul(self.shift, frames.float(), self.scale).movedim(-1, 1)

    def trunk_maps(self, frames: Tensor) -> Tensor:
        """uint8 frames → the trunk's maps (B, C, h, w) or (B, C, t, h, w)."""
        return _through(self._trunk, self.normalise(frames))

    def top_maps(self, maps: Tensor) -> Tensor:
        """The trunk's maps → the last feature maps p_k(i, j)."""
        return _through(self._top, maps)

    def maps(self, frames: Tensor) -> Tensor:
        """uint8 frames → the last feature maps (B, dims, h, w) or (B, dims, t, h, w)."""
        return self.top_maps(self.trunk_maps(frames))

    def features(self, frames: Tensor, layer: str = "pool") -> Tensor:
        """uint8 frames → features (B, D), float32.

        Parameters
        ----------
        layer : "pool" (the global average q), or the trained classifier's "logits" or "softmax".

        Raises
        ------
        SdorError : logits or softmax of weights without a classifier.
        """
        maps = self.maps(frames)
        if layer == "pool":
            return pooled(maps)
        return self.classified(maps if self.architecture.classifies_maps else pooled(maps), layer)

    def classified(self, given: Tensor, layer: str) -> Tensor:
        """What the classifier makes of maps, if the architecture `classifies_maps`, or of q.

        Returns
        -------
        (B, classes) "logits" or "softmax", float32.

        Raises
        ------
        SdorError : the weights have no classifier.
        """
        if not self._classifier:
            raise SdorError(
                f"method.features: {layer}: these weights of {self.name} have no classifier; use "
                f"features: pool, or set weights.{self.name} to a file with the classifier"
            )
        logits = _through(self._classifier, given).float()
        return logits.softmax(1) if layer == "softmax" else logits

    def feature_modules(self) -> list[nn.Module]:
        """All modules of psi, which leaves the classifier out."""
        return self._trunk + self._top

    def top_modules(self) -> list[nn.Module]:
        """The modules of the last stage."""
        return self._top


def load_backbone(path: Path) -> Backbone:
    """The backbone with the weights of a file written by `resolve_weights`, in evaluation mode.

    Raises
    ------
    SdorError : the file is damaged.
    """
    provenance = read_provenance(path)
    with torch.device("meta"):  # VGG-16's first values would take seconds, and are not needed
        backbone = Backbone(
            provenance.architecture,
            stride_in_1x1=provenance.stride_in_1x1,
            bn_eps=provenance.bn_eps,
            classifier=provenance.classifier,
        )
    backbone.net.to_empty(device="cpu").load_state_dict(load_file(path))
    return backbone.eval()


def pooled(maps: Tensor) -> Tensor:
    """q: the mean of feature maps (B, D, …) over all positions, (B, D) float32."""
    return maps.float().flatten(2).mean(2)


def _through(modules: list[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x


def _move_strides(net: nn.Module) -> None:
    """Put the stride of downsampling bottlenecks into their 1×1 convolution."""
    blocks = [module for module in net.modules() if isinstance(module, models().resnet.Bottleneck)]
    for block in blocks:
        block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
