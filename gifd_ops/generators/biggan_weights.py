"""The public weights of BigGAN-deep, turned into those of biggan_network.py: spectral norm and truncation applied once.

The public files (Hugging Face's conversion of DeepMind's, as the PyPI package pytorch-pretrained-biggan reads them)
hold W, u and v for every spectrally normalized layer and batch-norm statistics for many truncations. Nothing of that
changes while images are searched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gifd_ops.generators.biggan_config import BigGanConfig
from gifd_ops.generators.biggan_network import BigGan
from gifd_ops.generators.disagreement import check_names_and_shapes

Shape = tuple[int, ...]


def bake_weights(public: Mapping[str, Tensor], config: BigGanConfig, *, truncation: float = 1.0) -> dict[str, Tensor]:
    """A state dict for `BigGan(config)` of a public one, which has the names and shapes of `public_shapes(config)`.

    Spectral norm (Miyato et al., ICLR 2018): weight = W / (u^T W v), W as [out, everything else]. Statistics are those
    of `truncation`, in (0, 1], interpolated linearly between levels: the package weighs the two levels the wrong way
    round, which shows between levels only. Of the colors' convolution the three channels that are images are kept.
    Raises ValueError if names or shapes disagree.
    """
    if not 0 < truncation <= 1:
        raise ValueError(f"truncation must be in (0, 1], got {truncation}; 1 is the distribution of training")
    check_names_and_shapes(
        public,
        public_shapes(config),
        rule="public weights have the names and shapes that their config gives",
        remedy="give the config of these weights, and the state dict as pytorch-pretrained-biggan saves it",
    )
    normalized = {name.removesuffix("_orig") for name in public if name.endswith(".weight_orig")}
    baked = {}
    for name, stand_in in _stand_in(config).state_dict().items():
        if name in normalized:
            value = _spectrally_normalized(public[f"{name}_orig"], public[f"{name}_u"], public[f"{name}_v"])
        elif name.endswith((".running_mean", ".running_var")):
            value = _at_truncation(public[f"{name}s"], truncation)
        else:
            value = public[name]
        baked[name] = value[: stand_in.shape[0]].contiguous()  # cuts the colors' convolution only
    return baked


def public_shapes(config: BigGanConfig) -> dict[str, Shape]:
    """Names and shapes of the public state dict of a BigGAN-deep."""
    network = _stand_in(config)
    shapes: dict[str, Shape] = {}
    for name, value in network.state_dict().items():
        layer, _, kind = name.rpartition(".")
        shape = tuple(value.shape)
        if layer == "generator.conv_to_rgb":
            shape = (config.channel_width, *shape[1:])
        if kind in ("running_mean", "running_var"):
            shapes[f"{name}s"] = (config.num_statistics, *shape)
        elif kind == "weight" and layer != "embeddings" and _multiplies(network.get_submodule(layer)):
            shapes[f"{name}_orig"] = shape
            shapes[f"{name}_u"] = shape[:1]
            shapes[f"{name}_v"] = (math.prod(shape[1:]),)
        else:
            shapes[name] = shape
    return shapes


def _stand_in(config: BigGanConfig) -> BigGan:
    """The network without its numbers: names and shapes only."""
    with torch.device("meta"):
        return BigGan(config)


def _multiplies(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear | nn.Conv2d)


def _spectrally_normalized(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    matrix = weight.flatten(1).double()
    sigma = u.double() @ matrix @ v.double()
    return (matrix / sigma).to(weight.dtype).view_as(weight)


def _at_truncation(statistics: Tensor, truncation: float) -> Tensor:
    """Row truncation * (rows - 1) of statistics [rows, channels], the rows being those of truncations 0 to 1."""
    place = truncation * (statistics.shape[0] - 1)
    lower, upper = math.floor(place), math.ceil(place)
    return statistics[lower].lerp(statistics[upper], place - lower)
