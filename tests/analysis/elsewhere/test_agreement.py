from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.elsewhere.agreement import rank_agreement


def noisy(truth: dict[str, np.ndarray], *, num_targets: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = np.repeat(list(truth), num_targets)
    values = np.stack([truth[name] + rng.normal(0, noise, len(truth[name])) for name in names], axis=1)
    return values, names


def test_noise_lowers_the_correlation_and_the_correction_takes_it_back() -> None:
    settings = np.random.default_rng(0).normal(size=200)
    tables = [
        rank_agreement(*noisy({"a": settings, "b": settings}, num_targets=6, noise=1.5, seed=seed)).iloc[0]
        for seed in range(30)
    ]
    assert np.mean([row["correlation"] for row in tables]) < 0.75
    assert np.mean([row["corrected"] for row in tables]) == pytest.approx(1, abs=0.03)
    hits = [row["corrected_low"] <= 1 <= row["corrected_high"] for row in tables]
    assert np.mean(hits) >= 0.85


def test_domains_that_rank_differently_are_told_apart_from_noise() -> None:
    rng = np.random.default_rng(1)
    common, own = rng.normal(size=300), rng.normal(size=300)
    truth = {"a": common, "b": 0.5 * common + 0.75**0.5 * own}
    row = rank_agreement(*noisy(truth, num_targets=12, noise=1, seed=1)).iloc[0]
    expected = stats.spearmanr(truth["a"], truth["b"]).statistic
    assert row["corrected_low"] < expected < row["corrected_high"] < 1


def test_the_reliability_says_how_well_other_targets_repeat_the_mean() -> None:
    settings = np.random.default_rng(2).normal(size=1000)
    values, names = noisy({"a": settings, "b": settings}, num_targets=5, noise=1.5, seed=2)
    row = rank_agreement(values, names).iloc[0]
    again, _ = noisy({"a": settings, "b": settings}, num_targets=5, noise=1.5, seed=3)
    repeated = stats.spearmanr(values[:, :5].mean(axis=1), again[:, :5].mean(axis=1)).statistic
    assert row["reliability"] == pytest.approx(repeated, abs=0.04)


def test_the_correlation_is_spearmans_of_the_domains_means() -> None:
    values = np.random.default_rng(3).normal(size=(20, 7))
    row = rank_agreement(values, np.array(["a"] * 3 + ["b"] * 4)).iloc[0]
    expected = stats.spearmanr(values[:, :3].mean(axis=1), values[:, 3:].mean(axis=1)).statistic
    assert row["correlation"] == pytest.approx(expected)


def test_where_nothing_repeats_no_corrected_correlation_is_given() -> None:
    row = rank_agreement(np.random.default_rng(4).normal(size=(40, 8)), np.repeat(["a", "b"], 4)).iloc[0]
    assert np.isnan(row["corrected"])
    assert np.isfinite(row["correlation"])


def test_few_configs_or_targets_say_nothing() -> None:
    values = np.random.default_rng(5).normal(size=(20, 4))
    assert rank_agreement(values[:7], np.array(["a", "a", "b", "b"])).empty
    assert rank_agreement(values, np.array(["a", "b", "c", "d"])).empty
    assert np.isnan(rank_agreement(values, np.array(["a", "a", "b", "b"])).iloc[0]["low"])
