"""The search: an Optuna study that is asked for jobs and told what the ledger says of them. Knows nothing of Ray.

The number of a trial names its parts in the ledger. Trial 0 is the published recipe. A restart does not restore
anything: it compares Optuna's trials with the ledger, and trials that lack rows are simply handed out again under their
own number.

Trials are asked in groups that can run as one computation (`groups.py`), of one trial each unless the plan says
otherwise. While a search is short, an ask is quick and made when it is needed. From its AHEAD_FROM-th trial on asks are
made ahead, by a thread that no one waits for (`clerk.py`): those of a group are queued when the group before it is
handed out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from study.job import Job, outcome_of, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.asking import PHASE, Asker, Choice
from study.search.beginning import Beginning
from study.search.clerk import Clerk
from study.search.groups import Groups
from study.search.journal import JOURNAL
from study.search.judging import Learned, judge
from study.search.numbering import Numbering
from study.search.objectives import Front, Scores, scores_of, steering_metrics
from study.search.samplers.registry import CHOOSERS

MOST_ATTEMPTS = 3
MOST_FAILURES_IN_A_ROW = 3
AHEAD_FROM = 200  # trials: then an ask of TPE takes some 50 ms
MOST_AHEAD = 16  # groups asked for that nobody runs yet: what they see grows old


class StudyError(RuntimeError):
    """Trials fail one after another: something is broken that more trials will not mend."""


class Search:
    """Hands out jobs until `trials` of a study are finished, and learns from the ledger.

    objective: oracle or observable. numbering: which trials of the study are its own, where two searches share one.
    """

    phase = PHASE

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
        self.plan, self.ledger, self.trials = plan, ledger, trials
        self.objective = objective or plan.objective
        self.metrics = steering_metrics(plan, self.objective)
        self.numbering = numbering or Numbering()
        self.num_blocks = plan.num_blocks(self.phase)
        self.beginning = Beginning(plan)
        self.groups = Groups(plan, self.beginning)
        self.front = Front()
        self.scores: dict[int, dict[str, float]] = {}  # by trial, the mean improvement in each domain
        self.outcomes: dict[int, str] = {}
        self.running: set[int] = set()
        self.failures: list[str] = []
        self._startup = CHOOSERS[plan.sampler].startup
        self._published: dict[str, Scores] | None = None  # the recipe's scores on every target
        self._learned: dict[int, Learned] = {}
        self._best: int | None = None
        self._jobs: dict[int, dict[str, Any]] = {}  # by trial, origin and params
        self._attempts: dict[int, int] = {}
        self._failed: Counter[int] = Counter()  # by trial, in this run: a restart is no failure
        self._waiting: list[tuple[int, str]] = []  # ended before the published recipe, not told yet
        self._again: deque[int] = deque()
        self._alone: set[int] = set()  # to be tried again, and not beside others: who is at fault shows
        self._asked: deque[tuple[range, Future[list[Job]]]] = deque()  # places of groups that nobody has yet
        self._ready: deque[Job] = deque()  # the rest of the group that is being handed out
        self._next = 0  # the place of the next trial to ask for
        self._told = 0  # trials that a sampler can learn from
        self._randoms = 0  # after the beginning
        self._together_open = True
        self.clerk = clerk or Clerk(ledger.results / JOURNAL)
        self.study = self._open_study()
        self.asker = Asker(
            plan, self.study, objective=self.objective, numbering=self.numbering, groups=self.groups, say=say
        )
        self._reconcile()

    # -- handing out ---------------------------------------------------------------------------------------------

    def next_job(self, *, beside: Job | None = None) -> Job | None:
        """The next trial to run; None when all have been handed out, or while the search `waits`.

        beside: only one that can run as one computation with this job, and that is there at once.
        """
        self.clerk.check()
        if beside is not None and not self._next_fits(beside):
            return None
        if self._again:
            job = self._retry(self._again.popleft())
        else:
            if not self._ready:
                self._take_group()
            if not self._ready:
                return None
            job = self._ready.popleft()
            self._jobs[job.trial] = {"origin": job.origin, "params": job.params}
        self.running.add(job.trial)
        self._ask_ahead()
        return job

    @property
    def waits(self) -> bool:
        """Whether a job is being asked for that `next_job` does not have yet."""
        return bool(self._again or self._ready or self._asked or self._has_next)

    @property
    def finished(self) -> int:
        """Trials with an outcome."""
        return len(self.outcomes)

    @property
    def next_trial(self) -> int | None:
        """The number of the trial that `next_job` hands out if nothing is tried again; None after the last."""
        if self._ready:
            return self._ready[0].trial
        trial = self.numbering.trial(self._asked[0][0].start if self._asked else self._next)
        return trial if trial < self.trials else None

    @property
    def _has_next(self) -> bool:
        return self.numbering.trial(self._next) < self.trials

    @property
    def _is_ahead(self) -> bool:
        return self._next >= AHEAD_FROM

    def _next_fits(self, beside: Job) -> bool:
        """Whether the next job is there, of the same group, and neither is to be tried alone."""
        group = self._group_of(beside.trial)
        if not self._again and not self._ready and self._asked and self._asked[0][0].start in group:
            self._take_group()
        trial = self._again[0] if self._again else self._ready[0].trial if self._ready else None
        return trial is not None and self._group_of(trial) == group and not self._alone & {trial, beside.trial}

    def _take_group(self) -> None:
        """Make the next group ready, unless it is still being asked for."""
        if not self._asked:
            self._ask_next()
        if self._asked and (not self._is_ahead or self._asked[0][1].done()):
            self._ready.extend(self._asked.popleft()[1].result())

    def _ask_ahead(self) -> None:
        """Queue asks, once they are made ahead: for as many groups as run, so that workers who end together find one.

        The rest of a group that runs does not count as one that waits: it is on its way to the same worker.
        """
        running = self._groups_of(self.running)
        waiting = self._groups_of(self._again) - running
        wanted = max(1, min(len(running), MOST_AHEAD)) - len(waiting)
        while self._is_ahead and self._has_next and len(self._asked) < wanted:
            self._ask_next()

    def _ask_next(self) -> None:
        """Queue the asks for the next group. What decides about them is looked at now, not when their turn comes."""
        group = self.groups.of(self._next)
        own = [place for place in group if place >= self._next and self.numbering.trial(place) < self.trials]
        if own:
            places = range(own[0], own[-1] + 1)
            self._next = places.stop
            chosen = self._choose(places)
            for place, (origin, _) in zip(places, chosen, strict=True):
                self._note_origin(place, origin)
            self._asked.append((places, self.clerk.do(partial(self.asker.ask_group, places, chosen))))
            if not self._is_ahead:
                self._asked[-1][1].result()

    def _choose(self, places: range) -> list[Choice]:
        """Origin and parameters of new trials of a group. After the beginning all of it are of one origin."""
        group = self.groups.of(places.start)
        planned = [self.beginning.planned(place) for place in places]
        found: list[Choice] = [choice for choice in planned if choice is not None]
        if found:
            return found
        if places.start > group.start:  # others of it are known: a search that was interrupted, or is extended
            origin = self._jobs[self.numbering.trial(group.start)]["origin"]
            return [(origin, None)] * len(places)
        together = self._together()
        if together is not None:
            return [("search", together), *[("search", None)] * (len(places) - 1)]
        origin = "random" if self._is_random(group) else "search"
        return [(origin, None)] * len(places)

    def _is_random(self, group: range) -> bool:
        """Whether a group after the beginning is drawn without a look at results.

        Those that a sampler draws before it knows enough count towards the plan's share, so small studies lose little.
        """
        startup = self._startup
        due = int(self.plan.random_share * (group.stop - self.beginning.end))
        return startup is None or self._told < startup or self._randoms + len(group) <= due

    def _note_origin(self, place: int, origin: str) -> None:
        self._randoms += place >= self.beginning.end and origin == "random"

    def _group_of(self, trial: int) -> range:
        place = self.numbering.place(trial)
        assert place is not None, f"trial {trial} belongs to another search"
        return self.groups.of(place)

    def _groups_of(self, trials: Collection[int]) -> set[range]:
        return {self._group_of(trial) for trial in trials}

    def _together(self) -> Mapping[str, float] | None:
        """All single changes that helped, once; None before they are known, and ever after."""
        first, count = self.beginning.first_change, len(self.beginning.changes)
        trials = {number: self.numbering.trial(first + number - 1) for number in range(1, count + 1)}
        if not self._together_open or self._waiting or not all(trial in self.outcomes for trial in trials.values()):
            return None
        self._together_open = False
        gains = {number: self.improvement(trial) for number, trial in trials.items()}
        return self.beginning.together(gains, [job["params"] for job in self._jobs.values()])

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
            self._try_again(job.trial)
            return
        self.ledger.write_trial(self.phase, job.trial, trial_row(self.plan, job, outcome="error", message=message))
        self.give_up(job.trial)

    def put_back(self, job: Job) -> None:
        """Take a job back that ended through no fault of its own, to be handed out again."""
        self.running.discard(job.trial)
        if self.ledger.is_complete(self.phase, job.trial, blocks=self.num_blocks):
            self.finish(job)
        else:
            self._try_again(job.trial)

    def _try_again(self, trial: int) -> None:
        self._again.append(trial)
        self._alone.add(trial)

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
        learned = judge(
            rows, self._published, plan=self.plan, metrics=self.metrics, outcome=outcome, is_published=trial == 0
        )
        self._keep(trial, learned)
        complete = not stopped and learned.values is not None  # else TPE ranks it last
        step = len({row["block"] for row in rows})
        self._tell(trial, TrialState.COMPLETE if complete else TrialState.PRUNED, learned, step=step)
        if trial == 0:
            waiting, self._waiting = self._waiting, []
            for other, outcome in waiting:
                self._learn(other, stopped=outcome == "stopped")

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
        for trial in known:
            self._ask_before(trial)
            self._resume(trial)
        if self.numbering.side > 0:
            self._adopt_shared()
        if not self._asked and self._was_asking():
            self._ask_next()

    def _note_asked(self, trials: list[FrozenTrial]) -> None:
        for trial in trials:
            number = self.numbering.trial(trial.number)
            self._jobs[number] = trial.user_attrs["job"]
            self._attempts[number] = trial.user_attrs.get("attempt", 1)
            self._note_origin(trial.number, self._jobs[number]["origin"])
        self._next = max((trial.number + 1 for trial in trials), default=0)

    def _was_asking(self) -> bool:
        """Whether the driver died while it asked: in the middle of a group, or of a trial."""
        within = self._next > self.groups.of(self._next).start
        return within or (not self._is_ahead and len(self.study.get_trials(deepcopy=False)) > self._next)

    def _ask_before(self, trial: FrozenTrial) -> None:
        """Make the asks that were queued before Optuna would have been told of a trial, and are lost.

        They are those for the group after its own. Now they see what they would have seen.
        """
        if not self._is_ahead or trial.state.is_finished():
            return
        if self.ledger.is_complete(self.phase, self.numbering.trial(trial.number), blocks=self.num_blocks):
            following = self.groups.of(self.groups.of(trial.number).stop)
            while self._has_next and self._next < following.stop:
                self._ask_next()

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
            for job in self._asked.popleft()[1].result():
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
                ((origin, params),) = self._choose(range(place, place + 1))
            else:
                origin, params = row["origin"], None if place == 0 else row["params"]
            self._note_origin(place, origin)
            self._next += 1
            job = self.clerk.do(partial(self.asker.ask, place, origin, params)).result()
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
