from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.elsewhere.mantel import mantel


def symmetric(num: int, seed: int) -> np.ndarray:
    half = np.triu(np.random.default_rng(seed).random((num, num)), 1)
    return half + half.T


def test_every_order_of_the_names_is_tried_once() -> None:
    one, other = symmetric(5, 0), symmetric(5, 1)
    upper = np.triu_indices(5, 1)
    found = [
        stats.spearmanr(one[upper], other[np.ix_(order, order)][upper]).statistic
        for order in itertools.permutations(range(5))
    ]
    result = mantel(one, other)
    assert result is not None
    assert result.correlation == pytest.approx(found[0])
    assert result.p_value == pytest.approx(np.mean(np.array(found) >= found[0] - 1e-9))


def test_four_things_in_perfect_order_reach_one_in_twenty_four() -> None:
    one = symmetric(4, 2)
    result = mantel(one, one**3)
    assert result is not None
    assert (result.correlation, result.num_pairs) == (pytest.approx(1), 6)
    assert result.p_value == result.least_p_value == pytest.approx(1 / 24)


def test_under_the_null_p_values_are_no_smaller_than_uniform() -> None:
    results = [mantel(symmetric(4, seed), symmetric(4, seed + 5000)) for seed in range(600)]
    p_values = np.array([result.p_value for result in results if result is not None])
    for level in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(p_values <= level) <= level + 3 * (level * (1 - level) / 600) ** 0.5


@pytest.mark.parametrize("num", [2, 9])
def test_too_few_or_too_many_things_are_not_tested(num: int) -> None:
    assert mantel(symmetric(num, 0), symmetric(num, 1)) is None


def test_pairs_without_difference_or_without_value_are_not_tested() -> None:
    one = symmetric(4, 0)
    assert mantel(one, np.ones((4, 4))) is None
    assert mantel(one, np.where(np.eye(4) == 1, 0, np.nan)) is None
