"""Lengths of whole gradients, and factors that fit them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.defenses.config import Strength
from gifd_ops.inner_products import inner_products


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """The l2 norm [rows] over all tensors [rows, *parameter shape] together."""
    return inner_products(gradients, gradients).sqrt()


def num_entries(gradients: Sequence[Tensor]) -> int:
    """Scalars of one row's gradient."""
    return sum(gradient[0].numel() for gradient in gradients)


def scale(values: Tensor, factors: Tensor) -> Tensor:
    """Values [rows, ...] times one factor a row [rows]."""
    return values * factors.view(-1, *(1,) * (values.ndim - 1))


def absolute(strength: Strength, norms: Tensor) -> Tensor:
    """A strength as a number a row [rows], for gradients of these norms [rows]."""
    return norms * strength.value if strength.relative else torch.full_like(norms, strength.value)
