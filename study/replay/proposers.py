"""Who chooses the next config of a pool.

`random` draws from the pool's random configs without replacement: what random search is, exactly. Every other sampler
answers the questions of the space as it would in a study, and its point is mapped to the nearest config not yet tried
(`Pool.nearest`); it is told that config's own parameters and value, as if it had asked for it. That is the usual way
of a tabular benchmark, and its bias is known: a sampler that has found the right corner is given the pool's nearest
points there, which are coarser than what it asked for, and runs out of them. It can lose by this, not win, so a sampler
that beats `random` here beats it. A fitted surrogate would answer any point, but its smoothness flatters a sampler that
assumes smoothness. To let a sampler rank the pool instead would replace its own search for a point, and Optuna does not
offer it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState, create_trial

from gifd_ops.seeds import derive_seed
from search_spaces.base import Frozen
from study.replay.pool import Pool
from study.search.asking import OptunaAsk
from study.search.beginning import Beginning
from study.search.samplers.genetic import distribution_of
from study.search.samplers.registry import CHOOSERS, Question

Untried = NDArray[np.intp]


class Proposer(Protocol):
    """Chooses configs of a pool, and is told what came of them."""

    def propose(self, untried: Untried) -> int:
        """One of the untried configs, of which there is at least one."""

    def may_stop(self, config: int) -> bool:
        """Whether the config may be stopped early."""

    def learn(self, config: int, gain: float | None, *, stopped_after: int | None) -> None:
        """What a config came to: its mean improvement so far, None if it diverged; blocks if a race stopped it."""


class AtRandom:
    """The untried configs in a random order."""

    def __init__(self, pool: Pool, *, seed: int) -> None:
        self.order = np.random.default_rng(seed).permutation(len(pool.params))

    def propose(self, untried: Untried) -> int:
        return int(self.order[np.isin(self.order, untried)][0])

    def may_stop(self, config: int) -> bool:
        return True

    def learn(self, config: int, gain: float | None, *, stopped_after: int | None) -> None:
        """Nothing: what is known changes nothing."""


class Sampled:
    """The untried config nearest to what a sampler of Optuna asks for."""

    def __init__(self, pool: Pool, *, sampler: str, seed: int) -> None:
        self.pool, self.chooser, self.seed = pool, CHOOSERS[sampler], seed
        self.fixed, self.parameters = dict(pool.plan.fixed), dict(pool.plan.parameters)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
        self.asked = self.told = 0
        self._marks: dict[str, object] = {}  # what the sampler wrote on the trial it was asked for

    def propose(self, untried: Untried) -> int:
        plan, startup = self.pool.plan, self.chooser.startup
        question = Question(
            seed=derive_seed(self.seed, "ask", self.asked) % 2**32,
            study_seed=derive_seed(self.seed, "study") % 2**32,
            place=self.asked,
            parameters={name: allowed for name, allowed in self.parameters.items() if name not in self.fixed},
            explore=startup is None or self.told < startup,
        )
        self.study.sampler = self.chooser.sampler(question)
        self.asked += 1
        trial = self.study.ask()
        ask = Frozen(OptunaAsk(trial), self.fixed)
        plan.search_space.suggest(ask, plan.task_info.generator_shape, budget=plan.budget)
        self._marks = dict(self.study.trials[trial.number].system_attrs)
        self.study.tell(trial, state=TrialState.FAIL)  # no sampler reads it
        return self.pool.nearest(ask.params, untried)

    def may_stop(self, config: int) -> bool:
        return True

    def learn(self, config: int, gain: float | None, *, stopped_after: int | None) -> None:
        self.told += 1
        params = {name: value for name, value in self.pool.params[config].items() if name not in self.fixed}
        ranges = self.pool.ranges_of(self.pool.params[config])
        finished = gain is not None and stopped_after is None
        self.study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if finished else TrialState.PRUNED,
                value=gain if finished else None,
                params={name: int(value) if ranges[name].options else value for name, value in params.items()},
                distributions={name: distribution_of(ranges[name]) for name in params},
                intermediate_values={stopped_after: gain} if gain is not None and stopped_after is not None else {},
                system_attrs=self._marks,
            )
        )
        self._marks = {}


class Begun:
    """As a study begins: single changes to the recipe's likeness, then what helped together, then another proposer.

    The single changes run to their end. They are compared with one another, not with the incumbent: a race would stop
    most of them, the likeness too, and what helped could not be told.
    """

    def __init__(self, pool: Pool, after: Proposer) -> None:
        self.pool, self.after, self.beginning = pool, after, Beginning(pool.plan)
        self.gains: dict[int, float | None] = {}  # by number of the single change
        begun = [config for config, origin in enumerate(pool.origins) if origin == "beginning"]
        self.singles = begun[: len(self.beginning.changes)]
        self.is_together = False

    def propose(self, untried: Untried) -> int:
        if len(self.gains) < len(self.singles):
            return self.singles[len(self.gains)]
        if not self.is_together:
            self.is_together = True
            point = self.beginning.together(self.gains, [])
            if point is not None:
                return self.pool.nearest(point, untried)
        return self.after.propose(untried)

    def may_stop(self, config: int) -> bool:
        return config not in self.singles

    def learn(self, config: int, gain: float | None, *, stopped_after: int | None) -> None:
        if len(self.gains) < len(self.singles):
            self.gains[len(self.gains) + 1] = gain
        self.after.learn(config, gain, stopped_after=stopped_after)


BEGUN = "begun-"  # begun-tpe: as a study begins, then TPE
SAMPLERS = ("random", "qmc", "nsga3", "tpe", "begun-random", "begun-tpe")


def proposer_of(name: str, pool: Pool, *, seed: int) -> Proposer:
    """The proposer of a name of `SAMPLERS`."""
    if name.startswith(BEGUN):
        return Begun(pool, proposer_of(name.removeprefix(BEGUN), pool, seed=seed))
    return AtRandom(pool, seed=seed) if name == "random" else Sampled(pool, sampler=name, seed=seed)
