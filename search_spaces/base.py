"""A space is one function, read two ways.

`suggest(ask, shape, budget=...)` asks for one value after another and builds an `AttackConfig`. On the driver `ask`
is a live Optuna trial; on the worker it replays the stored answers. So there is no decoder that must agree with an
encoder, and a conditional parameter is an `if`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gifd_ops.config import AttackConfig, GeneratorShape

Value = float  # every parameter is a number; a yes or no is 1 or 0
NEAR = 0.05  # of a range


class Ask(Protocol):
    """Where a space gets its values from. Names hold no slash: Ray would take it apart."""

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A real number in [low, high]."""

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        """One of a few whole numbers."""


@dataclass(frozen=True)
class Range:
    """The values a parameter may have: an interval, or options."""

    low: float
    high: float
    log: bool = False
    options: tuple[int, ...] | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Range:
        """The range that `dataclasses.asdict` took apart."""
        options = values["options"]
        return cls(values["low"], values["high"], values["log"], None if options is None else tuple(options))

    @property
    def middle(self) -> float:
        """Half way from low to high, on the scale that is searched."""
        return math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2

    def is_near(self, first: float, second: float) -> bool:
        """Whether two values lie within a twentieth of the range of one another, on the scale that is searched."""
        if self.log:
            first, second = math.log(first), math.log(second)
            return abs(first - second) < NEAR * math.log(self.high / self.low)
        return abs(first - second) < NEAR * (self.high - self.low)

    def __contains__(self, value: float) -> bool:
        return value in self.options if self.options is not None else self.low <= value <= self.high

    def __str__(self) -> str:
        if self.options is not None:
            return "one of " + ", ".join(map(str, self.options))
        return f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")


@dataclass(frozen=True)
class Method:
    """An attack with the freedom it has, and the settings its authors published.

    suggest(ask, shape, *, budget, ranges) builds a config that spends exactly `budget` gradient evaluations per target.
    published(shape, *, budget) is the authors' recipe, scaled; ValueError where the budget is too small for it. begin:
    the recipe in the terms of `suggest`, as far as it can be said there: where a search begins.
    """

    name: str
    summary: str
    suggest: Callable[..., AttackConfig]
    published: Callable[..., AttackConfig]
    begin: Mapping[str, float]  # what is not named begins in the middle


@dataclass(frozen=True)
class Space:
    """A named search space of a method. `domains` are those its search is meant for, None for all of the task's."""

    name: str
    method: str
    summary: str
    suggest: Callable[..., AttackConfig]
    published: Callable[..., AttackConfig]
    domains: tuple[str, ...] | None
    begin: Mapping[str, float]

    def first_params(self, shape: GeneratorShape, *, budget: int) -> dict[str, float]:
        """The parameters of the first searched config."""
        ask = Prefer(self.begin)
        self.suggest(ask, shape, budget=budget)
        return ask.params

    def first_points(self, shape: GeneratorShape, *, budget: int) -> list[dict[str, float]]:
        """Where a search begins: the published recipe's likeness, then with one real number at a time set anew.

        Each is moved to the middle of its range, unless it lies near it already. A search that knows what every number
        does by itself does not depend on the luck of its first draws.
        """
        first = self.first_params(shape, budget=budget)
        begun = Draw(random.Random(0), answers=first)
        self.suggest(begun, shape, budget=budget)
        points = [first]
        for name, allowed in begun.ranges.items():
            if name in self.begin and allowed.options is None and not allowed.is_near(first[name], allowed.middle):
                points.append(first | {name: allowed.middle})
        return points

    def configure(self, params: Mapping[str, float], shape: GeneratorShape, *, budget: int) -> AttackConfig:
        """The config of stored parameters: the same function that chose them, replayed."""
        return self.suggest(Replay(params), shape, budget=budget)

    def ranges(self, shape: GeneratorShape, *, budget: int) -> dict[str, Range]:
        """Every parameter that any walk through the space asks for."""
        ranges: dict[str, Range] = {}
        for seed in range(200):
            walk = Draw(random.Random(seed))
            self.suggest(walk, shape, budget=budget)
            ranges |= walk.ranges
        return ranges


class Replay:
    """Answers from stored parameters."""

    def __init__(self, params: Mapping[str, float]) -> None:
        self.params = params

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._stored(name, Range(low, high, log))

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        return int(self._stored(name, Range(min(options), max(options), options=options)))

    def _stored(self, name: str, allowed: Range) -> float:
        if name not in self.params:
            raise ValueError(f"the space needs a value for {name!r} ({allowed}); the stored parameters lack it")
        if self.params[name] not in allowed:
            raise ValueError(f"{name} must be {allowed}, got {self.params[name]:g}")
        return self.params[name]


class Draw:
    """Random answers, but those that are given; remembers what was asked and answered."""

    def __init__(self, stream: random.Random, *, answers: Mapping[str, float] | None = None) -> None:
        self.stream, self.answers = stream, dict(answers or {})
        self.ranges, self.params = dict[str, Range](), dict[str, float]()

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = Range(low, high, log)
        share = self.stream.random()
        value = low * (high / low) ** share if log else low + (high - low) * share
        self.params[name] = min(max(self.answers.get(name, value), low), high)
        return self.params[name]

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        self.ranges[name] = Range(min(options), max(options), options=options)
        picked = int(self.answers[name]) if name in self.answers else self.stream.choice(options)
        self.params[name] = picked
        return picked


class Prefer:
    """Answers with preferred values, as near as the range allows, and with the middle of the range where there is none.

    Remembers what was answered: a point to begin a search from.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values, self.params = values, dict[str, float]()

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        middle = math.sqrt(low * high) if log else (low + high) / 2
        self.params[name] = min(max(self.values.get(name, middle), low), high)
        return self.params[name]

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        wanted = self.values.get(name, options[len(options) // 2])
        nearest = min(options, key=lambda option: abs(option - wanted))
        self.params[name] = nearest
        return nearest


class Frozen:
    """Passes questions on, but answers those whose value a person has set; remembers all answers."""

    def __init__(self, ask: Ask, fixed: Mapping[str, float]) -> None:
        self.ask, self.fixed, self.params = ask, fixed, dict[str, float]()

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        source: Ask = Replay(self.fixed) if name in self.fixed else self.ask
        self.params[name] = value = source.real(name, low, high, log=log)
        return value

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        source: Ask = Replay(self.fixed) if name in self.fixed else self.ask
        self.params[name] = value = source.choice(name, options)
        return value
