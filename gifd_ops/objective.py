"""What an attack minimizes: the distance between gradients, and priors of the image."""

from __future__ import annotations

import copy
from typing import Self

from torch import Tensor

from gifd_ops.config import AttackConfig
from gifd_ops.defenses.answers import treatment
from gifd_ops.first_order import matching_loss, matching_value
from gifd_ops.gradients import Observation, backward_rows, batch_statistics, parameter_gradients
from gifd_ops.matching import MATCHINGS, CosineMatching, GradientMatching
from gifd_ops.priors import group_distance, l2_norm, statistics_distance, total_variation
from gifd_ops.victims import Victim


class Objective:
    """The loss of every row, and the score by which an attacker chooses among results.

    Rows are ordered target by target, then config by config, `config.restarts` each. Configs differ, if at all, in the
    weights of tv and l2. Raises ValueError where they want statistics that the observation lacks, or layers that the
    victim has not.
    """

    def __init__(self, victim: Victim, observation: Observation, labels: Tensor, *configs: AttackConfig) -> None:
        config = configs[0]
        if config.statistics_weight > 0 and not observation.statistics:
            raise ValueError(
                "statistics_weight > 0 needs batch statistics that the client shares, and a victim with batch "
                "normalization; set it to 0, or observe with share_statistics=True"
            )
        self.victim, self.config, self.restarts = victim, config, config.restarts
        per_target = len(configs) * config.restarts
        answer, seen, batch_size = config.answer, observation.gradients, observation.batch_size or 1
        told = None if answer is None else treatment(seen, answer, batch_size=batch_size, strength=1.0)
        self.scoring = CosineMatching(victim, observation, labels, restarts=per_target, treatment=told)
        self.matching: GradientMatching = self.scoring
        softer, steps = answer is not None and answer.strength < 1, config.simulated_steps
        if config.distance != "cosine" or config.matched_layers is not None or softer or steps is not None:
            kind, layers = MATCHINGS[config.distance], config.matched_layers
            told = None if answer is None else treatment(seen, answer, batch_size=batch_size)
            self.matching = kind(
                victim,
                observation,
                labels,
                restarts=per_target,
                layers=layers,
                treatment=told,
                simulated_steps=steps,
            )
        shared = (observation.statistics or ()) if config.statistics_weight > 0 else ()
        by_row = ([tensor.repeat_interleave(per_target, dim=0) for tensor in pair] for pair in shared)
        self.statistics = [(mean, variance) for mean, variance in by_row]
        weights = {total_variation: [each.tv_weight for each in configs], l2_norm: [each.l2_weight for each in configs]}
        self.priors = [  # with their weights [rows]
            (observation.gradients[0].new_tensor(own).repeat_interleave(config.restarts).repeat(len(labels)), prior)
            for prior, own in weights.items()
            if max(own) > 0
        ]

    def __call__(self, images: Tensor, *, differentiable: bool = True) -> Tensor:
        """Losses [rows] of images [rows, (batch,) 3, h, w], nominally in [0, 1], priors included.

        Of a batch the priors are the mean over its images.
        """
        config = self.config
        if self.statistics:  # they are read off the same pass
            passes = backward_rows(self.matching.victim, images, self.matching.labels, differentiable=differentiable)
            loss = self.matching.between(parameter_gradients(passes))
            loss = loss + config.statistics_weight * statistics_distance(batch_statistics(passes), self.statistics)
        elif differentiable:
            loss = matching_loss(images, self.matching)
        else:
            loss = matching_value(images, self.matching)
        seen = self.victim.normalize(images.flatten(0, -4))
        for weights, prior in self.priors:
            loss = loss + weights * _of_rows(prior(seen), images)
        if config.group_weight > 0 and self.restarts > 1:
            distances = group_distance(seen.unflatten(0, images.shape[:-3]), self.restarts)
            loss = loss + config.group_weight * _of_rows(distances, images)
        return loss

    def evaluate(self, images: Tensor) -> Tensor:
        """The losses alone, for searches that need no slope."""
        return self(images, differentiable=False).detach()

    def score(self, images: Tensor) -> Tensor:
        """Cosine distances [rows] over all shared tensors, without priors: what the attacker can see of a result."""
        return matching_value(images, self.scoring)

    def select(self, rows: Tensor | slice) -> Self:
        """The objective of some rows, each taken alone: restarts do not pull at one another."""
        part = copy.copy(self)
        part.restarts = 1
        part.scoring = self.scoring.select(rows)
        part.matching = part.scoring if self.matching is self.scoring else self.matching.select(rows)
        part.statistics = [(mean[rows], variance[rows]) for mean, variance in self.statistics]
        part.priors = [(weights[rows], prior) for weights, prior in self.priors]
        return part


def _of_rows(values: Tensor, images: Tensor) -> Tensor:
    """Values of all images [rows, (batch,) 3, h, w], one after another, as means over the batch [rows]."""
    return values if images.ndim == 4 else values.view(images.shape[:2]).mean(dim=1)
