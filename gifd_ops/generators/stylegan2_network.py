"""The StyleGAN2 synthesis and mapping networks (Karras et al., CVPR 2020) in plain PyTorch.

Modulation scales the *input* of a convolution and demodulation its *output* (equation 3 of the paper, rearranged): the
weights are shared by all rows, so that a batch of rows is one ordinary convolution. This is exact.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class StyleGan2Config:
    """Sizes of a StyleGAN2: `channels[b]` are the output channels of block b, which works at 4 * 2**b pixels.

    clamp: what the absolute values of features and colors are bounded by after every layer, where a network was trained
    in half precision (NVIDIA's `conv_clamp`); None for no bound.
    """

    channels: tuple[int, ...]
    z_dim: int
    w_dim: int
    mapping_layers: int
    clamp: float | None = None

    @property
    def num_blocks(self) -> int:
        return len(self.channels)

    @property
    def num_styles(self) -> int:
        return 2 * self.num_blocks

    @property
    def size_px(self) -> int:
        return int(4 * 2 ** (self.num_blocks - 1))

    @property
    def noise_sizes_px(self) -> tuple[int, ...]:
        """Side of each noise map: one at 4 px, then two per block."""
        return (4, *(4 * 2**block for block in range(1, self.num_blocks) for _ in range(2)))


def fir_kernel() -> Tensor:
    """The separable low-pass filter [1, 3, 3, 1] of StyleGAN2, [4, 4], summing to one."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum() ** 2


def _filter(images: Tensor, kernel: Tensor) -> Tensor:
    return functional.conv2d(images, kernel.expand(images.shape[1], 1, -1, -1), groups=images.shape[1])


def upsample_rgb(rgb: Tensor, kernel: Tensor) -> Tensor:
    """Twice as large images, zeros inserted and low-passed: [n, 3, h, w] -> [n, 3, 2h, 2w]."""
    taps = 4 * kernel.expand(rgb.shape[1], 1, -1, -1)
    return functional.conv_transpose2d(rgb, taps, stride=2, padding=1, groups=rgb.shape[1])


def leaky_relu(values: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2 and the gain sqrt(2) that keeps the variance."""
    return functional.leaky_relu(values, 0.2) * math.sqrt(2)


class EqualLinear(nn.Module):
    """A linear layer whose weights are stored at unit variance and scaled when used (equalized learning rate)."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.lr_multiplier = lr_multiplier / math.sqrt(inputs), lr_multiplier

    def forward(self, values: Tensor) -> Tensor:
        return functional.linear(values, self.weight * self.scale, self.bias * self.lr_multiplier)


class MappingNetwork(nn.Module):
    """z [n, z_dim] -> w [n, w_dim]."""

    def __init__(self, config: StyleGan2Config) -> None:
        super().__init__()
        sizes = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.layers = nn.ModuleList(EqualLinear(a, b, lr_multiplier=0.01) for a, b in itertools.pairwise(sizes))

    def forward(self, z: Tensor) -> Tensor:
        values = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            values = leaky_relu(layer(values))
        return values


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, with or without demodulation and upsampling."""

    def __init__(self, inputs: int, outputs: int, size: int, w_dim: int, *, demodulate: bool, upsample: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.style = EqualLinear(w_dim, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * size * size)
        self.demodulate, self.upsample = demodulate, upsample
        self.baked: tuple[Tensor, Tensor] | None = None

    def bake(self) -> None:
        """Keep what depends on the weights alone, for a network that will not be trained any further."""
        self.baked = self._scaled()

    def _scaled(self) -> tuple[Tensor, Tensor]:
        """The weights as they are convolved with, [in, out, k, k] to upsample; and their squares' sums [in, out]."""
        weight = self.weight * self.scale
        power = weight.square().sum(dim=(2, 3)).T
        return weight.transpose(0, 1).contiguous() if self.upsample else weight, power

    def forward(self, features: Tensor, w: Tensor, kernel: Tensor, *, gain: float = 1.0) -> Tensor:
        """gain: of the demodulated output."""
        style = self.style(w)
        weight, power = self._scaled() if self.baked is None else self.baked
        features = features * style[:, :, None, None]
        if self.upsample:
            features = functional.conv_transpose2d(features, weight, stride=2)
            features = _filter(functional.pad(features, (1, 1, 1, 1)), 4 * kernel)
        else:
            features = functional.conv2d(features, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            features = features * (gain * torch.rsqrt(style.square() @ power + 1e-8))[:, :, None, None]
        return features


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU with the gain sqrt(2).

    The gain goes in before the ReLU, which is homogeneous: on the few numbers of demodulation, noise gain and bias.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, upsample: bool, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv = ModulatedConv(inputs, outputs, 3, w_dim, demodulate=True, upsample=upsample)
        self.noise_gain = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor, w: Tensor, noise: Tensor, kernel: Tensor) -> Tensor:
        gain = math.sqrt(2)
        features = self.conv(features, w, kernel, gain=gain)
        features = features + (gain * self.noise_gain) * noise + (gain * self.bias)[:, None, None]
        return _bounded(functional.leaky_relu(features, 0.2), self.clamp)


class ToRgb(nn.Module):
    """The RGB contribution of a block."""

    def __init__(self, inputs: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv = ModulatedConv(inputs, 3, 1, w_dim, demodulate=False, upsample=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, features: Tensor, w: Tensor, kernel: Tensor) -> Tensor:
        return _bounded(self.conv(features, w, kernel) + self.bias[:, None, None], self.clamp)


def _bounded(values: Tensor, clamp: float | None) -> Tensor:
    return values if clamp is None else values.clamp(-clamp, clamp)


class SynthesisBlock(nn.Module):
    """One resolution: (upsampling convolution,) convolution, RGB contribution added to the skip."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, first: bool, clamp: float | None = None) -> None:
        super().__init__()
        self.up = None if first else StyledConv(inputs, outputs, w_dim, upsample=True, clamp=clamp)
        self.conv = StyledConv(outputs, outputs, w_dim, upsample=False, clamp=clamp)
        self.to_rgb = ToRgb(outputs, w_dim, clamp=clamp)


class Synthesis(nn.Module):
    """The blocks of the generator, callable one at a time: GIFD cuts between any two of them.

    Style slots and noise maps of block b: its upsampling convolution uses slot and map 2b-1, its convolution 2b, its
    RGB layer slot 2b+1 (block 0: slots 0 and 1, map 0).
    """

    fir: Tensor

    def __init__(self, config: StyleGan2Config) -> None:
        super().__init__()
        self.config = config
        inputs = (config.channels[0], *config.channels[:-1])
        self.constant = nn.Parameter(torch.randn(1, config.channels[0], 4, 4))
        self.blocks = nn.ModuleList(
            SynthesisBlock(a, b, config.w_dim, first=index == 0, clamp=config.clamp)
            for index, (a, b) in enumerate(zip(inputs, config.channels, strict=True))
        )
        self.register_buffer("fir", fir_kernel(), persistent=False)

    def bake(self) -> None:
        """Precompute what depends on the weights alone; call it after the last change of weights, device or dtype."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, ModulatedConv):
                    module.bake()

    def unbake(self) -> None:
        """Follow the weights again, for a network that will be trained further."""
        for module in self.modules():
            if isinstance(module, ModulatedConv):
                module.baked = None

    def block(
        self, index: int, hidden: Tensor | None, rgb: Tensor | None, latent: Tensor, noises: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Features and RGB skip after block `index`.

        hidden: [n, c, h, w], the block's input, None for the constant. rgb: [n, 3, h, w] of the blocks below, None for
        nothing. latent: [n, num_styles, w_dim]. noises: maps [n, 1, h, w], all of them.
        """
        block = self.blocks[index]
        assert isinstance(block, SynthesisBlock)
        if hidden is None:
            hidden = self.constant.expand(latent.shape[0], -1, -1, -1)
        if block.up is not None:
            hidden = block.up(hidden, latent[:, 2 * index - 1], noises[2 * index - 1], self.fir)
        hidden = block.conv(hidden, latent[:, 2 * index], noises[2 * index], self.fir)
        color: Tensor = block.to_rgb(hidden, latent[:, 2 * index + 1], self.fir)
        assert hidden is not None
        return hidden, color if rgb is None else color + upsample_rgb(rgb, self.fir)

    def forward(self, latent: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Images [n, 3, size, size], about [-1, 1], of latents [n, num_styles, w_dim]."""
        hidden, rgb = None, None
        for index in range(self.config.num_blocks):
            hidden, rgb = self.block(index, hidden, rgb, latent, noises)
        assert rgb is not None
        return rgb


class StyleGan2(nn.Module):
    """Mapping and synthesis together."""

    def __init__(self, config: StyleGan2Config) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = Synthesis(config)

    def draw_noises(self, rows: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """Standard normal noise maps [rows, 1, h, w], one for each noise input."""
        place = self.synthesis.constant
        return tuple(
            torch.randn(rows, 1, size, size, generator=generator, device=place.device, dtype=place.dtype)
            for size in self.config.noise_sizes_px
        )
