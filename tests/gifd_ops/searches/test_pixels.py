from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation
from gifd_ops.quirks import MENDED
from gifd_ops.searches.descent import learning_rates
from gifd_ops.searches.pixels import search_pixels
from gifd_ops.stages import PixelStage
from gifd_ops.victims import Victim

SEEDS, SHAPE, STD = (3, 4, 5), (3, 16, 16), 0.25  # the victim's
STAGE = PixelStage(steps=8, lr=0.1, signed=False)


def slope(images: Tensor, steepness: float = 1.0) -> Tensor:
    """Rises with every pixel alike."""
    return steepness * images.flatten(1).sum(dim=1)


def drawn(shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]).double()


def test_it_begins_at_standard_normal_noise_of_each_rows_seed_in_the_victims_units(
    lenet: Victim, watch: Callable[..., Any]
) -> None:
    seen = watch(slope)
    end = search_pixels(SEEDS, SHAPE, lenet, seen, STAGE)
    torch.testing.assert_close(seen.images[0], 0.5 + STD * drawn(), rtol=1e-12, atol=1e-12)
    assert len(seen.images) == STAGE.steps
    assert torch.equal(end.trace, torch.stack(seen.losses, dim=1))
    assert end.features is None


def test_images_have_the_shape_that_was_observed_and_the_victims_dtype(make_victim: Callable[..., Victim]) -> None:
    end = search_pixels(SEEDS, (3, 12, 20), make_victim(dtype=torch.float32), slope, STAGE)
    assert end.images.shape == (3, 3, 12, 20)
    assert end.images.dtype == torch.float32


@pytest.mark.parametrize("decay", ["ramp", "steps"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_rate_is_in_units_of_normalized_pixels_and_decays_as_told(
    lenet: Victim, watch: Callable[..., Any], signed: bool, decay: str
) -> None:
    stage, seen = replace(STAGE, lr=0.05, signed=signed, decay=decay), watch(slope)
    end = search_pixels(SEEDS, SHAPE, lenet, seen, stage)
    inside = drawn().abs() < 1.5  # in the victim's units, far from where pixels are clamped
    rates = learning_rates(0.05, stage.steps, stage.decay, MENDED)
    for rate, before, after in zip(rates, seen.images, [*seen.images[1:], end.images], strict=True):
        moved = (before - after)[inside]  # Adam's steps are as long as the rate where the slope is even
        torch.testing.assert_close(moved, torch.full_like(moved, STD * rate), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("lr", [0.1, 3.0])
@pytest.mark.parametrize("towards", [-1.0, 1.0])
def test_pixels_are_in_range_after_every_update_and_were_not_before(
    lenet: Victim, watch: Callable[..., Any], lr: float, towards: float
) -> None:
    seen = watch(lambda images: slope(images, towards))
    end = search_pixels(SEEDS, SHAPE, lenet, seen, replace(STAGE, lr=lr))
    assert float(seen.images[0].min()) < 0
    assert float(seen.images[0].max()) > 1
    for images in seen.images[1:]:
        assert float(images.min()) >= -1e-12
        assert float(images.max()) <= 1 + 1e-12
    assert 0 <= float(end.images.min()) <= float(end.images.max()) <= 1
    if lr == 3.0:
        torch.testing.assert_close(end.images, torch.full_like(end.images, float(towards < 0)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("towards", [-1.0, 1.0])
def test_each_channel_is_clamped_to_its_own_range(lenet: Victim, watch: Callable[..., Any], towards: float) -> None:
    victim = Victim(lenet.layers, pixel_mean=(0.2, 0.5, 0.9), pixel_std=(0.1, 0.25, 1.0)).double()
    seen = watch(lambda images: slope(images, towards))
    search_pixels(SEEDS, SHAPE, victim, seen, replace(STAGE, lr=20.0))
    expected = torch.full_like(seen.images[-1], float(towards < 0))
    torch.testing.assert_close(seen.images[-1], expected, rtol=0, atol=1e-12)


def test_only_signs_count_when_signed(lenet: Victim) -> None:
    faint = lambda images: slope(images, 1e-10)
    begun = (0.5 + STD * drawn()).clamp(0, 1)
    signed = search_pixels(SEEDS, SHAPE, lenet, faint, replace(STAGE, signed=True)).images
    unsigned = search_pixels(SEEDS, SHAPE, lenet, faint, STAGE).images
    inner = (begun > 0.3) & (begun < 0.7)
    assert float((signed - begun)[inner].max()) < -0.01
    assert float((unsigned - begun)[inner].abs().max()) < 0.01  # Adam's epsilon holds so faint a slope back


@pytest.mark.parametrize("signed", [False, True])
def test_ig_without_priors_comes_nearer_to_the_shared_gradient(
    signed: bool, observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    stage = replace(STAGE, steps=40, signed=signed)
    told = AttackConfig(stages=(stage,), restarts=2, tv_weight=0.0, l2_weight=0.0)
    (found,) = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS).stages
    assert bool((found.matching_loss < 0.5 * found.loss_trace[..., 0]).all())
    assert bool((found.loss_trace[..., -1] < 0.5 * found.loss_trace[..., 0]).all())


def test_total_variation_smooths(observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim) -> None:
    def roughness(tv_weight: float) -> Tensor:
        stage = replace(STAGE, steps=30)
        told = AttackConfig(stages=(stage,), restarts=1, tv_weight=tv_weight, l2_weight=0.0)
        images = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS).stages[0].images
        return images.diff(dim=-1).abs().mean(dim=(1, 2, 3, 4))

    assert bool((roughness(10.0) < 0.5 * roughness(0.0)).all())
