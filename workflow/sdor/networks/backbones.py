"""Backbones psi: ImageNet (or Kinetics) networks up to their last feature map.

A backbone is cut in two: a `trunk` and a `top` (its last stage), so that training may leave the
trunk frozen and start from its cached maps. The feature q = psi(x) is the mean of the last map over
space (and time), for every architecture: that makes class activation maps exact.
"""

from operator import attrgetter
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sdor.errors import SdorError
from sdor.networks.i3d import i3d
from sdor.networks.provenance import read_provenance
from sdor.networks.vision import models
from sdor.study.backbones import ARCHITECTURES

# Among a network's layers (those of its part "features" one by one): where the top begins and ends,
# and where the classifier begins. Between them a ResNet has its pooling, which `pooled` replaces.
CUTS = {
    "resnet": (-3, -2, -1),
    "vgg": (24, 31, 31),  # from conv5_1, after the fourth pooling
    "mobilenet": (14, 19, 19),  # the blocks at the coarsest resolution
    "i3d": (-4, -2, -2),  # Mixed_5b and Mixed_5c
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
        self.architecture = ARCHITECTURES[name]
        self.dims = self.architecture.dims
        self.net = build(name)
        for module in self.net.modules():
            if bn_eps is not None and isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.eps = bn_eps
            if stride_in_1x1 and isinstance(module, models().resnet.Bottleneck):
                module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
        layers: list[nn.Module] = []
        for child, module in self.net.named_children():
            layers += module.children() if child == "features" else [module]
        if self.architecture.cut == "vgg":
            layers.insert(-1, nn.Flatten())  # which torchvision's network calls between its modules
        top, end, head = CUTS[self.architecture.cut]
        # Kept out of the module tree: the same modules are already registered under `net`.
        self.trunk, self.top, self._classifier = layers[:top], layers[top:end], layers[head:]
        if not classifier:
            *_, last = dict(self.net.named_children())
            setattr(self.net, last, nn.Identity())
            self._classifier = []
        # On the CPU even where the network itself is built without memory for its weights.
        mean = torch.tensor(self.architecture.mean, device="cpu")
        std = torch.tensor(self.architecture.std, device="cpu")
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

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
        return _through(self.trunk, self.normalise(frames))

    def top_maps(self, maps: Tensor) -> Tensor:
        """The trunk's maps → the last feature maps p_k(i, j)."""
        return _through(self.top, maps)

    def maps(self, frames: Tensor) -> Tensor:
        """uint8 frames → the last feature maps (B, dims, h, w) or (B, dims, t, h, w)."""
        return self.top_maps(self.trunk_maps(frames))

    def features(self, frames: Tensor, layer: str = "pool") -> Tensor:
        """uint8 frames → features (B, D), float32.

        Parameters
        ----------
        layer : "pool" (the global average q), or "logits" or "softmax" (see `classified`).
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
