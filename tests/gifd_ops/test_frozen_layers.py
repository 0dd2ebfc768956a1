"""Layers with fixed weights compute what plain ones do, and so do their derivatives."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import gifd_ops.frozen_layers
from gifd_ops.frozen_layers import FrozenConv, FrozenNorm, freeze

MANY = 64  # channels, so that convolutions have weights enough to be replaced


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_network(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, MANY, 3, padding=1, bias=bias),
        nn.BatchNorm2d(MANY),
        nn.Sigmoid(),
        nn.Conv2d(MANY, MANY, (5, 3), padding=(2, 1), bias=bias),
        nn.Sigmoid(),
        nn.Conv2d(MANY, MANY, 3, stride=2, padding=1, bias=bias),
        nn.Conv2d(MANY, MANY, 3, padding=1, bias=bias),
    ).double()
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.uniform_(0.5, 2.0)
    return network.eval()


def frozen(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network)
    freeze(network)
    return network


def derivatives(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The output, its slope in the images, and the slope of that slope's size."""
    images = images.clone().requires_grad_()
    out = network(images)
    (slope,) = torch.autograd.grad(out.square().sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), images)
    return [out.detach(), slope.detach(), second]


@pytest.mark.parametrize("few", [0, 10_000])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_both_derivatives_are_those_of_plain_layers(
    bias: bool, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gifd_ops.frozen_layers, "FEW_POSITIONS", few)
    plain = a_network(bias=bias)
    fast = frozen(plain)
    assert [type(layer) for layer in fast][1] is FrozenNorm
    assert [index for index, layer in enumerate(fast) if type(layer) is FrozenConv] == [3, 6]
    for rows in (1, 3):
        images = drawn(rows, 3, 8, 8)
        for found, expected in zip(derivatives(fast, images), derivatives(plain, images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_parameters_stay_the_same_under_the_same_names() -> None:
    network = a_network()
    before = dict(network.named_parameters())
    freeze(network)
    after = dict(network.named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is parameter for name, parameter in before.items())
    assert not any(parameter.requires_grad for parameter in after.values())


def test_thawed_weights_are_differentiated_as_usual() -> None:
    plain, images = a_network(), drawn(2, 3, 8, 8)
    thawed = frozen(plain).requires_grad_(True)
    found, expected = (
        torch.autograd.grad(network(images).square().sum(), list(network.parameters())) for network in (thawed, plain)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_new_weights_are_noticed() -> None:
    fast, other = frozen(a_network()), a_network()
    images = drawn(1, 3, 8, 8)
    derivatives(fast, images)  # whatever is kept has been kept now
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    fast.load_state_dict(other.state_dict())
    for found, expected in zip(derivatives(fast, images), derivatives(other, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    fast.float().double()
    other.float().double()
    for found, expected in zip(derivatives(fast, images), derivatives(other, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_a_norm_in_training_mode_is_the_plain_one() -> None:
    norm, images = FrozenNorm.of(nn.BatchNorm2d(3).double()).train(), 2 + drawn(4, 3, 5, 5)
    out = norm(images)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-9)
    assert norm.num_batches_tracked == 1
