"""What the authors' code does otherwise within a feature stage, and what a stage may leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation
from gifd_ops.matching import CosineMatching
from gifd_ops.quirks import MENDED, Quirks
from gifd_ops.searches.descent import learning_rates
from gifd_ops.searches.features import enter_stage, search_features
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import FeatureStage, Radius
from gifd_ops.victims import Victim

SEEDS = (11, 22, 33)
STAGE = FeatureStage(layer=0, steps=5, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None)
BALL = Radius(value=0.02, relative=True)
LAYERS = (0, 1, 2)

BEFORE = replace(MENDED, stage_image="before_update")
ZERO = replace(MENDED, first_step="zero")
SPHERICAL = replace(MENDED, spherical="on")
DROP = replace(MENDED, rgb_skip="drop")


@pytest.fixture(scope="module")
def matching(observation: Observation, lenet: Victim, target_labels: Tensor) -> CosineMatching:
    return CosineMatching(lenet, observation, target_labels, restarts=1)


def a_start(generator: StyleGan2Generator, layer: int) -> Features:
    return generator.advance(generator.start(SEEDS), to=layer)


def variables(features: Features) -> list[Tensor]:
    return [features.latent, *features.noises] + ([] if features.hidden is None else [features.hidden])


def attack(*stages: FeatureStage, quirks: Quirks = MENDED) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=1, tv_weight=0.0, l2_weight=0.0, quirks=quirks)


@pytest.mark.parametrize("layer", LAYERS)
def test_colors_of_the_layers_below_are_carried_or_dropped(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    begun = tiny_generator.start(SEEDS)
    carried = enter_stage(begun, tiny_generator, replace(STAGE, layer=layer), MENDED)
    dropped = enter_stage(begun, tiny_generator, replace(STAGE, layer=layer), DROP)
    assert dropped.layer == carried.layer == layer
    torch.testing.assert_close(tiny_generator.render(carried), tiny_generator.render(begun), rtol=1e-12, atol=1e-12)
    assert dropped.skip is None
    assert (carried.skip is None) == (layer == 0)
    for a, b in zip(variables(carried), variables(dropped), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("layer", [1, 2])
def test_without_the_colors_below_a_later_stage_begins_with_a_jump(
    layer: int,
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    matching: CosineMatching,
) -> None:
    stages = (STAGE, replace(STAGE, layer=layer))
    results = {
        quirks: run_attack(observation, tiny_generator, lenet, attack(*stages, quirks=quirks), seeds=SEEDS)
        for quirks in (MENDED, DROP)
    }
    first = results[MENDED].stages[0]
    assert torch.equal(first.images, results[DROP].stages[0].images)  # nothing lies below the first
    begun = tiny_generator.start([derive_seed(seed, "restart", 0) for seed in SEEDS])
    ended = search_features(begun, tiny_generator, matching, STAGE).features
    assert ended is not None
    entered = tiny_generator.advance(ended, to=layer)
    for quirks, skip in ((MENDED, entered.skip), (DROP, None)):
        shown = tiny_generator.render(replace(entered, skip=skip))
        found = results[quirks].stages[1].loss_trace[:, 0, 0]
        torch.testing.assert_close(found, matching(shown, differentiable=False), rtol=1e-9, atol=1e-12)
    jump = (results[DROP].stages[1].loss_trace - results[MENDED].stages[1].loss_trace)[:, 0, 0].abs()
    assert bool((jump > 1e-3).all())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stages_image_is_that_after_or_before_the_last_update_and_nothing_else_changes(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching, watch: Callable[..., Any]
) -> None:
    stage = replace(STAGE, layer=layer)
    seen = watch(matching)
    before = search_features(a_start(tiny_generator, layer), tiny_generator, seen, stage, quirks=BEFORE)
    after = search_features(a_start(tiny_generator, layer), tiny_generator, matching, stage)
    assert before.features is not None
    assert after.features is not None
    assert len(seen.images) == stage.steps
    assert torch.equal(before.images, seen.images[-1].clamp(0, 1))
    ended = tiny_generator.render(after.features).clamp(0, 1)
    torch.testing.assert_close(after.images, ended, rtol=1e-12, atol=1e-12)
    assert float((before.images - after.images).abs().max()) > 1e-6
    for a, b in zip(variables(before.features), variables(after.features), strict=True):
        assert torch.equal(a, b)  # the next stage starts after the last update all the same
    assert torch.equal(before.trace, after.trace)
    assert not before.images.requires_grad


@pytest.mark.parametrize("radius", [None, BALL])
@pytest.mark.parametrize("layer", LAYERS)
def test_with_a_first_step_of_zero_the_first_update_changes_nothing_and_the_second_does(
    layer: int, radius: Radius | None, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    stage = replace(STAGE, layer=layer, feature_radius=radius, latent_radius=radius, noise_radius=radius)
    start = a_start(tiny_generator, layer)
    one = search_features(start, tiny_generator, matching, replace(stage, steps=1), quirks=ZERO).features
    assert one is not None
    assert all(torch.equal(a, b) for a, b in zip(variables(start), variables(one), strict=True))
    trace = search_features(start, tiny_generator, matching, stage, quirks=ZERO).trace
    assert torch.equal(trace[:, 0], trace[:, 1])
    assert not bool((trace[:, 1] == trace[:, 2]).any())
    mended = search_features(start, tiny_generator, matching, stage).trace
    assert torch.equal(mended[:, 0], trace[:, 0])
    assert not bool((mended[:, 0] == mended[:, 1]).any())


def lengths(features: Features) -> list[Tensor]:
    """Of each slot's latent, each noise map, and each channel of the features."""
    found = [features.latent.norm(dim=2), *(noise.norm(dim=(2, 3)) for noise in features.noises)]
    return found + ([] if features.hidden is None else [features.hidden.norm(dim=(2, 3))])


@pytest.mark.parametrize("layer", LAYERS)
def test_the_spherical_step_keeps_the_lengths_of_latents_and_noises_and_leaves_directions_and_features_free(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    start, stage = a_start(tiny_generator, layer), replace(STAGE, layer=layer)
    held = search_features(start, tiny_generator, matching, stage, quirks=SPHERICAL)
    free = search_features(start, tiny_generator, matching, stage)
    assert held.features is not None
    assert free.features is not None
    searched = tiny_generator.searched(layer)
    first, ended, freely = lengths(start), lengths(held.features), lengths(free.features)
    for place in (0, *(1 + index for index in searched.noises)):
        torch.testing.assert_close(ended[place], first[place], rtol=1e-6, atol=1e-6)
        assert float((freely[place] - first[place]).abs().max()) > 1e-3
        assert not torch.equal(variables(held.features)[place], variables(start)[place])
    if searched.hidden:
        assert float((ended[-1] - first[-1]).abs().max()) > 1e-3
    assert bool((held.trace[:, -1] < held.trace[:, 0]).all())


@pytest.mark.parametrize("layer", LAYERS)
def test_lengths_are_kept_before_the_projection_so_that_balls_are_never_left(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    start = a_start(tiny_generator, layer)
    stage = replace(STAGE, layer=layer, feature_radius=BALL, latent_radius=BALL, noise_radius=BALL)
    end = search_features(start, tiny_generator, matching, stage, quirks=SPHERICAL)
    plain = search_features(start, tiny_generator, matching, stage)
    assert end.features is not None
    assert plain.features is not None
    touched = 0
    for before, after in zip(variables(start), variables(end.features), strict=True):
        moved = (after - before).flatten(1).abs().sum(dim=1)
        limit = BALL.value * before.flatten(1).abs().sum(dim=1)
        assert bool((moved <= limit * (1 + 1e-9)).all())
        touched += int((moved > limit * (1 - 1e-9)).sum())
    assert touched > 0
    assert not torch.equal(end.features.latent, plain.features.latent)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_stage_that_leaves_noises_out_moves_all_but_them(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    start = a_start(tiny_generator, layer)
    stage = replace(STAGE, layer=layer, noises=False, feature_radius=BALL, latent_radius=BALL, noise_radius=BALL)
    end = search_features(start, tiny_generator, matching, stage)
    assert end.features is not None
    assert all(torch.equal(a, b) for a, b in zip(start.noises, end.features.noises, strict=True))
    assert not torch.equal(end.features.latent, start.latent)
    assert (start.hidden is None) or not torch.equal(end.features.hidden, start.hidden)
    assert end.noise_radius is None
    assert end.latent_radius is not None
    assert (end.feature_moved_l1 is None) == (layer == 0)


@pytest.mark.parametrize("decay", ["ramp", "steps"])
@pytest.mark.parametrize("quirks", [MENDED, ZERO], ids=["mended", "zero"])
def test_rates_follow_the_stages_own_decay(decay: str, quirks: Quirks, tiny_generator: StyleGan2Generator) -> None:
    """Adam's steps are as long as the rate where the slope is even."""

    class Plain:
        """Shows the mean of its latents."""

        searched = tiny_generator.searched

        def render(self, features: Features) -> Tensor:
            return features.latent.mean(dim=(1, 2))[:, None, None, None].expand(-1, 3, 2, 2)

    start = tiny_generator.start(SEEDS)
    stage = replace(STAGE, decay=decay, noises=False)
    loss = lambda images: images.sum(dim=(1, 2, 3))
    end = search_features(start, Plain(), loss, stage, quirks=quirks)  # type: ignore[arg-type]
    assert end.features is not None
    far = sum(learning_rates(stage.lr, stage.steps, stage.decay, quirks))
    torch.testing.assert_close(end.features.latent, start.latent - far, rtol=0, atol=1e-5)
