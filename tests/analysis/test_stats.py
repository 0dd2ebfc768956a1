from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.stats import Estimate, mean_interval, target_means


def test_one_stratum_gives_the_textbook_t_interval() -> None:
    values = np.array([1.0, 2.0, 4.0, 7.0])
    estimate = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((3.5, low, high))
    assert estimate.num_targets == 4


def test_two_strata_follow_welch_and_count_alike() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 5), rng.normal(3, 4, 9)
    estimate = mean_interval(np.append(first, second), ["a"] * 5 + ["b"] * 9)
    # half the sum of two means is half a Welch difference with one sign turned
    welch = stats.ttest_ind(first, -second, equal_var=False).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((welch.low / 2, welch.high / 2))


def test_intervals_cover_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    domains, means = np.repeat(np.arange(4), 8), np.array([0.0, 1.0, 2.0, 5.0])
    hits = 0
    for _ in range(400):
        values = means[domains] + rng.normal(0, 1, 32) * (1 + domains)
        estimate = mean_interval(values, domains)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= 2.0 <= estimate.high
    assert 0.92 <= hits / 400 <= 0.98


def test_a_stratum_of_one_target_has_no_interval_and_says_so() -> None:
    estimate = mean_interval([1.0, 2.0, 3.0], ["a", "a", "b"])
    assert (estimate.low, estimate.high, estimate.distinguishable) == (None, None, False)
    assert "no interval" in estimate.describe("dB")


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_values_that_have_no_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one target"):
        mean_interval(values)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 2.0, True), (-0.1, 2.0, False), (-2.0, -0.1, True), (0.0, 0.0, False)]
)
def test_distinguishable_means_the_interval_excludes_zero(low: float, high: float, expected: bool) -> None:
    assert Estimate(1.0, low, high, 8).distinguishable is expected


def test_an_estimate_is_told_with_unit_and_level() -> None:
    assert Estimate(2.41, 1.66, 3.14, 24).describe("dB") == "2.4 dB (95 % interval 1.7 to 3.1)"
    assert Estimate(-0.01, -1.0, 0.99, 24).brief("dB") == "0.0 dB (-1.0 to 1.0)"
    assert -Estimate(2.0, 1.0, 4.0, 3) == Estimate(-2.0, -4.0, -1.0, 3)


def test_seeds_are_averaged_within_their_target_and_failures_left_out() -> None:
    frame = pd.DataFrame(
        {"phase": "test", "trial": 1, "domain": "art", "target_id": ["a", "a", "b", "b"], "psnr_db": [1, 3, 5, None]}
    )
    assert target_means(frame, "psnr_db")["psnr_db"].tolist() == [2.0, 5.0]
