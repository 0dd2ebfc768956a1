"""NSGA-III in a space with conditional parameters."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import NSGAIIISampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search_spaces.base import Range

POPULATION = 24


class GeneticSampler(NSGAIIISampler):
    """Optuna's NSGA-III with children that may have a parameter which one parent has.

    Optuna crosses over only the parameters that all trials have: here none, since the published recipe has no
    parameters. A child takes every parameter from one of its two parents, drawn from those that have it; parents are
    drawn alike, as Deb and Jain (2014) do. What is left out (a mutation, or no parent has it) is drawn at random.
    `selection_seed` is one for a whole search: parents are chosen once a generation, whichever question comes first.
    """

    def __init__(self, *, seed: int, selection_seed: int, parameters: Mapping[str, Range], explore: bool) -> None:
        self.parameters = {name: distribution_of(allowed) for name, allowed in parameters.items()}
        self.explore, self.stream = explore, random.Random(seed)
        self.mutations = RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(
                seed=selection_seed,
                population_size=POPULATION,
                dividing_parameter=3,
                child_generation_strategy=self._child,
            )

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.parameters

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.mutations.sample_independent(study, trial, param_name, param_distribution)

    def _child(
        self, study: Study, search_space: dict[str, BaseDistribution], population: list[FrozenTrial]
    ) -> dict[str, Any]:
        candidates = sorted((parent for parent in population if parent.params), key=lambda parent: parent.number)
        if self.explore or len(candidates) < 2:
            return {}
        parents = self.stream.sample(candidates, 2)
        names = sorted({name for parent in parents for name in parent.params} & search_space.keys())
        child = {}
        for name in names:
            donor = self.stream.choice([parent for parent in parents if name in parent.params])
            if self.stream.random() >= 1 / len(names):
                child[name] = donor.params[name]
        return child


def distribution_of(allowed: Range) -> BaseDistribution:
    """A range in Optuna's terms."""
    if allowed.options is not None:
        return CategoricalDistribution(allowed.options)
    return FloatDistribution(allowed.low, allowed.high, log=allowed.log)
