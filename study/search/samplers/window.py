"""A sampler that reads a bounded part of the history, so that asking costs the same after ten thousand trials."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

NUM_BEST = 100  # TPE takes at most 25 trials for good: these hold them
NUM_RECENT = 400


class WindowSampler(BaseSampler):
    """Asks another sampler, which sees the best finished trials, the most recent ones, and those that run."""

    def __init__(self, sampler: BaseSampler) -> None:
        self.sampler = sampler
        self._seen: _Window | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(self._window(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(self._window(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(self._window(study), trial, param_name, param_distribution)

    def _window(self, study: Study) -> Study:
        if self._seen is None:
            self._seen = _Window(study)
        return cast(Study, self._seen)


class _Window:
    """A study of which only some trials are seen. In all else it is the study itself: nothing is copied."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._trials = window_of(study.get_trials(deepcopy=False), study.directions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    _get_trials = get_trials  # the name that Optuna's samplers call


def window_of(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The best, the most recent and the running ones of `trials`, in their order.

    It depends on the trials alone, not on the way that led there, so a restart sees the same. With several objectives
    each has its share of the best.
    """
    finished = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    kept = {trial.number for trial in trials if trial.state == TrialState.RUNNING}
    kept |= {trial.number for trial in finished[-NUM_RECENT:]}
    for objective, direction in enumerate(directions):
        sign = 1 if direction == StudyDirection.MINIMIZE else -1
        ranked = sorted(complete, key=lambda trial: (sign * trial.values[objective], trial.number))
        kept |= {trial.number for trial in ranked[: NUM_BEST // len(directions)]}
    return [trial for trial in trials if trial.number in kept]
