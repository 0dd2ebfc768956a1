"""Importance of every searched parameter, with its interval and the level that chance alone reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.improvement import improvement_matrix, paired_improvement
from analysis.load import Results
from analysis.parameters import Scale, scales
from analysis.ped_anova import (
    Cells,
    Mask,
    bandwidths,
    best_trials,
    categorical_variance_share,
    grid_cells,
    variance_share,
)

Floats = npt.NDArray[np.float64]
Share = Callable[[Cells, Mask], float]

BEST_QUANTILE = 1 / 3  # Optuna's 0.1 would leave two or three of some 24 trials; it asks for five at least
MIN_TRIALS = 6  # two trials among the best third
NUM_DRAWS = 200


@dataclass(frozen=True)
class SearchedTrials:
    """The trials of a search: `improvement` [trials, targets] in the metric's unit (NaN where a trial lacks a target),
    `domains` [targets], `parameters` with one row per trial (NaN where a trial lacks a parameter), and their scales."""

    improvement: Floats
    domains: npt.NDArray[np.str_]
    parameters: pd.DataFrame
    scales: Mapping[str, Scale]

    def values(self, weights: npt.NDArray[np.float64] | None = None) -> Floats:
        """The value [trials] of each trial: the mean over domains of its mean improvement; NaN without any target.

        `weights` [targets] say how often a resample holds each target.
        """
        known = np.isfinite(self.improvement)
        counts = known * (np.ones(self.domains.size) if weights is None else weights)
        sums = np.where(known, self.improvement, 0.0) * counts
        member = (self.domains[:, None] == np.unique(self.domains)).astype(np.float64)  # [targets, domains]
        total, seen = sums @ member, counts @ member
        means = np.divide(total, seen, out=np.zeros_like(total), where=seen > 0)
        num_domains = (seen > 0).sum(axis=1)
        unknown = np.full(len(total), np.nan)
        value: Floats = np.divide(means.sum(axis=1), num_domains, out=unknown, where=num_domains > 0)
        return value


def searched_trials(results: Results) -> SearchedTrials:
    """The searched trials that have parameters and at least one target, valued on the domains that steered the search.

    Raises ValueError if fewer than MIN_TRIALS remain.
    """
    metric = results.metric
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", metric.column], "search")
    rows = rows[rows["domain"].isin(results.steered_domains)]
    improvement, numbers, domains = improvement_matrix(paired_improvement(rows, metric=metric))
    parameters = results.parameters()
    valued = [row for row, number in enumerate(numbers) if number in parameters.index]
    if len(valued) < MIN_TRIALS:
        raise ValueError(
            f"importance needs at least {MIN_TRIALS} searched trials that finished a block beside the published "
            f"recipe, {results.path} holds {len(valued)}; continue the study with more trials"
        )
    chosen = parameters.loc[[numbers[row] for row in valued]].dropna(axis="columns", how="all")
    return SearchedTrials(improvement[valued], domains, chosen, scales(results.plan))


def importances(trials: SearchedTrials, *, num_draws: int = NUM_DRAWS, seed: int) -> pd.DataFrame:
    """One row per parameter, most important first: parameter, importance, low, high, null_95, num_trials, log, choice.

    importance: the share of the variance of "this trial is among the best third" that the parameter alone explains
    (PED-ANOVA, see `ped_anova.variance_share`). A conditional parameter is judged among the `num_trials` trials that
    have it, against the best third of these: it says what the value does once the parameter is there, not what having
    it does. Shares are not scaled to sum to 1: parameters of different trials share no total. NaN where fewer than
    MIN_TRIALS trials have the parameter, or all have one value of it.
    low, high: 95 % percentile interval over `num_draws` draws that resample targets within their domain and trials,
    both with replacement, kernels as wide as in the sample. A share cannot be below zero, so an interval alone never
    says "no effect"; null_95 does: the 95 % quantile of the same number when values are shuffled between trials.
    Trials of an adaptive sampler are not exchangeable, so both are approximate.
    """
    rng = np.random.default_rng(seed)
    values = trials.values()
    columns = {name: trials.parameters[name].to_numpy(dtype=np.float64) for name in trials.parameters.columns}
    drawn = [_resample(trials, rng) for _ in range(num_draws)]
    shuffled = [rng.permutation(values) for _ in range(num_draws)]
    rows = []
    for name, column in columns.items():
        have = np.isfinite(column)
        scale = trials.scales.get(name, Scale(log=False, choice=False))
        row = {"parameter": name, "num_trials": int(have.sum()), "log": scale.log, "choice": scale.choice}
        if have.sum() >= MIN_TRIALS and np.unique(column[have]).size > 1:
            best = best_trials(values[have], quantile=BEST_QUANTILE)
            cells, share_of, share_by_chance = _sharing(column, have, best, scale)
            row["importance"] = share_of(cells[have], best)
            shares = []
            for picked, resampled in drawn:
                inside = picked[have[picked]]
                if inside.size > 1:
                    shares.append(share_of(cells[inside], best_trials(resampled[inside], quantile=BEST_QUANTILE)))
            row["low"], row["high"] = (float(level) for level in np.quantile(shares, [0.025, 0.975]))
            chance = [
                share_by_chance(cells[have], best_trials(order[have], quantile=BEST_QUANTILE)) for order in shuffled
            ]
            row["null_95"] = float(np.quantile(chance, 0.95))
        rows.append(row)
    names = ["parameter", "importance", "low", "high", "null_95", "num_trials", "log", "choice"]
    return pd.DataFrame(rows).reindex(columns=names).sort_values("importance", ascending=False, ignore_index=True)


def _sharing(column: Floats, have: Mask, best: Mask, scale: Scale) -> tuple[Cells, Share, Share]:
    """The cells of a parameter, and its variance share in a resample of the sample and in a shuffled sample.

    A share is at most 1; few trials can lift its estimate past that, where it is cut.
    """
    cells = np.zeros(column.size, dtype=np.int64)
    if scale.choice:
        choices, cells[have] = np.unique(column[have], return_inverse=True)
        share = partial(categorical_variance_share, num_choices=choices.size)
        return cells, _at_most_one(share), _at_most_one(share)
    cells[have] = grid_cells(column[have], log=scale.log)
    widths = bandwidths(cells[have], best)
    return cells, _at_most_one(partial(variance_share, widths=widths)), _at_most_one(variance_share)


def _at_most_one(share: Share) -> Share:
    return lambda cells, best: min(1.0, share(cells, best))


def distinguishable(row: pd.Series[Any]) -> bool:
    """Whether a row of `importances` can be told apart from no effect: its whole interval lies above null_95."""
    return bool(row["low"] > row["null_95"])


def _resample(trials: SearchedTrials, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    """(trials drawn, value of every trial on the drawn targets); a trial without a drawn target is not drawn."""
    weights = np.zeros(trials.domains.size)
    for domain in np.unique(trials.domains):
        members = np.flatnonzero(trials.domains == domain)
        weights += np.bincount(rng.choice(members, size=members.size), minlength=weights.size)
    values = trials.values(weights)
    picked = rng.integers(values.size, size=values.size)
    return picked[np.isfinite(values[picked])], values
