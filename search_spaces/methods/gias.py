"""GIAS (Jeon et al., NeurIPS 2021): the latent, then the generator's weights."""

from __future__ import annotations

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import FeatureStage, WeightStage
from search_spaces.base import Ask, Method
from search_spaces.curves import even_restarts
from search_spaces.reach import Ranges

# As the authors of GIFD ran it on FFHQ: Adam on the latent (noise maps held), then on all weights; no l2 prior.
LATENT_STEPS, WEIGHT_STEPS = 1000, 8000
LATENT_LR, WEIGHT_LR, TV_WEIGHT = 0.03, 1e-3, 1e-4
LEAST_EVALUATIONS = 4  # two stages of one update and one evaluation that scores it
WORTHWHILE_EVALUATIONS = 30  # of a restart


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int, ranges: Ranges) -> AttackConfig:
    """A config that spends exactly `budget` gradient evaluations per target."""
    restarts = ask.choice("restarts", even_restarts(budget, enough=WORTHWHILE_EVALUATIONS))
    latent_share = ask.real("latent_share", 0.05, 0.95)
    lr_latent = ask.real("lr_latent", 0.005, 0.4, log=True)
    noises = bool(ask.choice("search_noises", (0, 1)))
    lr_weights = ask.real("lr_weights", 1e-5, 1e-1, log=True)
    tv_weight = ask.real("tv_weight", *ranges.tv_weight, log=True)
    return _config(
        budget,
        restarts=restarts,
        latent_share=latent_share,
        lr_latent=lr_latent,
        noises=noises,
        lr_weights=lr_weights,
        tv_weight=tv_weight,
    )


def published(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """The authors' settings, their nine thousand steps scaled to the budget."""
    if budget < LEAST_EVALUATIONS:
        raise ValueError(f"GIAS has two stages and needs a budget >= {LEAST_EVALUATIONS}, got {budget}")
    return _config(
        budget,
        restarts=1,
        latent_share=LATENT_STEPS / (LATENT_STEPS + WEIGHT_STEPS),
        lr_latent=LATENT_LR,
        noises=False,
        lr_weights=WEIGHT_LR,
        tv_weight=TV_WEIGHT,
    )


def _config(
    budget: int,
    *,
    restarts: int,
    latent_share: float,
    lr_latent: float,
    noises: bool,
    lr_weights: float,
    tv_weight: float,
) -> AttackConfig:
    evaluations = budget // restarts
    of_latent = min(max(2, round(latent_share * evaluations)), evaluations - 2)
    latent = FeatureStage(
        layer=0,
        steps=of_latent - 1,
        lr=lr_latent,
        feature_radius=None,
        latent_radius=None,
        noise_radius=None,
        noises=noises,
        decay="steps",
    )
    weights = WeightStage(steps=evaluations - of_latent - 1, lr=lr_weights)
    return AttackConfig(stages=(latent, weights), restarts=restarts, tv_weight=tv_weight, l2_weight=0.0)


METHOD = Method(
    name="gias",
    summary="GIAS: the latent, then the generator's weights",
    suggest=suggest,
    published=published,
    begin={
        "restarts": 1,
        "latent_share": LATENT_STEPS / (LATENT_STEPS + WEIGHT_STEPS),
        "lr_latent": LATENT_LR,
        "search_noises": 0,
        "lr_weights": WEIGHT_LR,
        "tv_weight": TV_WEIGHT,
    },
)
