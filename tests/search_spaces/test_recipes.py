"""The paper's recipes have the paper's radii, whatever the generator; the scaled one agrees with them where it may."""

from __future__ import annotations

import pytest

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_256
from gifd_ops.stages import FeatureStage, Radius
from search_spaces.published import FEATURE_SCALARS, LATENT_SCALARS
from search_spaces.recipes import RECIPES, paper_biggan, paper_stylegan2
from search_spaces.registry import get_space

FFHQ_1024 = GeneratorShape(feature_scalars=FEATURE_SCALARS, latent_scalars=LATENT_SCALARS)
SMALL = GeneratorShape(feature_scalars=(0, 64, 128), latent_scalars=32)


def radii(config: AttackConfig, name: str) -> list[float | None]:
    found: list[Radius | None] = [getattr(stage, name) for stage in config.stages if isinstance(stage, FeatureStage)]
    assert not any(radius is not None and radius.relative for radius in found)
    return [radius and radius.value for radius in found]


def test_the_recipe_for_stylegan2_is_the_published_one() -> None:
    config = paper_stylegan2(FFHQ_1024, budget=4 * 8 * 1001)
    assert radii(config, "feature_radius") == [None, 2000, 3000, 4000, 5000, 6000, 8000, 8000]
    for name in ("latent_radius", "noise_radius"):
        assert radii(config, name) == [1000, 2000, 3000, 4000, 5000, 6000, 8000, 8000]
    assert {(stage.steps, stage.lr) for stage in config.stages} == {(1000, 0.1)}
    assert (config.restarts, config.tv_weight, config.l2_weight) == (4, 1e-4, 1e-6)


def test_the_recipe_for_biggan_is_the_published_one() -> None:
    config = paper_biggan(BIGGAN_DEEP_256.shape, budget=4 * 13 * 1001)
    expected = [None, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 7500]
    assert radii(config, "feature_radius") == expected
    assert radii(config, "latent_radius") == radii(config, "noise_radius") == [None] * 13
    assert [stage.layer for stage in config.stages] == list(range(13))


def test_scaling_to_the_papers_own_generator_changes_no_radius() -> None:
    scaled, paper = (RECIPES[name](FFHQ_1024, budget=160) for name in ("scaled", "paper_stylegan2"))
    for name in ("feature_radius", "latent_radius", "noise_radius"):
        assert radii(scaled, name) == radii(paper, name)


@pytest.mark.parametrize("name", ["paper_stylegan2", "paper_biggan"])
def test_a_smaller_generator_has_fewer_stages_of_the_same_radii(name: str) -> None:
    config = RECIPES[name](SMALL, budget=40)
    assert (
        radii(config, "feature_radius") == radii(RECIPES[name](BIGGAN_DEEP_256.shape, budget=400), "feature_radius")[:3]
    )
    assert config.gradient_evaluations == 40


@pytest.mark.parametrize("budget", [20, 26])
def test_a_budget_that_is_too_small_or_uneven_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match=f"needs a budget of 24 or more that 4 divides, got {budget}"):
        paper_stylegan2(SMALL, budget=budget)


def test_a_recipe_is_gifds_and_other_attacks_keep_theirs() -> None:
    assert get_space("ood", recipe="paper_biggan").published is paper_biggan
    assert get_space("ood", "ig", recipe="paper_biggan").published == get_space("ood", "ig").published
