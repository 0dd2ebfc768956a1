"""Every walk through every space: what any answers lead to."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.tasks import PORTRAITS
from search_spaces.base import Draw, Frozen, Space
from search_spaces.methods.gifd import LEAST_EVALUATIONS, WORTHWHILE_EVALUATIONS, restart_options
from search_spaces.published import published_scaled
from search_spaces.registry import SPACES, get_space

SHAPES = {
    "portraits": PORTRAITS.generator_shape,
    "one layer": GeneratorShape(feature_scalars=(0,), latent_scalars=16),
    "two layers": GeneratorShape(feature_scalars=(0, 64), latent_scalars=32),
    "nine layers": GeneratorShape(feature_scalars=(0, *(64 * 4**layer for layer in range(8))), latent_scalars=9216),
}
BUDGETS = (48, 101, 600)
WALKS = 300

Walk = tuple[GeneratorShape, int, dict[str, float], AttackConfig]


@pytest.fixture(scope="module", params=SPACES)
def space(request: pytest.FixtureRequest) -> Space:
    return get_space(request.param)


@pytest.fixture(scope="module")
def walks(space: Space) -> list[Walk]:
    """300 random walks, through every shape and budget in turn."""
    kinds = [(shape, budget) for shape in SHAPES.values() for budget in BUDGETS]
    taken = []
    for index in range(WALKS):
        shape, budget = kinds[index % len(kinds)]
        ask = Draw(random.Random(10_000 + index))
        config = space.suggest(ask, shape, budget=budget)
        taken.append((shape, budget, ask.params, config))
    return taken


def test_a_config_spends_exactly_the_budget(walks: list[Walk]) -> None:
    for _, budget, _, config in walks:
        assert config.gradient_evaluations == budget


def test_a_config_fits_the_generator_and_goes_forward_from_the_latent(walks: list[Walk]) -> None:
    for shape, _, _, config in walks:
        config.check_fits(shape)
        assert config.stages[0].layer == 0
        assert all(before.layer < after.layer for before, after in pairwise(config.stages))


def test_stored_parameters_give_the_very_same_config(space: Space, walks: list[Walk]) -> None:
    for shape, budget, params, config in walks:
        stored = json.loads(json.dumps({name: float(value) for name, value in params.items()}))
        assert space.configure(stored, shape, budget=budget) == config


def test_no_name_holds_a_slash(walks: list[Walk]) -> None:
    assert not [name for _, _, params, _ in walks for name in params if "/" in name]


def test_ranges_know_every_name_and_hold_every_answer(space: Space, walks: list[Walk]) -> None:
    for name, shape in SHAPES.items():
        for budget in BUDGETS:
            ranges = space.ranges(shape, budget=budget)
            own = [params for s, b, params, _ in walks if s is shape and b == budget]
            assert own, name
            for params in own:
                assert all(value in ranges[asked] for asked, value in params.items())


def test_every_layer_ball_and_number_of_restarts_is_within_reach(space: Space) -> None:
    shape = PORTRAITS.generator_shape
    configs = [space.suggest(Draw(random.Random(seed)), shape, budget=600) for seed in range(WALKS)]
    schedules = {tuple(stage.layer for stage in config.stages) for config in configs}
    assert schedules == {(0,), (0, 1), (0, 2), (0, 1, 2), (0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)}
    assert {config.restarts for config in configs} == {1, 2, 3, 4}
    last = [config.stages[-1] for config in configs if len(config.stages) > 1]
    for kind in ("feature_radius", "latent_radius", "noise_radius"):
        assert {getattr(stage, kind) is None for stage in last} == {True, False}


def test_only_stages_with_a_feature_have_a_feature_ball(walks: list[Walk]) -> None:
    for _, _, params, config in walks:
        assert config.stages[0].feature_radius is None
        for stage in config.stages[1:]:
            assert (stage.feature_radius is not None) == bool(params["balls"])


def test_balls_are_relative_so_that_they_mean_the_same_for_any_width(walks: list[Walk]) -> None:
    balls = [
        ball
        for _, _, _, config in walks
        for stage in config.stages
        for ball in (stage.feature_radius, stage.latent_radius, stage.noise_radius)
        if ball is not None
    ]
    assert balls
    assert all(ball.relative for ball in balls)


def test_the_schedule_runs_from_the_first_learning_rate_to_the_last(walks: list[Walk]) -> None:
    for _, _, params, config in walks:
        rates = [stage.lr for stage in config.stages]
        assert rates[0] == params["lr_first"]
        assert rates[-1] == pytest.approx(params.get("lr_last", params["lr_first"]))
        assert rates in (sorted(rates), sorted(rates, reverse=True))


def test_the_tilt_says_which_end_of_the_schedule_gets_more_steps(walks: list[Walk]) -> None:
    for _, _, params, config in walks:
        steps = [stage.steps for stage in config.stages]
        if params.get("steps_tilt", 1.0) > 1:
            assert all(before <= after for before, after in pairwise(steps))
        else:
            assert all(before >= after for before, after in pairwise(steps))


def test_a_parameter_that_does_nothing_is_not_asked(walks: list[Walk]) -> None:
    for _, _, params, config in walks:
        stages = len(config.stages)
        later = {"lr_last", "steps_tilt"}
        assert later <= params.keys() if stages > 1 else not later & params.keys()
        balls = bool(params["balls"])
        assert ("feature_radius_first" in params) == (balls and stages > 1)
        assert ("feature_radius_last" in params) == (balls and stages > 2)
        for kind in ("latent", "noise"):
            assert (f"{kind}_radius" in params) == balls


@given(st.integers(1, 2000), st.sampled_from(sorted(SHAPES)))
def test_restarts_divide_the_budget_and_each_further_one_has_enough_of_it(budget: int, name: str) -> None:
    shape = SHAPES[name]
    options = restart_options(shape, budget=budget)
    assert options[0] == 1
    for count in (2, 3, 4):
        enough = budget >= count * WORTHWHILE_EVALUATIONS * shape.num_layers
        assert (count in options) == (enough and budget % count == 0)


def test_the_least_budget_suits_every_walk_and_below_it_none_that_searches_all_layers(space: Space) -> None:
    shape, least = PORTRAITS.generator_shape, LEAST_EVALUATIONS * PORTRAITS.generator_shape.num_layers
    all_layers = {"end_layer": 3, "search_layer_1": 1, "search_layer_2": 1, "restarts": 1}
    for seed in range(50):
        ask = Draw(random.Random(seed))
        assert space.suggest(ask, shape, budget=least).gradient_evaluations == least
        with pytest.raises(ValueError, match=f"4 stages need a budget >= {least} each restart, got {least - 1}"):
            space.suggest(Frozen(Draw(random.Random(seed)), all_layers), shape, budget=least - 1)


def test_spaces_are_found_by_name_and_say_which_domains_they_are_for() -> None:
    assert set(SPACES) == {"in_distribution", "ood", "defended", "batched"}
    assert all(get_space(name).name == name for name in SPACES)
    assert get_space("in_distribution").domains == tuple(PORTRAITS.in_distribution) == ("photo",)
    assert get_space("ood").domains is None
    with pytest.raises(KeyError):
        get_space("elsewhere")


def test_the_space_for_the_unseen_reaches_at_least_as_far() -> None:
    near, far = (get_space(name).ranges(PORTRAITS.generator_shape, budget=48) for name in ("in_distribution", "ood"))
    assert near.keys() == far.keys()
    assert all(far[name].high >= near[name].high for name in near)
    assert far["feature_radius_first"].high > near["feature_radius_first"].high


def test_a_search_begins_at_the_likeness_of_the_published_recipe(space: Space) -> None:
    shape, budget = PORTRAITS.generator_shape, 120
    config = space.configure(space.point({}, shape, budget=budget), shape, budget=budget)
    published = published_scaled(shape, budget=budget)
    assert [(stage.layer, stage.steps) for stage in config.stages] == [(s.layer, s.steps) for s in published.stages]
    assert {stage.lr for stage in config.stages} == {0.1}
    assert (config.restarts, config.tv_weight) == (published.restarts, published.tv_weight)
