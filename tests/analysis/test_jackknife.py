from __future__ import annotations

import numpy as np
import pytest

from analysis.jackknife import jackknife
from analysis.stats import mean_interval


def test_of_a_stratified_mean_it_is_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=11)
    group = np.array([0] * 4 + [1] * 7)
    means = [np.mean([values[keep & (group == g)].mean() for g in (0, 1)]) for keep in _leave_each_out(11)]
    spread = jackknife(np.array(np.mean([values[group == g].mean() for g in (0, 1)])), np.array(means), group)
    expected = mean_interval(values, group)
    assert (spread.low, spread.high, spread.p_value) == pytest.approx((expected.low, expected.high, expected.p_value))


def test_targets_that_an_estimate_does_not_depend_on_change_nothing() -> None:
    rng = np.random.default_rng(1)
    without, group = rng.normal(size=5), np.zeros(5, dtype=np.int64)
    alone = jackknife(np.array(0.3), without, group)
    beside = jackknife(np.array(0.3), np.append(without, [0.3] * 4), np.append(group, [1] * 4))
    assert (beside.low, beside.high) == pytest.approx((alone.low, alone.high))


def test_an_estimate_that_no_target_moves_is_a_point() -> None:
    spread = jackknife(np.array([0.0, 2.0]), np.tile([0.0, 2.0], (4, 1)), np.zeros(4, dtype=np.int64))
    assert spread.low.tolist() == spread.high.tolist() == [0.0, 2.0]
    assert spread.p_value.tolist() == [1.0, 0.0]


def _leave_each_out(num: int) -> list[np.ndarray]:
    return [np.arange(num) != target for target in range(num)]
