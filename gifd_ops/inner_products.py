"""Inner products of gradients, row by row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LONG = 1 << 15  # numbers that one dot product in single precision sums without losing digits


def inner_products(rows: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Inner products [rows] of gradients given as one tensor [rows, ...] per parameter, in memory of their own.

    others: tensors [rows, ...], or [targets, ...] where equally many consecutive rows belong to a target. Long rows
    are summed without a product in memory, in parts that keep digits. Not differentiable.
    """
    total = rows[0].new_zeros(len(rows[0]))
    for own, other in zip(rows, others, strict=True):
        per_target = len(own) // len(other)
        if own[0].numel() < LONG:
            total += (by_target(own, len(other)) * other[:, None]).flatten(2).sum(dim=2).flatten()
            continue
        pairs = ((row, other[place // per_target]) for place, row in enumerate(own))
        total += torch.stack([_long_dot(a.flatten(), b.flatten()) for a, b in pairs])
    return total


def by_target(rows: Tensor, targets: int) -> Tensor:
    """Rows [rows, ...] seen as [targets, rows of a target, ...]."""
    return rows.view(targets, -1, *rows.shape[1:])


def _long_dot(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack([*map(torch.dot, first.split(LONG), second.split(LONG))]).sum()
