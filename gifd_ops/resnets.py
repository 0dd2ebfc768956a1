"""ResNets as victims: torchvision's, untrained, with every layer's input kept.

Their features are averaged over the page, so the size of the images plays no part in how they are built.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet18


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


def _untrained(num_classes: int) -> nn.Module:
    """Convolutions Kaiming normal (fan out), normalizations that scale by 1 and shift by 0 (He et al. 2015)."""
    network: nn.Module = resnet18(weights=None, num_classes=num_classes)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # gradients per row are computed from what enters the layers
    return network
