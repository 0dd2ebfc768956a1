"""BigGAN-deep behind the generator protocol, with the semantics of GIFD (Fang et al., ICCV 2023)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.config import GeneratorShape
from gifd_ops.generators.biggan_config import BigGanConfig
from gifd_ops.generators.biggan_network import BigGan
from gifd_ops.generators.protocol import Features, Searched


class BigGanGenerator:
    """A frozen BigGAN-deep: latents are searched at layer 0, from there on nothing but the features.

    Initial latents are standard normal, not truncated. The condition of all layers is the latents beside the class
    embeddings, so that it stays what stage 0 left. Self-attention is a layer like any other. Images are averaged over
    areas to `size_px`.
    """

    def __init__(self, network: BigGan, *, size_px: int) -> None:
        native = network.config.size_px
        if not 0 < size_px <= native:
            raise ValueError(f"images of {native} px can be shrunk only: size_px must be 1 to {native}, got {size_px}")
        self.network = network.eval().requires_grad_(False)
        self.size_px = size_px

    @property
    def shape(self) -> GeneratorShape:
        return self.network.config.shape

    @property
    def latent_shape(self) -> tuple[int, int]:
        return 1, self.network.config.z_dim

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        embeddings = self.network.embed(self._checked(labels, len(seeds)))
        streams = (torch.Generator().manual_seed(seed) for seed in seeds)
        z = torch.cat([torch.randn(1, *self.latent_shape, generator=stream) for stream in streams])
        return Features(layer=0, hidden=None, skip=None, condition=embeddings, latent=z.to(embeddings), noises=())

    def _checked(self, labels: Tensor | None, rows: int) -> Tensor:
        """The labels, on the network's device; ValueError if they are no classes of it."""
        classes = self.network.config.num_classes
        if labels is None:
            raise ValueError(f"BigGAN needs a label for each of its rows, got None; give labels 0 to {classes - 1}")
        if labels.shape != (rows,):
            raise ValueError(f"BigGAN needs one label per seed: {rows} seeds, got labels of shape {[*labels.shape]}")
        outside = labels[(labels < 0) | (labels >= classes)].tolist()
        if outside:
            raise ValueError(
                f"labels are classes of the generator, 0 to {classes - 1}, got {outside[:5]}; attack a victim of the "
                "same classes, or map its labels"
            )
        return labels.to(self.network.embeddings.weight.device)

    def place(self, features: Features, z: Tensor) -> Features:
        assert features.layer == 0
        return replace(features, latent=z.expand(-1, *self.latent_shape))

    def searched(self, layer: int) -> Searched:
        return Searched(hidden=layer > 0, latent=layer == 0, noises=())

    def advance(self, features: Features, *, to: int) -> Features:
        assert to >= features.layer, f"features at layer {features.layer} cannot go back to {to}"
        return replace(features, layer=to, hidden=self._run(features, to))

    def render(self, features: Features) -> Tensor:
        hidden = self._run(features, self.network.config.num_layers)
        assert hidden is not None
        images = self.network.generator.image(hidden)
        if self.size_px < images.shape[-1]:
            images = functional.interpolate(images, size=(self.size_px, self.size_px), mode="area")
        return (images + 1) / 2

    def unfrozen(self) -> tuple[Self, list[Tensor]]:
        own = copy.deepcopy(self)
        return own, list(own.network.generator.requires_grad_(True).parameters())

    def _run(self, features: Features, end: int) -> Tensor | None:
        assert features.condition is not None
        condition = torch.cat([features.latent[:, 0], features.condition], dim=1)
        hidden = features.hidden
        for index in range(features.layer, end):
            hidden = self.network.generator.layer(index, hidden, condition)
        return hidden


def build_biggan(
    config: BigGanConfig,
    *,
    size_px: int,
    weights: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> BigGanGenerator:
    """A generator with the given weights (of `bake_weights`), or untrained from `seed`.

    The global random state is left as it was.
    """
    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = BigGan(config)
            initialize_(network)
    else:
        with torch.device("meta"):
            network = BigGan(config)
        network.load_state_dict(weights, assign=True)
    return BigGanGenerator(network.to(dtype), size_px=size_px)


@torch.no_grad()
def initialize_(network: BigGan) -> None:
    """Draw weights, in place, that give varied images although the stored statistics normalize nothing.

    Every layer keeps the variance of what enters it (He et al., ICCV 2015), except the ends of the residual branches:
    all of them together, however many, multiply the variance of the features by about e.
    """
    after_relu, end = math.sqrt(2), 1 / math.sqrt(network.config.num_layers)
    gains = {"conv_0": after_relu, "conv_1": after_relu, "conv_2": after_relu, "conv_3": after_relu * end}
    gains |= {"snconv1x1_o_conv": end, "scale": 0.25, "offset": 0.25, "conv_to_rgb": 0.4 * after_relu}
    for name, layer in network.generator.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            gain = gains.get(name.rpartition(".")[2], 1.0)
            nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.normal_(network.embeddings.weight)
