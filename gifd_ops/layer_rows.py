"""What a layer contributes to every row's gradient, and how a change of that gradient is pulled back.

Of a layer, z is what enters and d what comes back to its output, row by row. A row's weight gradient is a product of
its z and d, linear in each: G = d z^T for a linear layer. A direction V in the space of gradients is pulled back to d
and z by the same product: <G, V> = <d, V z>, so its slope is V z in d and V^T d in z. No weight is copied.

Where a row is a batch of several images, its gradient is the sum over them: one more dimension that the product runs
over, beside the positions of a convolution.

A layer of few output positions need not form G at all (its *ghost*): <G, S> = <d, S z>, |G|^2 = <d, d (z^T z)>, and G
itself is pulled back to d (z^T z) and z (d^T d), products as small as the positions are few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from gifd_ops.clients import OwnNorm, standardize
from gifd_ops.inner_products import by_target, inner_products
from gifd_ops.patches import unfold

# A convolution of few output positions, or of small patches, is one matrix product over the patches of its input, all
# rows at once; otherwise patches cost more memory traffic than they save, and every row is a convolution of its own.
FEW_POSITIONS, SMALL_PATCHES = 64, 2**15


class LayerRows(ABC):
    """A layer's part in a pass: `entering` and `leaving` begin with [rows x images], `images` of each row together."""

    def __init__(self, layer: nn.Module, entering: Tensor, leaving: Tensor, images: int = 1) -> None:
        self.layer, self.entering, self.leaving, self.images = layer, entering, leaving, images

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """Gradients of the layer's parameters, [rows, *parameter shape], in memory of their own.

        Differentiable where the inputs are.
        """

    @abstractmethod
    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Slopes, in `leaving` and in `entering`, of <gradients, directions>; directions as `gradients` gives them."""

    def of_rows(self, sums: Tensor) -> Tensor:
        """Sums of images [rows x images, n] summed over the images of every row, [rows, n]."""
        return sums if self.images == 1 else sums.unflatten(0, (-1, self.images)).sum(dim=1)

    def of_images(self, rows: Tensor) -> Tensor:
        """What is told of rows [rows, ...], for every image of theirs, [rows x images, ...]."""
        return rows if self.images == 1 else rows.repeat_interleave(self.images, dim=0)

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
    """y = W z + b on [rows, features], one image a row."""

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
    """Batch normalization: y = gamma zhat + beta, where zhat is z standardized."""

    standardized: Tensor

    def gradients(self) -> list[Tensor]:
        sums = (self.leaving * self.standardized).sum(dim=(2, 3)), self.leaving.sum(dim=(2, 3))
        return [self.of_rows(each) for each in sums]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        gamma, beta = (self.of_images(direction)[:, :, None, None] for direction in directions)
        return torch.addcmul(beta, gamma, self.standardized), self.enter(gamma)

    @abstractmethod
    def enter(self, gamma: Tensor) -> Tensor:
        """The slope in `entering` of <leaving, gamma zhat>, gamma [rows x images, c, 1, 1]."""


class FixedNormRows(NormRows):
    """In eval mode, by the running statistics: zhat = (z - mu) / s."""

    layer: nn.BatchNorm2d

    def __init__(self, layer: nn.BatchNorm2d, entering: Tensor, leaving: Tensor, images: int = 1) -> None:
        super().__init__(layer, entering, leaving, images)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        self.scale = torch.rsqrt(layer.running_var + layer.eps)[:, None, None]
        shift = -layer.running_mean[:, None, None] * self.scale
        self.standardized = torch.addcmul(shift, entering, self.scale)

    def enter(self, gamma: Tensor) -> Tensor:
        return gamma * self.scale * self.leaving


class OwnNormRows(NormRows):
    """In train mode, by the row's own statistics: zhat = (z - mean(z)) / s(z)."""

    layer: OwnNorm

    def __init__(self, layer: OwnNorm, entering: Tensor, leaving: Tensor, images: int = 1) -> None:
        super().__init__(layer, entering, leaving, images)
        self.standardized, self.inverse = standardize(entering, images, layer.eps)

    def enter(self, gamma: Tensor) -> Tensor:
        # of <u, zhat(z)>: (u - mean(u) - zhat mean(u zhat)) / s
        pair = (gamma * self.leaving, self.standardized)
        own, standardized = (each.unflatten(0, (-1, self.images)) for each in pair)
        mean = own.mean(dim=(1, 3, 4), keepdim=True)
        along = (own * standardized).mean(dim=(1, 3, 4), keepdim=True)
        slope: Tensor = ((own - mean - standardized * along) * self.inverse).flatten(0, 1)
        return slope


class ColumnRows(LayerRows):
    """A layer as a matrix product over columns: G = D Z^T, a column for every output position of every image.

    columns: what enters, [rows, inputs, n]; flat: what comes back, [rows, outputs, n].
    """

    layer: nn.Linear | nn.Conv2d
    columns: Tensor
    flat: Tensor

    @abstractmethod
    def leave(self, flat: Tensor) -> Tensor:
        """Columns of outputs in the shape of `leaving`."""

    @abstractmethod
    def enter(self, columns: Tensor) -> Tensor:
        """Slopes in the columns as slopes in `entering`."""

    def gradients(self) -> list[Tensor]:
        weight = (self.flat @ self.columns.transpose(1, 2)).unflatten(2, self.layer.weight.shape[1:])
        return [weight] if self.layer.bias is None else [weight, self.flat.sum(dim=2)]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = directions
        matrix = weight.flatten(2)
        to_flat = matrix @ self.columns
        to_columns = matrix.transpose(1, 2) @ self.flat
        return self.leave(to_flat + bias[0][:, :, None] if bias else to_flat), self.enter(to_columns)


class GhostRows(ColumnRows):
    """A layer with many weights and few columns, whose gradients are not formed to be matched."""

    def products(self, shared: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = shared
        self.matrix = weight.flatten(2)
        to_flat = _per_row(self.matrix @ _per_target(self.columns, len(weight)), self.flat.shape)
        if bias:
            to_flat = (by_target(to_flat, len(weight)) + bias[0][:, None, :, None]).flatten(0, 1)
        self.shared_to_flat = to_flat
        gram = self.columns.transpose(1, 2) @ self.columns
        self.own_to_flat = self.flat @ (gram + 1 if bias else gram)
        return (self.flat * self.shared_to_flat).sum(dim=(1, 2)), (self.flat * self.own_to_flat).sum(dim=(1, 2))

    def slopes(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        own, other = own[:, None, None], other[:, None, None]
        to_flat = own * self.own_to_flat + other * self.shared_to_flat
        gram = self.flat.transpose(1, 2) @ self.flat
        back = self.matrix.transpose(1, 2) @ _per_target(self.flat, len(self.matrix))
        to_columns = torch.baddbmm(other * _per_row(back, self.columns.shape), self.columns, own * gram)
        return self.leave(to_flat), self.enter(to_columns)


class PatchedConvRows(ColumnRows):
    """A convolution as a matrix product over the patches of its input: pays where output positions are few."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d, entering: Tensor, leaving: Tensor, images: int = 1) -> None:
        super().__init__(layer, entering, leaving, images)
        assert isinstance(layer.padding, tuple)
        self.window = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        self.columns = _side_by_side(unfold(entering, *self.window), images)  # [rows, c k k, images x positions]
        self.flat = _side_by_side(leaving.flatten(2), images)

    def leave(self, flat: Tensor) -> Tensor:
        return _apart(flat, self.images).view_as(self.leaving)

    def enter(self, columns: Tensor) -> Tensor:
        return functional.fold(_apart(columns, self.images), self.entering.shape[2:], *self.window)


class GhostConvRows(GhostRows, PatchedConvRows):
    """A convolution with many weights and few output positions."""


class BatchedLinearRows(ColumnRows):
    """y = W z + b on [rows x images, features], an image a column."""

    layer: nn.Linear

    def __init__(self, layer: nn.Linear, entering: Tensor, leaving: Tensor, images: int = 1) -> None:
        super().__init__(layer, entering, leaving, images)
        self.columns, self.flat = (_side_by_side(each[:, :, None], images) for each in (entering, leaving))

    def leave(self, flat: Tensor) -> Tensor:
        return _apart(flat, self.images)[:, :, 0]

    def enter(self, columns: Tensor) -> Tensor:
        return _apart(columns, self.images)[:, :, 0]


class GhostLinearRows(GhostRows, BatchedLinearRows):
    """A linear layer that a batch has few images for."""


class PlainConvRows(LayerRows):
    """A convolution row by row: pays where output positions are many."""

    layer: nn.Conv2d

    def __init__(self, layer: nn.Conv2d, entering: Tensor, leaving: Tensor, images: int = 1) -> None:
        super().__init__(layer, entering, leaving, images)
        assert isinstance(layer.padding, tuple)
        self.window = (layer.stride, layer.padding, layer.dilation)

    def gradients(self) -> list[Tensor]:
        shape, window = self.layer.weight.shape, self.window
        pairs = zip(self.entering.split(self.images), self.leaving.split(self.images), strict=True)
        weight = torch.stack([conv2d_weight(z, shape, d, *window) for z, d in pairs])
        return [weight] if self.layer.bias is None else [weight, self.of_rows(self.leaving.sum(dim=(2, 3)))]

    def pull_back(self, directions: list[Tensor]) -> tuple[Tensor, Tensor]:
        weight, *bias = directions
        window, size = self.window, self.entering[: self.images].shape
        rows = list(zip(weight, self.entering.split(self.images), self.leaving.split(self.images), strict=True))
        to_leaving = torch.cat([functional.conv2d(z, v, None, *window) for v, z, _ in rows])
        to_entering = torch.cat([conv2d_input(size, v, d, *window) for v, _, d in rows])
        return (to_leaving + self.of_images(bias[0])[:, :, None, None] if bias else to_leaving), to_entering


def layer_rows(layer: nn.Module, entering: Tensor, leaving: Tensor, images: int = 1) -> LayerRows:
    """The rows of a layer, each of so many images, in the form that is cheapest for it."""
    if isinstance(layer, nn.Linear):
        if entering.ndim != 2:
            raise ValueError(f"per-row gradients of {layer} need inputs [rows, features], got {tuple(entering.shape)}")
        if images == 1:
            return LinearRows(layer, entering, leaving)
        ghost = _few_columns(images, layer.weight)
        return (GhostLinearRows if ghost else BatchedLinearRows)(layer, entering, leaving, images)
    if isinstance(layer, OwnNorm):
        return OwnNormRows(layer, entering, leaving, images)
    if isinstance(layer, nn.BatchNorm2d):
        return FixedNormRows(layer, entering, leaving, images)
    assert isinstance(layer, nn.Conv2d)
    positions = leaving[0, 0].numel() * images
    if _few_columns(positions, layer.weight):
        return GhostConvRows(layer, entering, leaving, images)
    patched = positions <= FEW_POSITIONS or positions * layer.weight[0].numel() <= SMALL_PATCHES
    return (PatchedConvRows if patched else PlainConvRows)(layer, entering, leaving, images)


def _few_columns(columns: int, weight: Tensor) -> bool:
    """Whether products of columns with one another are smaller than a gradient of the weight."""
    outputs, inputs = len(weight), weight[0].numel()
    return columns <= FEW_POSITIONS and 2 * columns * (outputs + inputs) < outputs * inputs


def _side_by_side(images: Tensor, per_row: int) -> Tensor:
    """Columns of the images of a row side by side: [rows x images, k, n] as [rows, k, images x n]."""
    return images if per_row == 1 else images.unflatten(0, (-1, per_row)).transpose(1, 2).flatten(2)


def _apart(columns: Tensor, per_row: int) -> Tensor:
    """Columns [rows, k, images x n] image by image again, [rows x images, k, n]."""
    return columns if per_row == 1 else columns.unflatten(2, (per_row, -1)).transpose(1, 2).flatten(0, 1)


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    """Values, to be multiplied with a tensor that has more dimensions behind theirs."""
    return values.view(*values.shape, *(1,) * (like.ndim - values.ndim))


def _per_target(rows: Tensor, targets: int) -> Tensor:
    """Columns of the rows of a target side by side: [rows, k, n] as [targets, k, rows of a target x n]."""
    return by_target(rows, targets).transpose(1, 2).flatten(2)


def _per_row(columns: Tensor, shape: torch.Size) -> Tensor:
    """Columns [targets, k, rows of a target x n] row by row again, [rows, k, n]."""
    return columns.view(*columns.shape[:2], -1, shape[2]).transpose(1, 2).reshape(shape)
