from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gifd_ops.config import GeneratorShape
from gifd_ops.tasks import PORTRAITS
from search_spaces.curves import split_evenly
from search_spaces.published import FEATURE_RADII, FEATURE_SCALARS, LATENT_SCALARS, published_scaled

SHAPE = PORTRAITS.generator_shape  # features 128x4x4, 128x8x8, 64x16x16; latent 8x128
AUTHORS = GeneratorShape(feature_scalars=FEATURE_SCALARS, latent_scalars=LATENT_SCALARS)


@pytest.mark.parametrize("budget", [8, 9, 10, 11, 40, 48, 600, 8001])
def test_the_budget_is_spent_exactly_and_evenly_on_a_stage_per_layer(budget: int) -> None:
    config = published_scaled(SHAPE, budget=budget)
    assert config.gradient_evaluations == budget
    assert [stage.layer for stage in config.stages] == [0, 1, 2, 3]
    steps = [stage.steps for stage in config.stages]
    assert max(steps) - min(steps) <= 1
    config.check_fits(SHAPE)


def test_rates_weights_and_restarts_are_the_published_ones() -> None:
    config = published_scaled(SHAPE, budget=48)
    assert [stage.lr for stage in config.stages] == [0.1] * 4
    assert (config.tv_weight, config.l2_weight, config.restarts) == (1e-4, 1e-6, 1)


@pytest.mark.parametrize(
    ("layer", "feature", "latent", "noise"),
    [
        (0, None, 1000 * 1024 / 9216, 1000),
        (1, 500, 2000 * 1024 / 9216, 2000),  # 2000 for 512 channels, here 128
        (2, 750, 3000 * 1024 / 9216, 3000),  # 3000 for 512 channels, here 128
        (3, 500, 4000 * 1024 / 9216, 4000),  # 4000 for 512 channels, here 64
    ],
)
def test_radii_shrink_with_the_number_of_scalars(
    layer: int, feature: float | None, latent: float, noise: float
) -> None:
    stage = published_scaled(SHAPE, budget=48).stages[layer]
    for found, expected in (
        (stage.feature_radius, feature),
        (stage.latent_radius, latent),
        (stage.noise_radius, noise),
    ):
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.value == pytest.approx(expected)
            assert not found.relative


def test_on_the_authors_own_generator_nothing_is_scaled() -> None:
    config = published_scaled(AUTHORS, budget=8008)
    assert [stage.steps for stage in config.stages] == [1000] * 8
    found = [stage.feature_radius and stage.feature_radius.value for stage in config.stages]
    assert found == list(FEATURE_RADII) == [None, 2000, 3000, 4000, 5000, 6000, 8000, 8000]
    expected = [1000, 2000, 3000, 4000, 5000, 6000, 8000, 8000]
    assert [stage.latent_radius.value for stage in config.stages if stage.latent_radius] == expected
    assert [stage.noise_radius.value for stage in config.stages if stage.noise_radius] == expected


def test_a_deeper_generator_is_searched_as_deep_as_was_published() -> None:
    deeper = GeneratorShape(feature_scalars=(*FEATURE_SCALARS, 64 * 512**2), latent_scalars=LATENT_SCALARS)
    assert published_scaled(deeper, budget=100).stages == published_scaled(AUTHORS, budget=100).stages


@pytest.mark.parametrize("budget", [0, 1, 7])
def test_a_budget_without_an_update_for_every_stage_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match=f"4 stages and needs a budget >= 8, got {budget}"):
        published_scaled(SHAPE, budget=budget)


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_an_even_split_differs_by_one_at_most_and_begins_with_the_larger(total: int, parts: int) -> None:
    split = split_evenly(total, parts)
    assert (sum(split), len(split)) == (total, parts)
    assert split == sorted(split, reverse=True)
    assert split[0] - split[-1] <= 1
