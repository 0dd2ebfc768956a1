"""How far a row's gradient is from the shared one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from torch import Tensor

from gifd_ops.gradients import Observation, tensors_of_layers, victim_gradients
from gifd_ops.victims import Victim


class GradientMatching(ABC):
    """A distance of each row's gradient to the shared one of its target; `restarts` consecutive rows have one target.

    layers: first and end (excluded) of the victim's layers that are matched; None for all.
    """

    def __init__(
        self,
        victim: Victim,
        observation: Observation,
        labels: Tensor,
        *,
        restarts: int,
        layers: tuple[int, int] | None = None,
    ) -> None:
        self.victim = victim
        self.labels = labels.repeat_interleave(restarts)
        places = range(len(observation.gradients)) if layers is None else tensors_of_layers(victim, *layers)
        self.places = tuple(places)
        shared = self._prepare([observation.gradients[place] for place in self.places])
        self.shared = [tensor.repeat_interleave(restarts, dim=0) for tensor in shared]

    def __call__(self, images: Tensor, *, differentiable: bool = True) -> Tensor:
        """Distances [rows] of images [rows, 3, h, w] in [0, 1]."""
        return self.between(victim_gradients(self.victim, images, self.labels, differentiable=differentiable))

    def between(self, gradients: Sequence[Tensor]) -> Tensor:
        """Distances [rows] of gradients, one tensor [rows, *parameter shape] per victim parameter."""
        return self._distance([gradients[place] for place in self.places])

    def select(self, rows: Tensor | slice) -> Self:
        """The same distance for some of the rows."""
        part = copy.copy(self)
        part.labels, part.shared = self.labels[rows], [tensor[rows] for tensor in self.shared]
        return part

    @abstractmethod
    def _prepare(self, gradients: list[Tensor]) -> list[Tensor]:
        """What is kept of the shared gradients [targets, ...]."""

    @abstractmethod
    def _distance(self, gradients: list[Tensor]) -> Tensor:
        """Distances [rows] of the matched gradients."""


class CosineMatching(GradientMatching):
    """One minus the cosine between gradients, over all matched tensors together, in [0, 2] (Geiping et al., 2020).

    Norms of the shared gradient are computed once.
    """

    def _prepare(self, gradients: list[Tensor]) -> list[Tensor]:
        norm = _dots(gradients, gradients).sqrt()
        return [gradient / norm.view(-1, *(1,) * (gradient.ndim - 1)) for gradient in gradients]

    def _distance(self, gradients: list[Tensor]) -> Tensor:
        return 1 - _dots(gradients, self.shared) * _dots(gradients, gradients).rsqrt()


class SquaredMatching(GradientMatching):
    """The squared l2 distance between gradients over the number of tensors (Yin et al., CVPR 2021)."""

    def _prepare(self, gradients: list[Tensor]) -> list[Tensor]:
        return gradients

    def _distance(self, gradients: list[Tensor]) -> Tensor:
        differences = [own - shared for own, shared in zip(gradients, self.shared, strict=True)]
        return _dots(differences, differences) / len(differences)


MATCHINGS: dict[str, type[GradientMatching]] = {"cosine": CosineMatching, "l2": SquaredMatching}


def _dots(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Inner products [rows] of gradients given as one tensor [rows, ...] per parameter."""
    products = [(a * b).flatten(1).sum(dim=1) for a, b in zip(first, second, strict=True)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total
