from __future__ import annotations

import numpy as np
import pytest

from analysis.crossfit import cross_fit

DOMAINS = np.repeat(np.arange(4), 4)


def test_configs_that_are_alike_gain_nothing_by_being_chosen() -> None:
    rng = np.random.default_rng(0)
    fits = [cross_fit(rng.normal(size=(50, 16)), DOMAINS, seed=repetition) for repetition in range(60)]
    assert abs(np.mean([fit.estimate.mean for fit in fits])) < 0.1
    assert np.mean([fit.in_sample for fit in fits]) > 0.4
    assert np.mean([fit.estimate.distinguishable for fit in fits]) <= 0.1


def test_a_clear_best_is_worth_what_its_rows_say() -> None:
    values = np.random.default_rng(1).normal(size=(10, 16))
    values[3] += 10
    fit = cross_fit(values, DOMAINS, seed=0)
    assert (fit.best, fit.shares[3]) == (3, 1.0)
    assert fit.estimate.mean == pytest.approx(values[3].mean())
    assert fit.optimism == pytest.approx(0)


def test_one_config_leaves_no_choice() -> None:
    values = np.random.default_rng(2).normal(1, 1, (1, 16))
    fit = cross_fit(values, DOMAINS, num_draws=2000, seed=0)
    spread = np.mean([values[0, domain == DOMAINS].var(ddof=1) for domain in range(4)])
    assert fit.estimate.low is not None
    assert fit.estimate.mean == pytest.approx(values.mean())
    half = fit.estimate.mean - fit.estimate.low
    assert half == pytest.approx(2.2 * (spread / 16) ** 0.5, rel=0.15)


def test_the_interval_covers_what_a_choice_from_half_of_the_targets_is_worth() -> None:
    rng = np.random.default_rng(3)
    worth = rng.normal(0, 0.3, 12)

    def study(num_targets: int) -> np.ndarray:
        return worth[:, None] + rng.normal(size=(12, num_targets))

    truth = np.mean([worth[study(16).mean(axis=1).argmax()] for _ in range(4000)])
    hits = 0
    for repetition in range(150):
        estimate = cross_fit(study(32), np.repeat(np.arange(4), 8), num_draws=100, seed=repetition).estimate
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= truth <= estimate.high
    assert 0.89 <= hits / 150 <= 0.99


def test_halves_never_share_a_target() -> None:
    values = np.eye(8)  # every config is good on one target only, so its choice is worth nothing elsewhere
    fit = cross_fit(values, np.repeat([0, 1], 4), seed=0)
    assert fit.estimate.mean == 0
    assert fit.in_sample > 0


def test_domains_of_odd_and_unequal_sizes_are_split() -> None:
    values = np.random.default_rng(4).normal(size=(5, 12))
    fit = cross_fit(values, ["a"] * 3 + ["b"] * 9, seed=0)
    assert fit.estimate.low is not None
    assert fit.shares.sum() == pytest.approx(1)


def test_the_same_seed_gives_the_same_answer() -> None:
    values = np.random.default_rng(5).normal(size=(5, 16))
    assert cross_fit(values, DOMAINS, seed=1).estimate == cross_fit(values, DOMAINS, seed=1).estimate
    assert cross_fit(values, DOMAINS, seed=1).estimate != cross_fit(values, DOMAINS, seed=2).estimate


@pytest.mark.parametrize("values", [np.ones((2, 3)), np.full((2, 4), np.nan), np.ones((0, 4))])
def test_a_choice_that_cannot_be_crossed_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two targets in every stratum"):
        cross_fit(values, [0, 0, 1, 1][: values.shape[1]], seed=0)
