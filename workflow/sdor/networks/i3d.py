"""I3D: Inception-v1 inflated into space and time (Carreira & Zisserman 2017), in torch."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

Extent = tuple[int, int, int]  # time, height, width

CLASSES = 400  # of Kinetics-400
BN_EPS = 1e-3  # that the published weights were trained with


class Unit(nn.Module):
    """Convolution without bias, batch normalisation and ReLU, padded as TensorFlow's "SAME".

    The published weights have no scale in batch normalisation: here it is 1.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: Extent = (1, 1, 1), stride: Extent = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        # torch pads "same" without a copy of the maps, but only where nothing is strided.
        self.strided = stride != (1, 1, 1)
        padding = "valid" if self.strided else "same"
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, t, h, w) → (B, outputs, t', h', w')."""
        if self.strided:
            x = padded_same(x, self.kernel, self.stride)
        return functional.relu(self.bn(self.conv3d(x)), inplace=True)


class Pool(nn.MaxPool3d):
    """Maximum pooling, padded as TensorFlow's "SAME" (its inputs have passed a ReLU)."""

    kernel_size: Extent
    stride: Extent

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, t, h, w) → (B, C, ⌈t / stride⌉, ⌈h / stride⌉, ⌈w / stride⌉)."""
        maps: Tensor = super().forward(padded_same(x, self.kernel_size, self.stride))
        return maps


class Mixed(nn.Module):
    """Inception module: four branches whose maps are laid side by side.

    Parameters
    ----------
    inputs : channels that come in.
    widths : channels of branch 0, of the two convolutions of branch 1, of those of branch 2, and
        of branch 3.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.b0 = Unit(inputs, widths[0])
        self.b1a = Unit(inputs, widths[1])
        self.b1b = Unit(widths[1], widths[2], (3, 3, 3))
        self.b2a = Unit(inputs, widths[3])
        self.b2b = Unit(widths[3], widths[4], (3, 3, 3))
        self.b3a = Pool((3, 3, 3), (1, 1, 1))
        self.b3b = Unit(inputs, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, inputs, t, h, w) → (B, channels of all branches, t, h, w)."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


def i3d() -> nn.Sequential:
    """I3D for RGB windows (B, 3, T, H, W) of values in [-1, 1], to logits (B, 400).

    Modules are named as in the original's graph, and parameters as in the usual PyTorch port. The
    last maps, of "Mixed_5c", are (B, 1024, ⌈T / 8⌉, ⌈H / 32⌉, ⌈W / 32⌉). For windows of 16 frames,
    logits of the mean map equal the original's mean of logits.
    """
    classifier = {"conv3d": nn.Conv3d(1024, CLASSES, 1), "flatten": nn.Flatten()}
    layers: dict[str, nn.Module] = {
        "Conv3d_1a_7x7": Unit(3, 64, (7, 7, 7), (2, 2, 2)),
        "MaxPool3d_2a_3x3": Pool((1, 3, 3), (1, 2, 2)),
        "Conv3d_2b_1x1": Unit(64, 64),
        "Conv3d_2c_3x3": Unit(64, 192, (3, 3, 3)),
        "MaxPool3d_3a_3x3": Pool((1, 3, 3), (1, 2, 2)),
        "Mixed_3b": Mixed(192, (64, 96, 128, 16, 32, 32)),
        "Mixed_3c": Mixed(256, (128, 128, 192, 32, 96, 64)),
        "MaxPool3d_4a_3x3": Pool((3, 3, 3), (2, 2, 2)),
        "Mixed_4b": Mixed(480, (192, 96, 208, 16, 48, 64)),
        "Mixed_4c": Mixed(512, (160, 112, 224, 24, 64, 64)),
        "Mixed_4d": Mixed(512, (128, 128, 256, 24, 64, 64)),
        "Mixed_4e": Mixed(512, (112, 144, 288, 32, 64, 64)),
        "Mixed_4f": Mixed(528, (256, 160, 320, 32, 128, 128)),
        "MaxPool3d_5a_2x2": Pool((2, 2, 2), (2, 2, 2)),
        "Mixed_5b": Mixed(832, (256, 160, 320, 32, 128, 128)),
        "Mixed_5c": Mixed(832, (384, 192, 384, 48, 128, 128)),
        "pool": nn.AdaptiveAvgPool3d(1),
        "logits": nn.Sequential(OrderedDict(classifier)),
    }
    return nn.Sequential(OrderedDict(layers))


def padded_same(x: Tensor, kernel: Extent, stride: Extent) -> Tensor:
    """Zeros around maps (B, C, t, h, w), as TensorFlow's padding "SAME" puts them.

    Every output length is ⌈length / stride⌉; of an odd number of zeros, the odd one goes behind.
    """
    padding: list[int] = []
    for length, width, step in zip(x.shape[:-4:-1], kernel[::-1], stride[::-1], strict=True):
        steps = -(-length // step)
        zeros = max((steps - 1) * step + width - length, 0)
        padding += [zeros // 2, zeros - zeros // 2]
    return functional.pad(x, padding) if any(padding) else x
