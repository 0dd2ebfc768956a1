"""How far a row's gradient is from the shared one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from gifd_ops.clients import as_client
from gifd_ops.defenses.answers import Treatment
from gifd_ops.gradients import Observation, has_layer_rows, shared_gradients, tensors_of_layers
from gifd_ops.inner_products import by_target, inner_products
from gifd_ops.layer_rows import LayerRows
from gifd_ops.victims import Victim


class GradientMatching(ABC):
    """A distance of each row's gradient to the shared one of its target; `restarts` consecutive rows have one target.

    labels: [targets], or [targets, batch] where a row is a batch. layers: first and end (excluded) of the victim's
    layers that are matched; None for all. treatment: what is done to both gradients first, in answer to a defense.
    simulated_steps: of a client's local training, None for all.
    """

    sees_lengths: bool  # of gradients; where it does not, bounds on them change nothing

    def __init__(
        self,
        victim: Victim,
        observation: Observation,
        labels: Tensor,
        *,
        restarts: int,
        layers: tuple[int, int] | None = None,
        treatment: Treatment | None = None,
        simulated_steps: int | None = None,
    ) -> None:
        protocol = observation.protocol
        self.protocol = protocol if simulated_steps is None else protocol.coarser(simulated_steps)
        self.victim = as_client(victim, self.protocol, observation.batch_size or 1)
        self.layered = has_layer_rows(victim)
        self.labels = labels.repeat_interleave(restarts, dim=0)
        places = range(len(observation.gradients)) if layers is None else tensors_of_layers(victim, *layers)
        self.places = tuple(places)
        self.layers = slice(None) if layers is None else slice(*layers)
        if treatment is not None and not self.sees_lengths:
            treatment = replace(treatment, bounds=None)
        self.treatment = treatment
        shared = observation.gradients if treatment is None else treatment.weighted(observation.gradients)
        self.shared = [shared[place] for place in self.places]  # [targets, ...] each, not copied unless weighted
        self.norms = inner_products(self.shared, self.shared).sqrt().repeat_interleave(restarts)  # [rows], of theirs

    def __call__(self, images: Tensor, *, differentiable: bool = True) -> Tensor:
        """Distances [rows] of images [rows, (batch,) 3, h, w] in [0, 1]."""
        own = shared_gradients(self.victim, images, self.labels, self.protocol, differentiable=differentiable)
        return self.between(own)

    def between(self, gradients: Sequence[Tensor]) -> Tensor:
        """Distances [rows] of gradients, one tensor [rows, *parameter shape] per victim parameter."""
        if self.treatment is not None:
            gradients = self.treatment.own(gradients)
        return self._distance([gradients[place] for place in self.places])

    @property
    def needs_tape(self) -> bool:
        """Whether a slope is known by plain autograd alone, for want of a shorter way."""
        told = self.treatment
        answered = told is not None and (told.bounds is not None or told.percent is not None)
        return answered or not self.layered or self.protocol.trains

    def weights_of(self, layers: Sequence[LayerRows]) -> list[list[Tensor | None]]:
        """The weights on entries of each of the matched layers' gradients."""
        weights = [None if self.treatment is None else self.treatment.weights[place] for place in self.places]
        remaining = iter(weights)
        return [[next(remaining) for _ in layer.layer.parameters(recurse=False)] for layer in layers]

    def select(self, rows: Tensor | slice) -> Self:
        """The same distance for some of the rows."""
        part = copy.copy(self)
        restarts = len(self.labels) // len(self.shared[0])
        targets = (torch.arange(len(self.labels), device=self.labels.device) // restarts)[rows]
        distinct, counts = targets.unique_consecutive(return_counts=True)
        if bool((counts == counts[0]).all()):
            targets = distinct  # of which equally many rows are left: they go on sharing
        part.labels, part.norms = self.labels[rows], self.norms[rows]
        part.shared = [tensor[targets] for tensor in self.shared]
        part.treatment = None if self.treatment is None else self.treatment.select(targets)
        return part

    @abstractmethod
    def distances(self, layers: Sequence[LayerRows]) -> Tensor:
        """Distances [rows] from the matched layers' rows. Not differentiable."""

    @abstractmethod
    def distances_and_slopes(self, layers: Sequence[LayerRows]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Distances [rows], and their slopes in what leaves and what enters each of the layers. Not differentiable."""

    def _by_layer(self, layers: Sequence[LayerRows]) -> list[list[Tensor]]:
        """The shared gradients of each of the matched layers."""
        remaining = iter(self.shared)
        return [[next(remaining) for _ in layer.layer.parameters(recurse=False)] for layer in layers]

    def _of_rows(self) -> list[Tensor]:
        """The shared gradients, for each row that of its target."""
        restarts = len(self.labels) // len(self.shared[0])
        return [tensor.repeat_interleave(restarts, dim=0) for tensor in self.shared]

    @abstractmethod
    def _distance(self, gradients: list[Tensor]) -> Tensor:
        """Distances [rows] of the matched gradients."""


class CosineMatching(GradientMatching):
    """One minus the cosine between gradients, over all matched tensors together, in [0, 2] (Geiping et al., 2020).

    Norms of the shared gradient are computed once.
    """

    sees_lengths = False

    def _distance(self, gradients: list[Tensor]) -> Tensor:
        return 1 - _dots(gradients, self._of_rows()) / self.norms * _dots(gradients, gradients).rsqrt()

    def distances(self, layers: Sequence[LayerRows]) -> Tensor:
        inner, squares = self._products(layers)
        return 1 - inner / self.norms * squares.rsqrt()

    def distances_and_slopes(self, layers: Sequence[LayerRows]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        # c = 1 - <g, g*> / (|g| |g*|), so dc/dg = <g, g*> / (|g|^3 |g*|) g - g* / (|g| |g*|)
        inner, squares = self._products(layers)
        inverse = squares.rsqrt()
        cosine = inner / self.norms * inverse
        return 1 - cosine, [layer.slopes(cosine * inverse**2, -inverse / self.norms) for layer in layers]

    def _products(self, layers: Sequence[LayerRows]) -> tuple[Tensor, Tensor]:
        """<g, g*> and |g|^2, [rows]."""
        parts = [layer.products(shared) for layer, shared in zip(layers, self._by_layer(layers), strict=True)]
        inner, squares = (torch.stack(part).sum(dim=0) for part in zip(*parts, strict=True))
        return inner, squares


class SquaredMatching(GradientMatching):
    """The squared l2 distance between gradients over the number of tensors (Yin et al., CVPR 2021)."""

    sees_lengths = True

    def _distance(self, gradients: list[Tensor]) -> Tensor:
        differences = [own - shared for own, shared in zip(gradients, self._of_rows(), strict=True)]
        return _dots(differences, differences) / len(differences)

    def distances(self, layers: Sequence[LayerRows]) -> Tensor:
        differences = [each for layer in self._differences(layers) for each in layer]
        return inner_products(differences, differences) / len(differences)

    def distances_and_slopes(self, layers: Sequence[LayerRows]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        # g - g* is formed: |g|^2 - 2 <g, g*> + |g*|^2 would lose its digits where the gradients agree
        by_layer = self._differences(layers)
        differences = [each for layer in by_layer for each in layer]
        distances = inner_products(differences, differences) / len(differences)
        for difference in differences:
            difference.mul_(2 / len(differences))
        return distances, [layer.pull_back(own) for layer, own in zip(layers, by_layer, strict=True)]

    def _differences(self, layers: Sequence[LayerRows]) -> list[list[Tensor]]:
        """The rows' gradients minus the shared ones, layer by layer."""
        formed = [layer.gradients() for layer in layers]
        for gradients, shared in zip(formed, self._by_layer(layers), strict=True):
            for own, other in zip(gradients, shared, strict=True):
                by_target(own, len(other)).sub_(other[:, None])
        return formed


MATCHINGS: dict[str, type[GradientMatching]] = {"cosine": CosineMatching, "l2": SquaredMatching}


def _dots(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Inner products [rows] of gradients given as one tensor [rows, ...] per parameter."""
    products = [(a * b).flatten(1).sum(dim=1) for a, b in zip(first, second, strict=True)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total
