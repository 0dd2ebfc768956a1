"""Gradient inversion on rows: GIFD (Fang et al., ICCV 2023, algorithm 1) and the methods it is compared with.

A row is one restart on one target. All rows run as one batch wherever they share the generator's weights, those of
several configs too (`fusing.py`); a row's randomness depends on its own seed only. An attack is a sequence of stages,
each a function from features to features: what a method is, its stages say.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from gifd_ops.batches import BatchGenerator
from gifd_ops.config import AttackConfig
from gifd_ops.fusing import Fused, fusible
from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.gradients import Observation
from gifd_ops.labels import infer_counts, infer_labels, labels_of_counts, signed_features
from gifd_ops.objective import Objective
from gifd_ops.passes import OutOfMemoryError, run_in_passes, targets_at_once
from gifd_ops.result import AttackResult, Reconstruction, StageResult, join_results
from gifd_ops.searches.evolution import search_evolution
from gifd_ops.searches.features import enter_stage, search_features
from gifd_ops.searches.pixels import search_pixels
from gifd_ops.searches.search import LossOf, StageEnd
from gifd_ops.searches.turns import search_in_turns
from gifd_ops.searches.weights import search_weights
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Stage, WeightStage
from gifd_ops.victims import Victim

__all__ = ["AttackResult", "OutOfMemoryError", "Reconstruction", "StageResult", "run_attack", "run_attacks"]


def run_attack(
    observation: Observation,
    generator: Generator,
    victim: Victim,
    config: AttackConfig,
    *,
    seeds: Sequence[int],
    max_rows: int | None = None,
) -> AttackResult:
    """Reconstruct the image behind each shared gradient, or the batch of images where a target is a batch.

    seeds: one per target; restart r of a target draws from a seed derived from its target's seed and r, so a row is
    the same whatever runs beside it. What the clients did before they shared, the observation says, and rows do alike.
    Labels are inferred unless the observation grants them. A config that searches pixels makes no use of the generator.
    Targets that do not fit into memory together are attacked one group after another, and so are those of more than
    `max_rows` rows. Raises ValueError where the schedule does not fit the generator, OutOfMemoryError where a single
    target does not fit into memory.
    """
    (result,) = run_attacks(observation, generator, victim, [config], seeds=seeds, max_rows=max_rows)
    return result


def run_attacks(
    observation: Observation,
    generator: Generator,
    victim: Victim,
    configs: Sequence[AttackConfig],
    *,
    seeds: Sequence[int],
    max_rows: int | None = None,
) -> list[AttackResult]:
    """What `run_attack` finds with each config from the same seeds; configs of one `fuse_key` run as one batch.

    Configs that do not fit into memory together, or have more than `max_rows` rows a target, run in several batches,
    and so do those of different keys. Raises what `run_attack` raises for any one of them.
    """
    for config in configs:
        if config.needs_generator:
            config.check_fits(generator.shape)
    if len(seeds) != observation.num_targets:
        raise ValueError(f"give one seed per target: {observation.num_targets} targets, {len(seeds)} seeds")
    results: dict[int, AttackResult] = {}
    for places in fusible(configs):
        alike = [configs[place] for place in places]
        found = _attack_alike(observation, generator, victim, alike, seeds, max_rows)
        results |= zip(places, found, strict=True)
    return [results[place] for place in range(len(configs))]


def _attack_alike(
    observation: Observation,
    generator: Generator,
    victim: Victim,
    configs: Sequence[AttackConfig],
    seeds: Sequence[int],
    max_rows: int | None,
) -> list[AttackResult]:
    """The attacks of all targets with configs that may be fused, as many of both at once as there is room for."""
    num_targets, device = observation.num_targets, observation.gradients[0].device
    most_rows = len(configs) * configs[0].restarts * num_targets if max_rows is None else max_rows

    def attack(targets: range, fused: Fused) -> list[AttackResult]:
        some = slice(targets.start, targets.stop)
        return _attack(_observed(observation, some), generator, victim, fused, seeds[some])

    def attack_all(places: range) -> list[AttackResult]:
        """All targets, with some of the configs."""
        fused = Fused(tuple(configs[place] for place in places))
        fits = targets_at_once(
            lambda rows: attack(range(rows), Fused((_shortest(fused.common),))),
            work=_kind_of_work(observation, generator, fused.common),
            num_targets=num_targets,
            rows_each=fused.rows_per_target,
            device=device,
        )
        at_once = min(fits, max(1, most_rows // fused.rows_per_target))
        passes = run_in_passes(lambda some: attack(some, fused), count=num_targets, at_once=at_once, device=device)
        return [join_results(parts) for parts in zip(*passes, strict=True)]

    most_configs = max(1, most_rows // configs[0].restarts)
    passes = run_in_passes(attack_all, count=len(configs), at_once=most_configs, device=device)
    return [result for results in passes for result in results]


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
        (config.distance, config.matched_layers, config.statistics_weight > 0, config.answer, config.simulated_steps),
        (observation.batch_size, observation.protocol),
    )


def _attack(
    observation: Observation, generator: Generator, victim: Victim, fused: Fused, seeds: Sequence[int]
) -> list[AttackResult]:
    """The attack of all targets at once, with each of the fused configs."""
    config, labels = fused.common, _labels(observation, victim)
    objective = Objective(victim, observation, labels, *fused.configs)
    if observation.batch_size is not None:
        generator = BatchGenerator(generator, observation.batch_size)
    places = range(fused.rows_per_target)
    rows = [derive_seed(seed, "restart", place % config.restarts) for seed in seeds for place in places]
    of_rows = labels.repeat_interleave(fused.rows_per_target, dim=0)
    features = generator.start(rows, of_rows) if config.needs_generator else None
    found: list[list[StageResult]] = [[] for _ in fused.configs]
    evaluations = torch.zeros(len(rows), dtype=torch.int64, device=labels.device)
    for stages, following in pairwise((*fused.stages_of_rows(len(seeds)), None)):
        assert stages is not None
        end = _search(features, generator, objective, stages, following, rows, observation)
        scores, scored = _score(objective, end.images)
        for place, own in enumerate(found):
            stage = fused.configs[place].stages[len(own)]
            own.append(_stage_result(stage, end, scores, partial(fused.part, place)))
        evaluations += end.steps_taken + scored
        features = end.features
    return [
        AttackResult(
            stages=tuple(own),
            labels=labels,
            gradient_evaluations=fused.part(place, evaluations).sum(dim=1),
            restart_select=config.quirks.restart_select,
        )
        for place, own in enumerate(found)
    ]


def _labels(observation: Observation, victim: Victim) -> Tensor:
    """Labels [targets] or [targets, batch], as granted or as inferred: those of a batch are counted, and sorted."""
    if observation.labels is not None:
        return observation.labels
    if observation.batch_size is not None and observation.batch_size > 1:
        return labels_of_counts(infer_counts(observation, victim, batch_size=observation.batch_size))
    labels = infer_labels(observation, signed=signed_features(victim, observation.image_shape))
    return labels if observation.batch_size is None else labels[:, None]


def _search(
    features: Features | None,
    generator: Generator,
    objective: Objective,
    stages: Sequence[Stage],
    following: Sequence[Stage] | None,
    seeds: Sequence[int],
    observation: Observation,
) -> StageEnd:
    """Run a stage, as told to each row, from where the one before it ended."""
    config, victim, stage = objective.config, objective.victim, stages[0]
    loss_of: LossOf | None = None if config.restarts_pull else objective.select
    patience = 0 if config.restarts_pull else config.patience
    if pixels := [each for each in stages if isinstance(each, PixelStage)]:
        shape, batch_size = observation.image_shape, observation.batch_size
        return search_pixels(
            seeds, shape, victim, objective, *pixels, batch_size=batch_size, patience=patience, loss_of=loss_of
        )
    assert features is not None
    if isinstance(stage, EvolutionStage):
        evaluate_of: LossOf | None = None if loss_of is None else lambda rows: objective.select(rows).evaluate
        loss = objective.evaluate
        return search_evolution(features, generator, loss, stage, seeds=seeds, patience=patience, loss_of=evaluate_of)
    if isinstance(stage, WeightStage):
        return search_weights(features, generator, objective.select, stage, patience=patience)
    told = [each for each in stages if isinstance(each, FeatureStage)]
    quirks = config.quirks
    if quirks.share_restart_noises:
        return search_in_turns(features, generator, objective, told[0], following[0] if following else None)
    start = enter_stage(features, generator, told[0], quirks)
    return search_features(start, generator, objective, *told, quirks=quirks, patience=patience, loss_of=loss_of)


def _score(objective: Objective, images: Tensor) -> tuple[Tensor, Tensor]:
    """The scores [rows] of images [rows, (batch,) 3, h, w], NaN where an image is; and which rows were scored."""
    whole = images.flatten(1).isfinite().all(dim=1)
    if bool(whole.all()):
        return objective.score(images), whole
    scores = images.new_full((len(images),), torch.nan)
    if bool(whole.any()):
        (rows,) = whole.nonzero(as_tuple=True)
        scores[rows] = objective.select(rows).score(images[rows])
    return scores, whole


def _stage_result(stage: Stage, end: StageEnd, scores: Tensor, part: Callable[[Tensor], Tensor]) -> StageResult:
    """What a stage came to for one config; `part` is what of [rows, ...] belongs to it, [targets, restarts, ...]."""

    def radius(values: Tensor | None) -> Tensor | None:
        own = None if values is None else part(values)
        return None if own is None or bool(own.isposinf().all()) else own

    return StageResult(
        stage=stage,
        images=part(end.images),
        matching_loss=part(scores),
        loss_trace=part(end.trace)[..., : stage.steps],
        steps_taken=part(end.steps_taken),
        feature_radius=radius(end.feature_radius),
        latent_radius=radius(end.latent_radius),
        noise_radius=radius(end.noise_radius),
        feature_moved_l1=None if end.feature_moved_l1 is None else part(end.feature_moved_l1),
    )
