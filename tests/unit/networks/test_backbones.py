import pytest
import torch

from sdor.errors import SdorError
from sdor.networks.backbones import Backbone, pooled
from sdor.networks.vision import models
from sdor.study.backbones import (
    ARCHITECTURES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    KINETICS_MEAN,
    KINETICS_STD,
)

# Small enough for a test, large enough for the last map to have more than one position.
SIZES = {name: 96 if value.frames == 1 else 64 for name, value in ARCHITECTURES.items()}


def frames_for(name, batch=2, channels=3):
    shape = (SIZES[name], SIZES[name], channels)
    window = ARCHITECTURES[name].frames
    generator = torch.Generator().manual_seed(0)
    size = (batch, window, *shape) if window > 1 else (batch, *shape)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def backbone(request):
    torch.manual_seed(0)
    return Backbone(request.param).eval()


@torch.inference_mode()
def test_logits_are_those_of_the_whole_network(backbone):
    frames = frames_for(backbone.name)
    mean, std = (torch.tensor(getattr(backbone.architecture, key)) for key in ("mean", "std"))
    images = ((frames / 255 - mean) / std).movedim(-1, 1)
    torch.testing.assert_close(
        backbone.features(frames, "logits"), backbone.net(images), rtol=1e-3, atol=1e-3
    )
    probabilities = backbone.features(frames, "softmax")
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))


@torch.inference_mode()
def test_the_feature_is_the_mean_of_the_last_map_whichever_way_it_is_reached(backbone):
    frames = frames_for(backbone.name)
    maps = backbone.maps(frames)
    assert maps.shape[1] == backbone.dims
    expected = maps.flatten(2).mean(2)
    torch.testing.assert_close(backbone.features(frames), expected)
    torch.testing.assert_close(pooled(backbone.top_maps(backbone.trunk_maps(frames))), expected)


@torch.inference_mode()
def test_grey_frames_count_as_three_equal_channels(backbone):
    grey = frames_for(backbone.name, channels=1)
    colour = grey.expand(*grey.shape[:-1], 3)
    torch.testing.assert_close(backbone.features(grey), backbone.features(colour))


def test_normalised_black_and_white_by_hand():
    backbone = Backbone("resnet18")
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 2, 1)
    values = backbone.normalise(black_and_white)
    assert values.shape == (1, 3, 1, 2)
    for channel in range(3):
        expected = [(level - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel] for level in (0, 1)]
        torch.testing.assert_close(values[0, channel, 0], torch.tensor(expected))


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("vgg16", IMAGENET_MEAN, IMAGENET_STD),
        ("r3d_18", KINETICS_MEAN, KINETICS_STD),
        ("i3d", (0.5,) * 3, (0.5,) * 3),  # values in [-1, 1]
    ],
)
def test_every_network_is_fed_as_it_was_trained(name, mean, std):
    architecture = ARCHITECTURES[name]
    assert (architecture.mean, architecture.std) == (mean, std)


def test_the_cached_maps_of_a_3d_network_are_its_smallest():
    with torch.device("meta"):
        backbone = Backbone("i3d")
    names = {id(module): name for name, module in backbone.net.named_children()}
    stages = (backbone.trunk, backbone.top, backbone._classifier)
    stages = [[names[id(module)] for module in stage] for stage in stages]
    assert stages[0][0] == "Conv3d_1a_7x7"
    assert stages[0][-1] == "MaxPool3d_5a_2x2"
    assert stages[1:] == [["Mixed_5b", "Mixed_5c"], ["pool", "logits"]]


@torch.inference_mode()
def test_without_its_classifier_a_network_gives_pooled_features_only(backbone):
    with torch.device("meta"):
        headless = Backbone(backbone.name, classifier=False).eval()
    headless.net.to_empty(device="cpu")
    state = backbone.net.state_dict()
    assert set(headless.net.state_dict()) < set(state)
    headless.net.load_state_dict({name: state[name] for name in headless.net.state_dict()})
    frames = frames_for(backbone.name)
    torch.testing.assert_close(headless.features(frames), backbone.features(frames))
    for layer in ("logits", "softmax"):
        with pytest.raises(SdorError, match=rf"features: {layer}: .* {backbone.name} have no clas"):
            headless.features(frames, layer)


def test_strides_move_into_the_first_convolution():
    backbone = Backbone("resnet50", stride_in_1x1=True, bn_eps=1e-3)
    block = backbone.net.layer3[0]
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    assert backbone.net.layer1[0].conv2.stride == (1, 1)
    assert block.bn1.eps == 1e-3
    assert Backbone("resnet50").net.layer3[0].conv2.stride == (2, 2)


def test_the_state_has_torchvisions_names_only():
    names = set(Backbone("resnet18").net.state_dict())
    assert names == set(models().resnet18().state_dict())
    assert {name.removeprefix("net.") for name in Backbone("resnet18").state_dict()} == names
