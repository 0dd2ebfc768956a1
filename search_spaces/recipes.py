"""Recipes of GIFD by name: the authors' settings scaled to any generator, and as published for their two generators."""

from __future__ import annotations

from collections.abc import Callable

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import FeatureStage, Radius
from search_spaces.curves import split_evenly
from search_spaces.published import (
    FEATURE_RADII,
    L2_WEIGHT,
    LATENT_AND_NOISE_RADII,
    LR,
    TV_WEIGHT,
    published_scaled,
)

# The authors' settings for BigGAN-deep-256 on ImageNet (gan-config of their repository): thirteen stages, of which the
# first searches the latent without a ball and the others nothing but features.
BIGGAN_FEATURE_RADII = (None, *(2000.0 + 500.0 * place for place in range(12)))
RESTARTS = 4  # published

Radii = tuple[float | None, ...]


def paper_stylegan2(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """The published l1 radii for StyleGAN2-FFHQ (1024 px), as they are: eight stages, four restarts.

    A generator with fewer layers has fewer stages. Raises ValueError where the budget is too small.
    """
    return _published(shape, budget, "paper_stylegan2", features=FEATURE_RADII, others=LATENT_AND_NOISE_RADII)


def paper_biggan(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """The published l1 radii for BigGAN-deep-256, as they are: thirteen stages, four restarts."""
    others: Radii = (None,) * len(BIGGAN_FEATURE_RADII)
    return _published(shape, budget, "paper_biggan", features=BIGGAN_FEATURE_RADII, others=others)


def _published(shape: GeneratorShape, budget: int, name: str, *, features: Radii, others: Radii) -> AttackConfig:
    count = min(shape.num_layers, len(features))
    least = 2 * count * RESTARTS
    if budget < least or budget % RESTARTS:
        raise ValueError(
            f"the recipe {name} has {RESTARTS} restarts of {count} stages and needs a budget of {least} or more that "
            f"{RESTARTS} divides, got {budget}; change --budget, or take --recipe scaled"
        )
    stages = tuple(
        FeatureStage(
            layer=layer,
            steps=evaluations - 1,
            lr=LR,
            feature_radius=_absolute(features[layer]),
            latent_radius=_absolute(others[layer]),
            noise_radius=_absolute(others[layer]),
        )
        for layer, evaluations in enumerate(split_evenly(budget // RESTARTS, count))
    )
    return AttackConfig(stages=stages, restarts=RESTARTS, tv_weight=TV_WEIGHT, l2_weight=L2_WEIGHT)


def _absolute(radius: float | None) -> Radius | None:
    return None if radius is None else Radius(value=radius, relative=False)


RECIPES: dict[str, Callable[..., AttackConfig]] = {
    "scaled": published_scaled,
    "paper_stylegan2": paper_stylegan2,
    "paper_biggan": paper_biggan,
}
