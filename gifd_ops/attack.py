"""GIFD: gradient inversion over feature domains (Fang et al., ICCV 2023, algorithm 1), on rows.

A row is one restart on one target. All rows run as one batch; a row's randomness depends on its own seed only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gifd_ops.config import AttackConfig, Radius, Stage
from gifd_ops.generators.protocol import Features, Generator, Searched
from gifd_ops.gradients import Observation
from gifd_ops.labels import infer_labels
from gifd_ops.matching import CosineMatching
from gifd_ops.priors import l2_norm, total_variation
from gifd_ops.projection import project_l1_ball
from gifd_ops.seeds import derive_seed
from gifd_ops.victims import Victim

Loss = Callable[[Tensor], Tensor]  # images [rows, 3, h, w] -> [rows]


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage came to; every tensor begins with [targets, restarts]."""

    stage: Stage
    images: Tensor  # [targets, restarts, 3, h, w] in [0, 1]
    matching_loss: Tensor  # full cosine distance of `images`, no prior
    loss_trace: Tensor  # [targets, restarts, steps], the loss before each update
    feature_radius: Tensor | None  # absolute l1 radii as used; None without a ball or a feature
    latent_radius: Tensor | None
    noise_radius: Tensor | None  # of the stage's first noise map
    feature_moved_l1: Tensor | None  # None where the stage has no feature


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """One image per target, and where it came from."""

    images: Tensor  # [targets, 3, h, w] in [0, 1]
    matching_loss: Tensor  # [targets], infinite where no restart of any stage had a finite one
    stage: Tensor  # [targets], index into the schedule
    restart: Tensor  # [targets]


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """All stages and restarts; `best` is what an attacker keeps."""

    stages: tuple[StageResult, ...]
    labels: Tensor  # inferred, [targets]
    gradient_evaluations: int  # per target

    @property
    def best(self) -> Reconstruction:
        """Per target the stage and restart of least matching loss, with its own image."""
        return _least(self.stages, range(len(self.stages)))

    def best_of_stage(self, index: int) -> Reconstruction:
        """Per target the restart of least matching loss within one stage."""
        return _least(self.stages, [index])


def run_attack(
    observation: Observation, generator: Generator, victim: Victim, config: AttackConfig, *, seeds: Sequence[int]
) -> AttackResult:
    """Reconstruct the image behind each shared gradient.

    seeds: one per target; restart r of a target draws from a seed derived from its target's seed and r, so a row is
    the same whatever runs beside it. Labels are inferred. Raises ValueError where the schedule does not fit.
    """
    config.check_fits(generator.shape)
    if len(seeds) != observation.num_targets:
        raise ValueError(f"give one seed per target: {observation.num_targets} targets, {len(seeds)} seeds")
    labels = infer_labels(observation)
    matching = CosineMatching(victim, observation, labels, restarts=config.restarts)

    def loss(images: Tensor) -> Tensor:
        seen = victim.normalize(images)
        return matching(images) + config.tv_weight * total_variation(seen) + config.l2_weight * l2_norm(seen)

    features = generator.start([derive_seed(seed, "restart", r) for seed in seeds for r in range(config.restarts)])
    results = []
    for stage in config.stages:
        with torch.no_grad():
            features = generator.advance(features, to=stage.layer)
        start = features
        features, trace = search_stage(features, generator, loss, stage)
        with torch.no_grad():
            images = generator.render(features).clamp(0, 1)
        scores = matching(images, differentiable=False).detach()
        results.append(_stage_result(stage, start, features, generator, images, scores, trace, config.restarts))
    return AttackResult(stages=tuple(results), labels=labels, gradient_evaluations=config.gradient_evaluations)


def search_stage(start: Features, generator: Generator, loss: Loss, stage: Stage) -> tuple[Features, Tensor]:
    """The features after `stage.steps` updates, and the loss before each update [rows, steps].

    Adam on the opened variables, each projected after every step on the l1 ball around its starting value.
    """
    searched = generator.searched(stage.layer)
    centers = _opened(start, searched)
    variables = [center.clone().requires_grad_() for center in centers]
    radii = [_radii(radius, center) for radius, center in zip(_limits(stage, searched), centers, strict=True)]
    adam = torch.optim.Adam(variables, lr=stage.lr, fused=True)
    trace = []
    for step in range(stage.steps):
        adam.param_groups[0]["lr"] = stage.lr * ramp(step, stage.steps)
        losses = loss(generator.render(_replaced(start, searched, variables)))
        gradients = torch.autograd.grad(losses.sum(), variables)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.grad = gradient
        adam.step()
        for variable, center, radius in zip(variables, centers, radii, strict=True):
            if radius is not None:
                _project(variable, center, radius)
        trace.append(losses.detach())
    ended = [variable.detach() for variable in variables]
    return _replaced(start, searched, ended), torch.stack(trace, dim=1)


def ramp(step: int, steps: int) -> float:
    """Factor of the learning rate at a step: linear warm-up over 5 %, flat to 25 %, cosine decay to the end.

    The published ramp starts at zero and so wastes the first update of every stage; here the warm-up counts from one.
    """
    warm_up = min(1.0, (step + 1) / (0.05 * steps))
    decay = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - step / steps) / 0.75))
    return warm_up * decay


def _opened(features: Features, searched: Searched) -> list[Tensor]:
    """The tensors that a stage optimizes: features, latent, noise maps."""
    tensors = [features.noises[index] for index in searched.noises]
    if searched.latent:
        tensors.insert(0, features.latent)
    if searched.hidden:
        assert features.hidden is not None
        tensors.insert(0, features.hidden)
    return tensors


def _replaced(features: Features, searched: Searched, tensors: Sequence[Tensor]) -> Features:
    """The features with the tensors of `_opened` exchanged."""
    remaining = iter(tensors)
    hidden = next(remaining) if searched.hidden else features.hidden
    latent = next(remaining) if searched.latent else features.latent
    noises = list(features.noises)
    for index in searched.noises:
        noises[index] = next(remaining)
    return replace(features, hidden=hidden, latent=latent, noises=tuple(noises))


def _limits(stage: Stage, searched: Searched) -> list[Radius | None]:
    """The radius of every opened tensor, in the order of `_opened`."""
    limits = [stage.noise_radius] * len(searched.noises)
    if searched.latent:
        limits.insert(0, stage.latent_radius)
    if searched.hidden:
        limits.insert(0, stage.feature_radius)
    return limits


def _radii(radius: Radius | None, center: Tensor) -> Tensor | None:
    """Absolute radii [rows] of the balls around `center` [rows, ...]."""
    if radius is None:
        return None
    if radius.relative:
        return radius.value * center.flatten(1).abs().sum(dim=1)
    return center.new_full((center.shape[0],), radius.value)


@torch.no_grad()
def _project(variable: Tensor, center: Tensor, radii: Tensor) -> None:
    """Move `variable`, in place, to the nearest point of the ball around `center`."""
    deviations = (variable - center).flatten(1)
    projected = project_l1_ball(deviations, radii)
    if projected is not deviations:
        variable.copy_(center + projected.view_as(center))


def _stage_result(
    stage: Stage,
    start: Features,
    end: Features,
    generator: Generator,
    images: Tensor,
    scores: Tensor,
    trace: Tensor,
    restarts: int,
) -> StageResult:
    def by_target(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.unflatten(0, (-1, restarts))

    searched = generator.searched(stage.layer)
    moved = feature_radius = noise_radius = None
    if searched.hidden:
        assert start.hidden is not None
        assert end.hidden is not None
        moved = (end.hidden - start.hidden).flatten(1).abs().sum(dim=1)
        feature_radius = _radii(stage.feature_radius, start.hidden)
    if searched.noises:
        noise_radius = _radii(stage.noise_radius, start.noises[searched.noises[0]])
    return StageResult(
        stage=stage,
        images=images.unflatten(0, (-1, restarts)),
        matching_loss=scores.unflatten(0, (-1, restarts)),
        loss_trace=trace.unflatten(0, (-1, restarts)),
        feature_radius=by_target(feature_radius),
        latent_radius=by_target(_radii(stage.latent_radius, start.latent) if searched.latent else None),
        noise_radius=by_target(noise_radius),
        feature_moved_l1=by_target(moved),
    )


def _least(stages: Sequence[StageResult], indices: Sequence[int]) -> Reconstruction:
    losses = torch.stack([stages[index].matching_loss for index in indices], dim=1)  # [targets, stages, restarts]
    losses = torch.where(losses.isfinite(), losses, torch.inf)
    least, place = losses.flatten(1).min(dim=1)
    restarts = losses.shape[2]
    stage, restart = place // restarts, place % restarts
    images = torch.stack([stages[index].images for index in indices], dim=1)
    rows = torch.arange(len(place), device=place.device)
    return Reconstruction(
        images=images[rows, stage, restart],
        matching_loss=least,
        stage=torch.tensor(list(indices), device=place.device)[stage],
        restart=restart,
    )
