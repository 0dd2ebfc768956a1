"""The space against batches and clients that train: `ood`, how much training is simulated, whether restarts agree."""

from __future__ import annotations

from dataclasses import replace

from gifd_ops.config import AttackConfig
from search_spaces import ood
from search_spaces.base import Ask
from search_spaces.reach import Faced

GROUP_WEIGHT = (1e-4, 1.0)
ALL = 1e6  # steps: more than any client takes


def choose_simulation(ask: Ask, config: AttackConfig, faced: Faced) -> AttackConfig:
    """The config with `simulated_steps` where clients train, and a `group_weight` where there are several restarts."""
    if faced.local_steps > 1:
        config = replace(config, simulated_steps=ask.choice("simulated_steps", step_options(faced.local_steps)))
    alone = faced.restarts_alone or any(stage.kind == "weights" for stage in config.stages)
    if config.restarts == 1 or alone or config.group_weight > 0:
        return config
    if not ask.choice("restarts_agree", (0, 1)):
        return config
    return replace(config, group_weight=ask.real("group_weight", *GROUP_WEIGHT, log=True))


def step_options(local_steps: int) -> tuple[int, ...]:
    """1, 2, 4 ... and all of the client's own steps."""
    powers = [1 << place for place in range(local_steps.bit_length()) if 1 << place < local_steps]
    return (*powers, local_steps)


REACH = replace(
    ood.REACH,
    name="batched",
    summary="as ood, and how many local steps are simulated, and whether restarts agree",
    more=choose_simulation,
    begin={"simulated_steps": ALL, "restarts_agree": 0},
    schedule=("simulated_steps", "restarts_agree"),
)
