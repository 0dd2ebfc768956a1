from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from analysis.parameters.ped_anova import (
    NUM_CELLS,
    best_trials,
    choice_shares,
    densities,
    grid_cells,
    scott_bandwidths,
    variance_shares,
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
    share = share_of(grid_cells(values, log=log), best_trials(objective, quantile=QUANTILE))
    q = best_trials(objective, quantile=QUANTILE).mean()
    local_variance = optuna_importance(values, objective, log=log)
    assert share == pytest.approx(min(1, local_variance / (q * (1 - q))), rel=1e-6)


def counts(cells: np.ndarray, size: int = NUM_CELLS) -> np.ndarray:
    return np.bincount(cells, minlength=size)


def share_of(cells: np.ndarray, best: np.ndarray) -> float:
    return float(variance_shares(counts(cells), counts(cells[best])))


def test_a_choice_that_decides_alone_explains_nearly_everything_and_noise_little() -> None:
    rng = np.random.default_rng(0)
    cells = np.arange(600) % 3
    best = cells == 2
    assert 0.95 < choice_shares(counts(cells, 3), counts(cells[best], 3)) <= 1
    cells = rng.permutation(cells)
    assert choice_shares(counts(cells, 3), counts(cells[best], 3)) < 0.02


def test_a_parameter_that_decides_alone_explains_nearly_everything_and_noise_nothing() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(size=(2, 4000))
    best = best_trials(x, quantile=QUANTILE)
    assert 0.9 < share_of(grid_cells(x, log=False), best) <= 1
    assert share_of(grid_cells(noise, log=False), best) < 0.01


def test_many_samples_at_once_are_the_samples_one_by_one() -> None:
    rng = np.random.default_rng(0)
    samples = np.array([counts(rng.integers(NUM_CELLS, size=30)) for _ in range(5)])
    best = rng.binomial(samples, 0.3)
    together = variance_shares(samples, best)
    alone = [float(variance_shares(every, top)) for every, top in zip(samples, best, strict=True)]
    assert together.tolist() == pytest.approx(alone)
    widths = scott_bandwidths(samples[0]), scott_bandwidths(best[0])
    fixed = variance_shares(samples, best, widths)
    assert fixed.tolist() == pytest.approx(
        [float(variance_shares(every, top, widths)) for every, top in zip(samples, best, strict=True)]
    )


def test_a_sample_of_which_all_or_none_are_best_has_no_share() -> None:
    sample = counts(np.array([1, 2, 3]))
    assert variance_shares(sample, sample) == 0
    assert variance_shares(sample, np.zeros_like(sample)) == 0


def test_trials_that_are_not_in_a_draw_are_never_among_its_best() -> None:
    values = np.array([[3.0, 2.0, 1.0, -np.inf], [-np.inf, -np.inf, 5.0, 4.0], [-np.inf] * 4])
    best = best_trials(values, quantile=1 / 3)
    assert best.tolist() == [[True, False, False, False], [False, False, True, False], [False] * 4]


def test_a_density_sums_to_one() -> None:
    sample = counts(grid_cells(np.array([1.0, 2.0, 2.0, 9.0]), log=True))
    assert math.isclose(densities(sample, scott_bandwidths(sample)).sum(), 1, rel_tol=1e-6)
