"""Euclidean projection on the l1 ball."""

from __future__ import annotations

import torch
from torch import Tensor


def project_l1_ball(deviations: Tensor, radii: Tensor) -> Tensor:
    """The nearest points with l1 norm <= radius: [rows, n] and radii [rows] -> [rows, n].

    Points inside their ball come back unchanged. Others are soft-thresholded by the theta that makes the norm equal
    the radius (Duchi et al., ICML 2008, figure 1); theta is found by sorting, on a CPU only for rows that lie outside.
    """
    outside = deviations.abs().sum(dim=1) > radii
    if deviations.is_cuda:  # whether any row lies outside is not worth waiting for the device
        return torch.where(outside[:, None], soft_threshold(deviations, radii), deviations)
    if not bool(outside.any()):
        return deviations
    projected = deviations.clone()
    projected[outside] = soft_threshold(deviations[outside], radii[outside])
    return projected


def soft_threshold(deviations: Tensor, radii: Tensor) -> Tensor:
    """The nearest points with l1 norm equal to the radius, for points [rows, n] outside of their ball -> [rows, n]."""
    sizes, limits = deviations.abs(), radii[:, None]
    ordered = sizes.sort(dim=1, descending=True).values
    excess = ordered.cumsum(dim=1) - limits
    ranks = torch.arange(1, sizes.shape[1] + 1, device=sizes.device, dtype=sizes.dtype)
    support = (ordered * ranks > excess).sum(dim=1, keepdim=True).clamp(min=1)
    theta = excess.gather(1, support - 1) / support
    return deviations.sign() * (sizes - theta).clamp(min=0)
