"""How Optuna is asked for a trial: who answers, and with what it is given. Runs on the clerk's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from gifd_ops.seeds import derive_seed
from search_spaces.base import Frozen
from study.job import Job
from study.plan import StudyPlan
from study.search.groups import Groups
from study.search.numbering import Numbering
from study.search.samplers.registry import CHOOSERS, Question, tpe_of_window

PHASE = "search"  # of the ledger
SLOW_ASK_SECONDS = 0.25  # when SLOW_ASKS of TPE in a row took longer, it reads a window of the history from then on
SLOW_ASKS = 3

Choice = tuple[str, Mapping[str, float] | None]  # of a new trial: origin, and parameters where no sampler chooses them


class OptunaAsk:
    """Asks a live Optuna trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.trial.suggest_float(name, low, high, log=log)

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        return int(self.trial.suggest_categorical(name, options))


class Asker:
    """Asks one Optuna study for one trial after another. A sampler is made for every question, from seeds alone."""

    def __init__(
        self,
        plan: StudyPlan,
        study: optuna.Study,
        *,
        objective: str,
        numbering: Numbering,
        groups: Groups,
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.study, self.objective = plan, study, objective
        self.numbering, self.groups, self.say = numbering, groups, say
        self._chooser, self._parameters = CHOOSERS[plan.sampler], dict(plan.parameters)
        slow = study.user_attrs if plan.sampler == "auto" else {}
        self._window_from: int | None = slow.get("window_from")  # the first place of windowed asks
        self._slow_asks = 0

    def ask_group(self, places: range, chosen: Sequence[Choice]) -> list[Job]:
        """Ask for the trials of a group, or the rest of one."""
        return [self.ask(place, origin, params) for place, (origin, params) in zip(places, chosen, strict=True)]

    def ask(self, place: int, origin: str, params: Mapping[str, float] | None) -> Job:
        """Ask Optuna for the trial at `place`; `params` are its answers where they are known already."""
        trials = self.study.get_trials(deepcopy=False)
        given = self._schedule(place, trials) if params is None else params
        self.study.sampler = self._sampler_of(place, explore=origin != "search" or params is not None)
        begin = time.perf_counter()
        if place < len(trials) and trials[place].state != TrialState.WAITING:  # the driver died while it asked
            if given is not None:
                self.study._storage.set_trial_system_attr(trials[place]._trial_id, "fixed_params", dict(given))
            trial = optuna.Trial(self.study, trials[place]._trial_id)
        else:
            if given is not None and place == len(trials):  # else one waits already
                self.study.enqueue_trial(dict(given))
            trial = self.study.ask()
        assert trial.number == place
        answers: dict[str, float] = {}
        if origin != "published":
            ask = Frozen(OptunaAsk(trial), dict(self.plan.fixed))
            self.plan.search_space.suggest(ask, self.plan.task_info.generator_shape, budget=self.plan.budget)
            answers = ask.params
        if origin == "search" and params is None:
            self._note_pace(place, time.perf_counter() - begin)
        trial.set_user_attr("attempt", 1)
        trial.set_user_attr("job", {"origin": origin, "params": answers})  # last: the mark of a trial that was asked
        return Job(phase=PHASE, trial=self.numbering.trial(place), attempt=1, origin=origin, params=answers)

    def _schedule(self, place: int, trials: Sequence[FrozenTrial]) -> Mapping[str, float] | None:
        """What the first of its group gives the trial at `place`; None where that is itself the first."""
        first = self.groups.of(place).start
        if place == first or place < self.groups.end:
            return None
        return self.plan.search_space.schedule_of(trials[first].user_attrs["job"]["params"])

    def _sampler_of(self, place: int, *, explore: bool) -> optuna.samplers.BaseSampler:
        trial = self.numbering.trial(place)
        question = Question(
            seed=derive_seed(self.plan.seed, "ask", trial) % 2**32,
            study_seed=derive_seed(self.plan.seed, "search", self.objective) % 2**32,
            place=max(0, place - self.groups.end),
            parameters=self._parameters,
            explore=explore,
        )
        windowed = self._window_from is not None and place >= self._window_from
        return (tpe_of_window if windowed else self._chooser.sampler)(question)

    def _note_pace(self, place: int, seconds: float) -> None:
        """Turn to a window of the history when whole-history asks have become slow; Optuna's study remembers it."""
        if self.plan.sampler != "auto" or self._window_from is not None:
            return
        self._slow_asks = self._slow_asks + 1 if seconds > SLOW_ASK_SECONDS else 0
        if self._slow_asks == SLOW_ASKS:
            self._window_from = place + 1
            self.study.set_user_attr("window_from", self._window_from)
            self.say(
                f"an ask of TPE now takes {seconds:.2f} s: from trial {self.numbering.trial(place + 1)} on it reads "
                "only the best and the most recent trials"
            )
