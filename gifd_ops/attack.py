"""Gradient inversion on rows: GIFD (Fang et al., ICCV 2023, algorithm 1) and the methods it is compared with.

A row is one restart on one target. All rows run as one batch wherever they share the generator's weights; a row's
randomness depends on its own seed only. An attack is a sequence of stages, each a function from features to features:
what a method is, its stages say.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.gradients import Observation
from gifd_ops.labels import infer_labels
from gifd_ops.objective import Objective
from gifd_ops.result import AttackResult, Reconstruction, StageResult
from gifd_ops.searches.evolution import search_evolution
from gifd_ops.searches.features import enter_stage, search_features
from gifd_ops.searches.pixels import search_pixels
from gifd_ops.searches.search import StageEnd
from gifd_ops.searches.turns import search_in_turns
from gifd_ops.searches.weights import search_weights
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Stage, WeightStage
from gifd_ops.victims import Victim

__all__ = ["AttackResult", "Reconstruction", "StageResult", "run_attack"]


def run_attack(
    observation: Observation, generator: Generator, victim: Victim, config: AttackConfig, *, seeds: Sequence[int]
) -> AttackResult:
    """Reconstruct the image behind each shared gradient.

    seeds: one per target; restart r of a target draws from a seed derived from its target's seed and r, so a row is
    the same whatever runs beside it. Labels are inferred unless the observation grants them. A config that searches
    pixels makes no use of the generator. Raises ValueError where the schedule does not fit.
    """
    if config.needs_generator:
        config.check_fits(generator.shape)
    if len(seeds) != observation.num_targets:
        raise ValueError(f"give one seed per target: {observation.num_targets} targets, {len(seeds)} seeds")
    labels = infer_labels(observation) if observation.labels is None else observation.labels
    objective = Objective(victim, observation, labels, config)
    rows = [derive_seed(seed, "restart", restart) for seed in seeds for restart in range(config.restarts)]
    features = generator.start(rows, labels.repeat_interleave(config.restarts)) if config.needs_generator else None
    results = []
    for stage, following in pairwise((*config.stages, None)):
        assert stage is not None
        if isinstance(stage, PixelStage):
            end = search_pixels(rows, observation.image_shape, victim, objective, stage)
        else:
            assert features is not None
            end = _search(features, generator, objective, stage, following, rows)
        results.append(_stage_result(stage, end, objective.score(end.images), config.restarts))
        features = end.features
    return AttackResult(
        stages=tuple(results),
        labels=labels,
        gradient_evaluations=config.gradient_evaluations,
        restart_select=config.quirks.restart_select,
    )


def _search(
    features: Features,
    generator: Generator,
    objective: Objective,
    stage: FeatureStage | WeightStage | EvolutionStage,
    following: Stage | None,
    seeds: Sequence[int],
) -> StageEnd:
    """Run a stage that makes use of the generator, from where the one before it ended."""
    quirks = objective.config.quirks
    if isinstance(stage, EvolutionStage):
        return search_evolution(features, generator, objective.evaluate, stage, seeds=seeds)
    if isinstance(stage, WeightStage):
        return search_weights(features, generator, objective.select, stage)
    if quirks.share_restart_noises:
        return search_in_turns(features, generator, objective, stage, following)
    start = enter_stage(features, generator, stage, quirks)
    return search_features(start, generator, objective, stage, quirks=quirks)


def _stage_result(stage: Stage, end: StageEnd, scores: Tensor, restarts: int) -> StageResult:
    """Where a stage ended, target by target."""

    def by_target(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.unflatten(0, (-1, restarts))

    return StageResult(
        stage=stage,
        images=end.images.unflatten(0, (-1, restarts)),
        matching_loss=scores.unflatten(0, (-1, restarts)),
        loss_trace=end.trace.unflatten(0, (-1, restarts)),
        feature_radius=by_target(end.feature_radius),
        latent_radius=by_target(end.latent_radius),
        noise_radius=by_target(end.noise_radius),
        feature_moved_l1=by_target(end.feature_moved_l1),
    )
