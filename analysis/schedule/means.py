"""From values of stages to means over targets with intervals, cell by cell and domain by domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.stats import Estimate, Estimates, mean_intervals

Values = npt.NDArray[np.float64]
AT_ONCE = 2**19  # rows: their temporary arrays fit into a cache
_Z = 1.959964  # 97.5 % of the standard normal lie below
SHARE, CORRELATION = (0.0, 1.0), (-1.0, 1.0)
ALL = "all"  # domains together, counting alike


def mean_by_target(
    values: npt.NDArray[Any],
    *,
    cell: npt.NDArray[Any],
    target: npt.NDArray[Any],
    shape: tuple[int, int],
    where: npt.NDArray[np.bool_] | None = None,
) -> Values:
    """[cells, targets]: the mean of what is known of a target in a cell (of `where` alone); NaN where nothing is.

    Configs are averaged before anything else: those tried on one target are no independent witnesses.
    """
    total, count = np.zeros(shape[0] * shape[1]), np.zeros(shape[0] * shape[1])
    for begin in range(0, len(values), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        known = np.isfinite(values[part])
        if where is not None:
            known &= where[part]
        key = cell[part][known].astype(np.int64) * shape[1] + target[part][known]
        count += np.bincount(key, minlength=count.size)
        total += np.bincount(key, weights=values[part][known], minlength=count.size)
    with np.errstate(invalid="ignore"):
        means: Values = total / count
    return means.reshape(shape)


def estimates(
    means: Values,
    domains: npt.NDArray[np.str_],
    *,
    name: str,
    interval: bool = True,
    within: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """One row per (cell, domain) that has a value, `ALL` among the domains: `name`, and beside it its 95 % interval.

    means: [cells, targets]. Columns: cell, domain, `name`, `name`_low, `name`_high and num_targets. Bounds are NaN
    where a domain has a single target, and where all targets have one value: their spread is not known then. within:
    where values, and so their bounds, can lie at all; shares of yes or no answers have Wilson's interval.
    """
    parts = []
    for domain in [*np.unique(domains), ALL]:
        own = np.ones(len(domains), dtype=bool) if domain == ALL else domains == domain
        cells = np.flatnonzero(np.isfinite(means[:, own]).any(axis=1))
        if not cells.size:
            continue
        values = means[np.ix_(cells, np.flatnonzero(own))]
        found = mean_intervals(values, domains[own])
        low, high = _bounds(found, values, within)
        columns = {name: found.mean, f"{name}_low": low, f"{name}_high": high, "num_targets": found.num_targets}
        parts.append(pd.DataFrame({"cell": cells, "domain": str(domain), **columns}))
    empty = pd.DataFrame(columns=["cell", "domain", name, f"{name}_low", f"{name}_high", "num_targets"])
    table = pd.concat(parts).sort_values("cell", kind="stable", ignore_index=True) if parts else empty
    return table if interval else table[["cell", "domain", name]]


def _bounds(found: Estimates, values: Values, within: tuple[float, float] | None) -> tuple[Values, Values]:
    """[cells] each; values: [cells, targets]."""
    spread = found.low < found.high
    low, high = np.where(spread, found.low, np.nan), np.where(spread, found.high, np.nan)
    if within == SHARE:
        answers = (np.isnan(values) | np.isin(values, SHARE)).all(axis=1)
        least, most = wilson(found.mean, found.num_targets)
        low, high = np.where(answers, least, low), np.where(answers, most, high)
    return (low, high) if within is None else (np.maximum(low, within[0]), np.minimum(high, within[1]))


def wilson(share: Values, count: npt.NDArray[np.int64]) -> tuple[Values, Values]:
    """Wilson's (1927) 95 % intervals of shares of `count` yes or no answers."""
    z2 = _Z**2
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = _Z / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return center - reach, center + reach


def estimate_of(row: pd.Series[Any], name: str) -> Estimate:
    """The estimate that a row of `estimates` holds."""
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    known = np.isfinite(low)
    return Estimate(float(row[name]), low if known else None, high if known else None, int(row["num_targets"]))
