"""Means with their intervals. Targets are what was sampled, so targets are counted; seeds stay with their target.

Comparisons of many and planning are in `analysis/comparisons.py`, the value of a choice in `analysis/crossfit.py`;
`docs/statistics.md` has the formulas, and how often each interval covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval. `low` and `high` are None where a stratum has one target: its spread is unknown."""

    mean: float
    low: float | None
    high: float | None
    num_targets: int
    level: float = 0.95
    p_value: float | None = None  # two-sided, of a true mean of 0, by the same t; None where there is no interval

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
        return Estimate(-self.mean, low, high, self.num_targets, self.level, self.p_value)


@dataclass(frozen=True)
class Estimates:
    """Many estimates at once, in arrays [rows]; NaN in `low`, `high` and `p_value` where an `Estimate` has None."""

    mean: Floats
    low: Floats
    high: Floats
    p_value: Floats
    num_targets: npt.NDArray[np.int64]
    level: float = 0.95

    def __len__(self) -> int:
        return self.mean.size

    def __getitem__(self, row: int) -> Estimate:
        mean, num_targets = float(self.mean[row]), int(self.num_targets[row])
        if np.isnan(self.low[row]):
            return Estimate(mean, None, None, num_targets, self.level)
        bounds = float(self.low[row]), float(self.high[row])
        return Estimate(mean, *bounds, num_targets, self.level, float(self.p_value[row]))

    @property
    def distinguishable(self) -> npt.NDArray[np.bool_]:
        """Which intervals exclude 0; False where there is none."""
        return (self.low > 0) | (self.high < 0)


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
    return mean_intervals(numbers[None, :], strata, level)[0]


def mean_intervals(
    values: Floats, strata: Sequence[Any] | npt.NDArray[Any] | pd.Series[Any] | None = None, level: float = 0.95
) -> Estimates:
    """`mean_interval` of every row of `values` [rows, targets] at once; `strata` [targets] are shared by all rows.

    NaN is a target that the row was not measured on: it is left out, and a stratum without any target is no stratum
    of that row. Raises ValueError where a row has no target at all.
    """
    member, which = membership(strata, values.shape[1])
    known = np.isfinite(values)
    counts = known @ member  # [rows, strata]
    seen = counts > 0
    num_strata = seen.sum(axis=1)
    if (num_strata == 0).any():
        raise ValueError(
            f"a mean needs at least one target, row {int(np.argmin(num_strata))} has none; "
            "leave rows without a score out"
        )
    means = np.where(known, values, 0.0) @ member / np.maximum(counts, 1)
    squares = np.where(known, values - means[:, which], 0.0) ** 2 @ member
    mean = means.sum(axis=1) / num_strata  # the mean of a stratum that is not there counts as 0
    spread = squares / np.maximum(counts - 1, 1) / np.maximum(counts, 1) / num_strata[:, None] ** 2
    single = (counts == 1).any(axis=1)
    num_targets = known.sum(axis=1)
    return t_intervals(mean, np.where(single[:, None], np.nan, spread), counts - 1, num_targets, level)


def iqm_interval(
    values: Sequence[float] | Floats | pd.Series[float],
    strata: Sequence[Any] | npt.NDArray[Any] | pd.Series[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """The interquartile mean of `values` (one per target), as Agarwal et al. (2021): the mean of the middle half of all
    targets, each weighted so that strata count alike. A few extreme targets cannot move it.

    Interval: t on the Winsorized variance within strata (Tukey and McLaughlin, 1963; Yuen, 1974), which needs no
    resampling and, unlike the percentile bootstrap, covers with four targets per stratum. Below four targets in all,
    or with one in a stratum, there is none. Raises ValueError as `mean_interval`.
    """
    numbers = np.asarray(values, dtype=np.float64)
    size = numbers.size
    if size == 0 or not np.isfinite(numbers).all():
        raise ValueError(
            f"an interquartile mean needs at least one target and finite values, got {size} targets; "
            "leave targets without a score out"
        )
    member, which = membership(strata, size)
    counts = member.sum(axis=0)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum((1 / counts[which] / counts.size)[order])
    begins = np.concatenate([[0.0], ends[:-1]])
    inside = np.clip(np.minimum(ends, 0.75) - np.maximum(begins, 0.25), 0.0, None)  # a target can be cut in two
    mean = float(inside @ numbers[order] / inside.sum())
    middle = numbers[order][inside > 1e-9]
    clipped = np.clip(numbers, middle[0], middle[-1])
    squares = (clipped - (clipped @ member / counts)[which]) ** 2 @ member
    variances = squares / np.maximum(counts - 1, 1) / counts / counts.size**2 / 0.25
    if size < 4 or counts.min() < 2:
        variances = np.full_like(counts, np.nan)
    else:
        variances *= (size - 1) / (size - 2)  # Yuen divides by the h - 1 that are left of n, h = n / 2
    freedoms = (counts - 1) * (size / 2 - 1) / (size - 1)  # and takes as many degrees of freedom
    estimates = t_intervals(np.array([mean]), variances[None, :], freedoms[None, :], np.array([size]), level)
    return estimates[0]


def t_intervals(
    mean: Floats, variances: Floats, freedoms: Floats, num_targets: npt.NDArray[np.int64], level: float
) -> Estimates:
    """Intervals of t around `mean` [rows], whose variance is the sum of `variances` [rows, parts], each known with
    `freedoms` [rows, parts] (Welch and Satterthwaite); NaN variances give no interval, zero ones the mean itself."""
    variance = variances.sum(axis=1)
    varies = variance > 0
    weight = np.divide(variances**2, freedoms, out=np.zeros_like(variances), where=freedoms > 0).sum(axis=1)
    freedom = np.divide(variance**2, weight, out=np.ones_like(variance), where=varies & (weight > 0))
    error = np.sqrt(variance)
    half = np.where(varies, stats.t.ppf((1 + level) / 2, freedom) * error, error)
    ratio = np.divide(np.abs(mean), error, out=np.where(mean == 0, 0.0, np.inf), where=varies)
    p_value = np.where(np.isnan(variance), np.nan, 2 * stats.t.sf(ratio, freedom))
    return Estimates(mean, mean - half, mean + half, p_value, num_targets, level)


def t_interval(mean: float, error: float, freedom: float, *, num_targets: int, level: float) -> Estimate:
    """The estimate `mean`, whose standard error `error` is known with `freedom` degrees of freedom."""
    one = np.ones((1, 1))
    return t_intervals(mean * one[0], error**2 * one, freedom * one, np.array([num_targets]), level)[0]


def welch_freedom(values: Floats, member: Floats) -> float:
    """The degrees of freedom of the stratified mean of `values` [targets]; `member` [targets, strata] as of
    `membership`. Where nothing varies, those of equal variances."""
    counts = member.sum(axis=0)
    means = values @ member / counts
    variances = (values - member @ means) ** 2 @ member / (counts - 1) / counts
    weight = float(np.sum(variances**2 / (counts - 1)))
    return float(variances.sum() ** 2 / weight) if weight > 0 else float(np.sum(counts - 1))


def membership(
    strata: Sequence[Any] | npt.NDArray[Any] | pd.Series[Any] | None, num_targets: int
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(1 where a target is in a stratum [targets, strata], the stratum of each target [targets]); None: one stratum."""
    labels = np.zeros(num_targets) if strata is None else np.asarray(strata)
    names, which = np.unique(labels, return_inverse=True)
    return (which[:, None] == np.arange(names.size)).astype(np.float64), which
