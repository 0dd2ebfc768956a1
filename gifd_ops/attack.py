"""Gradient inversion on rows: GIFD (Fang et al., ICCV 2023, algorithm 1) and the methods it is compared with.

A row is one restart on one target. All rows run as one batch wherever they share the generator's weights; a row's
randomness depends on its own seed only. An attack is a sequence of stages, each a function from features to features:
what a method is, its stages say.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.gradients import Observation
from gifd_ops.labels import infer_labels
from gifd_ops.objective import Objective
from gifd_ops.passes import OutOfMemoryError, run_in_passes, targets_at_once
from gifd_ops.result import AttackResult, Reconstruction, StageResult
from gifd_ops.searches.evolution import search_evolution
from gifd_ops.searches.features import enter_stage, search_features
from gifd_ops.searches.pixels import search_pixels
from gifd_ops.searches.search import LossOf, StageEnd
from gifd_ops.searches.turns import search_in_turns
from gifd_ops.searches.weights import search_weights
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import EvolutionStage, PixelStage, Stage, WeightStage
from gifd_ops.victims import Victim

__all__ = ["AttackResult", "OutOfMemoryError", "Reconstruction", "StageResult", "run_attack"]


def run_attack(
    observation: Observation,
    generator: Generator,
    victim: Victim,
    config: AttackConfig,
    *,
    seeds: Sequence[int],
    max_rows: int | None = None,
) -> AttackResult:
    """Reconstruct the image behind each shared gradient.

    seeds: one per target; restart r of a target draws from a seed derived from its target's seed and r, so a row is
    the same whatever runs beside it. Labels are inferred unless the observation grants them. A config that searches
    pixels makes no use of the generator. Targets that do not fit into memory together are attacked one group after
    another, and so are those of more than `max_rows` rows. Raises ValueError where the schedule does not fit the
    generator, OutOfMemoryError where a single target does not fit into memory.
    """
    if config.needs_generator:
        config.check_fits(generator.shape)
    if len(seeds) != observation.num_targets:
        raise ValueError(f"give one seed per target: {observation.num_targets} targets, {len(seeds)} seeds")

    def attack(targets: range, told: AttackConfig = config) -> AttackResult:
        some = slice(targets.start, targets.stop)
        return _attack(_observed(observation, some), generator, victim, told, seeds[some])

    def probe(rows: int) -> AttackResult:
        return attack(range(rows), _shortest(config))

    num_targets, device = observation.num_targets, observation.gradients[0].device
    work = _kind_of_work(observation, generator, config)
    at_once = targets_at_once(probe, work=work, num_targets=num_targets, restarts=config.restarts, device=device)
    if max_rows is not None:
        at_once = min(at_once, max(1, max_rows // config.restarts))
    return run_in_passes(attack, num_targets=num_targets, at_once=at_once, device=device)


def _observed(observation: Observation, targets: slice) -> Observation:
    """What is seen of some targets."""
    labels, statistics = observation.labels, observation.statistics
    return replace(
        observation,
        gradients=tuple(gradient[targets] for gradient in observation.gradients),
        labels=None if labels is None else labels[targets],
        statistics=None if statistics is None else tuple((mean[targets], var[targets]) for mean, var in statistics),
    )


def _shortest(config: AttackConfig) -> AttackConfig:
    """One restart that enters every stage: a row of it holds as much memory at a time as one of the whole attack."""
    steps = [stage.population if isinstance(stage, EvolutionStage) else 1 for stage in config.stages]
    stages = (replace(stage, steps=least) for stage, least in zip(config.stages, steps, strict=True))
    return replace(config, restarts=1, stages=tuple(stages))


def _kind_of_work(observation: Observation, generator: Generator, config: AttackConfig) -> Hashable:
    """What decides how much memory a row takes."""
    return (
        tuple(gradient.shape[1:] for gradient in observation.gradients),
        observation.image_shape,
        generator.shape if config.needs_generator else None,
        tuple((stage.kind, stage.layer) for stage in config.stages),
        (config.distance, config.matched_layers, config.statistics_weight > 0),
    )


def _attack(
    observation: Observation, generator: Generator, victim: Victim, config: AttackConfig, seeds: Sequence[int]
) -> AttackResult:
    """The attack of all targets at once."""
    labels = infer_labels(observation) if observation.labels is None else observation.labels
    objective = Objective(victim, observation, labels, config)
    rows = [derive_seed(seed, "restart", restart) for seed in seeds for restart in range(config.restarts)]
    features = generator.start(rows, labels.repeat_interleave(config.restarts)) if config.needs_generator else None
    results = []
    evaluations = torch.zeros_like(labels)
    for stage, following in pairwise((*config.stages, None)):
        assert stage is not None
        end = _search(features, generator, objective, stage, following, rows, observation.image_shape)
        scores, scored = _score(objective, end.images)
        results.append(_stage_result(stage, end, scores, config.restarts))
        evaluations += (end.steps_taken + scored).unflatten(0, (-1, config.restarts)).sum(dim=1)
        features = end.features
    return AttackResult(
        stages=tuple(results),
        labels=labels,
        gradient_evaluations=evaluations,
        restart_select=config.quirks.restart_select,
    )


def _search(
    features: Features | None,
    generator: Generator,
    objective: Objective,
    stage: Stage,
    following: Stage | None,
    seeds: Sequence[int],
    image_shape: tuple[int, int, int],
) -> StageEnd:
    """Run a stage from where the one before it ended."""
    config, victim = objective.config, objective.victim
    loss_of: LossOf | None = None if config.restarts_pull else objective.select
    patience = 0 if config.restarts_pull else config.patience
    if isinstance(stage, PixelStage):
        return search_pixels(seeds, image_shape, victim, objective, stage, patience=patience, loss_of=loss_of)
    assert features is not None
    if isinstance(stage, EvolutionStage):
        evaluate_of: LossOf | None = None if loss_of is None else lambda rows: objective.select(rows).evaluate
        loss = objective.evaluate
        return search_evolution(features, generator, loss, stage, seeds=seeds, patience=patience, loss_of=evaluate_of)
    if isinstance(stage, WeightStage):
        return search_weights(features, generator, objective.select, stage, patience=patience)
    if config.quirks.share_restart_noises:
        return search_in_turns(features, generator, objective, stage, following)
    start = enter_stage(features, generator, stage, config.quirks)
    return search_features(start, generator, objective, stage, quirks=config.quirks, patience=patience, loss_of=loss_of)


def _score(objective: Objective, images: Tensor) -> tuple[Tensor, Tensor]:
    """The scores [rows] of images [rows, 3, h, w], NaN where an image is; and which rows [rows] were scored."""
    whole = images.flatten(1).isfinite().all(dim=1)
    if bool(whole.all()):
        return objective.score(images), whole
    scores = images.new_full((len(images),), torch.nan)
    if bool(whole.any()):
        (rows,) = whole.nonzero(as_tuple=True)
        scores[rows] = objective.select(rows).score(images[rows])
    return scores, whole


def _stage_result(stage: Stage, end: StageEnd, scores: Tensor, restarts: int) -> StageResult:
    """Where a stage ended, target by target."""

    def by_target(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.unflatten(0, (-1, restarts))

    return StageResult(
        stage=stage,
        images=end.images.unflatten(0, (-1, restarts)),
        matching_loss=scores.unflatten(0, (-1, restarts)),
        loss_trace=end.trace.unflatten(0, (-1, restarts)),
        steps_taken=end.steps_taken.unflatten(0, (-1, restarts)),
        feature_radius=by_target(end.feature_radius),
        latent_radius=by_target(end.latent_radius),
        noise_radius=by_target(end.noise_radius),
        feature_moved_l1=by_target(end.feature_moved_l1),
    )
