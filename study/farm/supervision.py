"""What becomes of jobs whose workers die, hang or run out of memory, and when to give up. Plain Python.

A worker that dies takes no blame with it: a node may be gone, or somebody else's process may have eaten the memory. So
its job is put back, with fewer rows fused in case it was too large, until workers die one after another without a
block done in between: then something is broken that more workers will not mend.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from study.job import Job
from study.plan import StudyPlan

LEAST_BLOCK_TIMEOUT = 300.0  # seconds: a worker's first block loads the generator and draws the targets
SECONDS_PER_EVALUATION = 1.0  # of one target, far more than any takes: the limit until a block has been measured
TIMES_THE_MEDIAN = 20.0  # how much longer than most a block may take before its worker is held to hang
BLOCKS_REMEMBERED = 100
MOST_DEATHS_IN_A_ROW = 5  # and one for every worker: a node takes all of its own along
MOST_DEATHS_OF_A_JOB = 4
MOST_RESTARTS = 5  # of Ray, in a row


class FarmError(RuntimeError):
    """Workers, or Ray itself, fail one after another; or the results cannot be written."""


@dataclass
class BlockTimes:
    """How long a block may take: so many times the median of those before it, or what a person said."""

    first: float  # seconds, until there is a median
    said: float | None = None
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=BLOCKS_REMEMBERED))  # of one job, or its share

    @classmethod
    def of(cls, plan: StudyPlan, *, said: float | None) -> BlockTimes:
        """The limits of a plan before anything was measured."""
        targets = plan.block_targets_per_domain * len(plan.domains)
        return cls(first=max(LEAST_BLOCK_TIMEOUT, targets * plan.budget * SECONDS_PER_EVALUATION), said=said)

    def limit(self, *, jobs: int = 1) -> float:
        """Seconds after which a worker that has not finished a block of so many jobs is held to hang."""
        if self.said is not None:
            return self.said
        if not self.seconds:
            return jobs * self.first
        return max(LEAST_BLOCK_TIMEOUT, TIMES_THE_MEDIAN * median(self.seconds) * jobs)


@dataclass
class Supervisor:
    """Counts what goes wrong from Tuner to Tuner, and says what is to be done with a job that lost its worker."""

    plan: StudyPlan
    times: BlockTimes
    workers: int
    deaths: Counter[tuple[str, int]] = field(default_factory=Counter)  # by phase and trial
    memory_kills: Counter[tuple[str, int]] = field(default_factory=Counter)
    deaths_in_a_row: int = 0
    restarts_in_a_row: int = 0
    first_problem: str = ""

    def progress(self, seconds: float, *, jobs: int = 1) -> None:
        """A block of so many jobs was done."""
        self.times.seconds.append(seconds / jobs)
        self.deaths_in_a_row = self.restarts_in_a_row = 0

    def died(self, jobs: Sequence[Job], problem: str) -> bool:
        """A worker died over jobs. Whether they may be put back; else they are to be counted as failed.

        Several may always: they are tried again one by one, and then it shows which costs workers. Raises FarmError
        when workers die one after another.
        """
        self._note(f"trial {jobs[0].trial}: {problem}", first=self.deaths_in_a_row == 0)
        self.deaths.update((job.phase, job.trial) for job in jobs)
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row >= MOST_DEATHS_IN_A_ROW + self.workers:
            raise FarmError(f"{self.deaths_in_a_row} workers died in a row; the first was at {self.first_problem}")
        return len(jobs) > 1 or self.deaths[jobs[0].phase, jobs[0].trial] < MOST_DEATHS_OF_A_JOB

    def killed_for_memory(self, jobs: Sequence[Job]) -> None:
        """Ray's memory monitor killed the worker of these jobs."""
        self.deaths.update((job.phase, job.trial) for job in jobs)
        self.memory_kills.update((job.phase, job.trial) for job in jobs)

    def ray_failed(self, problem: str) -> None:
        """A Tuner ended with an error. Raises FarmError when they do one after another."""
        self._note(problem, first=self.restarts_in_a_row == 0)
        self.restarts_in_a_row += 1
        if self.restarts_in_a_row >= MOST_RESTARTS:
            raise FarmError(f"Ray failed {MOST_RESTARTS} times in a row; the first time: {self.first_problem}")

    def limits(self, jobs: Sequence[Job]) -> dict[str, int | str | None]:
        """`max_rows` that a job may fuse, half as many after each death; `too_large`: why it is not to be run again.

        None each where nothing happened. What happened to a job it is given alone.
        """
        if len(jobs) > 1:
            return {"max_rows": None, "too_large": None}
        (job,) = jobs
        deaths, kills = self.deaths[job.phase, job.trial], self.memory_kills[job.phase, job.trial]
        targets = min(self.plan.block_targets_per_domain, self.plan.targets_of(job.phase)) * len(self.plan.domains)
        rows = targets * self.plan.configure(job.params, origin=job.origin).restarts
        return {
            "max_rows": max(1, rows // 2**deaths) if deaths else None,
            "too_large": f"killed for memory {kills} times, the last time with fewer rows fused" if kills > 1 else None,
        }

    def _note(self, problem: str, *, first: bool) -> None:
        if first:
            self.first_problem = problem
