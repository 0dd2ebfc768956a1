"""Rows of several images: a client's batch is reconstructed image by image, and matched as one.

Where a client has a batch, everything of a row begins with [rows, batch]; where it has a single image, with [rows].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor

from gifd_ops.config import GeneratorShape
from gifd_ops.generators.protocol import Features, Generator, Searched
from gifd_ops.seeds import derive_seed


def seeds_of_images(seed: int, batch_size: int) -> list[int]:
    """The seeds of the images of a row, by their place in the batch: the first draws as the row's only image would."""
    return [seed if place == 0 else derive_seed(seed, "image", place) for place in range(batch_size)]


class BatchGenerator:
    """A generator whose rows are batches: all tensors begin with [rows, batch], and every image has its own."""

    def __init__(self, generator: Generator, batch_size: int) -> None:
        self.generator, self.batch_size = generator, batch_size

    @property
    def shape(self) -> GeneratorShape:
        return self.generator.shape

    @property
    def latent_shape(self) -> tuple[int, int]:
        return self.generator.latent_shape

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        own = [seed for row in seeds for seed in seeds_of_images(row, self.batch_size)]
        return self._batched(self.generator.start(own, None if labels is None else labels.flatten()))

    def place(self, features: Features, z: Tensor) -> Features:
        return self._batched(self.generator.place(_folded(features), z.flatten(0, 1)))

    def searched(self, layer: int) -> Searched:
        return self.generator.searched(layer)

    def advance(self, features: Features, *, to: int) -> Features:
        return self._batched(self.generator.advance(_folded(features), to=to))

    def render(self, features: Features) -> Tensor:
        images: Tensor = self.generator.render(_folded(features)).unflatten(0, (-1, self.batch_size))
        return images

    def unfrozen(self) -> tuple[Self, list[Tensor]]:
        own, weights = self.generator.unfrozen()
        return type(self)(own, self.batch_size), weights

    def _batched(self, features: Features) -> Features:
        """Features of images [rows x batch, ...] as those of rows."""
        return features.each(lambda tensor: tensor.unflatten(0, (-1, self.batch_size)))


def _folded(features: Features) -> Features:
    """Features of rows as those of images."""
    return features.each(lambda tensor: tensor.flatten(0, 1))
