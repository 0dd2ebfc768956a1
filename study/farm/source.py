"""Where jobs come from and where their ends are noted. Knows neither Ray nor Optuna."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan


class JobSource(Protocol):
    """What the farm asks for jobs, and tells how they ended."""

    @property
    def waits(self) -> bool:
        """Whether `next_job` has nothing yet, though not all jobs have been handed out."""

    def next_job(self, *, beside: Job | None = None) -> Job | None:
        """The next job; None when all have been handed out, or while the source `waits`.

        beside: only if it can run as one computation with this job. A job that was put back, or failed, runs alone.
        """

    def finish(self, job: Job, *, failure: str | None = None, stopped: bool = False) -> None:
        """A worker is done with the job, failed at it, or was stopped by a scheduler before its last block."""

    def put_back(self, job: Job) -> None:
        """The job ended through no fault of its own."""


class FixedJobs:
    """A list of jobs as a source; each is tried again once."""

    waits = False

    def __init__(self, jobs: Iterable[Job], plan: StudyPlan, ledger: Ledger) -> None:
        self.waiting, self.plan, self.ledger = list(jobs), plan, ledger
        self.total, self.done = len(self.waiting), 0
        self._alone: list[Job] = []

    def next_job(self, *, beside: Job | None = None) -> Job | None:
        if not self.waiting or (beside is not None and not self._fit(beside, self.waiting[0])):
            return None
        return self.waiting.pop(0)

    def finish(self, job: Job, *, failure: str | None = None, stopped: bool = False) -> None:
        assert not stopped, "jobs of a list are never raced"
        if self._is_complete(job):
            self.done += 1
        elif job.attempt < 2:
            self._try_again(replace(job, attempt=2))
        else:
            raise RuntimeError(f"{job.phase} of trial {job.trial} failed twice: {failure or 'its worker died'}")

    def put_back(self, job: Job) -> None:
        if self._is_complete(job):
            self.done += 1
        else:
            self._try_again(job)

    def _try_again(self, job: Job) -> None:
        self.waiting.append(job)
        self._alone.append(job)

    def _fit(self, *jobs: Job) -> bool:
        """Whether jobs can run as one computation."""
        if any(job in self._alone for job in jobs):
            return False
        keys = {(job.phase, self.plan.configure(job.params, origin=job.origin).fuse_key) for job in jobs}
        return len(keys) == 1 and None not in {key for _, key in keys}

    def _is_complete(self, job: Job) -> bool:
        return self.ledger.is_complete(job.phase, job.trial, blocks=self.plan.num_blocks(job.phase))
