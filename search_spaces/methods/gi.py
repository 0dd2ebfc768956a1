"""GI, GradInversion (Yin et al., CVPR 2021): pixels by l2 distance, image priors and restarts that agree."""

from __future__ import annotations

from dataclasses import replace

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import PixelStage
from search_spaces.base import Ask, Method
from search_spaces.curves import even_restarts
from search_spaces.methods.ig import LR, TV_WEIGHT, WORTHWHILE_EVALUATIONS, suggest_pixels
from search_spaces.reach import Ranges

L2_WEIGHT, GROUP_WEIGHT = 1e-6, 0.01  # as the authors of GIFD ran it
LEAST_EVALUATIONS = 2  # of a restart


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int, ranges: Ranges) -> AttackConfig:
    """A config that spends exactly `budget` gradient evaluations per target."""
    restarts = ask.choice("restarts", even_restarts(budget, enough=WORTHWHILE_EVALUATIONS))
    stage = suggest_pixels(ask, budget // restarts, signed=False)
    config = AttackConfig(
        stages=(stage,),
        restarts=restarts,
        tv_weight=ask.real("tv_weight", *ranges.tv_weight, log=True),
        l2_weight=ask.real("l2_weight", 1e-8, 1e-3, log=True),
        distance="l2",
    )
    if restarts == 1:
        return config
    return replace(config, group_weight=ask.real("group_weight", 1e-4, 1.0, log=True))


def published(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """The settings the authors of GIFD compare with: four restarts share the budget, for they pull at one another.

    Fewer where the budget cannot be divided. Batch statistics weigh nothing there, as clients do not send them.
    """
    if budget < LEAST_EVALUATIONS:
        raise ValueError(f"GI needs a budget >= {LEAST_EVALUATIONS}, got {budget}")
    restarts = even_restarts(budget, enough=LEAST_EVALUATIONS)[-1]
    stage = PixelStage(steps=budget // restarts - 1, lr=LR, signed=False)
    return AttackConfig(
        stages=(stage,),
        restarts=restarts,
        tv_weight=TV_WEIGHT,
        l2_weight=L2_WEIGHT,
        distance="l2",
        group_weight=GROUP_WEIGHT,
    )


METHOD = Method(
    name="gi",
    summary="GI: pixels, l2 distance, priors, and restarts that agree; no generator",
    suggest=suggest,
    published=published,
    begin={
        "restarts": 4,
        "lr": LR,
        "ramp": 0,
        "tv_weight": TV_WEIGHT,
        "l2_weight": L2_WEIGHT,
        "group_weight": GROUP_WEIGHT,
    },
    schedule=("restarts",),
)
