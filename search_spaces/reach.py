"""How far a space reaches: the ranges of what every method's walk asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gifd_ops.config import AttackConfig
from gifd_ops.defenses.config import Answer
from search_spaces.base import Ask


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
class Faced:
    """What an attacker is faced with: held fixed by the study, but a space may let the attacker choose in view of it.

    answer: to the clients' defense, in full; None without. local_steps: of a client before it shares. restarts_alone:
    whether restarts are searched one by one, so that none can take notice of another.
    """

    answer: Answer | None = None
    local_steps: int = 1
    restarts_alone: bool = False


def nothing_more(ask: Ask, config: AttackConfig, faced: Faced) -> AttackConfig:
    """The config as a method's walk made it."""
    return config


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a space's name stands for, whatever the method: ranges, and the domains it is meant for (None: all).

    more(ask, config, faced): what may be chosen in view of what the attacker is faced with, after the method's walk.
    begin: where a search begins with that. schedule: how those of its parameters are named that decide a fuse key.
    """

    name: str
    summary: str
    ranges: Ranges
    domains: tuple[str, ...] | None
    more: Callable[[Ask, AttackConfig, Faced], AttackConfig] = nothing_more
    begin: Mapping[str, float] = field(default_factory=dict)
    schedule: tuple[str, ...] = ()
