"""Pruning of the smallest entries, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.defenses.config import Sparsification


def sparsify(gradients: Sequence[Tensor], defense: Sparsification) -> tuple[Tensor, ...]:
    """Gradients [targets, ...] with 0 in place of what lies below a percentile of its tensor's magnitudes."""
    return tuple(gradient * kept(gradient, defense.percent) for gradient in gradients)


def kept(gradient: Tensor, percent: float) -> Tensor:
    """Where a tensor [targets, ...] reaches the percentile of its magnitudes, as a mask."""
    magnitudes = gradient.detach().abs().flatten(1)
    limits = torch.stack([percentile(row, percent) for row in magnitudes])
    return (magnitudes >= limits[:, None]).view_as(gradient)


def percentile(values: Tensor, percent: float) -> Tensor:
    """The percentile of values [n], between two of them in proportion (numpy's default)."""
    place = percent / 100 * (len(values) - 1)
    below = min(int(place), len(values) - 1)
    low = values.kthvalue(below + 1).values
    if place == below:
        return low
    return low.lerp(values.kthvalue(below + 2).values, place - below)
