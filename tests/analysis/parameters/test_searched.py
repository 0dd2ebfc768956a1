from __future__ import annotations

import numpy as np
import pytest
from planted_search import DOMAINS, planted


def test_a_value_is_the_mean_of_domain_means_and_leaves_out_what_is_unknown() -> None:
    trials = planted(num_trials=3)
    trials.improvement[:] = np.nan
    trials.improvement[0, :5] = [1, 1, 1, 5, 4]  # art 2, cartoon 4
    trials.improvement[1, 11] = 7
    assert trials.values()[:2].tolist() == [3, 7]
    assert np.isnan(trials.values()[2])


def test_weights_of_many_draws_are_the_weights_one_by_one() -> None:
    trials = planted(num_trials=20)
    trials.improvement[3, :6] = np.nan
    weights = trials.drawn_targets(np.random.default_rng(0), 9)
    alone = np.column_stack([trials.values(weight) for weight in weights.T])
    np.testing.assert_allclose(trials.values(weights), alone)


def test_targets_are_drawn_within_their_domain() -> None:
    weights = planted().drawn_targets(np.random.default_rng(0), 50)
    for domain in np.unique(DOMAINS):
        assert (weights[domain == DOMAINS].sum(axis=0) == 4).all()


def test_within_a_domain_only_its_targets_count_and_trials_without_any_are_left_out() -> None:
    trials = planted(num_trials=10)
    trials.improvement[4, DOMAINS == "art"] = np.nan
    art = trials.within(["art"])
    assert art.parameters.index.tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert art.values()[0] == pytest.approx(trials.improvement[0, :4].mean())


def test_half_of_a_sample_is_drawn_from_the_trials_at_random() -> None:
    origins = np.array(["random"] * 60 + ["search"] * 340)
    sample = planted(num_trials=400, origins=origins).sample(100, np.random.default_rng(0))
    assert len(sample.parameters) == 100
    assert sample.at_random.sum() == 50
    few = planted(num_trials=400, origins=np.roll(origins, 7)).only(np.arange(30, 400))
    assert few.sample(100, np.random.default_rng(0)).at_random.sum() == few.at_random.sum() == 37
