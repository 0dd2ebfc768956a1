"""Latent search alone: the first stage of GIFD with all of the budget."""

from __future__ import annotations

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import FeatureStage, Radius
from search_spaces.base import Ask, Method
from search_spaces.curves import even_restarts
from search_spaces.methods.gifd import relative
from search_spaces.published import L2_WEIGHT, LATENT_AND_NOISE_RADII, LATENT_SCALARS, LR, TV_WEIGHT
from search_spaces.reach import Ranges

WORTHWHILE_EVALUATIONS = 15  # of a restart


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int, ranges: Ranges) -> AttackConfig:
    """A config that spends exactly `budget` gradient evaluations per target."""
    restarts = ask.choice("restarts", even_restarts(budget, enough=WORTHWHILE_EVALUATIONS))
    lr = ask.real("lr", *ranges.lr_first, log=True)
    latent_radius = noise_radius = None
    if ask.choice("balls", (0, 1)):
        latent_radius = relative(ask.real("latent_radius", *ranges.latent_radius, log=True))
        noise_radius = relative(ask.real("noise_radius", *ranges.noise_radius, log=True))
    tv_weight = ask.real("tv_weight", *ranges.tv_weight, log=True)
    stage = _stage(budget // restarts, lr=lr, latent_radius=latent_radius, noise_radius=noise_radius)
    return AttackConfig(stages=(stage,), restarts=restarts, tv_weight=tv_weight, l2_weight=L2_WEIGHT)


def published(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """GIFD's own settings of its first stage; the latent's radius is scaled by the number of scalars."""
    if budget < 2:
        raise ValueError(f"a latent search needs a budget >= 2, got {budget}")
    stage = _stage(
        budget,
        lr=LR,
        latent_radius=Radius(value=LATENT_AND_NOISE_RADII[0] * shape.latent_scalars / LATENT_SCALARS, relative=False),
        noise_radius=Radius(value=LATENT_AND_NOISE_RADII[0], relative=False),
    )
    return AttackConfig(stages=(stage,), restarts=1, tv_weight=TV_WEIGHT, l2_weight=L2_WEIGHT)


def _stage(evaluations: int, *, lr: float, latent_radius: Radius | None, noise_radius: Radius | None) -> FeatureStage:
    return FeatureStage(
        layer=0,
        steps=evaluations - 1,
        lr=lr,
        feature_radius=None,
        latent_radius=latent_radius,
        noise_radius=noise_radius,
    )


METHOD = Method(
    name="latent",
    summary="the latent alone, GIFD's first stage with all of the budget",
    suggest=suggest,
    published=published,
    begin={"restarts": 1, "lr": LR, "balls": 1, "tv_weight": TV_WEIGHT},
    schedule=("restarts",),
)
