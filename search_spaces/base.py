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

    def another(self, value: float) -> float | None:
        """A telling change of `value`: the option before it (or after the first), the middle of an interval.

        None where there is no other option, or the middle is nearer than a twentieth of the interval.
        """
        if self.options is not None:
            place = self.options.index(int(value))
            others = self.options[place - 1 : place] if place > 0 else self.options[1:2]
            return others[0] if others else None
        ends = (self.low, self.high, self.middle, value)
        low, high, middle, here = map(math.log, ends) if self.log else ends
        return self.middle if abs(middle - here) >= NEAR * (high - low) else None

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
    the recipe in the terms of `suggest`, as far as it can be said there: where a search begins. schedule: how the names
    of those parameters begin that decide the fuse key of a config; none where no configs can be fused.
    """

    name: str
    summary: str
    suggest: Callable[..., AttackConfig]
    published: Callable[..., AttackConfig]
    begin: Mapping[str, float]  # what is not named begins in the middle
    schedule: tuple[str, ...] = ()


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
    schedule: tuple[str, ...] = ()

    def schedule_of(self, params: Mapping[str, float]) -> dict[str, float]:
        """Those of the parameters that decide which configs can be fused: who agrees in them has the same fuse key."""
        return {name: value for name, value in params.items() if name.startswith(self.schedule)}

    def point(self, changes: Mapping[str, float], shape: GeneratorShape, *, budget: int) -> dict[str, float]:
        """The parameters of the published recipe's likeness with something changed."""
        ask = Prefer({**self.begin, **changes})
        self.suggest(ask, shape, budget=budget)
        return ask.params

    def first_changes(self, shape: GeneratorShape, *, budget: int) -> list[dict[str, float]]:
        """What a search tries first, as changes to the published recipe's likeness: nothing, then one thing at a time.

        A number that the recipe names goes to the middle of its range, unless it lies near it; a choice to the option
        beside it. A search that knows what every change does by itself depends less on the luck of its first draws.
        """
        likeness = Prefer(self.begin)
        self.suggest(likeness, shape, budget=budget)
        changes: list[dict[str, float]] = [{}]
        for name, value in likeness.params.items():
            other = likeness.ranges[name].another(value)
            if name in self.begin and other is not None:
                changes.append({name: other})
        return changes

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
    """Random answers; remembers what was asked and answered."""

    def __init__(self, stream: random.Random) -> None:
        self.stream, self.ranges, self.params = stream, dict[str, Range](), dict[str, float]()

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = Range(low, high, log)
        share = self.stream.random()
        value = low * (high / low) ** share if log else low + (high - low) * share
        self.params[name] = min(max(value, low), high)
        return self.params[name]

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        self.ranges[name] = Range(min(options), max(options), options=options)
        picked = self.stream.choice(options)
        self.params[name] = picked
        return picked


class Prefer:
    """Answers with preferred values, as near as the range allows, and with the middle of the range where there is none.

    Remembers what was asked and answered: a point to begin a search from.
    """

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values, self.ranges, self.params = values, dict[str, Range](), dict[str, float]()

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = allowed = Range(low, high, log)
        self.params[name] = min(max(self.values.get(name, allowed.middle), low), high)
        return self.params[name]

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        self.ranges[name] = Range(min(options), max(options), options=options)
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
