"""What settings tuned on one domain are worth on another, and what they give up there: the search's rows, crossed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.crossing import Crossings, Rule, Worth, choose, cross, value
from analysis.jackknife import Spread

Floats = npt.NDArray[np.float64]
NUM_SPLITS = 20


@dataclass(frozen=True)
class Transfer:
    """What settings tuned on `domains[a]` are worth on `domains[b]`, in the unit of the values.

    `gain[a, b]` is over the common reference, `regret[a, b]` what they give up against settings tuned on b, 0 on the
    diagonal by construction.
    `gain_spread` and `regret_spread` bound them (95 %), NaN where a domain has under three targets.
    """

    domains: tuple[str, ...]
    gain: Floats
    gain_spread: Spread
    regret: Floats
    regret_spread: Spread
    num_targets: tuple[int, ...]
    num_configs: int

    @property
    def low(self) -> Floats:
        """The lower bound of `regret`."""
        return self.regret_spread.low

    @property
    def high(self) -> Floats:
        """The upper bound of `regret`."""
        return self.regret_spread.high


def own_rules(domains: Sequence[str]) -> tuple[Rule, ...]:
    """For every domain the config that is best on it."""
    return tuple(Rule(name=name, uses=(place,)) for place, name in enumerate(domains))


def worth_of(values: Floats, crossings: Crossings, rules: Sequence[Rule]) -> Worth:
    """What the choices of `rules` are worth by `values` [configs, targets], against every domain's own.

    Raises ValueError unless every value is finite and there are two domains.
    """
    if len(crossings.domains) < 2:
        raise ValueError(f"transfer needs two domains at least, two targets in each; got {crossings.domains}")
    if not np.isfinite(values).all():
        raise ValueError("choices are crossed among configs valued on every target; leave the others out before")
    every = choose(values, crossings, [*own_rules(crossings.domains), *rules])
    return value(values, crossings, every, every.first(len(crossings.domains)))


def transfer_regret(
    values: Floats, domains: npt.NDArray[np.str_], *, num_splits: int = NUM_SPLITS, seed: int
) -> Transfer:
    """Gain and regret of every pair of domains, from `values` [configs, targets] and `domains` [targets].

    A value is the gain over a common reference: higher is better.
    Targets of every domain are split in halves. The config for A is the best on one half of A's targets, the
    reference for B the best on the same half of B's; both are valued on B's other half; the difference is the regret.
    Halves are crossed, and `num_splits` random splits averaged. Choosing and valuing never share a target, and both
    choices are made from equally many, so if configs do not differ the expected regret is zero: no reference is
    flattered by its own luck. It may be negative: then A's targets chose better for B than as few of B's own.

    Interval: jackknife over targets (one left out at a time, from the same splits, both choices made again). A
    bootstrap would put copies of one target on both sides of a split. With few targets intervals are rather too wide,
    so "includes 0" is weak evidence of no regret. Choices are made from half the targets, so a real study's choice
    from all of them is worth somewhat more.
    Raises ValueError unless every value is finite and every domain has two targets at least.
    """
    return transfer_of(worth_of(values, cross(domains, num_splits=num_splits, seed=seed), ()), num_configs=len(values))


def transfer_of(worth: Worth, *, num_configs: int) -> Transfer:
    """The part of `worth` that tells of domains' own choices on one another."""
    domains = worth.crossings.domains
    mine = slice(0, len(domains))
    gain, regret = (_part(spread, mine) for spread in _spreads(worth))
    return Transfer(
        domains, worth.gain[mine], gain, worth.regret[mine], regret, worth.crossings.counts, num_configs
    )  # fmt: skip


def transfer_table(transfer: Transfer) -> pd.DataFrame:
    """`transfer` in long form, a row per (tuned_on, valued_on); low, high, p_value are those of regret."""
    rows = [
        (
            tuned, valued, transfer.gain[a, b], transfer.gain_spread.low[a, b], transfer.gain_spread.high[a, b],
            transfer.regret[a, b], transfer.low[a, b], transfer.high[a, b], transfer.regret_spread.p_value[a, b],
            transfer.num_targets[b],
        )
        for a, tuned in enumerate(transfer.domains)
        for b, valued in enumerate(transfer.domains)
    ]  # fmt: skip
    names = ["tuned_on", "valued_on", "gain", "gain_low", "gain_high", "regret", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=[*names, "num_targets"]).assign(num_configs=transfer.num_configs)


def _spreads(worth: Worth) -> tuple[Spread, Spread]:
    return worth.spread(worth.gain, worth.gain_without), worth.spread(worth.regret, worth.regret_without)


def _part(spread: Spread, rows: slice) -> Spread:
    return Spread(spread.low[rows], spread.high[rows], spread.p_value[rows])
