from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.comparisons import holm, probability_of_improvement, smallest_difference
from analysis.stats import mean_intervals

DOMAINS = np.repeat(np.arange(4), 8)


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_is_no_test_stays_none_and_costs_nothing() -> None:
    assert holm([0.02, None, float("nan"), 0.9])[[0, 3]] == pytest.approx([0.04, 0.9])
    assert np.isnan(holm([0.02, None, float("nan"), 0.9])[1:3]).all()
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_values_keep_their_order_and_lie_between_raw_and_bonferroni(p_values: list[float]) -> None:
    raw, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * raw.size) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_a_family_of_nulls_is_claimed_once_in_twenty_after_holm_and_mostly_before() -> None:
    rng = np.random.default_rng(0)
    families = [mean_intervals(rng.normal(size=(20, 32)), DOMAINS).p_value for _ in range(300)]
    assert np.mean([(holm(family) <= 0.05).any() for family in families]) <= 0.09
    assert np.mean([(family <= 0.05).any() for family in families]) > 0.5


def test_the_smallest_difference_is_found_four_times_in_five() -> None:
    rng, spreads = np.random.default_rng(1), np.repeat([0.5, 1.0, 1.5, 2.0], 4)
    many = rng.normal(size=(4, 10_000)) * np.array([[0.5], [1.0], [1.5], [2.0]])
    planned = smallest_difference(many.ravel(), np.repeat(np.arange(4), 10_000), per_stratum=4)
    found = mean_intervals(planned.value + rng.normal(size=(2000, 16)) * spreads, np.repeat(np.arange(4), 4))
    assert found.distinguishable.mean() == pytest.approx(0.8, abs=0.05)


def test_more_targets_show_smaller_differences_in_the_unit_of_the_values() -> None:
    values = np.random.default_rng(2).normal(size=32)
    sizes = [smallest_difference(values, DOMAINS, per_stratum=size).value for size in (4, 8, 32)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert smallest_difference(10 * values, DOMAINS).value == pytest.approx(10 * sizes[1])
    # four times as many targets: half the error, and a little more for the better known spread
    assert sizes[1] / sizes[2] == pytest.approx(2.05, abs=0.05)


def test_the_smallest_difference_is_a_sentence() -> None:
    values = np.random.default_rng(3).normal(size=16)
    planned = smallest_difference(values, np.repeat(np.arange(4), 4))
    assert planned.sentence("dB") == f"with 4 targets per domain, differences under {planned.value:.1f} dB are noise"


@pytest.mark.parametrize(("values", "per_stratum"), [([1.0], None), ([1.0, 2.0], 1), ([1.0, float("nan")], None)])
def test_no_difference_can_be_planned_from_a_single_target(values: list[float], per_stratum: int | None) -> None:
    with pytest.raises(ValueError, match="two finite values"):
        smallest_difference(values, per_stratum=per_stratum)


def test_ties_count_half() -> None:
    assert probability_of_improvement([1, 2, 3, 4], [0, 2, 3, 5]).mean == 0.5


def test_a_side_that_always_wins_keeps_an_interval_inside_the_scale() -> None:
    estimate = probability_of_improvement(np.ones(32), np.zeros(32), DOMAINS)
    assert estimate.low is not None
    assert (estimate.mean, estimate.high) == (1.0, 1.0)
    assert 0.85 < estimate.low < 0.95  # Wilson: 32 / (32 + 1.96 ** 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=8, max_size=8))
def test_turning_the_sides_around_turns_the_interval_around(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    one, other = probability_of_improvement(a, b, [0, 1] * 4), probability_of_improvement(b, a, [0, 1] * 4)
    assert one.low is not None
    assert other.high is not None
    assert (one.mean, one.low) == pytest.approx((1 - other.mean, 1 - other.high))
    assert 0 <= one.low <= one.mean <= 1
    assert one.p_value == pytest.approx(other.p_value)


def test_the_p_value_asks_whether_either_side_is_ahead() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        estimate = probability_of_improvement(rng.normal(0.3, 1, 32), np.zeros(32), DOMAINS)
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.p_value is not None
        assert (estimate.p_value < 0.05) == (estimate.low > 0.5 or estimate.high < 0.5)


def test_shares_that_differ_between_domains_are_covered() -> None:
    rng, chances = np.random.default_rng(5), np.repeat([0.95, 0.9, 0.5, 0.2], 8)
    hits = 0
    for _ in range(400):
        estimate = probability_of_improvement(rng.random(32) < chances, np.full(32, 0.5), DOMAINS)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= chances.mean() <= estimate.high
    assert 0.92 <= hits / 400 <= 0.98
