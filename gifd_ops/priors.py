"""Image priors of the attack's loss, one value per row. Images are normalized as the victim sees them."""

from __future__ import annotations

from torch import Tensor


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbors, right plus down: [rows, c, h, w] -> [rows] (Geiping et al., 2020)."""
    right = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().mean(dim=(1, 2, 3))
    down = (images[:, :, 1:, :] - images[:, :, :-1, :]).abs().mean(dim=(1, 2, 3))
    return right + down


def l2_norm(images: Tensor) -> Tensor:
    """Euclidean norm over the number of pixels: [rows, c, h, w] -> [rows] (R_l2 of Yin et al., CVPR 2021)."""
    return images.square().sum(dim=(1, 2, 3)).sqrt() / (images.shape[2] * images.shape[3])
