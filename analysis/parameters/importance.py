"""Importance of every searched parameter, with its interval and the level that chance alone reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.parameters.ped_anova import (
    NUM_CELLS,
    best_trials,
    choice_shares,
    grid_cells,
    scott_bandwidths,
    variance_shares,
)
from analysis.parameters.scale import Scale
from analysis.parameters.searched import MIN_TRIALS, Floats, Integers, Mask, SearchedTrials

BEST_QUANTILE = 1 / 3  # Optuna's 0.1 would leave two or three of some 24 trials; it asks for five at least
NUM_DRAWS = 200
MANY_TRIALS, FEW_DRAWS = 2_000, 100  # beyond so many trials the ends of an interval hardly move with its draws
COLUMNS = ["parameter", "importance", "low", "high", "null_95", "num_trials"]


def importances(trials: SearchedTrials, *, num_draws: int | None = None, seed: int) -> pd.DataFrame:
    """One row per parameter, most important first: parameter, importance, low, high, null_95, num_trials, log, choice.

    importance: the share of the variance of "this trial is among the best third" that the parameter alone explains
    (PED-ANOVA, see `ped_anova.variance_shares`). A conditional parameter is judged among the `num_trials` trials that
    have it, against the best third of these: it says what the value does once the parameter is there, not what having
    it does. Shares are not scaled to sum to 1: parameters of different trials share no total. NaN where fewer than
    MIN_TRIALS trials have the parameter, or all have one value of it.
    low, high: 95 % percentile interval over `num_draws` draws (NUM_DRAWS; FEW_DRAWS beyond MANY_TRIALS trials) that
    resample targets within their domain and trials, both with replacement, kernels as wide as in the sample. A share
    cannot be below zero, so an interval alone never says "no effect"; null_95 does: the 95 % quantile of the same
    number when values are shuffled between trials. Trials of an adaptive sampler are not exchangeable, so both are
    approximate: `survivors` looks at those drawn at random.
    """
    rng = np.random.default_rng(seed)
    values = trials.values()
    num_draws = num_draws or (FEW_DRAWS if values.size > MANY_TRIALS else NUM_DRAWS)
    resampled = trials.values(trials.drawn_targets(rng, num_draws)).T
    picked = rng.integers(values.size, size=(num_draws, values.size))
    drawn = np.nan_to_num(np.take_along_axis(resampled, picked, axis=1), nan=-np.inf)
    best_of: dict[bytes, Mask] = {}  # parameters of the same trials share the best among them
    rows = []
    for name in trials.parameters.columns:
        column = trials.parameters[name].to_numpy(dtype=np.float64)
        have, scale = np.isfinite(column), trials.scale(name)
        row: dict[str, Any] = {"parameter": name, "num_trials": int(have.sum()), "log": scale.log}
        row["choice"] = scale.choice
        if have.sum() >= MIN_TRIALS and np.unique(column[have]).size > 1:
            inside = np.where(have[picked], drawn, -np.inf)
            pattern = have.tobytes()
            if pattern not in best_of:
                best_of[pattern] = best_trials(inside, quantile=BEST_QUANTILE)
            best = best_trials(values[have], quantile=BEST_QUANTILE)
            cells, num_cells = _cells(column, have, scale)
            everywhere = np.bincount(cells[have], minlength=num_cells)
            top = np.bincount(cells[have][best], minlength=num_cells)
            draws = (
                _counts(cells[picked], np.isfinite(inside), num_cells),
                _counts(cells[picked], best_of[pattern], num_cells),
            )
            enough = draws[0].sum(axis=-1) > 1
            # shuffling values between trials draws the best among them without replacement
            chance = rng.multivariate_hypergeometric(everywhere, int(best.sum()), size=num_draws)
            if scale.choice:
                row["importance"] = float(choice_shares(everywhere, top))
                shares, null = choice_shares(*draws), choice_shares(everywhere, chance)
            else:
                widths = scott_bandwidths(everywhere), scott_bandwidths(top)
                row["importance"] = float(variance_shares(everywhere, top, widths))
                shares = variance_shares(*draws, widths)
                null = variance_shares(everywhere, chance)
            row["low"], row["high"] = (float(level) for level in np.quantile(shares[enough], [0.025, 0.975]))
            row["null_95"] = float(np.quantile(null, 0.95))
        rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "log", "choice"])
    return table.sort_values("importance", ascending=False, ignore_index=True)


def distinguishable(row: pd.Series[Any]) -> bool:
    """Whether a row of `importances` can be told apart from no effect: its whole interval lies above null_95."""
    return bool(row["low"] > row["null_95"])


def _cells(column: Floats, have: Mask, scale: Scale) -> tuple[Integers, int]:
    """The cell of each trial's value on the parameter's axis (0 where it has none), and the number of cells."""
    cells = np.zeros(column.size, dtype=np.int64)
    if scale.choice:
        choices, cells[have] = np.unique(column[have], return_inverse=True)
        return cells, choices.size
    cells[have] = grid_cells(column[have], log=scale.log)
    return cells, NUM_CELLS


def _counts(cells: Integers, counted: Mask, num_cells: int) -> Integers:
    """How many counted trials each draw has in each cell [draws, num_cells]."""
    places = cells + num_cells * np.arange(len(cells))[:, None]
    flat = np.bincount(places[counted], minlength=num_cells * len(cells))
    return flat.reshape(len(cells), num_cells)
