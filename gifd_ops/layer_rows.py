"""What a layer contributes to every row's gradient, and how a change of that gradient is pulled back.

Of a layer, z is what enters and d what comes back to its output, row by row. A row's weight gradient is a product of
its z and d, linear in each: G = d z^T for a linear layer. A direction V in the space of gradients is pulled back to d
and z by the same product: <G, V> = <d, V z>, so its slope is V z in d and V^T d in z. No weight is copied.

A layer of few output positions need not form G at all (its *ghost*): <G, S> = <d, S z>, |G|^2 = <d, d (z^T z)>, and G
itself is pulled back to d (z^T z) and z (d^T d), products as small as the positions are few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from gifd_ops.inner_products import by_target, inner_products
from gifd_ops.patches import unfold

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

    def products(self, shared: list[Tensor]) -> tuple[Tensor, Tensor]:
        """<G, S> and <G, G> [rows] of the rows' gradients G with shared ones S, tensors [targets, *parameter shape].

        Equally many consecutive rows belong to a target. Not differentiable.
        """
        self.formed, self.shared = self.gradients(), shared
        return inner_products(self.formed, shared), inner_products(self.formed, self.formed)

    def slopes(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """After `products`, once: slopes, in `leaving` and `entering`, of <G, own G + other S>; the factors [rows]."""
        formed, self.formed = self.formed, []  # they are as large as the layer's weights: held no longer than needed
        for gradient, shared in zip(formed, self.shared, strict=True):
            gradient.mul_(_broadcast(own, gradient))
            grouped = by_target(gradient, len(shared))
            grouped.addcmul_(shared[:, None], _broadcast(other.view(grouped.shape[:2]), grouped))
        return self.pull_back(formed)


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

    def products(self, shared: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = shared
        entering, leaving = (by_target(tensor, len(weight)) for tensor in (self.entering, self.leaving))
        to_leaving = entering @ weight.transpose(1, 2)  # [targets, rows of a target, features out]
        self.shared_to_leaving = (to_leaving + bias[0][:, None] if bias else to_leaving).flatten(0, 1)
        self.shared_to_entering = (leaving @ weight).flatten(0, 1)
        ones = 1.0 if bias else 0.0
        self.entering_square = self.entering.square().sum(dim=1) + ones
        self.leaving_square = self.leaving.square().sum(dim=1)
        inner = (self.leaving * self.shared_to_leaving).sum(dim=1)
        return inner, self.leaving_square * self.entering_square

    def slopes(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        to_leaving = (own * self.entering_square)[:, None] * self.leaving + other[:, None] * self.shared_to_leaving
        to_entering = (own * self.leaving_square)[:, None] * self.entering + other[:, None] * self.shared_to_entering
        return to_leaving, to_entering


class NormRows(LayerRows):
    """Batch normalization in eval mode: y = gamma (z - mu) / s + beta."""

    layer: nn.BatchNorm2d

    def __init__(self, layer: nn.BatchNorm2d, entering: Tensor, leaving: Tensor) -> None:
        super().__init__(layer, entering, leaving)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        self.scale = torch.rsqrt(layer.running_var + layer.eps)[:, None, None]
        shift = -layer.running_mean[:, None, None] * self.scale
        self.standardized = torch.addcmul(shift, entering, self.scale)

    def gradients(self) -> list[Tensor]:
        return [(self.leaving * self.standardized).sum(dim=(2, 3)), self.leaving.sum(dim=(2, 3))]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        gamma, beta = (direction[:, :, None, None] for direction in directions)
        return torch.addcmul(beta, gamma, self.standardized), gamma * self.scale * self.leaving


class PatchedConvRows(LayerRows):
    """A convolution as a matrix product over the patches of its input: pays where output positions are few."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d, entering: Tensor, leaving: Tensor) -> None:
        super().__init__(layer, entering, leaving)
        assert isinstance(layer.padding, tuple)
        self.window = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        self.patches = unfold(entering, *self.window)  # [rows, c k k, positions]

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


class GhostConvRows(PatchedConvRows):
    """A convolution with many weights and few output positions, whose gradients are not formed to be matched."""

    def products(self, shared: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = shared
        self.flat = self.leaving.flatten(2)  # [rows, channels out, positions]
        self.matrix = weight.flatten(2)
        to_flat = _per_row(self.matrix @ _per_target(self.patches, len(weight)), self.flat.shape)
        if bias:
            to_flat = (by_target(to_flat, len(weight)) + bias[0][:, None, :, None]).flatten(0, 1)
        self.shared_to_flat = to_flat
        gram = self.patches.transpose(1, 2) @ self.patches
        self.own_to_flat = self.flat @ (gram + 1 if bias else gram)
        return (self.flat * self.shared_to_flat).sum(dim=(1, 2)), (self.flat * self.own_to_flat).sum(dim=(1, 2))

    def slopes(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        own, other = own[:, None, None], other[:, None, None]
        to_flat = own * self.own_to_flat + other * self.shared_to_flat
        gram = self.flat.transpose(1, 2) @ self.flat
        back = self.matrix.transpose(1, 2) @ _per_target(self.flat, len(self.matrix))
        to_patches = torch.baddbmm(other * _per_row(back, self.patches.shape), self.patches, own * gram)
        return to_flat.view_as(self.leaving), functional.fold(to_patches, self.entering.shape[2:], *self.window)


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
    positions, channels, patch = leaving[0, 0].numel(), len(layer.weight), layer.weight[0].numel()
    if positions <= FEW_POSITIONS and 2 * positions * (channels + patch) < channels * patch:
        return GhostConvRows(layer, entering, leaving)
    patched = positions <= FEW_POSITIONS or positions * patch <= SMALL_PATCHES
    return (PatchedConvRows if patched else PlainConvRows)(layer, entering, leaving)


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    """Values, to be multiplied with a tensor that has more dimensions behind theirs."""
    return values.view(*values.shape, *(1,) * (like.ndim - values.ndim))


def _per_target(rows: Tensor, targets: int) -> Tensor:
    """Columns of the rows of a target side by side: [rows, k, n] as [targets, k, rows of a target x n]."""
    return by_target(rows, targets).transpose(1, 2).flatten(2)


def _per_row(columns: Tensor, shape: torch.Size) -> Tensor:
    """Columns [targets, k, rows of a target x n] row by row again, [rows, k, n]."""
    return columns.view(*columns.shape[:2], -1, shape[2]).transpose(1, 2).reshape(shape)
