"""Layers whose weights are fixed, made for being differentiated in their input again and again.

An attack differentiates a victim twice in the image and never in its weights. A convolution that keeps the size of
its input has as its derivative the convolution with the weights turned round, so any number of derivatives is one
operation, the fast one; a normalization in eval mode is one multiplication and one addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.patches import unfold

MANY_WEIGHTS = 1 << 14  # below this plain convolutions are as fast
FEW_POSITIONS = 16  # output positions up to which a convolution is a matrix product over the patches of its input


def freeze(network: nn.Module) -> None:
    """Fix all weights, in place, and put layers that are fast with fixed weights where plain ones were.

    Parameters stay the same objects under the same names. Weights that are thawed again are differentiated as usual.
    """
    network.eval().requires_grad_(False)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.BatchNorm2d:
                setattr(parent, name, FrozenNorm.of(layer))
            elif type(layer) is nn.Conv2d and _keeps_size(layer) and layer.weight.numel() >= MANY_WEIGHTS:
                setattr(parent, name, FrozenConv.of(layer))


class FrozenNorm(nn.BatchNorm2d):
    """Batch normalization; in eval mode gamma (z - mu) / s + beta as one product and one sum."""

    @classmethod
    def of(cls, layer: nn.BatchNorm2d) -> Self:
        """The layer, its parameters and its running statistics."""
        return become(cls, layer)

    def forward(self, entering: Tensor) -> Tensor:
        if self.training or self.running_mean is None or self.running_var is None or not self.affine:
            return super().forward(entering)
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], entering, scale[:, None, None])


@dataclass(frozen=True)
class _Turned:
    """Turned weights, and what they were made from: as long as that is held, no other weights come to lie there."""

    weight: Tensor
    version: int
    turned: Tensor


class FrozenConv(nn.Conv2d):
    """A convolution of stride 1 that keeps the size of its input."""

    _kept: _Turned | None = None

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Self:
        """The layer and its parameters."""
        return become(cls, layer)

    def forward(self, entering: Tensor) -> Tensor:
        if self.weight.requires_grad:
            return super().forward(entering)
        leaving: Tensor = _SameConv.apply(entering, self.weight, self._turned())
        return leaving if self.bias is None else leaving + self.bias[:, None, None]

    def _turned(self) -> Tensor:
        """The weights of the derivative: turned round, inputs and outputs exchanged. Kept until the weights change."""
        weight, kept = self.weight.detach(), self._kept
        if kept is None or kept.weight.data_ptr() != weight.data_ptr() or kept.version != weight._version:
            turned = weight.flip(2, 3).transpose(0, 1).contiguous()
            self._kept = kept = _Turned(weight, weight._version, turned)
        return kept.turned


class _SameConv(torch.autograd.Function):
    """z -> W * z, whose derivative is d -> W' * d with the turned weights, whose derivative is W * again."""

    @staticmethod
    def forward(ctx: Any, entering: Tensor, weight: Tensor, turned: Tensor) -> Tensor:
        ctx.weights = weight, turned
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        if entering[0, 0].numel() > FEW_POSITIONS:
            return functional.conv2d(entering, weight, None, 1, padding)
        patches = unfold(entering, (weight.shape[2], weight.shape[3]), (1, 1), padding, (1, 1))
        columns = patches.transpose(0, 1).flatten(1)  # [c k k, rows x positions]
        leaving = (weight.flatten(1) @ columns).view(len(weight), len(entering), *entering.shape[2:])
        return leaving.transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        weight, turned = ctx.weights
        return _SameConv.apply(above[0], turned, weight), None, None


def _keeps_size(layer: nn.Conv2d) -> bool:
    """Whether a convolution's derivative is one of its kind."""
    odd = all(size % 2 == 1 for size in layer.kernel_size)
    half = tuple(size // 2 for size in layer.kernel_size)
    plain = layer.groups == 1 and layer.padding_mode == "zeros" and layer.dilation == (1, 1)
    return plain and odd and layer.stride == (1, 1) and layer.padding == half


Layer = TypeVar("Layer", bound=nn.Module)


def become(kind: type[Layer], layer: nn.Module) -> Layer:
    """`layer` as one of a kind that only computes otherwise: the same parameters, buffers and settings."""
    became = kind.__new__(kind)
    nn.Module.__init__(became)
    became.__dict__.update(layer.__dict__)
    return became
