"""The search: an Optuna study that is asked for jobs and told what the ledger says of them. Knows nothing of Ray.

The number of a trial is Optuna's, and names its parts in the ledger. Trial 0 is the published recipe. A restart does
not restore anything: it compares Optuna's trials with the ledger, and trials that lack rows are simply handed out
again under their own number.
"""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from gifd_ops.seeds import derive_seed
from search_spaces.base import Frozen
from study.beginning import Beginning
from study.job import Job, trial_row
from study.ledger import Ledger
from study.plan import METRICS, StudyPlan

JOURNAL = "optuna.journal"
STARTUP_TRIALS = (
    12  # the published recipe, single changes to its likeness (`Space.first_changes`), a few at random; TPE
)
MOST_ATTEMPTS = 3
MOST_FAILURES_IN_A_ROW = 3


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


class Search:
    """Hands out jobs until `trials` of them are finished, and learns from the ledger."""

    phase = "search"

    def __init__(self, plan: StudyPlan, ledger: Ledger, *, trials: int) -> None:
        self.plan, self.ledger, self.trials = plan, ledger, trials
        self.num_blocks = plan.num_blocks(self.phase)
        self.beginning = Beginning(plan)
        self.study = _open_study(plan, ledger.results / JOURNAL)
        self.published: dict[str, float] | None = None  # the recipe's score on every target
        self.scores: dict[int, dict[str, float]] = {}  # by trial, the mean improvement in each domain
        self.outcomes: dict[int, str] = {}
        self.running: set[int] = set()
        self.failures: list[str] = []
        self._failed: Counter[int] = Counter()  # by trial, in this run: a restart is no failure
        self._waiting: list[int] = []  # finished before the published recipe, not told yet
        self._again: deque[Job] = deque()
        self._reconcile()

    # -- handing out ---------------------------------------------------------------------------------------------

    def next_job(self) -> Job | None:
        """The next trial to run; None when all have been handed out."""
        if self._again:
            job = self._again.popleft()
        elif self._handed_out() < self.trials:
            job = self._new_job()
        else:
            return None
        self.running.add(job.trial)
        return job

    @property
    def finished(self) -> int:
        """Trials with an outcome."""
        return len(self.outcomes)

    def _handed_out(self) -> int:
        return sum(trial.state != TrialState.WAITING for trial in self.study.get_trials(deepcopy=False))

    def _new_job(self, params: Mapping[str, float] | None = None) -> Job:
        """A job that was never handed out; `params` are its answers where they are known already."""
        number, trials = self._handed_out(), self.study.get_trials(deepcopy=False)
        self.study.sampler = self._sampler_of(number)
        if params is None:
            params = self._begun_with(number)
        if params is not None and len(trials) == number:  # else one waits already
            self.study.enqueue_trial(dict(params))
        return self._ask(self.study.ask())

    def _begun_with(self, number: int) -> Mapping[str, float] | None:
        """The parameters that a new trial begins with; None for those that the sampler chooses."""
        single = self.beginning.single(number)
        if single is not None:
            return single
        gains = {tried: self.improvement(tried) for tried in self.outcomes if tried <= len(self.beginning.changes)}
        jobs = (trial.user_attrs.get("job") for trial in self.study.get_trials(deepcopy=False))
        return self.beginning.together(gains, [job["params"] for job in jobs if job is not None])

    def _sampler_of(self, number: int) -> optuna.samplers.BaseSampler:
        return _sampler(derive_seed(self.plan.seed, "ask", number))

    def _ask(self, trial: optuna.Trial) -> Job:
        if trial.number == 0:
            origin, params = "published", dict[str, float]()
        else:
            origin, ask = "search", Frozen(OptunaAsk(trial), dict(self.plan.fixed))
            self.plan.search_space.suggest(ask, self.plan.task_info.generator_shape, budget=self.plan.budget)
            params = ask.params
        trial.set_user_attr("attempt", 1)
        trial.set_user_attr("job", {"origin": origin, "params": params})  # last: the mark of a trial that was asked
        return Job(phase=self.phase, trial=trial.number, attempt=1, origin=origin, params=params)

    # -- learning ------------------------------------------------------------------------------------------------

    def finish(self, job: Job, *, failure: str | None = None) -> None:
        """Take note that a worker is done with a job, or failed at it: the ledger decides what that means.

        Raises StudyError after several failures in a row.
        """
        self.running.discard(job.trial)
        if self.ledger.is_complete(self.phase, job.trial, blocks=self.num_blocks):
            self.failures.clear()
            self._learn(job.trial)
            return
        self.failures.append(f"trial {job.trial}, attempt {job.attempt}: {failure or 'its worker died'}")
        if len(self.failures) >= MOST_FAILURES_IN_A_ROW:
            raise StudyError(f"{len(self.failures)} failures in a row; the first was: {self.failures[0]}")
        self._failed[job.trial] += 1
        if self._failed[job.trial] < MOST_ATTEMPTS:
            self._again.append(self._retry(job.trial))
            return
        message = failure or "its worker died"
        self.ledger.write_trial(self.phase, job.trial, trial_row(self.plan, job, outcome="error", message=message))
        self._tell(job.trial, TrialState.FAIL)
        self.outcomes[job.trial] = "error"

    def put_back(self, job: Job) -> None:
        """Take a job back that ended through no fault of its own, to be handed out again."""
        self.running.discard(job.trial)
        if self.ledger.is_complete(self.phase, job.trial, blocks=self.num_blocks):
            self.finish(job)
        else:
            self._again.append(self._retry(job.trial))

    def _learn(self, number: int) -> None:
        """Read a complete trial from the ledger and tell Optuna."""
        rows = self.ledger.rows(self.phase, number, blocks=self.num_blocks)
        fine = {row["target_id"]: row[self.plan.metric] for row in rows if row["outcome"] == "ok"}
        domain_of = {row["target_id"]: row["domain"] for row in rows}
        self.outcomes[number] = "ok" if len(fine) == len(rows) else "diverged"
        if number == 0:
            self.published = fine
            self._tell(0, TrialState.COMPLETE if fine else TrialState.PRUNED, 0.0)
            waiting, self._waiting = self._waiting, []
            for other in waiting:
                self._learn(other)
            return
        if self.published is None:
            self._waiting.append(number)
            return
        sign = 1 if METRICS[self.plan.metric] == "maximize" else -1
        gains: dict[str, list[float]] = {}
        for target, value in fine.items():
            if target in self.published:
                gains.setdefault(domain_of[target], []).append(sign * (value - self.published[target]))
        self.scores[number] = {domain: fmean(values) for domain, values in gains.items()}
        steered = [gain for domain in self.plan.steered_domains for gain in gains.get(domain, [])]
        if self.outcomes[number] == "ok" and steered:
            self._tell(number, TrialState.COMPLETE, fmean(steered))
        else:
            self._tell(number, TrialState.PRUNED)  # without a value: TPE ranks it last

    def improvement(self, number: int) -> float | None:
        """What steers the search: mean paired improvement over the published recipe, higher is better."""
        value = self.study.get_trials(deepcopy=False)[number]
        return value.value if value.state == TrialState.COMPLETE else None

    def best(self) -> int | None:
        """The trial of largest improvement, the published recipe among them; None before there is any."""
        complete = [t for t in self.study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        return max(complete, key=lambda trial: trial.value or 0.0).number if complete else None

    def best_observable(self) -> int | None:
        """The trial that an attacker without the private images would choose: least mean matching loss."""
        losses = {}
        for number, outcome in self.outcomes.items():
            if outcome == "ok":
                rows = self.ledger.rows(self.phase, number, blocks=self.num_blocks)
                losses[number] = fmean(
                    row["matching_loss"] for row in rows if row["domain"] in self.plan.steered_domains
                )
        return min(losses, key=lambda number: losses[number]) if losses else None

    def job_of(self, number: int) -> Mapping[str, Any]:
        """Origin and parameters of a trial."""
        stored: Mapping[str, Any] = self.study.get_trials(deepcopy=False)[number].user_attrs["job"]
        return stored

    def _tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        values = value if state == TrialState.COMPLETE else None
        self.study.tell(number, values, state=state, skip_if_finished=True)

    # -- restarting ----------------------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Bring Optuna and the ledger together: what is complete is told, the rest is handed out again."""
        self._recover_lost_history()
        for trial in self.study.get_trials(deepcopy=False):
            if self.ledger.is_complete(self.phase, trial.number, blocks=self.num_blocks):
                self._learn(trial.number)
            elif trial.state == TrialState.FAIL:
                self.outcomes[trial.number] = "error"
            elif "job" in trial.user_attrs:
                self._again.append(self._retry(trial.number))
            elif trial.state != TrialState.WAITING:  # the driver died while it asked: go on asking
                self.study.sampler = self._sampler_of(trial.number)
                self._again.append(self._ask(optuna.Trial(self.study, trial._trial_id)))

    def _recover_lost_history(self) -> None:
        """Give Optuna back the trials that only the ledger remembers: its journal was deleted, or cut short."""
        known = [trial.number for trial in self.study.get_trials(deepcopy=False) if "job" in trial.user_attrs]
        remembered = self.ledger.trial_numbers(self.phase)
        for number in range(len(known), max(remembered, default=-1) + 1):
            row = self.ledger.trial_row(self.phase, number)
            if row is None:
                self.ledger.set_aside_trial(self.phase, number)  # rows of which nobody knows the settings
            params = None if row is None or number == 0 else row["params"]
            trials = self.study.get_trials(deepcopy=False)
            if self._handed_out() == number:
                self._new_job(params)
            elif params is not None:  # asked in part: the answers are those of the ledger
                self.study._storage.set_trial_system_attr(trials[number]._trial_id, "fixed_params", params)
                self._ask(optuna.Trial(self.study, trials[number]._trial_id))

    def _retry(self, number: int) -> Job:
        trial = self.study.get_trials(deepcopy=False)[number]
        attempt = trial.user_attrs["attempt"] + 1
        if not trial.state.is_finished():
            self.study._storage.set_trial_user_attr(trial._trial_id, "attempt", attempt)
        return Job(phase=self.phase, trial=number, attempt=attempt, **trial.user_attrs["job"])


def _open_study(plan: StudyPlan, journal: Path) -> optuna.Study:
    _cut_torn_line(journal)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=f"{plan.space}-{plan.digest}",
        direction="maximize",
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    """A sampler for one question: a study that was interrupted asks what it would have asked without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`
        return optuna.samplers.TPESampler(
            seed=seed % 2**32,
            n_startup_trials=STARTUP_TRIALS,
            n_ei_candidates=24,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def _cut_torn_line(journal: Path) -> None:
    """Drop a last line that a kill left unfinished: Optuna reads past it, then fails at the next write."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
