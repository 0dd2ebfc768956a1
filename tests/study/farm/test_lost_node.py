"""A node of a cluster that is lost while it works: real Ray nodes on one machine, one of them killed hard."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from benchmarks.trivial import TrivialTrainable
from study.farm.farm import FixedJobs, cluster, run_jobs
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan

pytestmark = pytest.mark.slow
JOBS = 12


class Slow(TrivialTrainable):
    """Takes a while, and notes which node ran what."""

    def run_block(self, job: Job, block: int) -> None:
        import ray

        notes = self.ledger.results / "nodes"
        notes.mkdir(exist_ok=True)
        (notes / f"{ray.get_runtime_context().get_node_id()}-{job.trial}-{time.monotonic_ns()}").touch()
        time.sleep(0.5)
        super().run_block(job, block)


def nodes_that_worked(results: Path) -> set[str]:
    return {path.name.split("-")[0] for path in (results / "nodes").glob("*")}


def test_a_lost_node_costs_nothing_but_time(plan: StudyPlan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        doomed = nodes.add_node(num_cpus=1)
        jobs = [Job(phase="search", trial=n, attempt=1, origin="published", params={}) for n in range(JOBS)]
        source = FixedJobs(jobs, plan, ledger)

        def lose() -> None:
            while len(nodes_that_worked(ledger.results)) < 2:
                time.sleep(0.05)
            nodes.remove_node(doomed, allow_graceful=False)

        loss = threading.Thread(target=lose)
        with cluster(nodes.address, max_concurrent=None) as workers:
            assert workers == 2
            loss.start()
            run_jobs(source, plan, ledger, pictures_folder=None, max_concurrent=workers, trainable=Slow)
        loss.join()
    finally:
        nodes.shutdown()
    blocks = plan.num_blocks("search")
    assert source.done == JOBS
    assert all(ledger.is_complete("search", number, blocks=blocks) for number in range(JOBS))
    targets = [row["target_id"] for n in range(JOBS) for row in ledger.rows("search", n, blocks=blocks)]
    assert len(targets) == JOBS * len(set(targets)), "rows were doubled"
