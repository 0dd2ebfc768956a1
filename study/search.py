"""The search: an Optuna study that is asked for jobs and told what the ledger says of them. Knows nothing of Ray.

The number of a trial names its parts in the ledger. Trial 0 is the published recipe. A restart does not restore
anything: it compares Optuna's trials with the ledger, and trials that lack rows are simply handed out again under their
own number.

While a search is short, an ask is quick and made when it is needed. From its AHEAD_FROM-th trial on asks are made
ahead, by a thread that no one waits for (`study/clerk.py`): each is queued when the job before it is handed out.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from gifd_ops.seeds import derive_seed
from search_spaces.base import Frozen
from study.beginning import Beginning
from study.clerk import Clerk
from study.job import Job, outcome_of, trial_row
from study.journal import JOURNAL
from study.ledger import Ledger
from study.numbering import Numbering
from study.objectives import Front, Scores, gains_by_domain, scores_of, steering_metrics
from study.plan import StudyPlan
from study.samplers.registry import CHOOSERS, Question, tpe_of_window

MOST_ATTEMPTS = 3
MOST_FAILURES_IN_A_ROW = 3
AHEAD_FROM = 200  # trials: then an ask of TPE takes some 50 ms
MOST_AHEAD = 16  # asks for trials that nobody runs yet: what they see grows old
SLOW_ASK_SECONDS = 0.25  # when SLOW_ASKS of TPE in a row took longer, it reads a window of the history from then on
SLOW_ASKS = 3


class StudyError(RuntimeError):
    """Trials fail one after another: something is broken that more trials will not mend."""


class OptunaAsk:
    """Asks a live Optuna trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.trial.suggest_float(name, low, high, log=log)

    def choice(self, name: str, options: tuple[int, ...]) -> int:
        return int(self.trial.suggest_categorical(name, options))


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a search keeps of a trial that ended."""

    outcome: str  # ok, diverged, out_of_memory, stopped
    values: tuple[float, ...] | None  # what steers: mean paired improvements, higher is better; None: unknown
    by_domain: dict[str, float]  # mean paired improvement in the plan's metric
    loss: float | None  # mean matching loss on the steered domains


class Search:
    """Hands out jobs until `trials` of a study are finished, and learns from the ledger.

    objective: oracle or observable. numbering: which trials of the study are its own, where two searches share one.
    """

    phase = "search"

    def __init__(
        self,
        plan: StudyPlan,
        ledger: Ledger,
        *,
        trials: int,
        objective: str | None = None,
        numbering: Numbering | None = None,
        clerk: Clerk | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.plan, self.ledger, self.trials, self.say = plan, ledger, trials, say
        self.objective = objective or plan.objective
        self.metrics = steering_metrics(plan, self.objective)
        self.numbering = numbering or Numbering()
        self.num_blocks = plan.num_blocks(self.phase)
        self.beginning = Beginning(plan)
        self.front = Front()
        self.scores: dict[int, dict[str, float]] = {}  # by trial, the mean improvement in each domain
        self.outcomes: dict[int, str] = {}
        self.running: set[int] = set()
        self.failures: list[str] = []
        self._chooser = CHOOSERS[plan.sampler]
        self._parameters = dict(plan.parameters)
        self._published: dict[str, Scores] | None = None  # the recipe's scores on every target
        self._learned: dict[int, Learned] = {}
        self._best: int | None = None
        self._jobs: dict[int, dict[str, Any]] = {}  # by trial, origin and params
        self._attempts: dict[int, int] = {}
        self._failed: Counter[int] = Counter()  # by trial, in this run: a restart is no failure
        self._waiting: list[tuple[int, str]] = []  # ended before the published recipe, not told yet
        self._again: deque[int] = deque()
        self._asked: deque[Future[Job]] = deque()  # for trials that nobody has yet
        self._next = 0  # the place of the next trial to ask for
        self._told = 0  # trials that a sampler can learn from
        self._randoms = 0  # after the beginning
        self._together_open = True
        self._slow_asks = 0
        self.clerk = clerk or Clerk(ledger.results / JOURNAL)
        self.study = self._open_study()
        slow = self.study.user_attrs if plan.sampler == "auto" else {}
        self._window_from: int | None = slow.get("window_from")  # the first place of windowed asks
        self._reconcile()

    # -- handing out ---------------------------------------------------------------------------------------------

    def next_job(self) -> Job | None:
        """The next trial to run; None when all have been handed out, or while the search `waits`."""
        self.clerk.check()
        if self._again:
            job = self._retry(self._again.popleft())
        else:
            if not self._asked:
                self._ask_next()
            if not self._asked or (self._is_ahead and not self._asked[0].done()):
                return None
            job = self._asked.popleft().result()
            self._jobs[job.trial] = {"origin": job.origin, "params": job.params}
        self.running.add(job.trial)
        self._ask_ahead()
        return job

    @property
    def waits(self) -> bool:
        """Whether a job is being asked for that `next_job` does not have yet."""
        return bool(self._again or self._asked or self._has_next)

    @property
    def finished(self) -> int:
        """Trials with an outcome."""
        return len(self.outcomes)

    @property
    def next_trial(self) -> int | None:
        """The number of the trial that `next_job` hands out if nothing is tried again; None after the last."""
        trial = self.numbering.trial(self._next - len(self._asked))
        return trial if trial < self.trials else None

    @property
    def _has_next(self) -> bool:
        return self.numbering.trial(self._next) < self.trials

    @property
    def _is_ahead(self) -> bool:
        return self._next >= AHEAD_FROM

    def _ask_ahead(self) -> None:
        """Queue asks, once they are made ahead: as many as jobs run, so that workers who end together find one each."""
        wanted = max(1, min(len(self.running), MOST_AHEAD))
        while self._is_ahead and self._has_next and len(self._asked) + len(self._again) < wanted:
            self._ask_next()

    def _ask_next(self) -> None:
        """Queue the ask for the next trial. What decides about it is looked at now, not when its turn comes."""
        if self._has_next:
            place, self._next = self._next, self._next + 1
            origin, params = self._choose(place)
            self._asked.append(self.clerk.do(partial(self._ask, place, origin, params)))
            if not self._is_ahead:
                self._asked[-1].result()

    def _choose(self, place: int) -> tuple[str, Mapping[str, float] | None]:
        """The origin of a new trial, and its parameters; None for those that a sampler chooses."""
        planned = self.beginning.planned(place)
        if planned is not None:
            return planned
        together = self._together()
        if together is not None:
            return "search", together
        if self._is_random(place):
            self._randoms += 1
            return "random", None
        return "search", None

    def _is_random(self, place: int) -> bool:
        """Whether a trial after the beginning is drawn without a look at results.

        Those that a sampler draws before it knows enough count towards the plan's share, so small studies lose little.
        """
        startup = self._chooser.startup
        due = int(self.plan.random_share * (place - self.beginning.end + 1))
        return startup is None or self._told < startup or self._randoms < due

    def _together(self) -> Mapping[str, float] | None:
        """All single changes that helped, once; None before they are known, and ever after."""
        first, count = self.beginning.first_change, len(self.beginning.changes)
        trials = {number: self.numbering.trial(first + number - 1) for number in range(1, count + 1)}
        if not self._together_open or self._waiting or not all(trial in self.outcomes for trial in trials.values()):
            return None
        self._together_open = False
        gains = {number: self.improvement(trial) for number, trial in trials.items()}
        return self.beginning.together(gains, [job["params"] for job in self._jobs.values()])

    # -- asking, on the clerk's thread ---------------------------------------------------------------------------

    def _ask(self, place: int, origin: str, params: Mapping[str, float] | None) -> Job:
        """Ask Optuna for the trial at `place`; `params` are its answers where they are known already."""
        trials = self.study.get_trials(deepcopy=False)
        self.study.sampler = self._sampler_of(place, explore=origin != "search" or params is not None)
        begin = time.perf_counter()
        if place < len(trials) and trials[place].state != TrialState.WAITING:  # the driver died while it asked
            if params is not None:
                self.study._storage.set_trial_system_attr(trials[place]._trial_id, "fixed_params", dict(params))
            trial = optuna.Trial(self.study, trials[place]._trial_id)
        else:
            if params is not None and place == len(trials):  # else one waits already
                self.study.enqueue_trial(dict(params))
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
        return Job(phase=self.phase, trial=self.numbering.trial(place), attempt=1, origin=origin, params=answers)

    def _sampler_of(self, place: int, *, explore: bool) -> optuna.samplers.BaseSampler:
        trial = self.numbering.trial(place)
        question = Question(
            seed=derive_seed(self.plan.seed, "ask", trial) % 2**32,
            study_seed=derive_seed(self.plan.seed, "search", self.objective) % 2**32,
            place=max(0, place - self.beginning.end),
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

    # -- learning ------------------------------------------------------------------------------------------------

    def finish(self, job: Job, *, failure: str | None = None, stopped: bool = False) -> None:
        """Take note that a worker is done with a job, failed at it, or was stopped before its last block.

        What it means the ledger decides. Raises StudyError after several failures in a row.
        """
        self.running.discard(job.trial)
        if self.ledger.is_complete(self.phase, job.trial, blocks=self.num_blocks):
            self.failures.clear()
            self._learn(job.trial, stopped=False)
            return
        if stopped:
            self.failures.clear()
            self.ledger.write_trial(self.phase, job.trial, trial_row(self.plan, job, outcome="stopped"))
            self._learn(job.trial, stopped=True)
            return
        message = failure or "its worker died"
        self.failures.append(f"trial {job.trial}, attempt {job.attempt}: {message}")
        if len(self.failures) >= MOST_FAILURES_IN_A_ROW:
            raise StudyError(f"{len(self.failures)} failures in a row; the first was: {self.failures[0]}")
        self._failed[job.trial] += 1
        if self._failed[job.trial] < MOST_ATTEMPTS:
            self._again.append(job.trial)
            return
        self.ledger.write_trial(self.phase, job.trial, trial_row(self.plan, job, outcome="error", message=message))
        self.give_up(job.trial)

    def put_back(self, job: Job) -> None:
        """Take a job back that ended through no fault of its own, to be handed out again."""
        self.running.discard(job.trial)
        if self.ledger.is_complete(self.phase, job.trial, blocks=self.num_blocks):
            self.finish(job)
        else:
            self._again.append(job.trial)

    def give_up(self, trial: int) -> None:
        """Take note that a trial failed for good."""
        self.outcomes[trial] = "error"
        self._tell(trial, TrialState.FAIL)

    def hear(self, trial: int) -> None:
        """Take note of a trial that another search of the study handed out, if it has ended."""
        if trial in self.outcomes:
            return
        row = self.ledger.trial_row(self.phase, trial)
        if self.ledger.is_complete(self.phase, trial, blocks=self.num_blocks):
            self._learn(trial, stopped=False)
        elif row is not None and row["outcome"] == "stopped":
            self._learn(trial, stopped=True)
        elif row is not None and row["outcome"] == "error":
            self.give_up(trial)

    def _learn(self, trial: int, *, stopped: bool) -> None:
        """Read a trial that ended from the ledger and tell Optuna; those that ended before the recipe wait for it."""
        rows = self.ledger.rows(self.phase, trial, blocks=self.num_blocks)
        outcome = "stopped" if stopped else outcome_of(rows)
        self.outcomes[trial] = outcome
        if trial == 0:
            self._published = {row["target_id"]: scores for row in rows if (scores := scores_of(row))}
        elif self._published is None:
            self._waiting.append((trial, outcome))
            return
        learned = self._judge(trial, rows, outcome)
        self._keep(trial, learned)
        complete = not stopped and learned.values is not None  # else TPE ranks it last
        step = len({row["block"] for row in rows})
        self._tell(trial, TrialState.COMPLETE if complete else TrialState.PRUNED, learned, step=step)
        if trial == 0:
            waiting, self._waiting = self._waiting, []
            for other, outcome in waiting:
                self._learn(other, stopped=outcome == "stopped")

    def _judge(self, trial: int, rows: list[dict[str, Any]], outcome: str) -> Learned:
        """What rows say of a trial. One with a diverged row has no value, unless it is the recipe itself."""
        assert self._published is not None
        names = dict.fromkeys((*self.metrics, self.plan.metric))
        gains = {name: gains_by_domain(name, rows, self._published) for name in names}
        steered = self.plan.steered_domains
        means = [[gain for domain in steered for gain in gains[name].get(domain, [])] for name in self.metrics]
        fine = trial == 0 or all(row["outcome"] == "ok" for row in rows)
        losses = [row["matching_loss"] for row in rows if row["domain"] in steered and row["outcome"] == "ok"]
        return Learned(
            outcome=outcome,
            values=tuple(fmean(found) for found in means) if fine and all(means) else None,
            by_domain={domain: fmean(found) for domain, found in gains[self.plan.metric].items()},
            loss=fmean(losses) if losses else None,
        )

    def _keep(self, trial: int, learned: Learned) -> None:
        self.outcomes[trial], self._learned[trial] = learned.outcome, learned
        if trial != 0:
            self.scores[trial] = learned.by_domain
        if learned.values is None or learned.outcome == "stopped":
            return
        self.front.add(trial, learned.values)
        best = self._best
        if best is None or (learned.values[0], -trial) > (self.improvement(best), -best):
            self._best = trial

    def _tell(self, trial: int, state: TrialState, learned: Learned | None = None, *, step: int = 0) -> None:
        self._told += state != TrialState.FAIL
        told = self.clerk.do(partial(self._tell_optuna, trial, state, learned, step))
        if not self._is_ahead:
            told.result()

    def _tell_optuna(self, number: int, state: TrialState, learned: Learned | None, step: int) -> None:
        trial = self._trial(number)
        if trial.state.is_finished():
            return
        values = None
        if learned is not None:
            self.study._storage.set_trial_user_attr(trial._trial_id, "learned", asdict(learned))
            if state == TrialState.COMPLETE:
                values = learned.values
            elif learned.values is not None and len(learned.values) == 1:  # of a trial that was stopped
                self.study._storage.set_trial_intermediate_value(trial._trial_id, step, learned.values[0])
        self.study.tell(trial.number, values, state=state)

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def published(self) -> dict[str, float] | None:
        """The published recipe's score on every target, in the plan's metric."""
        if self._published is None:
            return None
        name = self.plan.metric
        return {target: scores[name] for target, scores in self._published.items() if name in scores}

    def improvement(self, trial: int) -> float | None:
        """What steers the search: mean paired improvement over the published recipe, higher is better.

        None while a trial runs, and for one that diverged, failed or was stopped.
        """
        learned = self._learned.get(trial)
        return learned.values[0] if learned is not None and learned.outcome != "stopped" and learned.values else None

    def best(self) -> int | None:
        """The trial of largest improvement, the published recipe among them; None before there is any."""
        return self._best

    def best_oracle(self) -> int | None:
        """The trial of largest improvement in the plan's metric, whatever steers the search."""
        if self.objective == "oracle":
            return self._best
        gains = {
            trial: fmean(learned.by_domain[domain] for domain in self.plan.steered_domains)
            for trial, learned in self._learned.items()
            if learned.outcome == "ok" and learned.by_domain.keys() >= set(self.plan.steered_domains)
        }
        return max(gains, key=lambda trial: (gains[trial], -trial)) if gains else None

    def best_observable(self) -> int | None:
        """The trial that an attacker without the private images would choose: least mean matching loss."""
        if self.objective == "observable":
            return self._best
        losses = {
            trial: learned.loss
            for trial, learned in self._learned.items()
            if learned.outcome == "ok" and learned.loss is not None
        }
        return min(losses, key=lambda trial: (losses[trial], trial)) if losses else None

    def job_of(self, trial: int) -> Mapping[str, Any]:
        """Origin and parameters of a trial."""
        return self._jobs[trial]

    # -- restarting ----------------------------------------------------------------------------------------------

    def _open_study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        beside = f"-{self.objective}" * (self.plan.objective == "both")
        return optuna.create_study(
            storage=self.clerk.storage,
            study_name=f"{self.plan.space}-{self.plan.digest}{beside}",
            directions=["maximize"] * len(self.metrics),
            pruner=optuna.pruners.NopPruner(),
            load_if_exists=True,
        )

    def _reconcile(self) -> None:
        """Bring Optuna and the ledger together: what ended is told, the rest is handed out again."""
        trials = self.study.get_trials(deepcopy=False)
        self._note_asked([trial for trial in trials if "job" in trial.user_attrs])
        self._recover_lost_history()
        trials = self.study.get_trials(deepcopy=False)
        known = [trial for trial in trials if "job" in trial.user_attrs]
        for trial in known[:-1]:
            self._resume(trial)
        if known and self._was_asking(known[-1]):
            self._ask_next()
        for trial in known[-1:]:
            self._resume(trial)
        if len(trials) > len(known) and not self._asked and not self._is_ahead:  # it died while it asked: go on
            self._ask_next()
        if self.numbering.side > 0:
            self._adopt_shared()

    def _note_asked(self, trials: list[FrozenTrial]) -> None:
        for trial in trials:
            number = self.numbering.trial(trial.number)
            self._jobs[number] = trial.user_attrs["job"]
            self._attempts[number] = trial.user_attrs.get("attempt", 1)
            is_chosen = trial.number >= self.beginning.end
            self._randoms += is_chosen and self._jobs[number]["origin"] == "random"
        self._next = max((trial.number + 1 for trial in trials), default=0)

    def _was_asking(self, last: FrozenTrial) -> bool:
        """Whether the ask after `last` was queued before Optuna would have been told of `last`, and may be lost.

        Then it is made first, and sees what it would have seen.
        """
        done = self.ledger.is_complete(self.phase, self.numbering.trial(last.number), blocks=self.num_blocks)
        return self._is_ahead and done and not last.state.is_finished()

    def _resume(self, trial: FrozenTrial) -> None:
        """Take note of a trial that Optuna knows."""
        number = self.numbering.trial(trial.number)
        told = trial.user_attrs.get("learned") if trial.state.is_finished() and number != 0 else None
        complete = self.ledger.is_complete(self.phase, number, blocks=self.num_blocks)
        stopped = not complete and self._was_stopped(number, told)
        if told is not None and (complete or stopped):
            self._told += 1
            values = told["values"]
            self._keep(number, Learned(**told | {"values": None if values is None else tuple(values)}))
        elif complete or stopped:
            self._learn(number, stopped=stopped)
        elif trial.state == TrialState.FAIL:
            self.outcomes[number] = "error"
        elif self._is_own(trial.number):
            self._again.append(number)
        else:
            self.hear(number)

    def _was_stopped(self, number: int, told: Mapping[str, Any] | None) -> bool:
        if told is not None:
            return bool(told["outcome"] == "stopped") and self.ledger.has_trial(self.phase, number)
        row = self.ledger.trial_row(self.phase, number)
        return row is not None and row["outcome"] == "stopped"

    def _is_own(self, place: int) -> bool:
        return self.numbering.side == 0 or place >= self.numbering.shared

    def _adopt_shared(self) -> None:
        """Know the trials that another search hands out for both."""
        while self._next < self.numbering.shared and self._has_next:
            self._ask_next()
            job = self._asked.popleft().result()
            self._jobs[job.trial] = {"origin": job.origin, "params": job.params}
            self.hear(job.trial)

    def _recover_lost_history(self) -> None:
        """Give Optuna back the trials that only the ledger remembers: its journal was deleted, or cut short."""
        places = [self.numbering.place(number) for number in self.ledger.trial_numbers(self.phase)]
        last = max((place for place in places if place is not None), default=-1)
        while self._next <= last:
            place, number = self._next, self.numbering.trial(self._next)
            row = self.ledger.trial_row(self.phase, number)
            if row is None:
                self.ledger.set_aside_trial(self.phase, number)  # rows of which nobody knows the settings
                origin, params = self._choose(place)
            else:
                origin, params = row["origin"], None if place == 0 else row["params"]
                self._randoms += place >= self.beginning.end and origin == "random"
            self._next += 1
            job = self.clerk.do(partial(self._ask, place, origin, params)).result()
            self._jobs[number] = {"origin": job.origin, "params": job.params}

    def _retry(self, number: int) -> Job:
        """A job that was handed out before, by this run or one that was interrupted."""
        attempt = self._attempts[number] = self._attempts.get(number, 1) + 1
        self.clerk.do(partial(self._note_attempt, number, attempt))
        return Job(phase=self.phase, trial=number, attempt=attempt, **self._jobs[number])

    def _note_attempt(self, number: int, attempt: int) -> None:
        trial = self._trial(number)
        if not trial.state.is_finished():
            self.study._storage.set_trial_user_attr(trial._trial_id, "attempt", attempt)

    def _trial(self, number: int) -> FrozenTrial:
        place = self.numbering.place(number)
        assert place is not None, f"trial {number} belongs to another search"
        storage = self.study._storage
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(self.study._study_id, place))
