"""What an attack comes to: stages, restarts, and the one image, or batch of images, that an attacker keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from gifd_ops.stages import Stage


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage came to; every tensor begins with [targets, restarts]. Restarts that diverged are NaN.

    Where a target is a batch, images, radii and what moved have [targets, restarts, batch]: they are each image's own.
    """

    stage: Stage
    images: Tensor  # [targets, restarts, (batch,) 3, h, w] in [0, 1]
    matching_loss: Tensor  # full cosine distance of `images`, no prior
    loss_trace: Tensor  # [targets, restarts, steps], before each update, or of each candidate; NaN once stopped
    steps_taken: Tensor  # int64, of `stage.steps`
    feature_radius: Tensor | None = None  # absolute l1 radii as used; None without a ball or a feature
    latent_radius: Tensor | None = None
    noise_radius: Tensor | None = None  # of the stage's first noise map
    feature_moved_l1: Tensor | None = None  # None where the stage has no feature


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """One image per target, and where it came from."""

    images: Tensor  # [targets, (batch,) 3, h, w] in [0, 1]
    matching_loss: Tensor  # [targets], infinite where no restart of any stage had a finite one
    stage: Tensor  # [targets], index into the schedule
    restart: Tensor  # [targets]


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """All stages and restarts; `best` is what an attacker keeps."""

    stages: tuple[StageResult, ...]
    labels: Tensor  # as the attack used them, [targets] or [targets, batch]
    # [targets] int64, victim gradients (of training clients: simulated updates) that were computed, scoring included
    gradient_evaluations: Tensor
    restart_select: Literal["best", "last"] = "best"

    @property
    def best(self) -> Reconstruction:
        """Per target the stage and restart of least matching loss, with its own image."""
        return self._least(range(len(self.stages)))

    def best_of_stage(self, index: int) -> Reconstruction:
        """Per target the restart of least matching loss within one stage."""
        return self._least([index])

    def _least(self, indices: Sequence[int]) -> Reconstruction:
        losses = torch.stack([self.stages[index].matching_loss for index in indices], dim=1)
        losses = torch.where(losses.isfinite(), losses, torch.inf)  # [targets, stages, restarts]
        least, place = losses.flatten(1).min(dim=1)
        restarts = losses.shape[2]
        stage, restart = place // restarts, place % restarts
        if self.restart_select == "last":  # the authors' slip: the score of the best, the image of the last
            restart = torch.full_like(restart, restarts - 1)
        images = torch.stack([self.stages[index].images for index in indices], dim=1)
        rows = torch.arange(len(place), device=place.device)
        return Reconstruction(
            images=images[rows, stage, restart],
            matching_loss=least,
            stage=torch.tensor(list(indices), device=place.device)[stage],
            restart=restart,
        )


def join_results(parts: Sequence[AttackResult]) -> AttackResult:
    """The results of one config on several groups of targets as one, target after target."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        stages=tuple(_join_stages(stages) for stages in zip(*(part.stages for part in parts), strict=True)),
        labels=torch.cat([part.labels for part in parts]),
        gradient_evaluations=torch.cat([part.gradient_evaluations for part in parts]),
    )


def _join_stages(parts: Sequence[StageResult]) -> StageResult:
    tensors: dict[str, Any] = {}
    for field in fields(StageResult):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], Tensor):
            tensors[field.name] = torch.cat(values)
    return replace(parts[0], **tensors)
