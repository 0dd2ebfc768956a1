"""The farm: Ray Tune runs jobs on whatever it is given. Knows nothing of Optuna.

Jobs come from a `JobSource` and end in the ledger. Ray's own snapshots are never restored: a restart is a fresh Tuner
over the same source, which knows from the ledger what is done.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune
from ray.tune.search import Searcher

from study.farm.schedulers import StudyScheduler, scheduler_of
from study.farm.source import FixedJobs, JobSource
from study.farm.supervision import BlockTimes, FarmError, Supervisor
from study.farm.worker import RUNNING, AttackTrainable, JobTrainable, last_words
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan

__all__ = ["FixedJobs", "JobSource", "cluster", "run_jobs"]

TRIALS_PER_TUNER = 1000  # Tune keeps 50 kB of each, and writes all of them again and again
LEAVING_SECONDS = 5.0  # for the workers of one Tuner to end before the next begins
WAIT_SECONDS = 0.02  # for a source that has no job ready while nothing runs


@dataclass
class _Running:
    """Jobs on a worker, that run as one computation."""

    jobs: list[Job]
    limit: float  # seconds for a block
    failure: str | None = None  # of its last report


class _SourceSearcher(Searcher):
    """Presents a job source to one Tuner."""

    def __init__(self, source: JobSource, supervisor: Supervisor, scheduler: StudyScheduler, common: dict[str, Any]):
        super().__init__(metric="blocks", mode="max")
        self.source, self.supervisor, self.scheduler, self.common = source, supervisor, scheduler, common
        self.results = Path(common["results"])
        self.configs_per_trial = supervisor.plan.configs_per_trial
        self.running: dict[str, _Running] = {}
        self.left = TRIALS_PER_TUNER
        self.exhausted = False
        self.problem: Exception | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        finished = cast("dict[str, Any]", Searcher.FINISHED)  # a string, which Tune compares with
        if self.problem is not None or not self.left:
            return finished
        try:
            jobs = self._next_jobs()
        except Exception as problem:  # Tune would end in the middle of other jobs
            self._halt(problem)
            return finished
        if jobs:
            self.left -= 1
            limit = self.supervisor.times.limit(jobs=len(jobs))
            self.running[trial_id] = _Running(jobs, limit)
            told = {"jobs": [job.to_json() for job in jobs], "block_timeout": limit}
            return {**told, **self.supervisor.limits(jobs), **self.common}
        if self.running or self.source.waits:  # a running job may fail and come back
            return None
        self.exhausted = True
        return finished

    def _next_jobs(self) -> list[Job]:
        """The source's next job, and those that can run with it as one computation.

        While nothing runs it is waited for: Tune would sleep a whole second.
        """
        job = first = self.source.next_job()
        while first is None and not self.running and self.source.waits:
            time.sleep(WAIT_SECONDS)
            job = first = self.source.next_job()
        jobs = []
        while job is not None:
            jobs.append(job)
            job = self.source.next_job(beside=first) if len(jobs) < self.configs_per_trial else None
        return jobs

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        running = self.running[trial_id]
        running.failure = result["failure"]
        if result["failure"] is None:
            self.supervisor.progress(result["seconds"], jobs=len(running.jobs))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        running = self.running.pop(trial_id, None)
        if running is None:
            return
        try:
            if result is None:
                self._lost(running)
            else:
                self._reported(running.jobs, result)
        except Exception as problem:  # Tune would swallow it; `run_jobs` raises it again
            self._halt(problem)

    def _reported(self, jobs: list[Job], result: dict[str, Any]) -> None:
        """Jobs ended with a report: their last, or one after which their scheduler stopped them."""
        failure = result["failure"]
        if failure is None:
            self.supervisor.progress(result["seconds"], jobs=len(jobs))
        if result["halt"]:
            self._halt(FarmError(f"the results cannot be written ({failure}); make room for them"))
        if failure is not None:
            self._failed(jobs, failure)
            return
        for job in jobs:
            if result["complete"]:
                self.source.finish(job)
            elif self.problem is not None:
                self.source.put_back(job)
            else:
                self.source.finish(job, stopped=True)

    def _lost(self, running: _Running) -> None:
        """The worker of jobs is gone."""
        jobs, failure = running.jobs, running.failure or self._hang(running)
        if failure is None and self.supervisor.died(jobs, "its worker died (killed, or its node is gone)"):
            for job in jobs:
                self.source.put_back(job)
        else:
            self._failed(jobs, failure)

    def _failed(self, jobs: list[Job], failure: str | None) -> None:
        """A job failed; of several nobody knows which, so none is blamed: each is tried again alone."""
        if len(jobs) == 1:
            self.source.finish(jobs[0], failure=failure)
            return
        for job in jobs:
            self.source.put_back(job)

    def _hang(self, running: _Running) -> str | None:
        """What to say if the jobs' worker ended itself because it took too long."""
        place = last_words(self.results, running.jobs[0]).place
        if place is None:
            return None
        return f"a block took more than {running.limit:.0f} s (if it may, give --block-timeout SECONDS); {place}"

    def _halt(self, problem: Exception) -> None:
        """Hand out nothing more; what runs is stopped at its next report, its blocks kept."""
        self.problem = self.problem or problem
        self.scheduler.halted = True

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: a Tuner pickles what it is given, for a restore that never comes."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored."""


@contextmanager
def cluster(address: str | None, *, max_concurrent: int | None) -> Iterator[int]:
    """A connection to Ray, local unless an address is given; yields how many jobs run at once."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # five files a trial, and torch in the driver
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends the study here, not in Tune
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # what matters of them is said by the study
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output engine prints boxes at verbosity 0
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ray.init(  # "local": without an address Ray would join whatever cluster was begun on this machine last
        address=address or "local",
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        yield min(cpus, max_concurrent) if max_concurrent else cpus
    finally:
        ray.shutdown()


def run_jobs(
    source: JobSource,
    plan: StudyPlan,
    ledger: Ledger,
    *,
    pictures_folder: Path | None,
    max_concurrent: int,
    block_timeout: float | None = None,
    trainable: type[JobTrainable] = AttackTrainable,
) -> None:
    """Run all jobs of a source. Raises what the source raised, or FarmError if workers or Ray keep failing.

    block_timeout: seconds after which a worker is held to hang; None: by the plan, then by what blocks take.
    """
    common = {
        "plan": plan.to_json(),
        "results": str(ledger.results.resolve()),
        "pictures_folder": None if pictures_folder is None else str(pictures_folder.resolve()),
    }
    shutil.rmtree(ledger.results / RUNNING, ignore_errors=True)
    supervisor = Supervisor(plan, BlockTimes.of(plan, said=block_timeout), workers=max_concurrent)
    scheduler = scheduler_of(plan, ledger)
    exhausted = False
    while not exhausted:
        _wait_for_cpus(max_concurrent)
        searcher = _SourceSearcher(source, supervisor, scheduler, common)
        try:
            _fit(trainable, searcher, scheduler, max_concurrent)
        except RuntimeError as error:  # Ray's memory monitor ends a whole fit(): go on with a fresh Tuner
            _put_back(searcher, str(error))
        if searcher.problem is not None:
            raise searcher.problem
        exhausted = searcher.exhausted


def _wait_for_cpus(count: int) -> None:
    """Wait a little for the CPUs of workers that are on their way out: short trials would all go to the first one."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while ray.available_resources().get("CPU", 0) < count and time.monotonic() < deadline:
        time.sleep(0.1)


def _put_back(searcher: _SourceSearcher, problem: str) -> None:
    """Save what ran on a Tuner that failed."""
    greedy = _greediest(problem)
    for running in searcher.running.values():
        if greedy is not None and last_words(searcher.results, running.jobs[0]).actor == greedy:
            searcher.supervisor.killed_for_memory(running.jobs)
        for job in running.jobs:
            searcher.source.put_back(job)
    searcher.supervisor.ray_failed(problem)


def _greediest(problem: str) -> str | None:
    """Of the actors that Ray says it killed for memory the one that used most: it kills others beside it."""
    killed = re.findall(r"Actor\((\w+)\).*actual memory used=([\d.]+)GB", problem)
    return max(killed, key=lambda actor: float(actor[1]))[0] if killed else None


def _fit(
    trainable: type[JobTrainable], searcher: _SourceSearcher, scheduler: StudyScheduler, max_concurrent: int
) -> None:
    scratch = tempfile.mkdtemp(prefix="gifd-study-")
    try:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=max_concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                name="study",
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
