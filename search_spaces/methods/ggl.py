"""GGL (Li et al., CVPR 2022): the latent, evolved by CMA-ES without a gradient of the loss."""

from __future__ import annotations

import math

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import EvolutionStage
from search_spaces.base import Ask, Method
from search_spaces.curves import even_restarts
from search_spaces.reach import Ranges

SIGMA = 1.0
MOST_COVARIED = 512  # numbers whose covariances are all learned; beyond, variances alone: the matrix costs its cube
LEAST_POPULATION = 4
POPULATIONS = (6, 10, 16, 24)
WORTHWHILE_EVALUATIONS = 30  # of a restart


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int, ranges: Ranges) -> AttackConfig:
    """A config that spends exactly `budget` gradient evaluations per target."""
    restarts = ask.choice("restarts", even_restarts(budget, enough=WORTHWHILE_EVALUATIONS))
    steps = budget // restarts - 1
    own_slots = bool(ask.choice("own_slots", (0, 1)))
    fitting = tuple(size for size in POPULATIONS if size <= steps)  # all of them, where a second restart is allowed
    population = ask.choice("population", fitting or (steps,))
    sigma = ask.real("sigma", 0.1, 2.0, log=True)
    tv_weight = ask.real("tv_weight", *ranges.tv_weight, log=True)
    stage = EvolutionStage(steps=steps, population=population, sigma=sigma, own_slots=own_slots, full_covariance=False)
    return AttackConfig(stages=(stage,), restarts=restarts, tv_weight=tv_weight, l2_weight=0.0, distance="l2")


def published(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """As the authors of GIFD ran it on StyleGAN2: every slot a latent of its own, l2 distance, no image prior.

    The population is CMA-ES's own for so many numbers (theirs of fifty is made for forty thousand evaluations).
    """
    if budget < LEAST_POPULATION + 1:
        raise ValueError(f"GGL needs a budget >= {LEAST_POPULATION + 1}, got {budget}")
    size = shape.latent_scalars
    stage = EvolutionStage(
        steps=budget - 1,
        population=min(4 + int(3 * math.log(size)), budget - 1),
        sigma=SIGMA,
        own_slots=True,
        full_covariance=size <= MOST_COVARIED,
    )
    return AttackConfig(stages=(stage,), restarts=1, tv_weight=0.0, l2_weight=0.0, distance="l2")


METHOD = Method(
    name="ggl",
    summary="GGL: the latent, evolved by CMA-ES",
    suggest=suggest,
    published=published,
    begin={"restarts": 1, "own_slots": 1, "population": 24, "sigma": SIGMA, "tv_weight": 1e-5},
)
