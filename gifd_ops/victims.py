"""The models whose gradients are shared. Images go in as [0, 1]: normalization lives inside."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Victim(nn.Module):
    """A classifier of [n, 3, h, w] images in [0, 1], in eval mode, with frozen parameters."""

    def __init__(self, layers: nn.Sequential, *, pixel_mean: float, pixel_std: float) -> None:
        super().__init__()
        self.layers, self.pixel_mean, self.pixel_std = layers, pixel_mean, pixel_std
        self.eval().requires_grad_(False)

    def normalize(self, images: Tensor) -> Tensor:
        """Images as the first layer sees them."""
        return (images - self.pixel_mean) / self.pixel_std

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(self.normalize(images))
        return logits


def _lenet(num_classes: int, size_px: int) -> nn.Sequential:
    """The LeNet of Deep Leakage from Gradients (Zhu et al., NeurIPS 2019): sigmoids, weights uniform in +-0.5."""
    side = (size_px + 3) // 4
    layers = nn.Sequential(
        nn.Conv2d(3, 12, 5, stride=2, padding=2),
        nn.Sigmoid(),
        nn.Conv2d(12, 12, 5, stride=2, padding=2),
        nn.Sigmoid(),
        nn.Conv2d(12, 12, 5, padding=2),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(12 * side * side, num_classes),
    )
    for parameter in layers.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return layers


def _convnet(num_classes: int, size_px: int) -> nn.Sequential:
    """Plain 3x3 convolutions with ReLU, whose features are flattened before the last layer (as in Geiping et al.)."""
    side = size_px // 4
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * side * side, num_classes),
    )


VICTIMS: dict[str, Callable[[int, int], nn.Sequential]] = {"lenet": _lenet, "convnet": _convnet}


def build_victim(
    name: str, *, seed: int, num_classes: int, size_px: int, pixel_mean: float, pixel_std: float
) -> Victim:
    """An untrained victim, initialized from `seed` (the global random state is left as it was)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = VICTIMS[name](num_classes, size_px)
    return Victim(layers, pixel_mean=pixel_mean, pixel_std=pixel_std)
