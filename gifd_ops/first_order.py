"""The distance between gradients and its slope in the images, without a second-order tape through the gradients.

With g(x) the victim's gradient and c a distance, dc/dx = d/dx <g(x), v> where v = dc/dg is held constant. Layer by
layer <g, v> is linear in what entered (z) and what came back (d), so v is pulled back to slopes in z and d, and one
backward pass takes these to the images. The gradients themselves are never differentiated. The result is that of plain
autograd to rounding (`GradientMatching.__call__`), which stays the reference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gifd_ops.gradients import LayerPass, backward_rows
from gifd_ops.layer_rows import LayerRows
from gifd_ops.matching import GradientMatching
from gifd_ops.weighted_rows import WeightedRows


def matching_loss(images: Tensor, matching: GradientMatching) -> Tensor:
    """Distances [rows] of images [rows, (batch,) 3, h, w] in [0, 1], differentiable once, in the images."""
    if matching.needs_tape:
        return matching(images)
    distances: Tensor = _MatchingLoss.apply(images, matching)
    return distances


class _MatchingLoss(torch.autograd.Function):
    """Computes the slope beside the value: who asks for a loss here asks for its slope."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, matching: GradientMatching) -> Tensor:
        distances, slope = value_and_slope(images, matching)
        ctx.save_for_backward(slope)
        return distances

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return above[0].view(-1, *(1,) * (slope.ndim - 1)) * slope, None


def value_and_slope(images: Tensor, matching: GradientMatching) -> tuple[Tensor, Tensor]:
    """Distances [rows], and their slopes in the images [rows, (batch,) 3, h, w]."""
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        passes = backward_rows(matching.victim, inputs, matching.labels, differentiable=True)[matching.layers]
    with torch.no_grad():
        distances, slopes = matching.distances_and_slopes(_rows(passes, matching))
    ends = [end for one in passes for end in (one.leaving, one.entering)]
    (slope,) = torch.autograd.grad(ends, inputs, [slope for pair in slopes for slope in pair])
    return distances, slope


@torch.no_grad()
def matching_value(images: Tensor, matching: GradientMatching) -> Tensor:
    """Distances [rows] alone, not differentiable."""
    with torch.enable_grad():
        if matching.needs_tape:
            return matching(images, differentiable=False).detach()
        passes = backward_rows(matching.victim, images, matching.labels, differentiable=False)[matching.layers]
    return matching.distances(_rows(passes, matching))


def _rows(passes: list[LayerPass], matching: GradientMatching) -> list[LayerRows]:
    rows = [one.detached().rows for one in passes]
    if matching.treatment is None:
        return rows
    pairs = zip(rows, matching.weights_of(rows), strict=True)
    return [row if all(each is None for each in own) else WeightedRows(row, own) for row, own in pairs]
