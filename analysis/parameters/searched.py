"""The trials of a search as arrays: how well each did on which target, and with which parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.improvement import improvement_matrix, paired_improvement
from analysis.load import Results
from analysis.metric import Metric
from analysis.parameters.scale import Scale, scales
from study.schema import TABLES

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MIN_TRIALS = 6  # two trials among the best third
MATCHING_LOSS = Metric("matching_loss", "matching loss", -1)  # what an attacker sees in place of leakage


@dataclass(frozen=True)
class SearchedTrials:
    """The trials of a search: `improvement` [trials, targets] in the metric's unit (NaN where a trial lacks a target),
    `domains` [targets], `parameters` with one row per trial (NaN where a trial lacks a parameter), their scales, and
    the `origins` [trials]."""

    improvement: Floats
    domains: npt.NDArray[np.str_]
    parameters: pd.DataFrame
    scales: Mapping[str, Scale]
    origins: npt.NDArray[np.str_]

    def values(self, weights: Floats | None = None) -> Floats:
        """The value of each trial: the mean over domains of its mean improvement; NaN without any target.

        `weights` [targets] or [targets, draws] say how often a resample holds each target: [trials] or
        [trials, draws] come back.
        """
        counts = np.ones(self.domains.size) if weights is None else weights
        shape = (len(self.improvement), *counts.shape[1:])
        total, num_domains = np.zeros(shape), np.zeros(shape)
        known, filled = self._known
        for domain in np.unique(self.domains):
            member = self.domains == domain
            seen = known[:, member] @ counts[member]
            sums = filled[:, member] @ counts[member]
            total += np.divide(sums, seen, out=np.zeros(shape), where=seen > 0)
            num_domains += seen > 0
        return np.divide(total, num_domains, out=np.full(shape, np.nan), where=num_domains > 0)

    @cached_property
    def _known(self) -> tuple[Floats, Floats]:
        known = np.isfinite(self.improvement)
        return known.astype(np.float64), np.where(known, self.improvement, 0.0)

    def drawn_targets(self, rng: np.random.Generator, num_draws: int) -> Floats:
        """How often each of `num_draws` resamples of targets within their domain holds each [targets, draws]."""
        weights = np.zeros((self.domains.size, num_draws))
        for domain in np.unique(self.domains):
            members = np.flatnonzero(self.domains == domain)
            weights[members] = rng.multinomial(members.size, np.full(members.size, 1 / members.size), num_draws).T
        return weights

    def scale(self, name: str) -> Scale:
        """The axis of parameter `name`; a plain one where the plan does not say."""
        return self.scales.get(name, Scale(log=False, choice=False))

    @property
    def at_random(self) -> Mask:
        """Whether each trial was drawn without a look at results."""
        return np.asarray(self.origins == "random")

    def only(self, trials: Mask | Integers) -> SearchedTrials:
        """Some of the trials, parameters that none of them has left out."""
        parameters = self.parameters.iloc[np.arange(len(self.parameters))[trials]].dropna(axis="columns", how="all")
        return replace(
            self, improvement=self.improvement[trials], parameters=parameters, origins=self.origins[trials]
        )  # fmt: skip

    def within(self, domains: Sequence[str]) -> SearchedTrials:
        """The trials on targets of `domains` only; those without any are left out."""
        inside = np.isin(self.domains, np.asarray(domains, dtype=np.str_))
        kept = replace(self, improvement=self.improvement[:, inside], domains=self.domains[inside])
        return kept.only(np.asarray(np.isfinite(kept.improvement).any(axis=1)))

    def sample(self, count: int, rng: np.random.Generator) -> SearchedTrials:
        """`count` trials drawn without replacement, in their order; all where there are no more.

        Half of them are trials drawn at random, where there are so many: they reach where the sampler did not go.
        """
        if len(self.parameters) <= count:
            return self
        chance, others = (rng.permutation(np.flatnonzero(part)) for part in (self.at_random, ~self.at_random))
        num_others = min(others.size, max(count // 2, count - chance.size))
        return self.only(np.sort(np.concatenate([others[:num_others], chance[: count - num_others]])))


def searched_trials(results: Results, *, metric: Metric | None = None) -> SearchedTrials:
    """The searched trials that have parameters and a target, valued on the domains that steered the search.

    Improvements are in `metric` (the plan's). Raises ValueError if fewer than MIN_TRIALS remain.
    """
    return steered(trials_everywhere(results, metric=metric), results)


def steered(everywhere: SearchedTrials, results: Results) -> SearchedTrials:
    """`trials_everywhere`, valued on the domains that steered the search; ValueError as in `searched_trials`."""
    trials = everywhere.within(results.steered_domains)
    if len(trials.parameters) < MIN_TRIALS:
        raise ValueError(
            f"importance needs at least {MIN_TRIALS} searched trials that finished a block beside the published "
            f"recipe, {results.path} holds {len(trials.parameters)}; continue the study with more trials"
        )
    return trials


def trials_everywhere(results: Results, *, metric: Metric | None = None) -> SearchedTrials:
    """The searched trials that have parameters and a target, on targets of every domain of the search."""
    metric = metric or results.metric
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", metric.column], "search")
    improvement, numbers, names = improvement_matrix(paired_improvement(rows, metric=metric))
    parameters, origins = _asked(results)
    valued = np.flatnonzero(np.isin(numbers, parameters.index))
    order = [numbers[place] for place in valued]
    chosen = parameters.loc[order].dropna(axis="columns", how="all")
    return SearchedTrials(
        improvement[valued], names, chosen, scales(results.plan), origins.loc[order].to_numpy(dtype=np.str_)
    )


def _asked(results: Results) -> tuple[pd.DataFrame, pd.Series[str]]:
    """The parameters of the search's trials that have any, and their origins; index `trial`."""
    trials = results.trials()
    searched = trials[(trials["phase"] == "search") & (trials["origin"] != "method")].set_index("trial")
    names = sorted(name for name in searched.columns if name not in TABLES["trials"].names)
    parameters = searched[names].dropna(how="all")
    return parameters, searched["origin"]
