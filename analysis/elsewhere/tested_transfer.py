"""Transfer on fresh images: the settings chosen for each domain, run on the test targets of all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.comparisons import holm
from analysis.improvement import improvement_matrix
from analysis.load import Results
from analysis.stats import Estimate, mean_interval

OF_DOMAIN = "oracle_"  # finalists.json: the best config in a domain
_COLUMNS = [
    "tuned_on", "valued_on", "trial", "gain", "gain_low", "gain_high", "regret", "low", "high", "p_value",
    "num_targets",
]  # fmt: skip


def tested_transfer(results: Results, tested: pd.DataFrame) -> pd.DataFrame:
    """One row per (tuned_on, valued_on), from `tested`, the paired improvements of the test phase; 95 % t intervals.

    Gain over the published recipe and regret against the settings chosen for valued_on, on its test targets, which
    chose nothing: no crossing is needed. Empty unless the choices for two domains were tested (`--protocol full`).
    """
    finalists = results.finalists or {}
    chosen = {key.removeprefix(OF_DOMAIN): trial for key, trial in finalists.items() if key.startswith(OF_DOMAIN)}
    if tested.empty:
        return pd.DataFrame(columns=_COLUMNS)
    improvements, trials, domains = improvement_matrix(tested)
    chosen = {domain: trial for domain, trial in sorted(chosen.items()) if trial in trials}
    if len(chosen) < 2:
        return pd.DataFrame(columns=_COLUMNS)
    rows = []
    for tuned, trial in chosen.items():
        for valued, own in chosen.items():
            values, reference = (improvements[trials.index(which), domains == valued] for which in (trial, own))
            scored = np.isfinite(values) & np.isfinite(reference)
            if not scored.any():
                continue
            values, reference = values[scored], reference[scored]
            gain, regret = mean_interval(values), mean_interval(reference - values)
            p = np.nan if trial == own else p_value(regret)  # the same config is no comparison
            rows.append((tuned, valued, trial, *numbers(gain), *numbers(regret), p, gain.num_targets))
    return pd.DataFrame(rows, columns=_COLUMNS)


def adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """`table` of a transfer with p_holm for p_value: Holm's correction over its regrets between two domains."""
    between = table["p_value"].where(table["tuned_on"] != table["valued_on"])
    return table.assign(p_holm=holm(between.to_numpy(dtype=np.float64))).drop(columns="p_value")


def numbers(estimate: Estimate) -> tuple[float, float, float]:
    """mean, low, high; NaN bounds where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return estimate.mean, np.nan, np.nan
    return estimate.mean, estimate.low, estimate.high


def p_value(estimate: Estimate) -> float:
    """The p value of an estimate; NaN where there is none."""
    return np.nan if estimate.p_value is None else estimate.p_value
