"""The models whose gradients are shared. Images go in as [0, 1]: normalization lives inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gifd_ops.frozen_layers import freeze
from gifd_ops.resnets import cifar_resnet18, imagenet_resnet18, narrow_resnet10, narrow_resnet18
from gifd_ops.transformers import small_transformer
from gifd_ops.victim_code import build_layers, find_builder


class Victim(nn.Module):
    """A classifier of [n, 3, h, w] images in [0, 1], in eval mode, with frozen parameters.

    pixel_mean, pixel_std: one number for all channels or one per channel; held as [3, 1, 1], they move with the
    parameters but are no part of the weights. Raises ValueError for a model without parameters.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, layers: nn.Module, *, pixel_mean: float | Sequence[float], pixel_std: float | Sequence[float]
    ) -> None:
        super().__init__()
        if next(layers.parameters(), None) is None:
            raise ValueError(
                f"a victim without parameters shares no gradient, and {type(layers).__name__} has none; "
                "give it a layer with weights"
            )
        self.layers = layers
        self.register_buffer("pixel_mean", _per_channel("pixel_mean", pixel_mean), persistent=False)
        self.register_buffer("pixel_std", _per_channel("pixel_std", pixel_std), persistent=False)
        if not bool((self.pixel_std > 0).all()):
            raise ValueError(
                f"a victim needs pixel_std > 0 in every channel, got {pixel_std}; use 1.0 to leave the pixels unscaled"
            )
        freeze(self)

    def normalize(self, images: Tensor) -> Tensor:
        """Images [n, 3, h, w] as the first layer sees them."""
        return (images - self.pixel_mean) / self.pixel_std

    def denormalize(self, seen: Tensor) -> Tensor:
        """Images in [0, 1] of what the first layer sees."""
        return seen * self.pixel_std + self.pixel_mean

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(self.normalize(images))
        return logits


def _per_channel(name: str, value: float | Sequence[float]) -> Tensor:
    """The three channels' numbers, [3, 1, 1]."""
    channels = (value,) * 3 if isinstance(value, int | float) else tuple(value)
    if len(channels) != 3:
        raise ValueError(f"{name} is one number or three, one per channel, got {len(channels)}; the images are RGB")
    return torch.tensor([float(channel) for channel in channels])[:, None, None]


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


VICTIMS: dict[str, Callable[[int, int], nn.Module]] = {
    "lenet": _lenet,
    "convnet": _convnet,
    "resnet18": cifar_resnet18,
    "resnet18_imagenet": imagenet_resnet18,
    "resnet10_narrow": narrow_resnet10,
    "resnet18_narrow": narrow_resnet18,
    "vit": small_transformer,
}


def untrained_layers(name: str, *, seed: int, num_classes: int, size_px: int) -> nn.Module:
    """The layers of a victim, initialized from `seed` (the global random state is left as it was), not yet frozen.

    Raises ValueError for a name that is neither in `VICTIMS` nor of the form `module:function`, and where such a
    function is not there or makes no model. It is called with the number of classes and the images' side.
    """
    if name not in VICTIMS and ":" not in name:
        raise ValueError(f"a victim is one of {', '.join(VICTIMS)}, or your own as module:function; got {name!r}")
    make = VICTIMS[name] if name in VICTIMS else find_builder(name, code=None)[0]
    return build_layers(make, name, num_classes=num_classes, size_px=size_px, seed=seed)


def build_victim(
    name: str,
    *,
    seed: int,
    num_classes: int,
    size_px: int,
    pixel_mean: float | Sequence[float],
    pixel_std: float | Sequence[float],
) -> Victim:
    """An untrained victim, of `untrained_layers`, in eval mode. A person's own is to be tried by `check_victim`."""
    layers = untrained_layers(name, seed=seed, num_classes=num_classes, size_px=size_px)
    return Victim(layers, pixel_mean=pixel_mean, pixel_std=pixel_std)
