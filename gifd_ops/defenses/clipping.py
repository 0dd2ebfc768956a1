"""Clipping by the norm over all tensors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gifd_ops.defenses.config import Clipping
from gifd_ops.defenses.norms import absolute, gradient_norms, scale


def clip(gradients: Sequence[Tensor], defense: Clipping) -> tuple[Tensor, ...]:
    """Gradients [targets, ...] no longer than the bound; a shorter one is left as it is."""
    norms = gradient_norms(gradients)
    return clip_to(gradients, absolute(defense.bound, norms), norms=norms)


def clip_to(gradients: Sequence[Tensor], bounds: Tensor, *, norms: Tensor) -> tuple[Tensor, ...]:
    """Gradients [rows, ...] of these norms [rows], none longer than its bound [rows]."""
    factors = (bounds / norms).nan_to_num(1.0, posinf=1.0).clamp(max=1)
    return tuple(scale(gradient, factors) for gradient in gradients)
