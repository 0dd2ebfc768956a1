"""The farm: Ray Tune runs jobs on whatever it is given. Knows nothing of Optuna.

Jobs come from a `JobSource` and end in the ledger. Ray's own snapshots are never restored: a restart is a fresh Tuner
over the same source, which knows from the ledger what is done.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ray
from ray import tune
from ray.tune.search import Searcher

from study.job import Job, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan

if TYPE_CHECKING:
    from study.bench import Bench

MOST_RESTARTS = 5


class JobSource(Protocol):
    """Where jobs come from and where their ends are noted."""

    def next_job(self) -> Job | None:
        """The next job, None when all have been handed out."""

    def finish(self, job: Job, *, failure: str | None = None) -> None:
        """A worker is done with the job, or failed at it."""

    def put_back(self, job: Job) -> None:
        """The job ended through no fault of its own."""


class FixedJobs:
    """A list of jobs as a source; each is tried again once."""

    def __init__(self, jobs: list[Job], plan: StudyPlan, ledger: Ledger) -> None:
        self.waiting, self.plan, self.ledger = list(jobs), plan, ledger
        self.total, self.done = len(jobs), 0

    def next_job(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def finish(self, job: Job, *, failure: str | None = None) -> None:
        blocks = self.plan.num_blocks(job.phase)
        if self.ledger.is_complete(job.phase, job.trial, blocks=blocks):
            self.done += 1
        elif job.attempt < 2:
            again = Job(phase=job.phase, trial=job.trial, attempt=2, origin=job.origin, params=job.params)
            self.waiting.append(again)
        else:
            raise RuntimeError(f"{job.phase} of trial {job.trial} failed twice: {failure or 'its worker died'}")

    def put_back(self, job: Job) -> None:
        if self.ledger.is_complete(job.phase, job.trial, blocks=self.plan.num_blocks(job.phase)):
            self.done += 1
        else:
            self.waiting.append(job)


class _SourceSearcher(Searcher):
    """Presents a job source to Ray Tune."""

    def __init__(self, source: JobSource, common: dict[str, str | None]) -> None:
        super().__init__(metric="blocks", mode="max")
        self.source, self.common = source, common
        self.jobs: dict[str, Job] = {}
        self.failure: Exception | None = None

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        job = self.source.next_job() if self.failure is None else None
        if job is None:
            # A running job may fail and come back: finished only when nothing runs.
            finished: Any = Searcher.FINISHED  # a string, which Tune compares with
            return finished if not self.jobs or self.failure else None
        self.jobs[trial_id] = job
        return {"job": job.to_json(), **self.common}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self.jobs.pop(trial_id, None)
        if job is None:
            return
        failure = (result or {}).get("failure") or ("its worker died" if error else None)
        try:
            self.source.finish(job, failure=failure)
        except Exception as problem:  # Tune would swallow it; `run_jobs` raises it again
            self.failure = problem

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: the ledger is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored."""


class AttackTrainable(tune.Trainable):
    """Runs jobs on a worker, a block per step; keeps generator, targets and victims from job to job."""

    _bench: Bench | None = None

    def setup(self, config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._job, self._block = Job.from_json(config["job"]), 0
        self._plan = StudyPlan.from_json(config["plan"])
        self._ledger = Ledger(Path(config["results"]))
        self._pictures = config["pictures_folder"]

    def step(self) -> dict[str, Any]:
        from study.bench import Bench
        from study.trial import run_block

        job, plan = self._job, self._plan
        num_blocks = plan.num_blocks(job.phase)
        try:
            if self._bench is None or self._bench.plan != plan:
                folder = None if self._pictures is None else Path(self._pictures)
                self._bench = Bench(plan, pictures_folder=folder)
            if self._block == 0:
                self._ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=None))
            run_block(self._bench, job, self._block, self._ledger)
            self._block += 1
            if self._block == num_blocks:
                rows = self._ledger.rows(job.phase, job.trial, blocks=num_blocks)
                outcome = "ok" if all(row["outcome"] == "ok" for row in rows) else "diverged"
                self._ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=outcome))
        except Exception as error:  # the message must reach the driver; a dead actor would take it along
            return {"blocks": self._block, "failure": f"{type(error).__name__}: {error}", "done": True}
        return {"blocks": self._block, "failure": None, "done": self._block == num_blocks}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: finished blocks are in the ledger."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""


@contextmanager
def cluster(address: str | None, *, max_concurrent: int | None) -> Iterator[int]:
    """A connection to Ray, local unless an address is given; yields how many jobs run at once."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # five files a trial, and torch in the driver
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C ends the study here, not in Tune
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output engine prints boxes at verbosity 0
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
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
) -> None:
    """Run all jobs of a source. Raises what the source raised, or RuntimeError if Ray keeps failing."""
    common = {
        "plan": plan.to_json(),
        "results": str(ledger.results.resolve()),
        "pictures_folder": None if pictures_folder is None else str(pictures_folder.resolve()),
    }
    for restart in range(MOST_RESTARTS):
        searcher = _SourceSearcher(source, common)
        scratch = tempfile.mkdtemp(prefix="gifd-study-")
        try:
            _fit(searcher, max_concurrent, scratch)
        except RuntimeError as error:  # Ray's memory monitor ends a whole fit(): go on with a fresh Tuner
            if restart == MOST_RESTARTS - 1:
                raise RuntimeError(f"Ray failed {MOST_RESTARTS} times; the last time: {error}") from error
            for job in list(searcher.jobs.values()):
                source.put_back(job)
            continue
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if searcher.failure is not None:
            raise searcher.failure
        return


def _fit(searcher: _SourceSearcher, max_concurrent: int, scratch: str) -> None:
    tune.Tuner(
        tune.with_resources(AttackTrainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=max_concurrent, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=scratch,
            name="study",
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()
