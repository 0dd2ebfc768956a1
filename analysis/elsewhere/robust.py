"""One config for every domain: the one whose worst domain gains most, beside the one whose mean does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.crossing import Rule, Worth

WORST, MEAN = "best worst domain", "best mean"
_COLUMNS = [
    "choice", "trial", "domain", "gain", "gain_low", "gain_high", "own_gain", "regret", "low", "high", "worst",
    "num_targets",
]  # fmt: skip


def robust_rules(domains: Sequence[str]) -> tuple[Rule, ...]:
    """The best config by its worst domain, and by the mean of all, which count alike."""
    every = tuple(range(len(domains)))
    return Rule(name=WORST, uses=every, combine=np.min), Rule(name=MEAN, uses=every)


def robust_table(worth: Worth, *, trials: dict[str, int]) -> pd.DataFrame:
    """One row per (choice, domain); choices crossed, 95 % intervals.

    gain over the published recipe, own_gain of the domain's own choice, and regret, the price of one config for all.
    trial: what the rule chooses from all targets. worst: whether the domain is that choice's worst; the least of
    several noisy means is rather too low.
    """
    gain = worth.spread(worth.gain, worth.gain_without)
    regret = worth.spread(worth.regret, worth.regret_without)
    rows = []
    for name, trial in trials.items():
        a = worth.place(name)
        for b, domain in enumerate(worth.crossings.domains):
            own = worth.gain[worth.place(domain), b]
            rows.append(
                (name, trial, domain, worth.gain[a, b], gain.low[a, b], gain.high[a, b], own, worth.regret[a, b],
                 regret.low[a, b], regret.high[a, b], b == np.argmin(worth.gain[a]), worth.crossings.counts[b])
            )  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def chosen_from_all(
    values: npt.NDArray[np.float64], worth: Worth, rules: Sequence[Rule], trials: Sequence[int]
) -> dict[str, int]:
    """The trial that each rule chooses from all targets: the config to use, whose worth the halves can only bound."""
    group = worth.crossings.group
    means = np.stack([values[:, group == place].mean(axis=1) for place in range(len(worth.crossings.domains))])
    return {rule.name: int(trials[int(rule.choose(means[None])[0])]) for rule in rules}
