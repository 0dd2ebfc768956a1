"""Sizes of BigGAN-deep (Brock et al., ICLR 2019, appendix B). Needs no torch."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from gifd_ops.config import GeneratorShape

START_PX = 4  # side of the first features
REDUCTION = 4  # bottlenecks are a quarter as wide as what enters the block
KEY_REDUCTION = 8  # keys and queries of self-attention have an eighth of its channels


@dataclass(frozen=True, kw_only=True)
class BigGanConfig:
    """Sizes of a BigGAN-deep.

    layers: for each residual block (upsamples?, channels in, channels out), channels in units of `channel_width`.
    attention_layer_position: self-attention comes before the block of this index, as a layer of its own.
    num_statistics: truncations, evenly spaced in [0, 1], for which the public weights hold batch-norm statistics.
    """

    layers: tuple[tuple[bool, int, int], ...]
    channel_width: int
    z_dim: int
    class_embed_dim: int
    num_classes: int
    attention_layer_position: int
    eps: float
    num_statistics: int

    def __post_init__(self) -> None:
        for index, ((_, _, before), (_, after, _)) in enumerate(itertools.pairwise(self.layers)):
            if before != after:
                raise ValueError(
                    f"a block takes what the one before it gives: block {index} gives {before}, block {index + 1} "
                    f"takes {after}; make them equal"
                )
        for index, (_, entering, leaving) in enumerate(self.layers):
            if entering not in (leaving, 2 * leaving):
                raise ValueError(
                    f"a block keeps its channels or halves them, got {entering} to {leaving} in block {index}; "
                    "halve in several blocks"
                )
        if not self.layers or self.layers[-1][2] != 1:
            raise ValueError(f"the last block gives 1 x channel_width, got layers {self.layers}; add blocks that halve")
        if self.num_statistics < 2:
            raise ValueError(f"statistics are stored for two truncations or more, got {self.num_statistics}")
        if not 0 <= self.attention_layer_position < len(self.layers):
            raise ValueError(
                f"self-attention comes before one of the blocks 0 to {len(self.layers) - 1}, got position "
                f"{self.attention_layer_position}; choose one of them"
            )
        attended = self.layers[self.attention_layer_position][1]
        narrowest = max(REDUCTION, math.ceil(KEY_REDUCTION / attended))
        if self.channel_width < narrowest:
            raise ValueError(
                f"bottlenecks have a {REDUCTION}th of the channels, keys of self-attention an {KEY_REDUCTION}th: "
                f"channel_width must be >= {narrowest}, got {self.channel_width}"
            )

    @property
    def layer_inputs(self) -> tuple[tuple[int, int], ...]:
        """Channels and side in pixels of what enters each layer, self-attention being one of them."""
        inputs: list[tuple[int, int]] = []
        side = START_PX
        for index, (upsample, entering, _) in enumerate(self.layers):
            times = 2 if index == self.attention_layer_position else 1  # attention keeps the shape
            inputs += [(entering * self.channel_width, side)] * times
            side *= 2 if upsample else 1
        return tuple(inputs)

    @property
    def num_layers(self) -> int:
        return len(self.layers) + 1

    @property
    def size_px(self) -> int:
        return int(START_PX * 2 ** sum(upsample for upsample, _, _ in self.layers))

    @property
    def shape(self) -> GeneratorShape:
        """What GIFD can search, layer by layer: the latents first, then the features entering each layer."""
        return GeneratorShape(
            feature_scalars=(0, *(channels * side**2 for channels, side in self.layer_inputs[1:])),
            latent_scalars=self.z_dim,
        )

    @property
    def condition_dim(self) -> int:
        return self.z_dim + self.class_embed_dim


def _published(*layers: tuple[bool, int, int]) -> BigGanConfig:
    """The sizes that the ImageNet models of all resolutions share."""
    return BigGanConfig(
        layers=layers,
        channel_width=128,
        z_dim=128,
        class_embed_dim=128,
        num_classes=1000,
        attention_layer_position=8,
        eps=1e-4,
        num_statistics=51,
    )


_TO_16_PX = (False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8)
_TO_128_PX = (*_TO_16_PX, (True, 8, 8), (False, 8, 8), (True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2))

# The config.json files beside the public weights, which have 50.4, 55.9 and 56.2 million parameters.
BIGGAN_DEEP_128 = _published(*_TO_16_PX, (True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1))
BIGGAN_DEEP_256 = _published(*_TO_128_PX, (True, 2, 1))
BIGGAN_DEEP_512 = _published(*_TO_128_PX, (True, 2, 1), (False, 1, 1), (True, 1, 1))
