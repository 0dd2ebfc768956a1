from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.curves import apportion, geometric

positive = st.floats(1e-4, 1e4)


@given(positive, positive, st.integers(2, 9))
def test_a_geometric_curve_runs_from_first_to_last_by_equal_factors(first: float, last: float, count: int) -> None:
    values = geometric(first, last, count)
    assert len(values) == count
    assert values[0] == first
    assert values[-1] == pytest.approx(last, rel=1e-12)
    factor = (last / first) ** (1 / (count - 1))
    assert all(after / before == pytest.approx(factor, rel=1e-9) for before, after in pairwise(values))


def test_a_curve_of_one_is_its_first_value() -> None:
    assert geometric(0.3, 9.0, 1) == [0.3]


@given(st.integers(0, 5000), st.lists(positive, min_size=1, max_size=9), st.integers(0, 5))
def test_parts_make_up_the_whole_and_stay_within_one_of_their_share(
    free: int, weights: list[float], least: int
) -> None:
    total = free + least * len(weights)
    parts = apportion(total, weights, least=least)
    assert sum(parts) == total
    assert min(parts) >= least
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - least - free * weight / math.fsum(weights)) < 1 + 1e-6


@given(st.integers(0, 500), st.lists(positive, min_size=2, max_size=6))
def test_a_larger_weight_never_gets_less(free: int, weights: list[float]) -> None:
    parts = apportion(free + 2 * len(weights), weights, least=2)
    by_weight = [part for _, part in sorted(zip(weights, parts, strict=True))]
    assert by_weight == sorted(by_weight)


@pytest.mark.parametrize(
    ("total", "weights", "least", "parts"),
    [
        (12, [1, 1, 1], 2, [4, 4, 4]),
        (13, [1, 1, 1], 2, [5, 4, 4]),
        (6, [1, 100, 1], 2, [2, 2, 2]),
        (24, [1, 2, 3], 0, [4, 8, 12]),
        (10, [1, 1, 1.5], 0, [3, 3, 4]),
    ],
)
def test_known_parts(total: int, weights: list[float], least: int, parts: list[int]) -> None:
    assert apportion(total, weights, least=least) == parts


def test_a_total_that_is_too_small_is_refused_with_the_least() -> None:
    with pytest.raises(ValueError, match="3 stages need a budget >= 6 each restart, got 5"):
        apportion(5, [1, 1, 1], least=2)
