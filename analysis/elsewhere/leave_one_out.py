"""A domain that nobody tuned on: settings chosen on all others, and what they give up on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.crossing import LEAST_TARGETS, Floats, Rule, Worth
from analysis.jackknife import jackknife

_COLUMNS = [
    "left_out", "gain", "gain_low", "gain_high", "own_gain", "regret", "low", "high", "num_targets",
    "num_choosing_targets",
]  # fmt: skip


def rule_without(domain: str) -> str:
    """The name of the rule that chooses without `domain`."""
    return f"without {domain}"


def left_out_rules(domains: Sequence[str]) -> tuple[Rule, ...]:
    """For every domain the config that is best by the mean of the others, which count alike."""
    places = range(len(domains))
    return tuple(
        Rule(name=rule_without(name), uses=tuple(other for other in places if other != place))
        for place, name in enumerate(domains)
    )


def left_out_table(worth: Worth) -> pd.DataFrame:
    """One row per left-out domain, then "mean" over them; choices crossed, 95 % intervals.

    gain over the published recipe of the choice of the others, own_gain of the domain's own choice, regret between.
    """
    domains = worth.crossings.domains
    counts = np.array(worth.crossings.counts)
    at = [worth.place(rule_without(name)) for name in domains], list(range(len(domains)))
    gain, regret = (worth.spread(mean, left) for mean, left in _both(worth))
    rows = [
        (name, worth.gain[a, b], gain.low[a, b], gain.high[a, b], worth.gain[worth.place(name), b], worth.regret[a, b],
         regret.low[a, b], regret.high[a, b], counts[b], counts.sum() - counts[b])
        for name, a, b in zip(domains, *at, strict=True)
    ]  # fmt: skip
    numbers: list[float] = []
    for mean, left in _both(worth):
        spread = jackknife(mean[at].mean(), left[:, at[0], at[1]].mean(axis=1), worth.crossings.group)
        few = counts.min() < LEAST_TARGETS
        numbers += [float(mean[at].mean()), *((np.nan, np.nan) if few else (float(spread.low), float(spread.high)))]
    own = np.mean([row[4] for row in rows])
    rows.append(("mean", *numbers[:3], own, *numbers[3:], counts.sum(), counts.sum()))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _both(worth: Worth) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    return (worth.gain, worth.gain_without), (worth.regret, worth.regret_without)
