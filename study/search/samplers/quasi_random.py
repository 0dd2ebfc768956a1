"""Quasi-random points: they fill a space more evenly than random ones, and look at no result."""

from __future__ import annotations

import math
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class QuasiRandomSampler(BaseSampler):
    """Answers with the point at `place` of a scrambled Sobol sequence, which has a coordinate for every name.

    A parameter that a trial is not asked for leaves its coordinate unused. Optuna's own QMC sampler takes its space
    from the first trial, which here is the published recipe and has no parameters, and counts places in the storage,
    where an interrupted question counts twice.
    """

    def __init__(self, *, seed: int, scramble_seed: int, place: int, names: tuple[str, ...]) -> None:
        from scipy.stats.qmc import Sobol  # takes a second to import

        sequence = Sobol(len(names), scramble=True, seed=scramble_seed)
        if place:
            sequence.fast_forward(place)
        self.coordinates = dict(zip(names, sequence.random(1)[0].tolist(), strict=True))  # each in [0, 1)
        self.unnamed = RandomSampler(seed=seed)  # for a parameter so rare that the plan does not know it

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        share = self.coordinates.get(param_name)
        if share is None:
            return self.unnamed.sample_independent(study, trial, param_name, param_distribution)
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[int(share * len(param_distribution.choices))]
        assert isinstance(param_distribution, FloatDistribution)
        low, high = param_distribution.low, param_distribution.high
        value = math.exp(math.log(low) + share * math.log(high / low)) if param_distribution.log else None
        return min(max(low + share * (high - low) if value is None else value, low), high)
