"""What choosing without the private image gives up, where the truth is planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_ledger import Ledger, write_ledger

from analysis.choosing.agreement import BETWEEN, WITHIN, agreement, correlations
from analysis.choosing.criteria import OBSERVABLE, ORACLE, choices_by_criterion
from analysis.choosing.measured import Measured
from analysis.choosing.tested import overfit, prices
from analysis.load import load_results
from analysis.selection import main

DOMAINS = np.repeat(["art", "photo"], 8)
CHOOSE = {"steered": ["art"], "public": ["photo"], "seed": 0}


def planted(*, seen_is: float, seed: int = 0) -> Measured:
    """30 configs 3 dB apart in spread; what is seen is `seen_is` times what leaked, and noise."""
    rng = np.random.default_rng(seed)
    worth = np.append(0.0, rng.normal(0, 3, 29))
    leaked = worth[:, None] + rng.normal(0, 0.3, (30, 16))
    seen = seen_is * worth[:, None] + rng.normal(0, 0.3, (30, 16))
    return Measured(leaked, seen, np.arange(30), DOMAINS)


def test_a_loss_that_follows_leakage_costs_nothing() -> None:
    table = choices_by_criterion(planted(seen_is=1.0), **CHOOSE).set_index(["criterion", "domain"])
    assert abs(table.loc[(OBSERVABLE, "steered"), "regret"]) < 0.5


def test_a_loss_that_says_nothing_costs_what_a_blind_draw_costs() -> None:
    table = choices_by_criterion(planted(seen_is=0.0), **CHOOSE).set_index(["criterion", "domain"])
    assert table.loc[(OBSERVABLE, "steered"), "regret"] > 1.5


def test_the_oracle_gives_nothing_up_against_itself() -> None:
    table = choices_by_criterion(planted(seen_is=0.5), **CHOOSE)
    oracle = table[table["criterion"] == ORACLE]
    assert (oracle[["regret", "low", "high"]] == 0).all(axis=None)


@pytest.mark.parametrize(("seen_is", "low", "high"), [(1.0, 0.9, 1.0), (0.0, -0.3, 0.3), (-1.0, -1.0, -0.9)])
def test_rank_correlation_is_that_which_was_planted(seen_is: float, low: float, high: float) -> None:
    table = agreement(planted(seen_is=seen_is))
    for kind in (WITHIN, BETWEEN):
        found = table[(table["kind"] == kind) & (table["domain"] == "all")]["rank_correlation"].item()
        assert low <= found <= high


def test_columns_without_any_order_correlate_with_nothing() -> None:
    assert correlations(np.ones((5, 1)), np.arange(5.0)[:, None]).tolist() == [0.0]


def test_the_same_trial_chosen_twice_gives_nothing_up(tmp_path: Path) -> None:
    finalists = {"published": 0, "oracle": 7, "observable": 7}
    results = load_results(write_ledger(tmp_path / "study", Ledger(finalists=finalists)))
    same = prices(results).query("criterion == 'observable'")
    assert same["same"].all()
    assert (same["regret"] == 0).all()


def test_a_fixed_choice_is_not_overfit(tmp_path: Path) -> None:
    """The finalists of a synthetic ledger were named before any score was drawn."""
    results = load_results(write_ledger(tmp_path / "study", Ledger(tune_targets=16, test_targets=16)))
    found = overfit(results).query("domain == 'all'")
    assert ((found["low"] < 0.3) & (found["high"] > -0.3)).all()


def test_one_trial_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_ledger(tmp_path / "study", Ledger(num_trials=1, finalists=None))
    assert main([str(folder)]) == 2
    assert "continue the study with more trials" in capsys.readouterr().err


def test_public_images_are_those_of_what_the_generator_was_trained_on(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, Ledger())
    assert load_results(path).known_domains == ("photo",)
    plan = json.loads((path / "plan.json").read_text())
    (path / "plan.json").write_text(json.dumps(plan | {"own_task": {"in_distribution": ["sketch"]}}))
    assert load_results(path).known_domains == ("sketch",)
