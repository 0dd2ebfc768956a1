"""Which reconstruction of a batch is which private image: known to the metrics only, never to an attack.

A shared gradient does not say in what order its images lay, so a batch is reconstructed in an order of its own.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def assign(reconstructions: Tensor, private: Tensor) -> Tensor:
    """For every private image the place of its reconstruction, [n, batch] int64: each of them is taken once.

    Both [n, batch, 3, h, w] in [0, 1]. The sum of squared errors over the batch is the least possible (Hungarian
    method). Reconstructions that are not numbers go where they do no harm, to what is left over. The choice knows the
    truth, so of reconstructions that tell nothing it makes a little more than chance would: compare with a control
    that is assigned alike. Raises ValueError where shapes differ.
    """
    if reconstructions.shape != private.shape or private.ndim != 5:
        raise ValueError(
            "batches are compared as [n, batch, 3, h, w] of one shape, got reconstructions "
            f"{[*reconstructions.shape]} and private images {[*private.shape]}"
        )
    places = [_assign_batch(own, true) for own, true in zip(reconstructions, private, strict=True)]
    return torch.tensor(places, dtype=torch.int64, device=private.device).view(private.shape[:2])


def in_private_order(reconstructions: Tensor, private: Tensor) -> Tensor:
    """The reconstructions [n, batch, 3, h, w], each in the place of the private image it is assigned to."""
    places = assign(reconstructions, private)
    return reconstructions[torch.arange(len(places), device=places.device)[:, None], places]


def _assign_batch(reconstructions: Tensor, private: Tensor) -> list[int]:
    """For every private image [batch, 3, h, w] the place of its reconstruction."""
    first, second = (images.flatten(1).double() for images in (private, reconstructions))
    errors = torch.stack([(own - second).square().mean(dim=1) for own in first])  # [private, reconstructions]
    costs = torch.where(errors.isfinite(), errors, 0.0)  # the same wherever it goes, so it takes nobody's place
    _, places = linear_sum_assignment(costs.cpu().numpy())
    return [int(place) for place in places]
