"""Paired improvement: the same target under a trial and under the published recipe."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.metric import Metric
from analysis.stats import target_means


def paired_improvement(rows: pd.DataFrame, baseline_trial: int = 0, *, metric: Metric) -> pd.DataFrame:
    """One row per (phase, trial, target_id): `improvement` over `baseline_trial` on that target, in the metric's unit.

    Positive means more leakage, whatever the metric's direction. `rows` needs phase, trial, domain, target_id and
    the metric's column; seeds are averaged first. A target that either side has no score for (diverged) is left out.
    The baseline's own rows are there too, with improvement 0.
    """
    means = target_means(rows, metric.column)
    baseline = means.loc[means["trial"] == baseline_trial, ["phase", "target_id", metric.column]]
    paired = means.merge(baseline, on=["phase", "target_id"], suffixes=("", "_baseline"), validate="many_to_one")
    difference = paired[metric.column] - paired[f"{metric.column}_baseline"]
    columns = ["phase", "trial", "domain", "target_id", "improvement"]
    return paired.assign(improvement=metric.direction * difference)[columns]


def improvement_matrix(improvements: pd.DataFrame) -> tuple[npt.NDArray[np.float64], list[int], npt.NDArray[np.str_]]:
    """(values [trials, targets], trial numbers, domain of each target) of a phase; NaN: not measured."""
    wide = improvements.pivot(index="trial", columns=["domain", "target_id"], values="improvement").sort_index(axis=1)
    domains = np.array([str(domain) for domain in wide.columns.get_level_values(0)], dtype=np.str_)
    return wide.to_numpy(dtype=np.float64), [int(trial) for trial in wide.index], domains


def target_scores(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """domain, target_id and `score`, one row per target that has one; rows of one config in one phase."""
    means = target_means(rows, metric.column, by=("domain", "target_id"))
    return means.rename(columns={metric.column: "score"})
