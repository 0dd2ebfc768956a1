"""What the attack knows of a generator: it can start, advance to a layer, and render. No generator has a name there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gifd_ops.config import GeneratorShape


@dataclass(frozen=True, kw_only=True)
class Features:
    """All that passes from one stage to the next: a value that can be saved and resumed.

    layer: the layer whose input `hidden` is. hidden: [rows, c, h, w], None at layer 0. carried: what the layers below
    hand on beside it (StyleGAN2: their RGB image [rows, 3, h, w]), None at layer 0. latent: [rows, slots, dim].
    noises: maps [rows, 1, h, w], none for generators without noise inputs.
    """

    layer: int
    hidden: Tensor | None
    carried: Tensor | None
    latent: Tensor
    noises: tuple[Tensor, ...]


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

    def start(self, seeds: Sequence[int]) -> Features:
        """Features at layer 0, one row per seed; a row depends on its own seed only."""

    def searched(self, layer: int) -> Searched:
        """What the stage at `layer` optimizes."""

    def advance(self, features: Features, *, to: int) -> Features:
        """The same rows at a later layer."""

    def render(self, features: Features) -> Tensor:
        """Images [rows, 3, h, w], nominally in [0, 1], not clamped."""
