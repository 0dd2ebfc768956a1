from __future__ import annotations

import numpy as np
import pytest

from analysis.crossing import Crossings, Rule, Worth, choose, cross
from analysis.elsewhere.leave_one_out import left_out_rules, left_out_table
from analysis.elsewhere.robust import MEAN, WORST, chosen_from_all, robust_rules, robust_table
from analysis.transfer import own_rules, worth_of

NAMES = ("art", "photo", "sketch")


def domains(num: int) -> np.ndarray:
    return np.repeat(np.array(NAMES), num)


def worth(values: np.ndarray, *, num_splits: int = 6, seed: int = 0) -> Worth:
    crossings = cross(domains(values.shape[1] // 3), num_splits=num_splits, seed=seed)
    return worth_of(values, crossings, [*left_out_rules(NAMES), *robust_rules(NAMES)])


def planted(means: list[list[float]], *, num: int = 8, noise: float = 0.2) -> np.ndarray:
    """Values of configs whose true means in each domain are the rows of `means`."""
    rng = np.random.default_rng(0)
    return np.repeat(np.array(means), num, axis=1) + rng.normal(0, noise, (len(means), 3 * num))


def test_who_chooses_does_not_value_and_halves_differ_by_one_at_most() -> None:
    crossings = cross(domains(5), num_splits=4, seed=0)
    assert set(crossings.sizes(crossings.choosing).ravel()) == {2, 3}
    assert (crossings.choosing[:4] == ~crossings.choosing[4:]).all()


def test_a_choice_without_a_target_is_the_choice_among_the_others() -> None:
    values = np.random.default_rng(1).normal(size=(9, 12))
    crossings = cross(domains(4), num_splits=3, seed=0)
    rules = [*own_rules(NAMES), *left_out_rules(NAMES), *robust_rules(NAMES)]
    fast = choose(values, crossings, rules).without
    for target in range(12):
        choosing = crossings.choosing.copy()
        choosing[:, target] = False
        slow = choose(values, Crossings(crossings.domains, crossings.group, choosing), rules).full
        assert (fast[target] == slow).all()


def test_a_worth_without_a_target_is_that_of_the_others() -> None:
    values = np.random.default_rng(2).normal(size=(7, 12))
    every = worth(values, num_splits=2)
    for target in (0, 5, 11):
        keep = np.arange(12) != target
        crossings = every.crossings
        fewer = Crossings(crossings.domains, crossings.group[keep], crossings.choosing[:, keep])
        again = worth_of(values[:, keep], fewer, every.rules[3:])
        np.testing.assert_allclose(every.gain_without[target], again.gain)
        np.testing.assert_allclose(every.regret_without[target], again.regret)


def test_choosing_without_a_domain_gives_up_what_only_that_domain_wants() -> None:
    values = planted([[0, 0, 0], [1, 1, -2], [0.5, 0.5, 1]])  # sketch wants the last, the others the second
    table = left_out_table(worth(values)).set_index("left_out")
    assert table.loc["sketch", "regret"] == pytest.approx(3, abs=0.3)
    assert table.loc["sketch", "low"] > 0
    assert table.loc["sketch", "gain"] == pytest.approx(-2, abs=0.3)
    assert table.loc["sketch", "own_gain"] == pytest.approx(1, abs=0.3)


def test_where_domains_agree_choosing_without_one_gives_up_nothing() -> None:
    table = left_out_table(worth(planted([[0, 0, 0], [2, 3, 1], [1, 1, 0]]))).set_index("left_out")
    assert (table["regret"] == 0).all()
    assert (table["high"] == 0).all()


def test_among_equal_configs_the_expected_regret_of_every_choice_for_many_is_zero() -> None:
    rng = np.random.default_rng(3)
    found = [worth(rng.normal(size=(20, 12)), seed=seed).regret[3:] for seed in range(80)]
    means = np.mean(found, axis=(1, 2))
    assert abs(means.mean()) < 3 * means.std(ddof=1) / len(means) ** 0.5


def test_the_robust_choice_is_the_best_in_its_worst_domain_and_its_price_is_told() -> None:
    values = planted([[0, 0, 0], [5, 5, -1], [1, 1, 1]])
    found = worth(values)
    trials = chosen_from_all(values, found, robust_rules(NAMES), [0, 14, 15])
    assert trials == {WORST: 15, MEAN: 14}
    table = robust_table(found, trials=trials)
    robust = table[table["choice"] == WORST].set_index("domain")
    assert robust["gain"].to_numpy() == pytest.approx([1, 1, 1], abs=0.3)
    assert robust["regret"].to_numpy() == pytest.approx([4, 4, 0], abs=0.4)
    mean = table[table["choice"] == MEAN].set_index("domain")
    assert mean["worst"].tolist() == [False, False, True]
    assert mean.loc["sketch", "regret"] == pytest.approx(2, abs=0.3)


def test_two_targets_in_a_domain_leave_no_interval_to_what_it_chose() -> None:
    names = np.array(["a"] * 2 + ["b"] * 4 + ["c"] * 4)
    values = np.random.default_rng(4).normal(size=(6, 10))
    found = worth_of(values, cross(names, num_splits=4, seed=0), ())
    low = found.spread(found.regret, found.regret_without).low
    assert np.isnan(low[0, 1])
    assert np.isnan(low[1, 0])
    assert np.isfinite(low[1, 2])


def test_a_rule_of_many_domains_combines_means_so_that_domains_count_alike() -> None:
    means = np.array([[[0.0, 3.0], [2.0, 0.0]]])  # one crossing, two domains, two configs
    assert Rule(name="mean", uses=(0, 1)).choose(means).tolist() == [1]
    assert Rule(name="worst", uses=(0, 1), combine=np.min).choose(means).tolist() == [0]
