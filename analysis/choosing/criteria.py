"""What choosing a config is worth by the criteria that an attacker could have, on targets that did not choose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.choosing.measured import Measured
from analysis.crossing import LEAST_TARGETS, Choices, Floats, Ints, Rule, choose, cross, value
from analysis.jackknife import jackknife
from analysis.transfer import NUM_SPLITS

ORACLE, OBSERVABLE, SHADOW, PUBLISHED = "oracle", "observable", "shadow", "published"
COLUMNS = [
    "criterion", "domain", "gain", "gain_low", "gain_high", "regret", "low", "high", "num_targets", "num_configs",
]  # fmt: skip


def choices_by_criterion(found: Measured, steered: Sequence[str], *, public: Sequence[str], seed: int) -> pd.DataFrame:
    """Gain over the published recipe, and regret against the oracle's choice, by criterion and domain: COLUMNS.

    oracle: the config that leaks most on the steered domains; observable: the one whose matching loss falls most there;
    shadow: the one that leaks most on the `public` domains, whose images an attacker can have; published: the recipe.
    Every criterion chooses on half of the targets, all choices are valued on the other half, halves are crossed and
    NUM_SPLITS splits averaged, so no choice is flattered by its own luck and a config as good as the others costs
    nothing on average. Intervals: jackknife over targets, rather too wide; NaN where a domain has under three targets.
    "steered" is the mean over the steered domains. Raises ValueError where a domain has a single target.
    """
    crossings = cross(found.domains, num_splits=NUM_SPLITS, seed=seed)
    names = crossings.domains
    places = tuple(place for place, name in enumerate(names) if name in steered) or tuple(range(len(names)))
    oracle = choose(found.leaked, crossings, [Rule(name=ORACLE, uses=places)])
    parts = [(ORACLE, oracle), (OBSERVABLE, choose(found.seen, crossings, [Rule(name=OBSERVABLE, uses=places)]))]
    had = tuple(place for place, name in enumerate(names) if name in public)
    if had and len(names) > len(had):
        parts.append((SHADOW, choose(found.leaked, crossings, [Rule(name=SHADOW, uses=had)])))
    recipe = int(np.flatnonzero(found.trials == 0)[0])
    always = Choices(oracle.rules, np.full_like(oracle.full, recipe), np.full_like(oracle.without, recipe))
    parts.append((PUBLISHED, always))
    against = Choices(
        oracle.rules * len(names), np.repeat(oracle.full, len(names), 1), np.repeat(oracle.without, len(names), 2)
    )  # fmt: skip
    tables = []
    for name, chosen in parts:
        worth = value(found.leaked, crossings, chosen, against)
        tables.append(
            pd.DataFrame(
                {"criterion": name, "domain": [*names, "steered"]}
                | _numbers(worth.gain[0], worth.gain_without[:, 0], places, crossings.group, "gain", "gain_")
                | _numbers(worth.regret[0], worth.regret_without[:, 0], places, crossings.group, "regret", "")
                | {"num_targets": [*crossings.counts, sum(crossings.counts[place] for place in places)]}
            )
        )
    return pd.concat(tables, ignore_index=True).assign(num_configs=len(found.trials))[COLUMNS]


def _numbers(
    mean: Floats, without: Floats, places: tuple[int, ...], group: Ints, name: str, prefix: str
) -> dict[str, Floats]:
    """The columns of a quantity by domain and of its mean over `places`; `without` [targets, domains]."""
    few = np.bincount(group).min() < LEAST_TARGETS
    means = np.append(mean, mean[list(places)].mean())
    spread = jackknife(means, np.column_stack([without, without[:, list(places)].mean(axis=1)]), group)
    low, high = (np.where(few, np.nan, bound) for bound in (spread.low, spread.high))
    return {name: means, f"{prefix}low": low, f"{prefix}high": high}
