"""How far a row's gradient is from the shared one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gifd_ops.gradients import Observation, victim_gradients
from gifd_ops.victims import Victim


class CosineMatching:
    """One minus the cosine between gradients, over all shared tensors together (Geiping et al., NeurIPS 2020).

    Each target is matched by `restarts` consecutive rows. Norms of the shared gradient are computed once.
    """

    def __init__(self, victim: Victim, observation: Observation, labels: Tensor, *, restarts: int) -> None:
        self.victim = victim
        self.labels = labels.repeat_interleave(restarts)
        norm = _dots(observation.gradients, observation.gradients).sqrt()
        self.directions = tuple(
            (gradient / norm.view(-1, *(1,) * (gradient.ndim - 1))).repeat_interleave(restarts, dim=0)
            for gradient in observation.gradients
        )

    def __call__(self, images: Tensor, *, differentiable: bool = True) -> Tensor:
        """Distances [rows] in [0, 2] of images [rows, 3, h, w] in [0, 1]."""
        gradients = victim_gradients(self.victim, images, self.labels, differentiable=differentiable)
        return 1 - _dots(gradients, self.directions) * _dots(gradients, gradients).rsqrt()


def _dots(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Inner products [rows] of gradients given as one tensor [rows, ...] per parameter."""
    products = [(a * b).flatten(1).sum(dim=1) for a, b in zip(first, second, strict=True)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total
