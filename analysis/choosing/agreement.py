"""Whether less matching loss means more leakage: rank correlations between configs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from analysis.choosing.measured import Measured
from analysis.jackknife import jackknife
from analysis.schedule.means import CORRELATION, estimates

Floats = npt.NDArray[np.float64]
WITHIN, BETWEEN = "configs on one target", "config means"
COLUMNS = ["kind", "domain", "rank_correlation", "low", "high", "num_targets", "num_configs"]


def agreement(found: Measured) -> pd.DataFrame:
    """Spearman's correlation between gain seen and gain leaked over configs: COLUMNS, a row per kind and domain.

    WITHIN: on one target at a time, then the mean over targets with its t interval; it tells what an attacker who tries
    several configs on an image learns of them. BETWEEN: of the means of configs over the targets of a domain, with the
    jackknife's interval (a target left out at a time); it tells whether settings can be tuned by matching loss.
    Domain "all" weighs domains alike. 1: choosing by the loss is choosing by leakage; 0: it is a blind draw.
    """
    within = estimates(
        correlations(found.seen, found.leaked)[None, :], found.domains, name="rank_correlation", within=CORRELATION
    ).rename(columns={"rank_correlation_low": "low", "rank_correlation_high": "high"})
    table = pd.concat([within.assign(kind=WITHIN).drop(columns="cell"), _between(found)], ignore_index=True)
    return table.assign(num_configs=len(found.trials))[COLUMNS]


def correlations(first: Floats, second: Floats) -> Floats:
    """[columns]: Spearman's rank correlation of the rows of two [rows, columns]; 0 where either has one value."""
    ranks = [rankdata(values, axis=0) for values in (first, second)]
    centered = [each - each.mean(axis=0) for each in ranks]
    size = np.sqrt((centered[0] ** 2).sum(axis=0) * (centered[1] ** 2).sum(axis=0))
    together = (centered[0] * centered[1]).sum(axis=0)
    return np.asarray(np.divide(together, size, out=np.zeros_like(together), where=size > 0))


def _between(found: Measured) -> pd.DataFrame:
    whole = correlations(found.by_domain(found.seen), found.by_domain(found.leaked))
    names, group = np.unique(found.domains, return_inverse=True)
    without = np.repeat(whole[None], group.size, axis=0)
    for target, place in enumerate(group):
        others = group == place
        others[target] = False
        if others.any():
            parts = (values[:, others].mean(axis=1, keepdims=True) for values in (found.seen, found.leaked))
            without[target, place] = correlations(*parts)[0]
    values = np.append(whole, whole.mean())
    spread = jackknife(values, np.column_stack([without, without.mean(axis=1)]), group.astype(np.int64))
    counts = [int((group == place).sum()) for place in range(len(names))]
    few = np.array([count < 3 for count in counts] + [min(counts) < 3])
    return pd.DataFrame(
        {
            "kind": BETWEEN,
            "domain": [*names, "all"],
            "rank_correlation": values,
            "low": np.where(few, np.nan, np.maximum(spread.low, -1)),
            "high": np.where(few, np.nan, np.minimum(spread.high, 1)),
            "num_targets": [*counts, group.size],
        }
    )
