"""Many comparisons, planned ones, and how often one side is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, stats

from analysis.stats import Estimate, Floats, membership, rounded

Values: TypeAlias = "Sequence[float] | Floats | pd.Series[float]"
Labels: TypeAlias = "Sequence[Any] | npt.NDArray[Any] | pd.Series[Any] | None"


def holm(p_values: Sequence[float | None] | Floats | pd.Series[float]) -> Floats:
    """The p-values of a family of tests, adjusted by Holm (1979), in the order given.

    Who claims what is adjusted to at most 0.05 makes a false claim in the whole family in at most 5 % of families,
    however the tests depend on each other. NaN or None is no test: it stays NaN and does not count.
    """
    raw = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    adjusted = np.full(raw.size, np.nan)
    order = np.argsort(raw)[: int(np.isfinite(raw).sum())]  # NaN is sorted last
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * factors), 1.0)
    return adjusted


@dataclass(frozen=True, kw_only=True)
class SmallestDifference:
    """The smallest true mean that a study of `per_stratum` targets in each stratum finds with probability `power`."""

    value: float
    per_stratum: int
    num_strata: int
    power: float
    level: float

    def sentence(self, unit: str, *, decimals: int | None = None) -> str:
        """`with 4 targets per domain, differences under 1.3 dB are noise`, without a full stop."""
        decimals = (1 if unit == "dB" else 3) if decimals is None else decimals
        targets = "1 target" if self.per_stratum == 1 else f"{self.per_stratum} targets"
        return f"with {targets} per domain, differences under {rounded(self.value, decimals)} {unit} are noise"


def smallest_difference(
    values: Values, strata: Labels = None, *, per_stratum: int | None = None, power: float = 0.8, level: float = 0.95
) -> SmallestDifference:
    """The smallest difference that `per_stratum` targets in every stratum can show, in the unit of `values`.

    `values` (one paired difference per target) only say how much targets differ within their strata; `per_stratum` is
    that of the planned study, else the fewest of this one. A true mean of this size gets an interval that excludes 0
    with probability `power`, by the noncentral t distribution (Bloom, 1995, in its exact form).
    Raises ValueError where a stratum has one target only, or the planned study would have.
    """
    numbers = np.asarray(values, dtype=np.float64)
    member, which = membership(strata, numbers.size)
    counts = member.sum(axis=0)
    planned = int(min(counts, default=0)) if per_stratum is None else per_stratum
    if min(counts, default=0) < 2 or planned < 2 or not np.isfinite(numbers).all():
        raise ValueError(
            "what a study can show needs two finite values at least in every stratum, and two planned; got strata of "
            f"{counts.astype(int).tolist()} targets and {planned} planned; use more targets per domain"
        )
    means = numbers @ member / counts
    spreads = (numbers - means[which]) ** 2 @ member / (counts - 1)
    variances = spreads / planned / counts.size**2
    variance = float(variances.sum())
    if variance == 0:
        return SmallestDifference(
            value=0.0, per_stratum=planned, num_strata=counts.size, power=power, level=level
        )  # fmt: skip
    freedom = variance**2 / float(np.sum(variances**2 / (planned - 1)))
    errors = _noncentrality(freedom, power=power, level=level)
    return SmallestDifference(
        value=errors * variance**0.5, per_stratum=planned, num_strata=counts.size, power=power, level=level
    )


def _noncentrality(freedom: float, *, power: float, level: float) -> float:
    """The true mean, in standard errors, whose t test at `level` has `power`."""
    critical = float(stats.t.ppf((1 + level) / 2, freedom))

    def excess(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift)) - power

    # enough: the spread is found too large, or the mean too small, in (1 - power) / 2 of studies each
    largest_spread = float(stats.chi2.ppf((1 + power) / 2, freedom) / freedom) ** 0.5
    return float(optimize.brentq(excess, 0.0, critical * largest_spread + float(stats.norm.ppf((1 + power) / 2))))


def probability_of_improvement(a: Values, b: Values, strata: Labels = None, level: float = 0.95) -> Estimate:
    """How probably `a` is ahead of `b` on a target (same targets, higher is better, ties half); strata count alike.

    Agarwal et al. (2021) compare all runs of one with all of the other; here both have seen the same targets, so it is
    asked target by target. It is a share: near 0 or 1 a t interval leaves the scale, and it has no width where one
    side always wins. So: the score interval of Wilson (1927) at the number of targets that a simple random sample
    would need for the variance found within strata, as surveys do (Korn and Graubard, 1998). The p-value is that of
    a share of 0.5, by the same score (`distinguishable` would ask about 0). Where a stratum has one target, the sample
    counts as a simple random one.
    Raises ValueError without targets or with values that are not finite.
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if difference.size == 0 or not np.isfinite(difference).all():
        raise ValueError(
            f"a probability of improvement needs a target at least and finite values, got {difference.size} targets; "
            "leave targets that one side has no score for out"
        )
    ahead = np.where(difference > 0, 1.0, np.where(difference < 0, 0.0, 0.5))
    member, which = membership(strata, ahead.size)
    counts = member.sum(axis=0)
    shares = ahead @ member / counts
    share = float(shares.mean())
    size = counts.size**2 / float(np.sum(1 / counts))  # of a simple sample; all targets where strata are equal
    if counts.min() > 1:
        squares = (ahead - shares[which]) ** 2 @ member
        variance = float(np.sum(squares / (counts - 1) / counts)) / counts.size**2
        size = share * (1 - share) / variance if variance > 0 else size
    quantile = float(stats.norm.ppf((1 + level) / 2))
    center = (share + quantile**2 / 2 / size) / (1 + quantile**2 / size)
    half = quantile * (share * (1 - share) / size + quantile**2 / 4 / size**2) ** 0.5 / (1 + quantile**2 / size)
    p_value = float(2 * stats.norm.sf(abs(share - 0.5) * 2 * size**0.5))
    return Estimate(share, max(0.0, center - half), min(1.0, center + half), ahead.size, level, p_value)
