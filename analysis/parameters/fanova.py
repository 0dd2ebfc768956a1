"""Optuna's fANOVA (Hutter, Hoos and Leyton-Brown, 2014) where parameters are conditional: a second opinion."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.parameters.searched import MIN_TRIALS, Integers, SearchedTrials

MAX_TRIALS = 120  # of those that share a structure: at 400 one evaluation takes seconds, at 2,000 minutes
NUM_TREES = 16


def fanova_importances(trials: SearchedTrials, *, seed: int) -> pd.Series[float]:
    """The share of a forest's variance that each parameter explains alone, by name; NaN where it cannot be said.

    Optuna's evaluator drops trials that lack any parameter, which leaves none of a conditional space. So each
    parameter is evaluated among the trials that have it, together with every parameter that all of these have,
    MAX_TRIALS of them at most (drawn by `seed`). Shares within the trials of one structure are at most 1 together.
    It has no interval, and forests give shares to parameters without effect: no claim rests on it.
    """
    rng = np.random.default_rng(seed)
    have = trials.parameters.notna()
    shares = pd.Series(np.nan, index=trials.parameters.columns)
    patterns: dict[bytes, list[str]] = {}
    for name in trials.parameters.columns:
        patterns.setdefault(have[name].to_numpy().tobytes(), []).append(name)
    for pattern, members in patterns.items():
        there = np.flatnonzero(np.frombuffer(pattern, dtype=bool))
        if there.size >= MIN_TRIALS:
            evaluated = _evaluate(trials, rng.permutation(there)[:MAX_TRIALS], seed)
            for name in members:
                shares[name] = evaluated.get(name, np.nan)
    return shares


def _evaluate(trials: SearchedTrials, rows: Integers, seed: int) -> dict[str, float]:
    """Optuna's shares among trials `rows`, of all parameters that each of these has in differing values."""
    import optuna  # after the search has begun to be read: it takes most of a second
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    parameters, values = trials.parameters.iloc[rows].dropna(axis="columns"), trials.values()[rows]
    parameters = parameters.loc[:, parameters.nunique() > 1]
    if parameters.empty or np.ptp(values) == 0:
        return {}
    distributions: dict[str, BaseDistribution] = {}
    for name, column in parameters.items():
        scale = trials.scale(str(name))
        if scale.choice:
            distributions[str(name)] = CategoricalDistribution(sorted(column.unique()))
        else:
            distributions[str(name)] = FloatDistribution(column.min(), column.max(), log=scale.log)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(
            [
                create_trial(
                    params=dict(zip(distributions, params, strict=True)),
                    distributions=distributions,
                    value=float(value),
                )
                for params, value in zip(parameters.itertuples(index=False), values, strict=True)
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=NUM_TREES, seed=seed)
        return dict(evaluator.evaluate(study))
    finally:
        optuna.logging.set_verbosity(verbosity)
