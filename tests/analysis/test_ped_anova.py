from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from analysis.ped_anova import (
    bandwidths,
    best_trials,
    categorical_variance_share,
    density,
    grid_cells,
    variance_share,
)

QUANTILE = 1 / 3


def optuna_importance(values: np.ndarray, objective: np.ndarray, *, log: bool) -> float:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distribution = FloatDistribution(float(values.min()), float(values.max()), log=log)
    study.add_trials(
        [
            create_trial(params={"x": float(x)}, distributions={"x": distribution}, value=float(y))
            for x, y in zip(values, objective, strict=True)
        ]
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=QUANTILE, region_quantile=1.0, evaluate_on_local=True)
    return evaluator.evaluate(study)["x"]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("num_trials", [6, 13, 24, 70])
@pytest.mark.parametrize("levels", [3, None])
def test_importance_equals_optunas(log: bool, num_trials: int, levels: int | None) -> None:
    rng = np.random.default_rng(num_trials)
    values = np.exp(rng.uniform(0, 5, num_trials)) if levels is None else 1.0 + np.arange(num_trials) % levels
    objective = np.log(values) + rng.normal(size=num_trials)
    best = best_trials(objective, quantile=QUANTILE)
    share = variance_share(grid_cells(values, log=log), best)
    q = best.mean()
    assert share * q * (1 - q) == pytest.approx(optuna_importance(values, objective, log=log), rel=1e-6)


def test_a_choice_that_decides_alone_explains_nearly_everything_and_noise_little() -> None:
    rng = np.random.default_rng(0)
    cells = np.arange(600) % 3
    best = cells == 2
    assert 0.95 < categorical_variance_share(cells, best, 3) <= 1
    assert categorical_variance_share(rng.permutation(cells), best, 3) < 0.02


def test_a_parameter_that_decides_alone_explains_nearly_everything_and_noise_nothing() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(size=(2, 4000))
    best = best_trials(x, quantile=QUANTILE)
    assert 0.9 < variance_share(grid_cells(x, log=False), best) <= 1
    assert variance_share(grid_cells(noise, log=False), best) < 0.01


def test_a_density_sums_to_one() -> None:
    cells = grid_cells(np.array([1.0, 2.0, 2.0, 9.0]), log=True)
    width, _ = bandwidths(cells, np.array([True, True, False, False]))
    assert math.isclose(density(cells, width).sum(), 1, rel_tol=1e-6)
