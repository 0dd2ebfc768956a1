"""Configs whose rows are one batch: which may be, in what order their rows lie, and how they come apart again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor

from gifd_ops.config import AttackConfig
from gifd_ops.stages import Stage


@dataclass(frozen=True)
class Fused:
    """One config, or several of one `fuse_key`.

    Rows are ordered target by target, then config by config, then restart by restart: those of a target, which share
    its gradient, follow one another.
    """

    configs: tuple[AttackConfig, ...]

    @property
    def common(self) -> AttackConfig:
        """A config that says what all have in common."""
        return self.configs[0]

    @property
    def rows_per_target(self) -> int:
        return len(self.configs) * self.common.restarts

    def stages_of_rows(self, num_targets: int) -> list[tuple[Stage, ...]]:
        """For each stage of the schedule, what every row is told [rows]."""
        of_target = [config.stages for config in self.configs for _ in range(config.restarts)]
        return list(zip(*of_target * num_targets, strict=True))

    def part(self, place: int, values: Tensor) -> Tensor:
        """What of values [rows, ...] belongs to one of the configs, [targets, restarts, ...]."""
        of_target: Tensor = values.unflatten(0, (-1, len(self.configs), self.common.restarts))
        return of_target[:, place]


def fusible(configs: Sequence[AttackConfig]) -> list[list[int]]:
    """The places of configs that may be fused with one another, group by group."""
    groups: dict[Hashable, list[int]] = {}
    for place, config in enumerate(configs):
        key = config.fuse_key
        groups.setdefault(("alone", place) if key is None else key, []).append(place)
    return list(groups.values())
