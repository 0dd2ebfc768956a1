"""Image priors of the attack's loss, one value per row. Images are normalized as the victim sees them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbors, right plus down: [rows, c, h, w] -> [rows] (Geiping et al., 2020)."""
    right = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().mean(dim=(1, 2, 3))
    down = (images[:, :, 1:, :] - images[:, :, :-1, :]).abs().mean(dim=(1, 2, 3))
    return right + down


def l2_norm(images: Tensor) -> Tensor:
    """Euclidean norm over the number of pixels: [rows, c, h, w] -> [rows] (R_l2 of Yin et al., CVPR 2021)."""
    return _norm(images) / (images.shape[2] * images.shape[3])


def group_distance(images: Tensor, restarts: int) -> Tensor:
    """Euclidean distance to the mean of a target's restarts over the number of pixels: [rows, c, h, w] -> [rows].

    Of batches [rows, batch, c, h, w], each image's distance to the mean of the images in its place: [rows x batch].
    The mean is held constant (R_group of Yin et al., CVPR 2021). They renew it every hundred iterations; here it is
    that of the moment.
    """
    grouped = images.unflatten(0, (-1, restarts))
    difference = (grouped - grouped.mean(dim=1, keepdim=True).detach()).flatten(0, -4)
    return _norm(difference) / (images.shape[-2] * images.shape[-1])


def statistics_distance(statistics: Sequence[tuple[Tensor, Tensor]], shared: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Distance [rows] of batch statistics to the shared ones, summed over normalizations, the first ten times.

    Each entry holds a mean and a variance [rows, channels]; the distance is the l2 norm of their differences (R_bn of
    Yin et al., CVPR 2021; the factor of the first is the authors of GIFD's).
    """
    total: Tensor = statistics[0][0].new_zeros(len(statistics[0][0]))
    for place, ((mean, variance), (true_mean, true_variance)) in enumerate(zip(statistics, shared, strict=True)):
        distance = (mean - true_mean).norm(dim=1) + (variance - true_variance).norm(dim=1)
        total = total + (10.0 if place == 0 else 1.0) * distance
    return total


def _norm(values: Tensor) -> Tensor:
    """Euclidean norm of every row [rows, c, h, w] -> [rows]; its slope at zero is zero, not a division by it."""
    norm: Tensor = torch.linalg.vector_norm(values, dim=(1, 2, 3))
    return norm
