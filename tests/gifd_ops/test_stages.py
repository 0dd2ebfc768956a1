from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.quirks import Quirks
from gifd_ops.stages import (
    KINDS,
    EvolutionStage,
    FeatureStage,
    PixelStage,
    Radius,
    Stage,
    WeightStage,
    stage_from_dict,
    stage_to_dict,
)

FEATURES = FeatureStage(layer=1, steps=3, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None)
WEIGHTS = WeightStage(steps=4, lr=1e-3)
PIXELS = PixelStage(steps=5, lr=0.1, signed=True)
EVOLUTION = EvolutionStage(steps=7, population=4, sigma=1.0, own_slots=True, full_covariance=False)
ONE_OF_EACH = {stage.kind: stage for stage in (FEATURES, WEIGHTS, PIXELS, EVOLUTION)}

nan = float("nan")
counts, rates, flags = st.integers(1, 5000), st.floats(1e-9, 1e3), st.booleans()
decays = st.sampled_from(["ramp", "steps"])
radii = st.none() | st.builds(Radius, value=st.floats(1e-6, 1e6), relative=flags)
features = st.builds(
    FeatureStage,
    layer=st.integers(0, 12),
    steps=counts,
    lr=rates,
    feature_radius=radii,
    latent_radius=radii,
    noise_radius=radii,
    noises=flags,
    decay=decays,
)
weights = st.builds(WeightStage, steps=counts, lr=rates, decay=decays)
pixels = st.builds(PixelStage, steps=counts, lr=rates, signed=flags, decay=decays)
evolutions = st.builds(
    EvolutionStage,
    steps=st.integers(60, 5000),
    population=st.integers(4, 60),
    sigma=rates,
    own_slots=flags,
    full_covariance=flags,
    kl_weight=st.floats(0, 10),
)


@given(st.one_of(features, weights, pixels, evolutions))
def test_a_stage_survives_json_whatever_its_kind(stage: Stage) -> None:
    again = stage_from_dict(json.loads(json.dumps(stage_to_dict(stage))))
    assert again == stage
    assert type(again) is type(stage)


@given(st.one_of(features, weights, pixels, evolutions))
def test_a_stage_costs_its_steps_and_one_evaluation_to_score_its_image(stage: Stage) -> None:
    assert stage.gradient_evaluations == stage.steps + 1


@st.composite
def attacks(draw: st.DrawFn) -> AttackConfig:
    layers = sorted(draw(st.sets(st.integers(0, 9), max_size=3)))
    row: list[Stage] = [replace(draw(features), layer=layer) for layer in layers]
    row = draw(st.sampled_from([[], [draw(evolutions)]])) + row + draw(st.sampled_from([[], [draw(weights)]]))
    first = draw(st.integers(0, 5))
    quirks = draw(
        st.builds(Quirks, share_restart_noises=flags, restart_select=st.sampled_from(["best", "last"]))
        | st.just(Quirks())
    )
    one_by_one = quirks.share_restart_noises or any(stage.kind == "weights" for stage in row)
    return AttackConfig(
        stages=tuple(row) or (draw(pixels),),
        restarts=draw(st.integers(1, 8)),
        tv_weight=draw(st.floats(0, 1)),
        l2_weight=draw(st.floats(0, 1)),
        distance=draw(st.sampled_from(["cosine", "l2"])),
        group_weight=0.0 if row and one_by_one else draw(st.floats(0, 1)),
        statistics_weight=draw(st.floats(0, 1)),
        matched_layers=draw(st.none() | st.just((first, first + 3))),
        quirks=quirks,
    )


@given(attacks())
def test_an_attack_of_any_kinds_survives_json_and_counts_all_of_its_gradients(config: AttackConfig) -> None:
    again = AttackConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)  # lists in place of tuples would not hash
    assert config.gradient_evaluations == config.restarts * sum(stage.steps + 1 for stage in config.stages)
    assert config.needs_generator == (config.stages[0].kind != "pixels")


@pytest.mark.parametrize("stage", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_a_stage_is_a_value(stage: Stage) -> None:
    assert KINDS[stage.kind] is type(stage)
    with pytest.raises(FrozenInstanceError):
        stage.steps = 9  # type: ignore[misc]


INVALID = [
    (lambda: replace(WEIGHTS, steps=0), "the stage that searches weights needs steps >= 1", "got 0"),
    (lambda: replace(WEIGHTS, lr=-1.0), "the stage that searches weights needs lr > 0", "got -1.0"),
    (lambda: replace(WEIGHTS, lr=nan), "needs lr > 0", "got nan"),
    (lambda: replace(PIXELS, steps=-2), "the stage that searches pixels needs steps >= 1", "got -2"),
    (lambda: replace(PIXELS, lr=0.0), "the stage that searches pixels needs lr > 0", "got 0.0"),
    (lambda: replace(EVOLUTION, population=3), "population >= 4", "population of 3"),
    (lambda: replace(EVOLUTION, steps=3), "steps for one generation", "3 steps"),
    (lambda: replace(EVOLUTION, sigma=0.0), "sigma > 0", "got 0.0"),
    (lambda: replace(EVOLUTION, sigma=nan), "sigma > 0", "got nan"),
    (lambda: replace(EVOLUTION, kl_weight=-0.1), "kl_weight >= 0", "got -0.1"),
    (lambda: replace(EVOLUTION, kl_weight=nan), "kl_weight >= 0", "got nan"),
    *(
        (lambda stage=stage: replace(stage, decay="cosine"), "ramp or steps", "'cosine'")
        for stage in (FEATURES, WEIGHTS, PIXELS)
    ),
]


@pytest.mark.parametrize(("build", "rule", "value"), INVALID)
def test_an_error_says_the_rule_and_the_value(build, rule: str, value: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()
    assert rule in str(caught.value)
    assert value in str(caught.value)


def allowed(before: Stage, after: Stage) -> bool:
    """Evolution comes first, weights come last, pixels stand alone."""
    return after.kind in ("features", "weights") and before.kind in ("features", "evolution")


@pytest.mark.parametrize("before", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
@pytest.mark.parametrize("after", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_evolution_comes_first_weights_come_last_and_pixels_stand_alone(before: Stage, after: Stage) -> None:
    row = (before, replace(after, layer=2) if isinstance(after, FeatureStage) else after)
    if allowed(before, after):
        assert AttackConfig(stages=row, restarts=1, tv_weight=0.0, l2_weight=0.0).stages == row
        return
    with pytest.raises(ValueError, match=f"searches {after.kind} cannot follow one that searches {before.kind}"):
        AttackConfig(stages=row, restarts=1, tv_weight=0.0, l2_weight=0.0)


@pytest.mark.parametrize("stage", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_every_kind_may_stand_alone_and_only_features_have_a_layer_to_fit(stage: Stage) -> None:
    config = AttackConfig(stages=(stage,), restarts=1, tv_weight=0.0, l2_weight=0.0)
    shallow = GeneratorShape(feature_scalars=(0,), latent_scalars=8)
    if stage is FEATURES:
        with pytest.raises(ValueError, match=r"layer 1 needs .*layers 0 to 0"):
            config.check_fits(shallow)
    else:
        config.check_fits(shallow)


def test_features_may_follow_evolution_at_any_layer_the_first_too() -> None:
    for layer in (0, 3):
        row = (EVOLUTION, replace(FEATURES, layer=layer), WEIGHTS)
        assert AttackConfig(stages=row, restarts=1, tv_weight=0.0, l2_weight=0.0).stages == row


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"distance": "l1"}, r"cosine or l2 distance, got 'l1'"),
        ({"group_weight": -0.5}, r"group_weight must be >= 0, got -0\.5"),
        ({"statistics_weight": nan}, r"statistics_weight must be >= 0, got nan"),
        ({"matched_layers": (2, 2)}, r"0 <= first < end, got 2:2"),
        ({"matched_layers": (-1, 2)}, r"0 <= first < end, got -1:2"),
    ],
)
def test_what_an_attack_cannot_mean_is_refused(changed: dict[str, object], rule: str) -> None:
    config = AttackConfig(stages=(PIXELS,), restarts=1, tv_weight=0.0, l2_weight=0.0)
    with pytest.raises(ValueError, match=rule):
        replace(config, **changed)
