"""Means with their intervals. Targets are what was sampled, so targets are counted; seeds stay with their target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. `low` and `high` are None where a stratum has one target: its spread is unknown."""

    mean: float
    low: float | None
    high: float | None
    num_targets: int
    level: float = 0.95

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def describe(self, unit: str, *, decimals: int | None = None) -> str:
        """The estimate in words: `2.4 dB (95 % interval 1.7 to 3.1)`."""
        return self.brief(unit, decimals=decimals, lead=f"{100 * self.level:.0f} % interval ")

    def brief(self, unit: str, *, decimals: int | None = None, lead: str = "") -> str:
        """The estimate where the level has been named before: `2.4 dB (1.7 to 3.1)`; `lead` opens the bracket."""
        if decimals is None:
            decimals = 1 if unit == "dB" else 3
        mean = f"{rounded(self.mean, decimals)} {unit}"
        if self.low is None or self.high is None:
            return f"{mean} (a single target: no interval)"
        return f"{mean} ({lead}{rounded(self.low, decimals)} to {rounded(self.high, decimals)})"

    def __neg__(self) -> Estimate:
        """The estimate of the opposite: what was a loss is a gain."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return Estimate(-self.mean, low, high, self.num_targets, self.level)


def rounded(value: float, decimals: int) -> str:
    """`value` with `decimals` digits, never a negative zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def target_means(
    frame: pd.DataFrame, value: str, *, by: Sequence[str] = ("phase", "trial", "domain", "target_id")
) -> pd.DataFrame:
    """One row per group `by` with the mean of column `value` over seeds; groups without any value are left out.

    Seeds of one target share its image, so they are no independent witnesses: they are averaged before anything else.
    """
    known = frame.dropna(subset=[value])
    return known.groupby(list(by), observed=True)[[value]].mean().reset_index()


def mean_interval(
    values: Sequence[float] | npt.NDArray[np.float64] | pd.Series[float],
    strata: Sequence[Any] | npt.NDArray[Any] | pd.Series[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """The stratified mean of `values` (one per target) with its t interval; the unit is that of `values`.

    Strata (domains) count alike: the mean is the mean of the D stratum means, its variance sum_d s_d^2 / n_d / D^2,
    its degrees of freedom those of Welch (1947) and Satterthwaite (1946). Targets are taken as a random sample of
    their domain, domains as fixed: nothing is said about a domain that is not there.
    Raises ValueError without values. With one target in a stratum `low` and `high` are None.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(
            f"a mean needs at least one target and finite values, got {numbers.tolist()}; "
            "leave targets without a score out before averaging"
        )
    labels = np.zeros(numbers.size) if strata is None else np.asarray(strata)
    groups = [numbers[labels == label] for label in np.unique(labels)]
    mean = float(np.mean([group.mean() for group in groups]))
    if min(group.size for group in groups) < 2:
        return Estimate(mean, None, None, numbers.size, level)
    variances = np.array([group.var(ddof=1) / group.size for group in groups]) / len(groups) ** 2
    variance = float(variances.sum())
    if variance == 0:
        return Estimate(mean, mean, mean, numbers.size, level)
    freedom = variance**2 / float(np.sum(variances**2 / [group.size - 1 for group in groups]))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * variance**0.5
    return Estimate(mean, mean - half, mean + half, numbers.size, level)
