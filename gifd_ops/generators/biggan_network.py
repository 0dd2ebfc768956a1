"""The generator of BigGAN-deep (Brock et al., ICLR 2019, appendix B) in plain PyTorch, for weights that stay.

Spectral normalization and the choice of batch-norm statistics are in the weights (see biggan_weights.py): what is left
of them here is ordinary convolutions and one mean and variance per channel. Modules bear the names they have in the
PyPI package pytorch-pretrained-biggan, whose weights are public.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.generators.biggan_config import KEY_REDUCTION, REDUCTION, START_PX, BigGanConfig


class BatchNorm(nn.Module):
    """Batch normalization by stored statistics."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        return functional.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class ConditionalBatchNorm(nn.Module):
    """Batch normalization by stored statistics, whose gain and bias are linear in a condition vector."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, condition_dim: int, *, eps: float) -> None:
        super().__init__()
        self.scale = nn.Linear(condition_dim, channels, bias=False)
        self.offset = nn.Linear(condition_dim, channels, bias=False)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps = eps

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        gain = (1 + self.scale(condition)) * torch.rsqrt(self.running_var + self.eps)
        shift = self.offset(condition) - self.running_mean * gain
        return torch.addcmul(shift[:, :, None, None], features, gain[:, :, None, None])


class GenBlock(nn.Module):
    """A residual bottleneck: 1x1, (upsampling,) 3x3, 3x3, 1x1, beside the first channels of what enters."""

    def __init__(self, inputs: int, outputs: int, condition_dim: int, *, upsample: bool, eps: float) -> None:
        super().__init__()
        middle = inputs // REDUCTION
        self.bn_0 = ConditionalBatchNorm(inputs, condition_dim, eps=eps)
        self.conv_0 = nn.Conv2d(inputs, middle, 1)
        self.bn_1 = ConditionalBatchNorm(middle, condition_dim, eps=eps)
        self.conv_1 = nn.Conv2d(middle, middle, 3, padding=1)
        self.bn_2 = ConditionalBatchNorm(middle, condition_dim, eps=eps)
        self.conv_2 = nn.Conv2d(middle, middle, 3, padding=1)
        self.bn_3 = ConditionalBatchNorm(middle, condition_dim, eps=eps)
        self.conv_3 = nn.Conv2d(middle, outputs, 1)
        self.outputs, self.upsample = outputs, upsample

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        hidden = self.conv_0(self.bn_0(features, condition).relu())
        hidden = self.bn_1(hidden, condition).relu()
        shortcut = features[:, : self.outputs]
        if self.upsample:
            hidden, shortcut = _twice_as_large(hidden), _twice_as_large(shortcut)
        hidden = self.conv_1(hidden)
        hidden = self.conv_2(self.bn_2(hidden, condition).relu())
        hidden = self.conv_3(self.bn_3(hidden, condition).relu())
        summed: Tensor = hidden + shortcut
        return summed


def _twice_as_large(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2, mode="nearest")


class SelfAttention(nn.Module):
    """Every place looks at all places of the features max-pooled by two (Zhang et al., SAGAN, ICML 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.snconv1x1_theta = nn.Conv2d(channels, channels // KEY_REDUCTION, 1, bias=False)
        self.snconv1x1_phi = nn.Conv2d(channels, channels // KEY_REDUCTION, 1, bias=False)
        self.snconv1x1_g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.snconv1x1_o_conv = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        queries = self.snconv1x1_theta(features).flatten(2)
        keys = functional.max_pool2d(self.snconv1x1_phi(features), 2).flatten(2)
        values = functional.max_pool2d(self.snconv1x1_g(features), 2).flatten(2)
        attention = (queries.mT @ keys).softmax(dim=2)  # [n, h w, h w / 4]
        seen = (values @ attention.mT).unflatten(2, features.shape[2:])
        out: Tensor = features + self.gamma * self.snconv1x1_o_conv(seen)
        return out


class LayeredGenerator(nn.Module):
    """Condition vectors to images, callable one layer at a time: GIFD cuts between any two of them."""

    def __init__(self, config: BigGanConfig) -> None:
        super().__init__()
        self.config = config
        self.gen_z = nn.Linear(config.condition_dim, math.prod(self._first_shape))
        self.layers = nn.ModuleList()
        for index, (upsample, entering, leaving) in enumerate(config.layers):
            inputs, outputs = entering * config.channel_width, leaving * config.channel_width
            if index == config.attention_layer_position:
                self.layers.append(SelfAttention(inputs))
            self.layers.append(GenBlock(inputs, outputs, config.condition_dim, upsample=upsample, eps=config.eps))
        self.bn = BatchNorm(config.channel_width, eps=config.eps)
        self.conv_to_rgb = nn.Conv2d(config.channel_width, 3, 3, padding=1)

    @property
    def _first_shape(self) -> tuple[int, int, int]:
        return START_PX, START_PX, self.config.layer_inputs[0][0]

    def layer(self, index: int, hidden: Tensor | None, condition: Tensor) -> Tensor:
        """Features after layer `index`.

        hidden: [n, c, h, w], the layer's input, None at layer 0. condition: latents beside class embeddings,
        [n, condition_dim].
        """
        if hidden is None:
            assert index == 0
            hidden = self.gen_z(condition).unflatten(1, self._first_shape).permute(0, 3, 1, 2).contiguous()
        layer = self.layers[index]
        out: Tensor = layer(hidden) if isinstance(layer, SelfAttention) else layer(hidden, condition)
        return out

    def image(self, hidden: Tensor) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1] of the features after the last layer."""
        image: Tensor = self.conv_to_rgb(self.bn(hidden).relu()).tanh()
        return image

    def forward(self, condition: Tensor) -> Tensor:
        hidden = None
        for index in range(self.config.num_layers):
            hidden = self.layer(index, hidden, condition)
        assert hidden is not None
        return self.image(hidden)


class BigGan(nn.Module):
    """Class embeddings and generator together."""

    def __init__(self, config: BigGanConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.Linear(config.num_classes, config.class_embed_dim, bias=False)
        self.generator = LayeredGenerator(config)

    def embed(self, labels: Tensor) -> Tensor:
        """Class embeddings E(y) [n, class_embed_dim] of labels [n]."""
        return self.embeddings.weight.T[labels]

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Images [n, 3, h, w] in [-1, 1] of latents [n, z_dim] and labels [n]."""
        images: Tensor = self.generator(torch.cat([z, self.embed(labels)], dim=1))
        return images
