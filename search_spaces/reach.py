"""How far a space reaches: the ranges of what every method's walk asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """(low, high) of real parameters; all are searched on a log scale."""

    lr_first: tuple[float, float]
    lr_last: tuple[float, float]
    feature_radius: tuple[float, float]
    latent_radius: tuple[float, float]
    noise_radius: tuple[float, float]
    steps_tilt: tuple[float, float]  # evaluations of the last stage / evaluations of the first
    tv_weight: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a space's name stands for, whatever the method: ranges, and the domains it is meant for (None: all)."""

    name: str
    summary: str
    ranges: Ranges
    domains: tuple[str, ...] | None
