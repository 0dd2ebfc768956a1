from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted_search import Columns, planted

from analysis.parameters.claims import claim_lines, surrogate_claims
from analysis.parameters.fanova import fanova_importances
from analysis.parameters.halves import fit_halves
from analysis.parameters.interactions import interactions
from analysis.parameters.partial_dependence import partial_dependence
from analysis.parameters.permutation import permutation_importances
from analysis.parameters.surrogate import fit_surrogate, skill
from analysis.parameters.tunability import likeness, tunability

EVERY = ["x", "y", "z", "idle", "on"]


def strong(columns: Columns) -> np.ndarray:
    return 4 * columns["x"]


def conditional(columns: Columns) -> np.ndarray:
    return np.where(columns["on"] == 1, 1.5 * np.log10(np.nan_to_num(columns["inner"], nan=1.0)) + 1.5, 0.0)


def product(columns: Columns) -> np.ndarray:
    return 12 * (columns["x"] - 0.5) * (columns["y"] - 0.5) + 2 * columns["z"]


def additive(columns: Columns) -> np.ndarray:
    return 4 * columns["x"] + 3 * np.sin(6 * columns["y"]) + 2 * columns["z"]


def test_an_effect_gives_skill_and_its_interval_holds_the_estimate() -> None:
    found = skill(fit_surrogate(planted(strong), seed=0))
    assert found.shown
    assert found.r2_low < found.r2 < found.r2_high < 1
    assert found.rank_low < found.rank < found.rank_high < 1
    assert found.random_rank is None


def test_the_rank_among_trials_at_random_is_told_apart() -> None:
    origins = np.where(np.arange(120) < 30, "random", "search")
    found = skill(fit_surrogate(planted(strong, origins=origins), seed=0))
    assert found.num_random == 30
    assert found.random_rank is not None
    assert found.random_rank > 0.7


def test_noise_hardly_ever_shows_skill() -> None:
    shown = [
        skill(fit_surrogate(planted(num_trials=60, seed=seed), seed=seed, num_draws=80)).shown for seed in range(20)
    ]
    assert sum(shown) <= 1


def test_without_skill_nothing_is_claimed_and_what_is_not_is_named() -> None:
    claims = surrogate_claims(planted(num_trials=60), seed=0)
    assert (claims.permutation, claims.dependence, claims.pairs, claims.tunable) == (None, None, None, None)
    (line,) = claim_lines(claims, "dB")
    assert "no skill shown" in line
    assert "interactions, tunability and permutation importance are not claimed" in line


def test_too_few_trials_for_a_surrogate_say_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"at least 20 searched trials.*there are 12 .*more trials"):
        fit_surrogate(planted(num_trials=12), seed=0)


def test_a_config_that_was_asked_twice_is_on_one_side_of_every_split() -> None:
    trials = planted(num_trials=60)
    twice = trials.only(np.repeat(np.arange(60), 2))
    surrogate = fit_surrogate(twice, seed=0)
    np.testing.assert_array_equal(surrogate.fold[::2], surrogate.fold[1::2])


@pytest.mark.parametrize(("effect", "name"), [(strong, "x"), (conditional, "inner")])
def test_a_planted_parameter_is_missed_most_and_idle_ones_are_not(effect: object, name: str) -> None:
    table = permutation_importances(fit_surrogate(planted(effect, num_trials=200), seed=0), seed=0)
    table = table.set_index("parameter")
    assert table.index[0] == name
    assert table.loc[name, "p_holm"] < 0.01
    assert table.loc[name, "low"] > 0.1
    assert table.loc["idle", "p_holm"] > 0.05


def test_idle_parameters_are_hardly_ever_claimed_beside_a_strong_one() -> None:
    claimed = 0
    for seed in range(8):
        surrogate = fit_surrogate(planted(strong, num_trials=80, seed=seed), seed=seed, num_draws=80)
        table = permutation_importances(surrogate, seed=seed).set_index("parameter")
        claimed += int((table.drop(index="x")["p_holm"] <= 0.05).any())
    assert claimed <= 1


def test_a_planted_product_stands_above_chance_and_nothing_beside_it() -> None:
    table = interactions(fit_surrogate(planted(product, num_trials=400), seed=0), EVERY, seed=0)
    assert set(table.loc[0, ["first", "second"]]) == {"x", "y"}
    assert table.loc[0, "low"] > table.loc[0, "null_95"]
    assert not (table["low"][1:] > table["null_95"][1:]).any()


def test_strong_effects_that_add_up_are_no_interaction() -> None:
    claimed = 0
    for seed in range(2):
        table = interactions(fit_surrogate(planted(additive, num_trials=250, seed=seed), seed=seed), EVERY, seed=seed)
        claimed += int((table["low"] > table["null_95"]).any())
    assert claimed == 0


def test_partial_dependence_follows_the_truth_within_its_interval() -> None:
    halves = fit_halves(fit_surrogate(planted(strong, num_trials=300), seed=0), seed=0)
    table = partial_dependence(halves, seed=0)
    curve = table[table["parameter"] == "x"]
    assert (np.diff(curve["effect"]) > 0).all()
    truth = 4 * (curve["value"] - curve["value"].mean())
    assert np.abs(curve["effect"] - truth).max() < 0.6
    idle = table[table["parameter"] == "idle"]
    assert idle["effect"].abs().max() < 0.15
    assert ((idle["low"] < 0) & (idle["high"] > 0)).mean() > 0.7


def test_partial_dependence_of_a_conditional_parameter_is_in_its_own_unit_and_of_its_own_trials() -> None:
    trials = planted(conditional, num_trials=200)
    table = partial_dependence(fit_halves(fit_surrogate(trials, seed=0), seed=0), seed=0)
    curve = table[table["parameter"] == "inner"]
    assert curve["value"].between(0.01, 1).all()
    assert set(curve["num_trials"]) == {trials.parameters["inner"].notna().sum()}
    assert curve["effect"].iloc[-1] - curve["effect"].iloc[0] > 1.5  # of 3 in truth: half the trials flatten


def test_tuning_the_parameter_that_matters_gains_what_it_does_and_no_other_gains() -> None:
    trials = planted(strong, num_trials=300, columns={"x": np.append(0.2, np.random.default_rng(1).uniform(size=299))})
    default = likeness(trials)
    assert default is not None
    assert default["x"] == 0.2
    table = tunability(fit_halves(fit_surrogate(trials, seed=0), seed=0), default).set_index("parameter")
    assert table.index[0] == "x"
    assert table.loc["x", "best"] > 0.85
    assert 2.2 < table.loc["x", "gain"] < 3.2  # 3.2 in truth
    assert table.loc["x", "low"] > 0
    assert not (table.drop(index="x")["low"] > 0).any()


def test_the_gain_of_tuning_what_is_idle_is_not_flattered() -> None:
    gains = []
    for seed in range(4):
        trials = planted(num_trials=80, noise=3.0, seed=seed)
        default = likeness(trials)
        assert default is not None
        gains += tunability(fit_halves(fit_surrogate(trials, seed=seed), seed=seed), default)["gain"].tolist()
    assert abs(np.mean(gains)) < 0.12  # choosing and valuing on the same forest would gain 0.3


def test_a_search_without_a_question_of_its_own_has_no_likeness() -> None:
    trials = planted(strong, origins=np.array(["random"] * 120))
    assert likeness(trials) is None
    claims = surrogate_claims(trials, seed=0)
    assert claims.tunable is None
    assert "tunability: not known" in claim_lines(claims, "dB")[-1]


def test_fanova_does_not_skip_conditional_parameters() -> None:
    shares = fanova_importances(planted(conditional, num_trials=200), seed=0)
    assert shares.idxmax() == "inner"
    assert shares["inner"] > 0.5
    assert shares["idle"] < 0.2


def test_fanova_says_nothing_of_a_parameter_that_few_trials_have() -> None:
    trials = planted(strong, num_trials=40)
    trials.parameters["y"] = pd.Series([0.1, 0.2, 0.3], index=[1, 2, 3]).reindex(trials.parameters.index)
    shares = fanova_importances(trials, seed=0)
    assert np.isnan(shares["y"])
    assert shares.idxmax() == "x"
