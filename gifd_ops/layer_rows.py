"""What a layer contributes to every row's gradient, and how a change of that gradient is pulled back.

Of a layer, z is what enters and d what comes back to its output, row by row. A row's weight gradient is a product of
its z and d, linear in each: G = d z^T for a linear layer. A direction V in the space of gradients is pulled back to d
and z by the same product: <G, V> = <d, V z>, so its slope is V z in d and V^T d in z. No weight is copied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

# A convolution of few output positions, or of small patches, is one matrix product over the patches of its input, all
# rows at once; otherwise patches cost more memory traffic than they save, and every row is a convolution of its own.
FEW_POSITIONS, SMALL_PATCHES = 64, 2**15


class LayerRows(ABC):
    """A layer's part in a pass: `entering` and `leaving` begin with [rows]."""

    def __init__(self, layer: nn.Module, entering: Tensor, leaving: Tensor) -> None:
        self.layer, self.entering, self.leaving = layer, entering, leaving

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """Gradients of the layer's parameters, [rows, *parameter shape], in memory of their own.

        Differentiable where the inputs are.
        """

    @abstractmethod
    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Slopes, in `leaving` and in `entering`, of <gradients, directions>; directions as `gradients` gives them."""


class LinearRows(LayerRows):
    """y = W z + b on [rows, features]."""

    layer: nn.Linear

    def gradients(self) -> list[Tensor]:
        weight = self.leaving[:, :, None] * self.entering[:, None, :]
        return [weight] if self.layer.bias is None else [weight, self.leaving.clone()]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = directions
        to_leaving = (weight @ self.entering[:, :, None])[:, :, 0]
        to_entering = (self.leaving[:, None, :] @ weight)[:, 0]
        return (to_leaving + bias[0] if bias else to_leaving), to_entering


class NormRows(LayerRows):
    """Batch normalization in eval mode: y = gamma (z - mu) / s + beta."""

    layer: nn.BatchNorm2d

    def _standardized(self) -> tuple[Tensor, Tensor]:
        layer = self.layer
        assert layer.running_mean is not None
        assert layer.running_var is not None
        scale = torch.rsqrt(layer.running_var + layer.eps)[:, None, None]
        return (self.entering - layer.running_mean[:, None, None]) * scale, scale

    def gradients(self) -> list[Tensor]:
        standardized, _ = self._standardized()
        return [(self.leaving * standardized).sum(dim=(2, 3)), self.leaving.sum(dim=(2, 3))]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        gamma, beta = (direction[:, :, None, None] for direction in directions)
        standardized, scale = self._standardized()
        return gamma * standardized + beta, gamma * scale * self.leaving


class PatchedConvRows(LayerRows):
    """A convolution as a matrix product over the patches of its input: pays where output positions are few."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d, entering: Tensor, leaving: Tensor) -> None:
        super().__init__(layer, entering, leaving)
        assert isinstance(layer.padding, tuple)
        self.window = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        self.patches = functional.unfold(entering, *self.window)  # [rows, c k k, positions]

    def gradients(self) -> list[Tensor]:
        flat = self.leaving.flatten(2)
        weight = (flat @ self.patches.transpose(1, 2)).unflatten(2, self.layer.weight.shape[1:])
        return [weight] if self.layer.bias is None else [weight, flat.sum(dim=2)]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = directions
        matrix = weight.flatten(2)
        to_leaving = (matrix @ self.patches).view_as(self.leaving)
        to_patches = matrix.transpose(1, 2) @ self.leaving.flatten(2)
        to_entering = functional.fold(to_patches, self.entering.shape[2:], *self.window)
        return (to_leaving + bias[0][:, :, None, None] if bias else to_leaving), to_entering


class PlainConvRows(LayerRows):
    """A convolution row by row: pays where output positions are many."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d, entering: Tensor, leaving: Tensor) -> None:
        super().__init__(layer, entering, leaving)
        assert isinstance(layer.padding, tuple)
        self.window = (layer.stride, layer.padding, layer.dilation)

    def gradients(self) -> list[Tensor]:
        shape, window = self.layer.weight.shape, self.window
        pairs = zip(self.entering.split(1), self.leaving.split(1), strict=True)
        weight = torch.stack([conv2d_weight(z, shape, d, *window) for z, d in pairs])
        return [weight] if self.layer.bias is None else [weight, self.leaving.sum(dim=(2, 3))]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = directions
        window, size = self.window, self.entering[:1].shape
        rows = list(zip(weight, self.entering.split(1), self.leaving.split(1), strict=True))
        to_leaving = torch.cat([functional.conv2d(z, v, None, *window) for v, z, _ in rows])
        to_entering = torch.cat([conv2d_input(size, v, d, *window) for v, _, d in rows])
        return (to_leaving + bias[0][:, :, None, None] if bias else to_leaving), to_entering


def layer_rows(layer: nn.Module, entering: Tensor, leaving: Tensor) -> LayerRows:
    """The rows of a layer, in the form that is cheapest for it."""
    if isinstance(layer, nn.Linear):
        if entering.ndim != 2:
            raise ValueError(f"per-row gradients of {layer} need inputs [rows, features], got {tuple(entering.shape)}")
        return LinearRows(layer, entering, leaving)
    if isinstance(layer, nn.BatchNorm2d):
        return NormRows(layer, entering, leaving)
    assert isinstance(layer, nn.Conv2d)
    positions, patch = leaving[0, 0].numel(), layer.weight[0].numel()
    patched = positions <= FEW_POSITIONS or positions * patch <= SMALL_PATCHES
    return (PatchedConvRows if patched else PlainConvRows)(layer, entering, leaving)
