"""Samplers by name. One is made for every question, from seeds alone: what it answers depends on the question and on
what Optuna has been told, so a search that was interrupted asks what it would have asked without.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from search_spaces.base import Range
from study.search.samplers.genetic import POPULATION, GeneticSampler
from study.search.samplers.quasi_random import QuasiRandomSampler
from study.search.samplers.window import WindowSampler

STARTUP_TRIALS = 12  # of which TPE must know the end; before, and where a share is random, it does not choose


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a sampler is made for. Seeds are below 2**32, as NumPy wants them."""

    seed: int  # of this question alone
    study_seed: int  # of all questions of a search
    place: int  # among the questions after the search's beginning, from 0
    parameters: Mapping[str, Range]  # all that the space could ask for
    explore: bool  # answer without a look at results


@dataclass(frozen=True)
class Chooser:
    """A way of choosing. `startup`: trials told before it looks at results; None: it never does."""

    sampler: Callable[[Question], BaseSampler]
    startup: int | None


def tpe(question: Question) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), over groups of parameters that were asked together."""
    if question.explore:
        return at_random(question)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`
        return TPESampler(
            seed=question.seed,
            n_startup_trials=STARTUP_TRIALS,
            n_ei_candidates=24,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def tpe_of_window(question: Question) -> BaseSampler:
    """TPE that reads a bounded part of the history."""
    return at_random(question) if question.explore else WindowSampler(tpe(question))


def nsga3(question: Question) -> BaseSampler:
    """NSGA-III (Deb and Jain 2014)."""
    return GeneticSampler(
        seed=question.seed,
        selection_seed=question.study_seed,
        parameters=question.parameters,
        explore=question.explore,
    )


def qmc(question: Question) -> BaseSampler:
    """A scrambled Sobol sequence."""
    return QuasiRandomSampler(
        seed=question.seed,
        scramble_seed=question.study_seed,
        place=question.place,
        names=tuple(sorted(question.parameters)),
    )


def at_random(question: Question) -> BaseSampler:
    """Independent draws."""
    return RandomSampler(seed=question.seed)


CHOOSERS = {
    "auto": Chooser(tpe, STARTUP_TRIALS),  # until it is slow, then `tpe_of_window`
    "tpe": Chooser(tpe, STARTUP_TRIALS),
    "nsga3": Chooser(nsga3, POPULATION),
    "qmc": Chooser(qmc, None),
    "random": Chooser(at_random, None),
}
