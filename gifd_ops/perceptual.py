"""LPIPS (Zhang et al., CVPR 2018): the distance of two images in the features of a trained network."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lpips
import torch
from torch import Tensor, nn

from .metrics import check_images
from .perceptual_weights import backbone_of

EMBEDDED_AT_ONCE = 64  # images


class Lpips(nn.Module):
    """A frozen LPIPS network, made by `load_lpips`; it runs where `.to(device)` puts it, in its weights' precision."""

    def __init__(self, net: str, layers: lpips.LPIPS) -> None:
        super().__init__()
        self.net, self.layers = net, layers
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, truth: Tensor) -> Tensor:
        """LPIPS of images [n, 3, h, w] in [0, 1] -> [n], 0 for equal images.

        Raises ValueError as all metrics do, and for images smaller than the network takes.
        """
        check_images(images, truth)
        return self.compare_signed(2 * images - 1, 2 * truth - 1)

    def compare_signed(self, images: Tensor, truth: Tensor) -> Tensor:
        """LPIPS of images [n, 3, h, w] that ought to be in [-1, 1] and are not looked at -> [n]."""
        self._check_size(images)
        distance: Tensor = self.layers(images.to(self._dtype), truth.to(self._dtype))
        return distance.flatten().to(images.dtype)

    def embed(self, images: Tensor) -> Tensor:
        """Points [n, dimensions] whose squared Euclidean distance is LPIPS, of images [n, 3, h, w] in [0, 1].

        n + m embeddings give all n x m distances: LPIPS is a weighted mean of squared differences of unit features,
        and its weights are not negative.
        """
        self._check_size(images)
        return torch.cat([self._embed(some) for some in images.split(EMBEDDED_AT_ONCE)])

    def _embed(self, images: Tensor) -> Tensor:
        layers = self.layers
        points = []
        features_of_all_layers = layers.net(layers.scaling_layer((2 * images - 1).to(self._dtype)))
        for features, linear in zip(features_of_all_layers, layers.lins, strict=True):
            weight = linear.model[1].weight / features[0, 0].numel()  # [1, channels, 1, 1], over the pixels
            points.append((lpips.normalize_tensor(features) * weight.sqrt()).flatten(1))
        return torch.cat(points, dim=1)

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.layers.lins[0].model[1].weight.dtype
        return dtype

    def _check_size(self, images: Tensor) -> None:
        smallest_px = backbone_of(self.net).smallest_px
        if min(images.shape[-2:]) < smallest_px:
            raise ValueError(
                f"LPIPS on {self.net} needs images of {smallest_px} px or more, got {tuple(images.shape[-2:])}; "
                "leave LPIPS out for images this small"
            )


def load_lpips(net: str, backbone: Path) -> Lpips:
    """LPIPS version 0.1 on "alex" or "vgg", on the CPU, from the backbone's file; nothing is downloaded.

    The file is taken as it is: `perceptual_weights.check_backbone` says whether it is the published one. It is
    torchvision's state dict, of which only `features.*` are used. The linear weights ship with the lpips package.
    Raises ValueError for a file with code in it, and for other keys or shapes than the network's.
    """
    backbone_of(net)
    with torch.device("meta"), warnings.catch_warnings():
        # without storage there is nothing to initialize: no time, no memory, no random numbers drawn
        warnings.filterwarnings("ignore", module="torchvision.models", message="The parameter 'pretrained'")
        warnings.filterwarnings("ignore", module="torchvision.models", message="Arguments other than a weight enum")
        layers = lpips.LPIPS(net=net, pnet_rand=True, pretrained=False, verbose=False)
    weights = layers.state_dict() | _linear_weights(net) | _features(backbone, net, wanted=layers.net.state_dict())
    layers.load_state_dict(weights, assign=True)
    assert not any(weight.is_meta for weight in layers.state_dict().values())
    return Lpips(net, layers)


def _linear_weights(net: str) -> dict[str, Tensor]:
    """The weights of the layers' differences, under both names that lpips has for each: lin0 and lins.0."""
    shipped = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    weights: dict[str, Tensor] = torch.load(shipped, map_location="cpu", weights_only=True)
    assert all(bool((weight >= 0).all()) for weight in weights.values()), "LPIPS is a distance"
    return weights | {name.replace("lin", "lins.", 1): weight for name, weight in weights.items()}


def _features(path: Path, net: str, *, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's weights under lpips' names; `wanted` says names and shapes.

    lpips cuts torchvision's network into slices and keeps the numbers: slice2.3.bias is features.3.bias.
    """
    remedy = f"use torchvision's {backbone_of(net).file}"
    try:
        published: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} must be a state dict and hold tensors only, and is not or holds more; {remedy}"
        ) from error
    found = {
        name: tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        for name, weight in (published.items() if isinstance(published, dict) else ())
        if str(name).startswith("features.")
    }
    names = {"features." + name.split(".", 1)[1]: name for name in wanted}
    expected = {name: tuple(wanted[ours].shape) for name, ours in names.items()}
    disagree = [
        f"{name} should be {expected.get(name, 'absent')}, is {found.get(name, 'absent')}"
        for name in expected | found
        if expected.get(name) != found.get(name)
    ]
    if disagree:
        more = f"; and {len(disagree) - 5} more" if len(disagree) > 5 else ""
        raise ValueError(
            f"{path} does not hold the features that LPIPS on {net} needs: {'; '.join(disagree[:5])}{more}; {remedy}"
        )
    return {f"net.{ours}": published[name].float() for name, ours in names.items()}
