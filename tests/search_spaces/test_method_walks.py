"""Every method, every space: what any answers lead to, and the recipes that authors published."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, WeightStage
from gifd_ops.tasks import PORTRAITS
from search_spaces.base import Draw, Frozen, Space
from search_spaces.published import LATENT_SCALARS, published_scaled
from search_spaces.registry import METHODS, SPACES, get_space

SHAPES = {
    "portraits": PORTRAITS.generator_shape,
    "one layer": GeneratorShape(feature_scalars=(0,), latent_scalars=16),
    "two layers": GeneratorShape(feature_scalars=(0, 64), latent_scalars=32),
    "nine layers": GeneratorShape(feature_scalars=(0, *(64 * 4**layer for layer in range(8))), latent_scalars=9216),
}
SHAPE = PORTRAITS.generator_shape
LEAST = {"gifd": 2 * SHAPE.num_layers, "latent": 2, "gias": 4, "ggl": 5, "ig": 2, "gi": 2}  # budgets, published
NO_GENERATOR = ("ig", "gi")
DECIDE_WHAT_IS_ASKED = ("end_layer", "restarts", "balls")

every_method = pytest.mark.parametrize("method", METHODS)
budgets = st.integers(18, 3000)  # an update and a score at each of nine layers
shapes = st.sampled_from(sorted(SHAPES))
spaces = st.sampled_from(sorted(SPACES))


def walk(space: Space, seed: int, shape: GeneratorShape, budget: int) -> tuple[dict[str, float], AttackConfig]:
    ask = Draw(random.Random(seed))
    return ask.params, space.suggest(ask, shape, budget=budget)


@every_method
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), budgets, shapes, spaces)
def test_a_walk_spends_exactly_the_budget_and_is_replayed_and_stored_whole(
    method: str, seed: int, budget: int, shape: str, name: str
) -> None:
    space = get_space(name, method)
    params, config = walk(space, seed, SHAPES[shape], budget)
    assert config.gradient_evaluations == budget
    assert config.needs_generator == (method not in NO_GENERATOR)
    config.check_fits(SHAPES[shape])
    stored = json.loads(json.dumps({name: float(value) for name, value in params.items()}))
    assert space.configure(stored, SHAPES[shape], budget=budget) == config
    assert AttackConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert not [asked for asked in params if "/" in asked]


@every_method
@pytest.mark.parametrize("more", range(25))
def test_from_the_least_budget_on_every_walk_spends_it(method: str, more: int) -> None:
    for seed in range(20):
        _, config = walk(get_space("ood", method), seed, SHAPE, LEAST[method] + more)
        assert config.gradient_evaluations == LEAST[method] + more


@every_method
@pytest.mark.parametrize("budget", [48, 120, 601])
def test_ranges_know_every_name_and_hold_every_answer(method: str, budget: int) -> None:
    for name in SPACES:
        space = get_space(name, method)
        ranges = space.ranges(SHAPE, budget=budget)
        for seed in range(1000, 1060):
            params, _ = walk(space, seed, SHAPE, budget)
            assert all(value in ranges[asked] for asked, value in params.items())


@every_method
def test_every_asked_value_shows_in_the_config(method: str) -> None:
    """A parameter that changes nothing would be noise to a sampler."""
    space, budget = get_space("ood", method), 240
    ranges = space.ranges(SHAPE, budget=budget)
    for seed in range(40):
        params, config = walk(space, seed, SHAPE, budget)
        for name, value in params.items():
            if name in DECIDE_WHAT_IS_ASKED or name.startswith("search_layer_"):
                continue
            asked = ranges[name]
            others = [other for other in asked.options or (asked.low, asked.high) if other != value]
            assert {space.configure(params | {name: other}, SHAPE, budget=budget) for other in others} != {config}, name


@every_method
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3000), shapes)
def test_the_published_recipe_spends_exactly_the_budget(method: str, more: int, shape: str) -> None:
    least = 2 * min(SHAPES[shape].num_layers, 8) if method == "gifd" else LEAST[method]
    config = get_space("ood", method).published(SHAPES[shape], budget=least + more)
    assert config.gradient_evaluations == least + more
    assert AttackConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    config.check_fits(SHAPES[shape])


@pytest.mark.parametrize(
    ("method", "budget"),
    [(method, budget) for method, least in LEAST.items() for budget in sorted({-1, 0, 1, least - 1})],
)
def test_a_budget_too_small_for_the_published_recipe_is_refused_with_the_least(method: str, budget: int) -> None:
    with pytest.raises(ValueError, match=f"budget >= {LEAST[method]}, got {budget}"):
        get_space("ood", method).published(SHAPE, budget=budget)


@every_method
@pytest.mark.parametrize("budget", [0, 1])
def test_no_walk_makes_do_with_a_budget_that_allows_no_update(method: str, budget: int) -> None:
    for seed in range(20):
        with pytest.raises(ValueError, match="got"):
            walk(get_space("ood", method), seed, SHAPE, budget)


@pytest.mark.parametrize(("budget", "restarts"), [(9001, 1), (9000, 1), (90, 1), (4, 1)])
def test_gias_is_the_latent_then_the_weights_at_the_authors_rates(budget: int, restarts: int) -> None:
    config = METHODS["gias"].published(SHAPE, budget=budget)
    latent, weights = config.stages
    assert isinstance(latent, FeatureStage)
    assert isinstance(weights, WeightStage)
    assert (latent.layer, latent.lr, latent.decay, latent.noises) == (0, 0.03, "steps", False)
    assert (latent.feature_radius, latent.latent_radius, latent.noise_radius) == (None, None, None)
    assert (weights.lr, weights.decay) == (1e-3, "steps")
    assert (config.restarts, config.distance) == (restarts, "cosine")
    assert (config.tv_weight, config.l2_weight, config.group_weight) == (1e-4, 0.0, 0.0)
    expected = max(2, budget / 9)  # a thousand steps of nine
    assert abs(latent.gradient_evaluations - expected) <= 1


@pytest.mark.parametrize(
    ("latent_scalars", "budget", "population", "full"),
    [(1024, 120, 24, False), (512, 120, 22, True), (513, 120, 22, False), (1024, 10, 9, False), (16, 5, 4, True)],
)
def test_ggl_evolves_all_slots_by_l2_with_the_population_that_so_many_numbers_want(
    latent_scalars: int, budget: int, population: int, full: bool
) -> None:
    config = METHODS["ggl"].published(replace(SHAPE, latent_scalars=latent_scalars), budget=budget)
    assert config.stages == (
        EvolutionStage(
            steps=budget - 1, population=population, sigma=1.0, own_slots=True, full_covariance=full, kl_weight=0.0
        ),
    )
    assert config == AttackConfig(stages=config.stages, restarts=1, tv_weight=0.0, l2_weight=0.0, distance="l2")


def test_ig_is_the_cosine_and_total_variation_on_one_restart() -> None:
    config = METHODS["ig"].published(SHAPE, budget=120)
    stage = PixelStage(steps=119, lr=0.1, signed=False, decay="steps")
    assert config == AttackConfig(stages=(stage,), restarts=1, tv_weight=1e-4, l2_weight=0.0)


@pytest.mark.parametrize(("budget", "restarts"), [(120, 4), (9, 3), (10, 2), (11, 1), (2, 1), (8, 4)])
def test_gi_is_l2_with_all_priors_on_as_many_of_four_restarts_as_divide_the_budget(budget: int, restarts: int) -> None:
    config = METHODS["gi"].published(SHAPE, budget=budget)
    stage = PixelStage(steps=budget // restarts - 1, lr=0.1, signed=False, decay="steps")
    assert config == AttackConfig(
        stages=(stage,),
        restarts=restarts,
        tv_weight=1e-4,
        l2_weight=1e-6,
        distance="l2",
        group_weight=0.01,
        statistics_weight=0.0,
    )


def test_latent_search_is_the_first_stage_of_gifd_with_all_of_the_budget() -> None:
    config = METHODS["latent"].published(SHAPE, budget=120)
    gifd = published_scaled(SHAPE, budget=120)
    assert config == replace(gifd, stages=(replace(gifd.stages[0], steps=119),))
    (stage,) = METHODS["latent"].published(replace(SHAPE, latent_scalars=LATENT_SCALARS), budget=120).stages
    assert (stage.latent_radius, stage.noise_radius) == (Radius(value=1000.0, relative=False),) * 2


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("method", ["gias", "ig", "gi"])
def test_a_recipe_without_balls_is_where_its_search_begins(method: str, name: str) -> None:
    space, budget = get_space(name, method), 240
    begun = space.configure(space.point({}, SHAPE, budget=budget), SHAPE, budget=budget)
    assert begun == space.published(SHAPE, budget=budget)


@pytest.mark.parametrize("name", SPACES)
def test_a_latent_search_begins_at_the_published_likeness_with_balls_in_the_middle(name: str) -> None:
    space, budget = get_space(name, "latent"), 240
    begun = space.configure(space.point({}, SHAPE, budget=budget), SHAPE, budget=budget)
    published = space.published(SHAPE, budget=budget)
    (stage,), (likeness,) = published.stages, begun.stages
    assert likeness.latent_radius is not None
    assert likeness.noise_radius is not None
    assert replace(likeness, latent_radius=stage.latent_radius, noise_radius=stage.noise_radius) == stage
    assert replace(begun, stages=published.stages) == published


@pytest.mark.parametrize("name", SPACES)
def test_an_evolution_begins_at_the_published_likeness_with_the_least_prior(name: str) -> None:
    space, budget = get_space(name, "ggl"), 240
    begun = space.configure(space.point({}, SHAPE, budget=budget), SHAPE, budget=budget)
    published = space.published(SHAPE, budget=budget)
    assert begun.tv_weight == space.ranges(SHAPE, budget=budget)["tv_weight"].low
    assert replace(begun, tv_weight=0.0) == published


@every_method
def test_what_a_search_begins_with_is_asked_for(method: str) -> None:
    begin = METHODS[method].begin
    ranges = get_space("ood", method).ranges(SHAPE, budget=240)
    unknown = begin.keys() - ranges.keys()
    # GIFD's likeness names layers of the authors' own, deeper generator as well
    assert all(name.startswith("search_layer_") and method == "gifd" for name in unknown)


def test_every_choice_of_a_method_is_within_reach() -> None:
    def configs(method: str) -> list[AttackConfig]:
        return [walk(get_space("ood", method), seed, SHAPE, 120)[1] for seed in range(200)]

    assert {(c.stages[0].own_slots, c.stages[0].population) for c in configs("ggl")} == {
        (own, population) for own in (False, True) for population in (6, 10, 16, 24)
    }
    assert {(c.stages[0].signed, c.stages[0].decay) for c in configs("ig")} == {
        (signed, decay) for signed in (False, True) for decay in ("ramp", "steps")
    }
    assert {c.stages[0].noises for c in configs("gias")} == {False, True}
    assert {c.stages[0].latent_radius is None for c in configs("latent")} == {False, True}
    for method in METHODS.keys() - {"gifd"}:  # whose restarts need more for every layer
        assert {c.restarts for c in configs(method)} == {1, 2, 3, 4}, method


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), budgets)
def test_restarts_that_pull_at_one_another_are_more_than_one(seed: int, budget: int) -> None:
    params, config = walk(get_space("ood", "gi"), seed, SHAPE, budget)
    assert ("group_weight" in params) == (config.group_weight > 0) == (config.restarts > 1)


def test_a_method_or_space_by_another_name_is_not_found() -> None:
    assert list(METHODS) == ["gifd", "latent", "gias", "ggl", "ig", "gi"]
    assert all(method.name == name for name, method in METHODS.items())
    for names in (("ood", "dlg"), ("elsewhere", "gifd")):
        with pytest.raises(KeyError):
            get_space(*names)


@every_method
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32), budgets, shapes, spaces)
def test_draws_of_one_schedule_have_one_fuse_key(
    method: str, seed: int, other: int, budget: int, shape: str, name: str
) -> None:
    space = get_space(name, method)
    params, config = walk(space, seed, SHAPES[shape], budget)
    given_schedule = Frozen(Draw(random.Random(other)), space.schedule_of(params))
    again = space.suggest(given_schedule, SHAPES[shape], budget=budget)
    assert space.schedule_of(given_schedule.params) == space.schedule_of(params)
    assert again.fuse_key == config.fuse_key


@pytest.mark.parametrize("method", ["gifd", "latent", "ig"])
def test_a_schedule_holds_no_more_than_decides_the_fuse_key(method: str) -> None:
    space = get_space("ood", method)
    walks = [walk(space, seed, SHAPE, 240) for seed in range(200)]
    by_key: dict[object, set[str]] = {}
    for params, config in walks:
        by_key.setdefault(config.fuse_key, set()).add(str(sorted(space.schedule_of(params).items())))
    assert len(by_key) > 2
    assert None not in by_key
    assert all(len(schedules) == 1 for schedules in by_key.values())
