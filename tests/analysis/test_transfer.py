from __future__ import annotations

import numpy as np
import pytest

from analysis.transfer import transfer_regret

DOMAINS = np.repeat(np.array(["art", "photo", "sketch"]), 4)
OFF = ~np.eye(3, dtype=bool)


def test_noise_has_no_expected_regret() -> None:
    rng = np.random.default_rng(0)
    means = [
        transfer_regret(rng.normal(size=(24, 12)), DOMAINS, num_splits=6, seed=seed).regret[OFF].mean()
        for seed in range(80)
    ]
    assert abs(np.mean(means)) < 3 * np.std(means, ddof=1) / len(means) ** 0.5


def test_a_domain_of_its_own_optimum_shows_regret_and_its_interval_excludes_zero() -> None:
    rng = np.random.default_rng(1)
    setting = np.linspace(0, 1, 24)
    optimum = {"art": 0.1, "photo": 0.9, "sketch": 0.1}
    values = np.stack([-9 * (setting - optimum[name]) ** 2 for name in DOMAINS], axis=1)
    transfer = transfer_regret(values + rng.normal(0, 0.3, values.shape), DOMAINS, seed=0)
    apart = np.array([[False, True, False], [True, False, True], [False, True, False]])
    assert (transfer.regret[apart] > 4).all()
    assert (transfer.low[apart] > 0).all()
    assert (transfer.low[~apart] <= 0).all()
    assert (transfer.high[~apart] >= 0).all()


def test_intervals_cover_the_expected_regret_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    hits = []
    for seed in range(100):
        transfer = transfer_regret(rng.normal(size=(12, 12)), DOMAINS, num_splits=6, seed=seed)
        hits.append(((transfer.low <= 0) & (transfer.high >= 0))[OFF].mean())
    assert np.mean(hits) >= 0.94


def test_the_diagonal_is_zero() -> None:
    transfer = transfer_regret(np.random.default_rng(3).normal(size=(5, 12)), DOMAINS, seed=0)
    assert not np.diag(transfer.regret).any()
    assert not np.diag(transfer.high).any()


def test_two_targets_give_a_regret_without_an_interval() -> None:
    transfer = transfer_regret(np.random.default_rng(4).normal(size=(5, 4)), np.array(["a", "a", "b", "b"]), seed=0)
    assert np.isfinite(transfer.regret).all()
    assert np.isnan(transfer.low[0, 1])


@pytest.mark.parametrize("domains", [["a", "a", "b"], ["a", "a", "a"]])
def test_too_few_targets_or_domains_are_refused(domains: list[str]) -> None:
    with pytest.raises(ValueError, match="two domains at least, two targets in each"):
        transfer_regret(np.zeros((2, 3)), np.array(domains), seed=0)
