"""What runs on a worker: jobs, a block per step. Only the attack itself needs torch."""

from __future__ import annotations

import errno
import faulthandler
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from study.farm.schedulers import steering_scores
from study.job import Job, outcome_of, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan

if TYPE_CHECKING:
    from study.bench import Bench

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
DEVICE_LOST = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "cuDNN error")  # what torch says of a broken device
RUNNING = ".running"  # a folder beside the ledger's tables


class JobTrainable(tune.Trainable):
    """Runs jobs block by block and keeps what they share. Kinds of work are subclasses with a `run_block`.

    Jobs that come together go on together: a step is a block of all of them, and each is kept as if it were alone. A
    block that takes longer than its limit ends the process, whatever it hangs in: `faulthandler` keeps the time in a
    thread that needs no interpreter lock.
    """

    _device_lost = False

    def run_block(self, job: Job, block: int) -> None:
        """Do a block of a job and commit it to `self.ledger`."""
        raise NotImplementedError

    def run_blocks(self, jobs: list[Job], block: int) -> None:
        """Do a block of several jobs."""
        for job in jobs:
            self.run_block(job, block)

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.jobs, self.block = [Job.from_json(text) for text in new_config["jobs"]], 0
        self.plan = StudyPlan.from_json(new_config["plan"])
        self.ledger = Ledger(Path(new_config["results"]))
        pictures = new_config["pictures_folder"]
        self.pictures_folder = None if pictures is None else Path(pictures)
        self.block_timeout: float = new_config["block_timeout"]
        self.max_rows: int | None = new_config["max_rows"]
        self.too_large: str | None = new_config["too_large"]  # why the job is not to be run again
        return True

    def step(self) -> dict[str, Any]:
        """A block. Reports `failure` (and `halt` where no other job would fare better) instead of raising.

        What is raised would tell the driver that the worker died, and nothing else.
        """
        if self._device_lost:
            os._exit(1)  # the report before this one said why: a fresh process has a fresh device
        begin, failure, halt = time.monotonic(), None, False
        try:
            with _time_limit(self.block_timeout, _words(self.ledger.results, self.jobs[0])):
                self._commit_block()
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            halt = isinstance(error, OSError) and error.errno in NO_ROOM
            self._device_lost = any(sign in failure for sign in DEVICE_LOST)
        complete = failure is None and self.block == self.plan.num_blocks(self.jobs[0].phase)
        return {
            "blocks": self.block,
            "scores": self._scores() if failure is None else "{}",
            "seconds": time.monotonic() - begin,
            "complete": complete,
            "failure": failure,
            "halt": halt,
            "done": complete or (failure is not None and not self._device_lost),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: finished blocks are in the ledger."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""

    def _commit_block(self) -> None:
        plan, num_blocks = self.plan, self.plan.num_blocks(self.jobs[0].phase)
        if self.block == 0:
            for job in self.jobs:
                self.ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=None))
        self.run_blocks(self.jobs, self.block)
        self.block += 1
        if self.block == num_blocks:
            for job in self.jobs:
                outcome = outcome_of(self.ledger.rows(job.phase, job.trial, blocks=num_blocks))
                self.ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=outcome))

    def _scores(self) -> str:
        """What a scheduler judges by, as JSON: Ray would take a mapping apart."""
        job = self.jobs[0]
        if self.plan.racing == "off" or job.phase != "search":
            return "{}"
        rows = self.ledger.rows(job.phase, job.trial, blocks=self.block)
        return json.dumps(steering_scores(self.plan, rows))


class AttackTrainable(JobTrainable):
    """The attack; keeps generator, targets and victims from job to job."""

    _bench: Bench | None = None

    def setup(self, config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        super().setup(config)

    def run_block(self, job: Job, block: int) -> None:
        self.run_blocks([job], block)

    def run_blocks(self, jobs: list[Job], block: int) -> None:
        from study.bench import Bench
        from study.trial import record_too_large, run_blocks

        if self._bench is None or self._bench.plan != self.plan:
            self._bench = Bench(self.plan, pictures_folder=self.pictures_folder)
        if self.too_large is not None:
            for job in jobs:
                record_too_large(self._bench, job, block, self.ledger, message=self.too_large)
        else:
            run_blocks(self._bench, jobs, block, self.ledger, max_rows=self.max_rows)


@dataclass(frozen=True)
class LastWords:
    """What a worker that is gone left of itself, if anything."""

    actor: str | None  # Ray's id of it
    place: str | None  # the line it was in, if it ended itself because its time was over


def last_words(results: Path, job: Job) -> LastWords:
    """What the worker that ran a job left when it died over it."""
    path = _words(results, job)
    if not path.exists():
        return LastWords(None, None)
    actor, _, stacks = path.read_text().partition("\n")
    ours = next((thread.splitlines() for thread in stacks.split("\n\n") if "_commit_block" in thread), [])
    return LastWords(actor, next((line.strip() for line in ours if line.strip().startswith("File")), None))


@contextmanager
def _time_limit(seconds: float, words: Path) -> Iterator[None]:
    """End this process if the body takes longer. A file says meanwhile who runs it, and then where it was."""
    words.parent.mkdir(exist_ok=True)
    with words.open("w") as file:
        file.write(f"{ray.get_runtime_context().get_actor_id()}\n")
        file.flush()
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            words.unlink(missing_ok=True)


def _words(results: Path, job: Job) -> Path:
    return results / RUNNING / f"{job.phase}-{job.trial:05d}.txt"
