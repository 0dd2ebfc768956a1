"""Whether a reconstruction gives the private image away: is it the nearest of a gallery?

A distance takes images [rows, 3, h, w] and others [n, 3, h, w], all in [0, 1], and gives [rows, n]; lower is nearer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .metrics import check_images, check_range, check_window_fits, structural_similarity
from .perceptual import Lpips

Distance = Callable[[Tensor, Tensor], Tensor]

# What the rounding of a distance may amount to: equal images are not always computed equal.
TIE_RELATIVE = 1e-6
TIE_ABSOLUTE = 1e-10
PRODUCTS_AT_ONCE = 1 << 22  # pixels of pairs of images: 32 MiB in float64, and several of them


def rank_in_gallery(images: Tensor, truth: Tensor, gallery: Tensor, distance: Distance) -> Tensor:
    """Where the private image stands when it and a gallery are sorted by distance to the reconstruction: [rows] int64.

    1 means that the private image is the nearest of all, n + 1 that all n others are at least as near. Ties, up to
    rounding, count against identification: a reconstruction that is as near to everything identifies nothing.

    images, truth: [rows, 3, h, w] in [0, 1].
    gallery: other images, without the truth: [n, 3, h, w] or [1, n, 3, h, w] for all rows, [rows, n, 3, h, w] for each.
    Raises ValueError for an empty gallery, for shapes that do not fit, and for values outside [0, 1].
    """
    check_images(images, truth)
    galleries = gallery if gallery.ndim == 5 else gallery[None]
    rows = len(images)
    if galleries.ndim != 5 or len(galleries) not in (1, rows) or galleries.shape[2:] != images.shape[1:]:
        raise ValueError(
            f"a gallery for images {tuple(images.shape)} is [n, ...] for all rows, or [{rows}, n, ...], "
            f"with images {tuple(images.shape[1:])}, got {tuple(gallery.shape)}"
        )
    num_others = galleries.shape[1]
    if num_others == 0:
        raise ValueError(
            "identification needs a gallery of 1 image or more, got 0; a private image alone is always first"
        )
    check_range("gallery", galleries)

    ranks = []
    together = rows // len(galleries)  # rows that share a gallery: all, or each alone
    for some, true, others in zip(images.split(together), truth.split(together), galleries, strict=True):
        # one call for truth and gallery, so that both are computed alike
        distances = distance(some, torch.cat([true, others]))  # [together, together + n]
        to_truth = distances[:, :together].diagonal()[:, None]
        to_others = distances[:, together:]
        as_near = to_others <= to_truth * (1 + TIE_RELATIVE) + TIE_ABSOLUTE
        ranks.append(1 + as_near.sum(dim=1))
    return torch.cat(ranks)


def mse_distance(images: Tensor, others: Tensor) -> Tensor:
    """Mean squared error of all pairs: ranks by it are ranks by PSNR."""
    return _squared_distances(images.flatten(1), others.flatten(1)) / images[0].numel()


def ssim_distance(images: Tensor, others: Tensor) -> Tensor:
    """1 - SSIM of all pairs. Raises ValueError under 11 pixels."""
    check_window_fits(images)
    rows_at_once = max(1, PRODUCTS_AT_ONCE // others.numel())
    return torch.cat(
        [
            1 - structural_similarity(some[:, None].double(), others.double(), padding_px=0)
            for some in images.split(rows_at_once)
        ]
    )


def lpips_distance(lpips: Lpips) -> Distance:
    """LPIPS of all pairs; each image passes through the network once. Raises ValueError for images too small for it."""

    def distance(images: Tensor, others: Tensor) -> Tensor:
        return _squared_distances(lpips.embed(images), lpips.embed(others))

    return distance


def _squared_distances(points: Tensor, others: Tensor) -> Tensor:
    """Squared Euclidean distances of [rows, d] and [n, d] -> [rows, n], in float64: they are differences of norms."""
    points, others = points.double(), others.double()
    norms = points.square().sum(dim=1)[:, None] + others.square().sum(dim=1)
    return (norms - 2 * points @ others.T).clamp(min=0)
