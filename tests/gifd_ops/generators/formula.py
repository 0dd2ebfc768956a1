"""Weights from a formula: the same numbers on every machine and in every version of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def formula_values(*shape: int, stream: int) -> Tensor:
    """Numbers in [-1, 1) of a multiplicative hash of their place: whole-number arithmetic, then one division."""
    places = torch.arange(math.prod(shape), dtype=torch.int64) + 7919 * (stream + 1)
    mixed = (places * 2_654_435_761) % 2**32
    mixed = ((mixed ^ (mixed >> 15)) * 2_246_822_519) % 2**32
    mixed = mixed ^ (mixed >> 13)
    return (mixed.double() / 2**31 - 1).float().reshape(shape)


def formula_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict: mapping networks are stored a hundred times as large as they are used."""
    return {
        name: formula_values(*shapes[name], stream=stream) * (100 if name.startswith(("style.", "mapping.fc")) else 1)
        for stream, name in enumerate(sorted(shapes))
    }
