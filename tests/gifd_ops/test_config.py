from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import FeatureStage, Radius

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
