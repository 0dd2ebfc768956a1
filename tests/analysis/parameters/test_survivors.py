from __future__ import annotations

import numpy as np
import pytest
from planted_search import Columns, planted

from analysis.parameters.importance import distinguishable, importances
from analysis.parameters.searched import SearchedTrials
from analysis.parameters.survivors import beside_random, random_importances, random_verdict


def x_decides(columns: Columns) -> np.ndarray:
    return -8 * (columns["x"] - 0.9) ** 2


def survivors(seed: int, num_random: int = 60) -> SearchedTrials:
    """A sampler that came to rest where x is best, and drifted in `idle` all the while."""
    rng = np.random.default_rng(seed)
    count = 240
    at_random = np.arange(count) < num_random
    late = np.linspace(0, 1, count)
    columns = {
        "x": np.where(at_random, rng.uniform(size=count), np.clip(0.9 * late + rng.normal(0, 0.03, count), 0, 1)),
        "idle": np.where(at_random, rng.uniform(size=count), np.clip(late + rng.normal(0, 0.05, count), 0, 1)),
    }
    origins = np.where(at_random, "random", "search")
    return planted(x_decides, num_trials=count, columns=columns, origins=origins, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_an_idle_parameter_that_drifted_with_success_is_not_confirmed_at_random(seed: int) -> None:
    trials = survivors(seed)
    table = beside_random(importances(trials, seed=0), random_importances(trials, seed=0)).set_index("parameter")
    assert distinguishable(table.loc["idle"])  # what all trials claim
    assert random_verdict(table.loc["idle"], 60) == "not confirmed by the 60 trials at random"
    assert random_verdict(table.loc["x"], 60) == "confirmed by the 60 trials at random"


def test_too_few_trials_at_random_are_counted_and_confirm_nothing() -> None:
    trials = survivors(0, num_random=4)
    assert random_importances(trials, seed=0) is None
    table = beside_random(importances(trials, seed=0), None)
    assert random_verdict(table.iloc[0], 4) == "4 trials at random, too few to check the sampler's focus"
    assert table["random_importance"].isna().all()
