"""What the attack knows of a generator: it can start, advance to a layer, and render. No generator has a name there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from torch import Tensor

from gifd_ops.config import GeneratorShape


@dataclass(frozen=True, kw_only=True)
class Features:
    """All that passes from one stage to the next: a value that can be saved and resumed.

    layer: the layer whose input `hidden` is. hidden: [rows, c, h, w], None at layer 0. skip: what the layers below add
    to the image beside it (StyleGAN2: their RGB [rows, 3, h, w]), None for nothing. condition: what the labels come to
    (BigGAN: class embeddings [rows, dim]), None for generators without classes; it is the same at every layer.
    latent: [rows, slots, dim]. noises: maps [rows, 1, h, w], none for generators without noise inputs. Rows of several
    images (`batches.py`) begin with [rows, batch].
    """

    layer: int
    hidden: Tensor | None
    skip: Tensor | None
    condition: Tensor | None
    latent: Tensor
    noises: tuple[Tensor, ...]

    @property
    def num_rows(self) -> int:
        return self.latent.shape[0]

    @property
    def batch(self) -> tuple[int, ...]:
        """Images of a row where they have a dimension of their own, (batch,), else ()."""
        return tuple(self.latent.shape[1:-2])

    def select(self, rows: Tensor | slice) -> Features:
        """Some of the rows."""
        return self.each(lambda tensor: tensor[rows])

    def each(self, change: Callable[[Tensor], Tensor]) -> Features:
        """The same with every tensor changed alike."""

        def changed(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else change(tensor)

        return replace(
            self,
            hidden=changed(self.hidden),
            skip=changed(self.skip),
            condition=changed(self.condition),
            latent=change(self.latent),
            noises=tuple(change(noise) for noise in self.noises),
        )


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What the stage at a layer optimizes."""

    hidden: bool
    latent: bool
    noises: tuple[int, ...]  # indices of noise maps


class Generator(Protocol):
    """An image generator cut open between any two layers; its weights are shared by all rows."""

    @property
    def shape(self) -> GeneratorShape:
        """What there is to search, layer by layer."""

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Style slots, and numbers in each."""

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        """Features at layer 0, one row per seed; a row depends on its own seed and label only.

        labels: [rows] int64, as inferred; generators without classes take no notice, others raise ValueError without.
        """

    def place(self, features: Features, z: Tensor) -> Features:
        """The same rows at layer 0 with the latents of standard normal z, [rows, slots, dim] or one for all slots."""

    def searched(self, layer: int) -> Searched:
        """What the stage at `layer` optimizes."""

    def advance(self, features: Features, *, to: int) -> Features:
        """The same rows at a later layer."""

    def render(self, features: Features) -> Tensor:
        """Images [rows, 3, h, w], nominally in [0, 1], not clamped."""

    def unfrozen(self) -> tuple[Self, list[Tensor]]:
        """A copy whose weights may be changed in place, and these weights: its images follow them."""
