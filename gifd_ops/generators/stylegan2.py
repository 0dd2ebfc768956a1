"""StyleGAN2 behind the generator protocol, with the semantics of GIFD (Fang et al., ICCV 2023)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.config import GeneratorShape
from gifd_ops.generators.protocol import Features, Searched
from gifd_ops.generators.stylegan2_network import StyleGan2

FIT_SAMPLES = 20_000


class StyleGan2Generator:
    """A frozen StyleGAN2: every style slot has a latent of its own, stages start at the input of any block.

    Initial latents are drawn from a Gaussian fitted to the mapping network's output before its last leaky ReLU, slot
    by slot (PULSE, Menon et al., CVPR 2020). A stage at layer l optimizes the features entering block l, all latents,
    and the noise maps of blocks l to l + 2. Images are average-pooled to `size_px`.
    """

    def __init__(self, network: StyleGan2, *, size_px: int) -> None:
        native = network.config.size_px
        if native % size_px:
            raise ValueError(f"images of {native} px can be pooled to a divisor of {native} only, got {size_px}")
        self.network = network.eval().requires_grad_(False)
        self.network.synthesis.bake()
        self.pooling = native // size_px
        self.latent_mean, self.latent_std = _fit_latents(network)

    @property
    def shape(self) -> GeneratorShape:
        config = self.network.config
        inputs = zip(config.channels[:-1], range(1, config.num_blocks), strict=True)
        return GeneratorShape(
            feature_scalars=(0, *(channels * (4 * 2 ** (block - 1)) ** 2 for channels, block in inputs)),
            latent_scalars=config.num_styles * config.w_dim,
        )

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.network.config.num_styles, self.network.config.w_dim

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        rows = [self._draw_row(seed) for seed in seeds]
        z = torch.cat([row_z for row_z, _ in rows])
        noises = tuple(torch.cat(maps) for maps in zip(*(row_noises for _, row_noises in rows), strict=True))
        return Features(layer=0, hidden=None, skip=None, condition=None, latent=self._latent(z), noises=noises)

    def place(self, features: Features, z: Tensor) -> Features:
        assert features.layer == 0
        return replace(features, latent=self._latent(z.expand(-1, *self.latent_shape)))

    def _latent(self, z: Tensor) -> Tensor:
        return functional.leaky_relu(self.latent_std * z + self.latent_mean, 0.2)

    def _draw_row(self, seed: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        stream, device = torch.Generator().manual_seed(seed), self.latent_mean
        z = torch.randn(1, *self.latent_shape, generator=stream).to(device)
        sizes = self.network.config.noise_sizes_px
        return z, tuple(torch.randn(1, 1, size, size, generator=stream).to(device) for size in sizes)

    def searched(self, layer: int) -> Searched:
        # Block b uses maps 2b - 1 and 2b. The published rule opens the maps below 5 + 2 * layer.
        first, end = max(0, 2 * layer - 1), min(5 + 2 * layer, len(self.network.config.noise_sizes_px))
        return Searched(hidden=layer > 0, latent=True, noises=tuple(range(first, end)))

    def advance(self, features: Features, *, to: int) -> Features:
        assert to >= features.layer, f"features at layer {features.layer} cannot go back to {to}"
        hidden, rgb = self._run(features, to)
        return replace(features, layer=to, hidden=hidden, skip=rgb)

    def render(self, features: Features) -> Tensor:
        _, rgb = self._run(features, self.network.config.num_blocks)
        assert rgb is not None
        if self.pooling > 1:
            rgb = functional.avg_pool2d(rgb, self.pooling)
        return (rgb + 1) / 2

    def unfrozen(self) -> tuple[Self, list[Tensor]]:
        own = copy.deepcopy(self)
        own.network.synthesis.unbake()
        return own, list(own.network.synthesis.requires_grad_(True).parameters())

    def _run(self, features: Features, end: int) -> tuple[Tensor | None, Tensor | None]:
        hidden, rgb = features.hidden, features.skip
        for block in range(features.layer, end):
            hidden, rgb = self.network.synthesis.block(block, hidden, rgb, features.latent, features.noises)
        return hidden, rgb


@torch.no_grad()
def _fit_latents(network: StyleGan2) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [w_dim] of the mapping network's output before its last leaky ReLU."""
    place = network.synthesis.constant
    z = torch.randn(FIT_SAMPLES, network.config.z_dim, generator=torch.Generator().manual_seed(0)).to(place)
    before = functional.leaky_relu(network.mapping(z), 5.0)
    return before.mean(dim=0), before.std(dim=0)
