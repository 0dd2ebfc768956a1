"""How far a row's gradient is from the shared one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
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
        self.layers = slice(None) if layers is None else slice(*layers)
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
    def between_with_directions(self, gradients: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Distances [rows] and their slopes in the gradients, of the matched tensors alone.

        The slopes are written over the gradients where that saves memory. Not differentiable.
        """

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
        return [gradient / _broadcast(norm, gradient) for gradient in gradients]

    def _distance(self, gradients: list[Tensor]) -> Tensor:
        return 1 - _dots(gradients, self.shared) * _dots(gradients, gradients).rsqrt()

    def between_with_directions(self, gradients: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        # c = 1 - <g, u> / |g|, so dc/dg = <g, u> / |g|^3 g - u / |g|
        inner, inverse = _plain_dots(gradients, self.shared), _plain_dots(gradients, gradients).rsqrt()
        for gradient, shared in zip(gradients, self.shared, strict=True):
            gradient.mul_(_broadcast(inner * inverse**3, gradient)).addcmul_(shared, _broadcast(-inverse, gradient))
        return 1 - inner * inverse, gradients


class SquaredMatching(GradientMatching):
    """The squared l2 distance between gradients over the number of tensors (Yin et al., CVPR 2021)."""

    def _prepare(self, gradients: list[Tensor]) -> list[Tensor]:
        return gradients

    def _distance(self, gradients: list[Tensor]) -> Tensor:
        differences = [own - shared for own, shared in zip(gradients, self.shared, strict=True)]
        return _dots(differences, differences) / len(differences)

    def between_with_directions(self, gradients: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        for gradient, shared in zip(gradients, self.shared, strict=True):
            gradient.sub_(shared)
        distances = _plain_dots(gradients, gradients) / len(gradients)
        for gradient in gradients:
            gradient.mul_(2 / len(gradients))
        return distances, gradients


LONG = 1 << 15  # numbers that one dot product in single precision sums without losing digits

MATCHINGS: dict[str, type[GradientMatching]] = {"cosine": CosineMatching, "l2": SquaredMatching}


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    """Values [rows], to be multiplied with a tensor [rows, ...]."""
    return values.view(-1, *(1,) * (like.ndim - 1))


def _plain_dots(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """`_dots` where nothing is differentiated: long rows without a product in memory, in parts that keep digits."""
    total = first[0].new_zeros(len(first[0]))
    for a, b in zip(first, second, strict=True):
        if a[0].numel() < LONG:
            total += (a * b).flatten(1).sum(dim=1)
            continue
        pairs = zip(a.flatten(1), b.flatten(1), strict=True)
        total += torch.stack([torch.stack([*map(torch.dot, x.split(LONG), y.split(LONG))]).sum() for x, y in pairs])
    return total


def _dots(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Inner products [rows] of gradients given as one tensor [rows, ...] per parameter."""
    products = [(a * b).flatten(1).sum(dim=1) for a, b in zip(first, second, strict=True)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total
