"""Two searches over one plan and one ledger: one tuned with the private images, one as an attacker would tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.beginning import Beginning
from study.search.clerk import Clerk
from study.search.journal import JOURNAL
from study.search.numbering import Numbering
from study.search.objectives import Front
from study.search.search import Search


class BothSearches:
    """Hands out the trials of both searches in turn.

    They share how a search begins: the rows of those trials teach both. Beyond that neither learns from the other's
    trials: those of the oracle were chosen with the private images. Each has an Optuna study of its own in one journal.
    """

    def __init__(
        self, plan: StudyPlan, ledger: Ledger, *, trials: int, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.plan, self.ledger, self.trials = plan, ledger, trials
        clerk, shared = Clerk(ledger.results / JOURNAL), Beginning(plan).end
        self.oracle, self.observable = (
            Search(
                plan,
                ledger,
                trials=trials,
                objective=objective,
                numbering=Numbering(shared=shared, side=side, sides=2),
                clerk=clerk,
                say=say,
            )
            for side, objective in enumerate(("oracle", "observable"))
        )

    def next_job(self, *, beside: Job | None = None) -> Job | None:
        """The next trial to run; None when all have been handed out, or while the searches wait.

        beside: only one of the same search that can run as one computation with this job.
        """
        if beside is not None:
            return self._owner(beside.trial).next_job(beside=beside)
        for search in sorted(self._searches, key=_turn):
            job = search.next_job()
            if job is not None:
                return job
        return None

    @property
    def waits(self) -> bool:
        return any(search.waits for search in self._searches)

    def finish(self, job: Job, *, failure: str | None = None, stopped: bool = False) -> None:
        """Take note of a job's end, in both searches where they share it."""
        self._owner(job.trial).finish(job, failure=failure, stopped=stopped)
        self._share(job.trial)

    def put_back(self, job: Job) -> None:
        """Take a job back that ended through no fault of its own."""
        self._owner(job.trial).put_back(job)
        self._share(job.trial)

    def _share(self, trial: int) -> None:
        if trial < self.oracle.numbering.shared:
            self.observable.hear(trial)

    # -- what is known: of both, and of the oracle's where one must be chosen ------------------------------------------

    @property
    def finished(self) -> int:
        """Trials with an outcome."""
        return len(self.outcomes)

    @property
    def outcomes(self) -> dict[int, str]:
        return self.observable.outcomes | self.oracle.outcomes

    @property
    def scores(self) -> dict[int, dict[str, float]]:
        return self.observable.scores | self.oracle.scores

    @property
    def running(self) -> set[int]:
        return self.oracle.running | self.observable.running

    @property
    def published(self) -> dict[str, float] | None:
        return self.oracle.published

    @property
    def metrics(self) -> tuple[str, ...]:
        return self.oracle.metrics

    @property
    def front(self) -> Front:
        return self.oracle.front

    def improvement(self, trial: int) -> float | None:
        """What steers the search that asked for a trial."""
        return self._owner(trial).improvement(trial)

    def best(self) -> int | None:
        return self.oracle.best()

    def job_of(self, trial: int) -> Mapping[str, Any]:
        """Origin and parameters of a trial."""
        return self._owner(trial).job_of(trial)

    @property
    def _searches(self) -> tuple[Search, Search]:
        return self.oracle, self.observable

    def _owner(self, trial: int) -> Search:
        return self.oracle if self.oracle.numbering.place(trial) is not None else self.observable


def _turn(search: Search) -> float:
    trial = search.next_trial
    return float("inf") if trial is None else trial


def open_search(
    plan: StudyPlan, ledger: Ledger, *, trials: int, say: Callable[[str], None] = lambda line: None
) -> Search | BothSearches:
    """The search of a plan, or both of them; `say` is told what a person should know, from another thread."""
    kind = BothSearches if plan.objective == "both" else Search
    return kind(plan, ledger, trials=trials, say=say)
