from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.stats import Estimate, iqm_interval, mean_interval, mean_intervals, target_means


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


def test_the_p_value_is_that_of_the_interval() -> None:
    values = np.random.default_rng(2).normal(0.4, 1, 12)
    assert mean_interval(values).p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    at_the_edge = values - mean_interval(values).low
    assert mean_interval(at_the_edge).p_value == pytest.approx(0.05)
    assert (-mean_interval(values)).p_value == mean_interval(values).p_value


@pytest.mark.parametrize(("value", "p_value"), [(0.0, 1.0), (0.5, 0.0)])
def test_targets_that_all_agree_leave_no_doubt(value: float, p_value: float) -> None:
    estimate = mean_interval([value] * 4)
    assert (estimate.low, estimate.high, estimate.p_value) == (value, value, p_value)


def test_a_mean_without_an_interval_has_no_p_value() -> None:
    assert mean_interval([1.0]).p_value is None


def test_many_rows_at_once_are_the_rows_one_by_one() -> None:
    rng = np.random.default_rng(3)
    values, domains = rng.normal(size=(5, 12)), np.repeat(["a", "b", "c"], 4)
    values[1, :3], values[2, :4] = np.nan, np.nan  # one target left of a domain, and none
    many = mean_intervals(values, domains)
    for row, estimate in zip(values, (many[place] for place in range(len(many))), strict=True):
        known = np.isfinite(row)
        alone = mean_interval(row[known], domains[known])
        assert (estimate.low is None) == (alone.low is None)
        assert estimate.num_targets == alone.num_targets
        assert estimate.mean == pytest.approx(alone.mean)
        if alone.low is not None:
            assert (estimate.low, estimate.high, estimate.p_value) == pytest.approx(
                (alone.low, alone.high, alone.p_value)
            )
    assert list(many.distinguishable) == [many[place].distinguishable for place in range(5)]


def test_a_row_without_any_target_is_named() -> None:
    with pytest.raises(ValueError, match="row 1 has none"):
        mean_intervals(np.array([[1.0, 2.0], [np.nan, np.nan]]))


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    values = np.arange(16.0)
    assert iqm_interval(values).mean == pytest.approx(stats.trim_mean(values, 0.25))
    assert iqm_interval([0.0, 1.0, 2.0, 3.0, 4.0, 100.0]).mean == pytest.approx((0.5 * 1 + 2 + 3 + 0.5 * 4) / 3)


def test_a_wild_target_does_not_move_the_interquartile_mean() -> None:
    values = np.random.default_rng(4).normal(size=32)
    wild = np.where(np.arange(32) == values.argmax(), 1000.0, values)
    domains = np.repeat(np.arange(4), 8)
    assert iqm_interval(wild, domains) == iqm_interval(values, domains)
    assert mean_interval(wild, domains).mean > 10


def test_the_interquartile_mean_lets_domains_count_alike() -> None:
    few, many = np.full(4, 1.0), np.full(40, 3.0)
    values = np.concatenate([few, many]) + np.linspace(-0.1, 0.1, 44)
    assert iqm_interval(values, np.repeat(["few", "many"], [4, 40])).mean == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(("num_targets", "strata"), [(3, None), (5, ["a", "a", "a", "a", "b"])])
def test_too_few_targets_give_no_interval_of_the_interquartile_mean(num_targets: int, strata: list[str] | None) -> None:
    estimate = iqm_interval(np.arange(float(num_targets)), strata)
    assert (estimate.low, estimate.p_value) == (None, None)


def test_interquartile_intervals_cover_with_four_targets_a_domain() -> None:
    rng, domains = np.random.default_rng(5), np.repeat(np.arange(4), 4)
    truth = float(stats.trim_mean(rng.standard_t(3, 400_000) * np.tile([0.5, 1, 1.5, 2], 100_000), 0.25))
    hits = 0
    for _ in range(300):
        estimate = iqm_interval(rng.standard_t(3, 16) * np.repeat([0.5, 1, 1.5, 2], 4), domains)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= truth <= estimate.high
    assert 0.92 <= hits / 300 <= 0.99
