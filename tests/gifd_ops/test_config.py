from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.quirks import REFERENCE, Quirks
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, Stage, WeightStage

STAGE = FeatureStage(layer=0, steps=3, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None)
CONFIG = AttackConfig(stages=(STAGE, replace(STAGE, layer=2)), restarts=2, tv_weight=1e-4, l2_weight=0.0)
SHAPE = GeneratorShape(feature_scalars=(0, 10, 20), latent_scalars=30)

INVALID = [
    (lambda: Radius(value=0.0, relative=False), "must be > 0", "0.0"),
    (lambda: Radius(value=-2.5, relative=True), "must be > 0", "-2.5"),
    (lambda: Radius(value=float("nan"), relative=True), "must be > 0", "nan"),
    (lambda: replace(STAGE, layer=-1), "layer 0 or above", "-1"),
    (lambda: replace(STAGE, steps=0), "steps >= 1", "0"),
    (lambda: replace(STAGE, layer=4, steps=-7), "steps >= 1", "-7"),
    (lambda: replace(STAGE, lr=0.0), "lr > 0", "0.0"),
    (lambda: replace(STAGE, lr=-0.5), "lr > 0", "-0.5"),
    (lambda: replace(STAGE, lr=float("nan")), "lr > 0", "nan"),
    (lambda: replace(CONFIG, stages=()), "at least one stage", "none"),
    (lambda: replace(CONFIG, stages=(STAGE, STAGE)), "forward", "layer 0 after layer 0"),
    (lambda: replace(CONFIG, stages=CONFIG.stages[::-1]), "forward", "layer 0 after layer 2"),
    (lambda: replace(CONFIG, restarts=0), "restarts >= 1", "0"),
    (lambda: replace(CONFIG, patience=-1), "steps >= 0", "-1"),
    (lambda: replace(CONFIG, tv_weight=-1e-3), "tv_weight must be >= 0", "-0.001"),
    (lambda: replace(CONFIG, l2_weight=-3.0), "l2_weight must be >= 0", "-3.0"),
    (lambda: replace(CONFIG, stages=(replace(STAGE, layer=3),)).check_fits(SHAPE), "layers 0 to 2", "layer 3"),
]


@pytest.mark.parametrize(("build", "rule", "value"), INVALID)
def test_an_error_says_the_rule_and_the_value(build, rule: str, value: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()
    assert rule in str(caught.value)
    assert value in str(caught.value)


@pytest.mark.parametrize("name", ["tv_weight", "l2_weight"])
def test_a_weight_that_is_not_a_number_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(CONFIG, **{name: float("nan")})


def test_a_schedule_that_ends_at_the_last_layer_fits() -> None:
    CONFIG.check_fits(SHAPE)
    assert SHAPE.num_layers == 3


def test_a_config_cannot_be_changed_in_mid_run() -> None:
    with pytest.raises(FrozenInstanceError):
        CONFIG.restarts = 3  # type: ignore[misc]


radii = st.none() | st.builds(Radius, value=st.floats(1e-6, 1e6), relative=st.booleans())


@st.composite
def configs(draw: st.DrawFn) -> AttackConfig:
    layers = sorted(draw(st.sets(st.integers(0, 9), min_size=1)))
    return AttackConfig(
        stages=tuple(
            FeatureStage(
                layer=layer,
                steps=draw(st.integers(1, 1000)),
                lr=draw(st.floats(1e-6, 10)),
                feature_radius=draw(radii),
                latent_radius=draw(radii),
                noise_radius=draw(radii),
            )
            for layer in layers
        ),
        restarts=draw(st.integers(1, 8)),
        patience=draw(st.integers(0, 100)),
        tv_weight=draw(st.floats(0, 1)),
        l2_weight=draw(st.floats(0, 1)),
    )


@given(configs())
def test_a_config_survives_json(config: AttackConfig) -> None:
    assert AttackConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(configs())
def test_the_budget_counts_every_update_and_every_score_of_every_restart(config: AttackConfig) -> None:
    updates = config.restarts * sum(stage.steps for stage in config.stages)
    scores = config.restarts * len(config.stages)
    assert config.gradient_evaluations == updates + scores


def told(config: AttackConfig = CONFIG, *, place: int = 0, **changes: object) -> AttackConfig:
    """The config with one of its stages changed."""
    stages = list(config.stages)
    stages[place] = replace(stages[place], **changes)  # type: ignore[arg-type]
    return replace(config, stages=tuple(stages))


PIXELS = replace(CONFIG, stages=(PixelStage(steps=3, lr=0.1, signed=False),))
BALL = Radius(value=1.0, relative=True)


@pytest.mark.parametrize(
    "other",
    [
        told(steps=70),
        told(lr=0.3, place=1),
        told(decay="steps"),
        told(feature_radius=BALL, latent_radius=Radius(value=3.0, relative=False), noise_radius=BALL),
        replace(CONFIG, tv_weight=0.0, l2_weight=0.5),
    ],
)
def test_configs_that_differ_in_what_rows_may_differ_in_can_be_fused(other: AttackConfig) -> None:
    assert other != CONFIG
    assert other.fuse_key == CONFIG.fuse_key is not None


@pytest.mark.parametrize(
    "other",
    [
        told(layer=1),
        told(noises=False),
        replace(CONFIG, stages=CONFIG.stages[:1]),
        replace(CONFIG, restarts=3),
        replace(CONFIG, distance="l2"),
        replace(CONFIG, matched_layers=(0, 2)),
        replace(CONFIG, patience=5),
        replace(CONFIG, statistics_weight=0.1),
        replace(CONFIG, quirks=Quirks(first_step="zero")),
        PIXELS,
        told(PIXELS, signed=True),
    ],
)
def test_configs_that_differ_in_what_a_batch_has_in_common_cannot(other: AttackConfig) -> None:
    assert other.fuse_key is not None
    assert other.fuse_key not in (CONFIG.fuse_key, PIXELS.fuse_key if other is not PIXELS else None)


EVOLUTION = EvolutionStage(steps=4, population=4, sigma=1.0, own_slots=True, full_covariance=False)


@pytest.mark.parametrize("stages", [(STAGE, WeightStage(steps=1, lr=0.1)), (EVOLUTION,), (EVOLUTION, STAGE)])
def test_stages_of_weights_or_evolution_run_alone(stages: tuple[Stage, ...]) -> None:
    assert replace(CONFIG, stages=stages).fuse_key is None


def test_restarts_that_take_notice_of_one_another_run_alone() -> None:
    assert replace(CONFIG, quirks=REFERENCE).fuse_key is None
    assert replace(CONFIG, group_weight=0.1).fuse_key is None
    assert replace(CONFIG, group_weight=0.1, restarts=1).fuse_key is not None  # it has none to take notice of
