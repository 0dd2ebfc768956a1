from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gifd_ops.resnets import cifar_resnet18, imagenet_resnet18


@pytest.fixture(scope="module")
def cifar() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cifar_resnet18(10, 32)


@pytest.fixture(scope="module")
def imagenet() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return imagenet_resnet18(1000, 224)


def test_it_has_the_parameters_of_the_one_that_the_authors_attack(cifar: nn.Module) -> None:
    assert sum(parameter.numel() for parameter in cifar.parameters()) == 11_173_962
    assert len(list(cifar.parameters())) == 62


def test_it_has_the_parameters_of_he_et_al_for_imagenet(imagenet: nn.Module) -> None:
    assert sum(parameter.numel() for parameter in imagenet.parameters()) == 11_689_512
    assert len(list(imagenet.parameters())) == 62


def test_only_the_cifar_stem_keeps_every_pixel(cifar: nn.Module, imagenet: nn.Module) -> None:
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for network, side in ((cifar, 32), (imagenet, 8)):
            stem = nn.Sequential(*list(network.children())[:4])
            assert stem(images).shape == (1, 64, side, side)


@pytest.mark.parametrize("name", ["cifar", "imagenet"])
def test_every_layer_begins_as_in_torchvision(name: str, request: pytest.FixtureRequest) -> None:
    for module in request.getfixturevalue(name).modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            weight = module.weight.detach()
            assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
            assert float(weight.mean().abs()) < 0.1 * math.sqrt(2 / fan_out)
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert bool((module.bias == 0).all())


@pytest.mark.parametrize("name", ["cifar", "imagenet"])
def test_no_activation_overwrites_its_input(name: str, request: pytest.FixtureRequest) -> None:
    activations = [module for module in request.getfixturevalue(name).modules() if isinstance(module, nn.ReLU)]
    assert len(activations) == 9
    assert not any(activation.inplace for activation in activations)
