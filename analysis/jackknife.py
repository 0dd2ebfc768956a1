"""How far an estimate moves when one target is left out: intervals for what no formula covers, choices among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """`low`, `high` and the two-sided `p_value` against 0 of estimates of any shape; NaN: no interval can be had."""

    low: Floats
    high: Floats
    p_value: Floats


def jackknife(mean: Floats, without: Floats, group: Ints, *, level: float = 0.95) -> Spread:
    """The spread of `mean` [...] from `without` [targets, ...], the same estimate with each target left out.

    `group` [targets] is the domain of each. Groups are sampled apart, so their variances
    (n_g - 1) / n_g sum_t (without_t - mean over g)^2 add, with the degrees of freedom of Welch and Satterthwaite: a
    group that an estimate does not depend on adds nothing to either. The jackknife's variance errs upward on average
    (Efron and Stein, 1981). An estimate that no target moves has no spread: its interval is the point. A group that
    moves an estimate needs three targets, or a second one is all that is left to choose and to value on: NaN then.
    """
    groups = np.unique(group)
    parts = np.zeros((len(groups), *mean.shape))
    for place, name in enumerate(groups):
        mine = without[group == name]
        parts[place] = (len(mine) - 1) / len(mine) * np.sum((mine - mine.mean(axis=0)) ** 2, axis=0)
    sizes = np.array([np.sum(group == name) for name in groups]).reshape(-1, *(1,) * mean.ndim)
    variance = parts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = variance**2 / np.sum(parts**2 / np.maximum(sizes - 1, 1), axis=0)
        half = np.where(variance > 0, stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance), variance)
        p_value = np.where(variance > 0, 2 * stats.t.sf(np.abs(mean) / np.sqrt(variance), freedom), mean == 0)
    return Spread(mean - half, mean + half, np.where(np.isfinite(half), p_value, np.nan))
