"""ResNets as victims: torchvision's, untrained, with every layer's input kept.

Their features are averaged over the page, so the size of the images plays no part in how they are built.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock

NARROW = 16  # channels of the first stage, doubled in each one after it


def cifar_resnet18(num_classes: int, size_px: int) -> nn.Module:
    """ResNet18 as GIFD's authors attack it: a 3x3 stem of stride 1 and no pooling after it."""
    network = _untrained(num_classes)
    stem = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision begins its convolutions
    network.conv1, network.maxpool = stem, nn.Identity()
    return network


def imagenet_resnet18(num_classes: int, size_px: int) -> nn.Module:
    """ResNet18 with the stem made for 224 px: a 7x7 convolution of stride 2 and a pooling of stride 2."""
    return _untrained(num_classes)


def narrow_resnet10(num_classes: int, size_px: int) -> nn.Module:
    """Stages of one block each, a quarter as wide as ResNet18's: small enough for many attacks on a CPU."""
    return _narrow((1, 1, 1, 1), num_classes)


def narrow_resnet18(num_classes: int, size_px: int) -> nn.Module:
    """ResNet18 with the 3x3 stem and a quarter of its channels."""
    return _narrow((2, 2, 2, 2), num_classes)


def _narrow(depths: Sequence[int], num_classes: int) -> nn.Module:
    """Torchvision's blocks, whose own network knows one width alone, in stages of `depths` blocks."""
    stem = nn.Conv2d(3, NARROW, 3, padding=1, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(NARROW), nn.ReLU()]
    channels = NARROW
    for stage, depth in enumerate(depths):
        for block in range(depth):
            stride, width = (2 if stage > 0 and block == 0 else 1), NARROW * 2**stage
            shortcut = None
            if stride > 1:
                shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            layers.append(BasicBlock(channels, width, stride, shortcut))
            channels = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return _keeping_inputs(network)


def _untrained(num_classes: int) -> nn.Module:
    """Convolutions Kaiming normal (fan out), normalizations that scale by 1 and shift by 0 (He et al. 2015)."""
    return _keeping_inputs(resnet18(weights=None, num_classes=num_classes))


def _keeping_inputs(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # gradients per row are computed from what enters the layers
    return network
