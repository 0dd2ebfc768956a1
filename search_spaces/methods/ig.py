"""IG, Inverting Gradients (Geiping et al., NeurIPS 2020): pixels by cosine distance and total variation."""

from __future__ import annotations

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import PixelStage
from search_spaces.base import Ask, Method
from search_spaces.curves import even_restarts
from search_spaces.reach import Ranges

LR, TV_WEIGHT = 0.1, 1e-4  # as the authors of GIFD ran it: unsigned, tenths at 3/8, 5/8 and 7/8
WORTHWHILE_EVALUATIONS = 30  # of a restart


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int, ranges: Ranges) -> AttackConfig:
    """A config that spends exactly `budget` gradient evaluations per target."""
    restarts = ask.choice("restarts", even_restarts(budget, enough=WORTHWHILE_EVALUATIONS))
    stage = suggest_pixels(ask, budget // restarts, signed=bool(ask.choice("signed", (0, 1))))
    tv_weight = ask.real("tv_weight", *ranges.tv_weight, log=True)
    return AttackConfig(stages=(stage,), restarts=restarts, tv_weight=tv_weight, l2_weight=0.0)


def suggest_pixels(ask: Ask, evaluations: int, *, signed: bool) -> PixelStage:
    """The one stage of a search without a generator."""
    lr = ask.real("lr", 0.005, 1.0, log=True)
    ramp = ask.choice("ramp", (0, 1))
    return PixelStage(steps=evaluations - 1, lr=lr, signed=signed, decay="ramp" if ramp else "steps")


def published(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """The settings the authors of GIFD compare with, all of the budget on one restart."""
    if budget < 2:
        raise ValueError(f"IG needs a budget >= 2, got {budget}")
    stage = PixelStage(steps=budget - 1, lr=LR, signed=False)
    return AttackConfig(stages=(stage,), restarts=1, tv_weight=TV_WEIGHT, l2_weight=0.0)


METHOD = Method(
    name="ig",
    summary="IG: pixels, cosine distance and total variation; no generator",
    suggest=suggest,
    published=published,
    begin={"restarts": 1, "signed": 0, "lr": LR, "ramp": 0, "tv_weight": TV_WEIGHT},
    schedule=("restarts", "signed"),
)
