from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_ledger import Ledger, Params, write_ledger

from analysis.load import load_results
from analysis.parameters.importance import distinguishable, importances
from analysis.parameters.searched import searched_trials


def lr_matters(params: Params, domain: str) -> float:
    return 3 - 2 * (math.log10(params["lr_io"]) + 1) ** 2


def radius_matters(params: Params, domain: str) -> float:
    return 3 - 2 * abs(math.log10(params.get("feature_radius", 1000)) - 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_parameter_ranks_first_and_is_told_apart(tmp_path: Path, seed: int) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(effect=lr_matters, num_trials=40, seed=seed)))
    table = importances(searched_trials(results), num_draws=60, seed=0)
    assert table["parameter"].iloc[0] == "lr_io"
    assert distinguishable(table.iloc[0])


def test_a_planted_conditional_parameter_ranks_first_among_the_trials_that_have_it(tmp_path: Path) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(effect=radius_matters, num_trials=60)))
    trials = searched_trials(results)
    first = importances(trials, num_draws=60, seed=0).iloc[0]
    assert first["parameter"] == "feature_radius"
    assert first["num_trials"] == trials.parameters["feature_radius"].notna().sum() < 59


def test_noise_is_hardly_ever_told_apart_from_no_effect(tmp_path: Path) -> None:
    found = tested = 0
    for seed in range(12):
        results = load_results(write_ledger(tmp_path / str(seed), Ledger(seed=seed, finalists=None)))
        table = importances(searched_trials(results), num_draws=40, seed=seed)
        found += sum(distinguishable(row) for _, row in table.iterrows())
        tested += len(table)
    assert tested >= 80
    assert found / tested <= 0.05


def test_a_parameter_of_too_few_trials_has_no_importance(tmp_path: Path) -> None:
    trials = searched_trials(load_results(write_ledger(tmp_path, Ledger(num_trials=12))))
    column = trials.parameters["warmup"].copy()
    column.iloc[5:] = np.nan
    trials.parameters["warmup"] = column
    row = importances(trials, num_draws=5, seed=0).set_index("parameter").loc["warmup"]
    assert row["num_trials"] == 5
    assert np.isnan(row["importance"])
    assert not distinguishable(row)


def test_trials_are_valued_on_the_domains_that_steered_the_search(tmp_path: Path) -> None:
    trials = searched_trials(load_results(write_ledger(tmp_path, Ledger(num_trials=10))))
    assert set(trials.domains) == {"art", "cartoon", "sketch"}


def test_a_search_of_too_few_trials_says_what_to_do(tmp_path: Path) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(num_trials=4, finalists=None)))
    with pytest.raises(ValueError, match=r"at least 6 searched trials.*holds 3.*more trials"):
        searched_trials(results)
