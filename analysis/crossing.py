"""Choosing a config on some targets of a domain, valuing it on others: what choices are worth, unflattered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.jackknife import Spread, jackknife

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
LEAST_TARGETS = 3  # of a domain, for an interval: with two, leaving one out leaves nothing to value on


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A way to choose: the config whose means over the domains `uses` (places) are best, put together by `combine`."""

    name: str
    uses: tuple[int, ...]
    combine: Callable[..., Floats] = np.mean  # or np.min: the best worst domain

    def choose(self, means: Floats) -> Ints:
        """The chosen config [crossings] by `means` [crossings, domains, configs]."""
        if len(self.uses) == 1:
            return np.asarray(means[:, self.uses[0]].argmax(axis=1))
        return np.asarray(self.combine(means[:, list(self.uses)], axis=1).argmax(axis=1))


@dataclass(frozen=True)
class Crossings:
    """`choosing` [crossings, targets]: who chooses in each crossing, others value; `group` [targets]: the domain."""

    domains: tuple[str, ...]
    group: Ints
    choosing: Bools

    @property
    def counts(self) -> tuple[int, ...]:
        """Targets of each domain."""
        return tuple(int(np.sum(self.group == place)) for place in range(len(self.domains)))

    def sums(self, values: Floats, members: Bools) -> Floats:
        """[crossings, domains, configs]: `values` [configs, targets] summed over the `members` of each domain."""
        parts = []
        for place in range(len(self.domains)):
            mine = self.group == place
            parts.append(members[:, mine].astype(np.float64) @ values[:, mine].T)
        return np.stack(parts, axis=1)

    def sizes(self, members: Bools) -> Ints:
        """[crossings, domains]: how many `members` each domain has."""
        return np.stack([members[:, self.group == place].sum(axis=1) for place in range(len(self.domains))], axis=1)


@dataclass(frozen=True)
class Choices:
    """What each rule chose: `full` [crossings, rules], and `without` [targets, crossings, rules], one left out."""

    rules: tuple[Rule, ...]
    full: Ints
    without: Ints

    def first(self, num: int) -> Choices:
        """Those of the first `num` rules."""
        return Choices(self.rules[:num], self.full[:, :num], self.without[:, :, :num])


@dataclass(frozen=True)
class Worth:
    """What choices are worth on each domain, [rules, domains], and again with each target left out.

    `gain` is their mean value, `regret` what the domain's own choice, made from equally many targets, is worth more.
    """

    crossings: Crossings
    rules: tuple[Rule, ...]
    gain: Floats
    regret: Floats
    gain_without: Floats
    regret_without: Floats

    def place(self, name: str) -> int:
        """The place of the rule `name`."""
        return [rule.name for rule in self.rules].index(name)

    def spread(self, mean: Floats, without: Floats) -> Spread:
        """The spread of [rules, domains] quantities; NaN where a domain that chose or valued has too few targets."""
        spread = jackknife(mean, without, self.crossings.group)
        few = np.array(self.crossings.counts) < LEAST_TARGETS
        alone = np.array([[few[[*rule.uses, b]].any() for b in range(len(few))] for rule in self.rules])
        return Spread(*(np.where(alone, np.nan, part) for part in (spread.low, spread.high, spread.p_value)))


def cross(domains: npt.NDArray[np.str_], *, num_splits: int, seed: int) -> Crossings:
    """Random halves of the targets of every domain, each split taken both ways; halves differ by one at most.

    Raises ValueError unless every domain has two targets.
    """
    names, group = np.unique(domains, return_inverse=True)
    counts = {str(name): int(np.sum(domains == name)) for name in names}
    if min(counts.values(), default=0) < 2:
        raise ValueError(
            f"transfer needs two domains at least, two targets in each; got targets per domain {counts}; "
            "tune with more targets"
        )
    rng = np.random.default_rng(seed)
    halves = np.zeros((num_splits, group.size), dtype=np.bool_)
    for place in range(len(names)):
        members = np.flatnonzero(group == place)
        for split in range(num_splits):
            size = members.size // 2 + (members.size % 2) * int(rng.integers(2))
            halves[split, rng.permutation(members)[:size]] = True
    return Crossings(tuple(str(name) for name in names), group.astype(np.int64), np.concatenate([halves, ~halves]))


def choose(values: Floats, crossings: Crossings, rules: Sequence[Rule]) -> Choices:
    """What `rules` choose by `values` [configs, targets] (finite, higher is better) in every crossing."""
    sums, sizes = crossings.sums(values, crossings.choosing), crossings.sizes(crossings.choosing)
    means = sums / np.maximum(sizes, 1)[:, :, None]
    full = np.stack([rule.choose(means) for rule in rules], axis=1)
    without = np.repeat(full[None], crossings.group.size, axis=0)
    for target, place in enumerate(crossings.group):
        there = np.flatnonzero(crossings.choosing[:, target] & (sizes[:, place] > 1))
        changed = means[there]
        changed[:, place] = (sums[there, place] - values[:, target]) / (sizes[there, place] - 1)[:, None]
        for column, rule in enumerate(rules):
            if place in rule.uses:
                without[target, there, column] = rule.choose(changed)
    return Choices(tuple(rules), full, without)


def value(values: Floats, crossings: Crossings, choices: Choices, own: Choices) -> Worth:
    """What `choices` are worth by `values` [configs, targets] against `own`, one choice a domain, in its order.

    A crossing counts by its valuing targets, and not at all where nobody is left to choose or to value.
    """
    valuing = ~crossings.choosing
    sums = crossings.sums(values, valuing)
    sizes, chooser = crossings.sizes(valuing), crossings.sizes(crossings.choosing)
    gain, regret = _means(choices, own, sums, sizes, chooser, choices.full, own.full)
    gains, regrets = [], []
    for target, place in enumerate(crossings.group):
        values_it = valuing[:, target]
        fewer, fewer_chooser = sizes.copy(), chooser.copy()
        fewer[values_it, place] -= 1
        fewer_chooser[~values_it, place] -= 1
        less = np.where(values_it, 1.0, 0.0)
        g, r = _means(
            choices, own, sums, fewer, fewer_chooser, choices.without[target], own.without[target],
            taken=(place, less[:, None] * values[choices.without[target], target],
                   less[:, None] * values[own.without[target], target]),
        )  # fmt: skip
        gains.append(g)
        regrets.append(r)
    return Worth(crossings, choices.rules, gain, regret, np.stack(gains), np.stack(regrets))


def _means(
    choices: Choices, own: Choices, sums: Floats, sizes: Ints, chooser: Ints, chosen: Ints, best_of: Ints,
    taken: tuple[int, Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Gain and regret [rules, domains]; `taken` is (domain, what to take from its sums of the chosen, of the own)."""
    crossing = np.arange(len(sums))[:, None]
    worth = sums.transpose(0, 2, 1)[crossing, chosen]  # [crossings, rules, domains]
    domain = np.arange(sums.shape[1])
    best = sums[crossing, domain, best_of]  # [crossings, domains]
    if taken is not None:
        place, of_chosen, of_own = taken
        worth[:, :, place] -= of_chosen
        best[:, place] -= of_own[:, place]
    ready, owner = (
        np.stack([(chooser[:, list(rule.uses)] > 0).all(axis=1) for rule in which.rules], axis=1)
        for which in (choices, own)
    )
    usable = ready[:, :, None] & (owner & (sizes > 0))[:, None, :]
    weight = np.where(usable, sizes[:, None, :], 0).sum(axis=0).astype(np.float64)
    weight[weight == 0] = np.nan
    gain = np.where(usable, worth, 0.0).sum(axis=0) / weight
    regret = np.where(usable, best[:, None, :] - worth, 0.0).sum(axis=0) / weight
    return gain, regret
