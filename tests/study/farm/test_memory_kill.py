"""A job that takes all memory, under Ray's real memory monitor."""

from __future__ import annotations

import time

import psutil
import pytest

from benchmarks.trivial import TrivialTrainable
from study.farm.farm import FixedJobs, cluster, run_jobs
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan

pytestmark = pytest.mark.slow
GIGABYTE = 2**30
MARGIN = 5 * GIGABYTE  # between what others use and what Ray kills at


class TakesAllMemory(TrivialTrainable):
    """Trial 1 does, unless it may fuse only a quarter of its rows; what it was allowed is noted beside the ledger."""

    def run_block(self, job: Job, block: int) -> None:
        if job.trial == 1:
            (self.ledger.results / f"allowed-{self.max_rows}-{'too-large' if self.too_large else 'run'}").touch()
        if job.trial == 1 and not self.too_large:
            held = []
            for _ in range(2 * MARGIN // GIGABYTE * 10):
                held.append(b"x" * (GIGABYTE // 10))
                time.sleep(0.02)
            time.sleep(10)
        super().run_block(job, block)


@pytest.mark.skipif(psutil.virtual_memory().available < 2 * MARGIN, reason="takes five gigabytes")
def test_a_job_killed_for_memory_is_tried_with_fewer_rows_then_recorded(
    plan: StudyPlan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", str((memory.total - memory.available + MARGIN) / memory.total))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    jobs = [Job(phase="search", trial=trial, attempt=1, origin="published", params={}) for trial in range(4)]
    source = FixedJobs(jobs, plan, ledger)
    with cluster(None, max_concurrent=2) as workers:
        run_jobs(source, plan, ledger, pictures_folder=None, max_concurrent=workers, trainable=TakesAllMemory)
    assert source.done == 4
    allowed = sorted(path.name for path in ledger.results.glob("allowed-*"))
    assert allowed == ["allowed-1-run", "allowed-1-too-large", "allowed-None-run"]
