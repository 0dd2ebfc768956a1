"""How long a study's event loop waits for the search: `python -m benchmarks.asking`.

Builds the journal and ledger of a search over 34 conditional parameters with so many finished trials, then plays one
worker in a fresh process: what `next_job` and `finish` take, how soon the first job is there after a start (the
journal's replay included), and the memory of that process. Nothing is attacked, and Ray is not used.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from optuna.trial import TrialState

from benchmarks.trivial import write_block
from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.seeds import derive_seed
from search_spaces.base import Ask, Draw, Space
from search_spaces.published import published_scaled
from study.job import Job, trial_row
from study.ledger import Ledger
from study.options import read_options
from study.plan import SAMPLERS, StudyPlan
from study.search.samplers.genetic import POPULATION, GeneticSampler, distribution_of
from study.search.search import Search

Answer = TypeVar("Answer")
POLL_SECONDS = 0.02
BATCH = 250  # trials written to the journal at once
OPTIONS = ["--space", "ood", "--domains", "photo,sketch", "--targets-per-domain", "2", "--budget", "24"]


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """Up to 34 parameters: 4 that are always there, and six groups of 5, each behind a switch of its own."""
    ask.real("lr_first", 0.01, 1.0, log=True)
    for number in range(3):
        ask.real(f"common_{number}", 0.0, 1.0)
    for group in range(6):
        if group == 0 or ask.choice(f"group_{group}", (0, 1)):
            for number in range(4 + (group == 0)):
                ask.real(f"group_{group}_{number}", 0.001, 1.0, log=True)
    return published_scaled(shape, budget=budget)


SPACE = Space(
    name="ood", method="gifd", summary="", suggest=suggest, published=published_scaled, domains=None, begin={}
)


class WidePlan(StudyPlan):
    """A plan with the wide space; its digest does not tell samplers apart, so that all can go on with one history."""

    @property
    def search_space(self) -> Space:
        return SPACE

    @property
    def digest(self) -> str:
        return "asking"


def wide_plan(sampler: str) -> WidePlan:
    plan = read_options([*OPTIONS, "--sampler", sampler, "--results", "/nonexistent/asking"]).plan
    ranges = SPACE.ranges(plan.task_info.generator_shape, budget=plan.budget)
    values = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    return WidePlan(**values | {"parameters": tuple(sorted(ranges.items()))})


def build(results: Path, *, first: int, end: int) -> None:
    """Add finished trials to the search in a folder, written as a search writes them."""
    plan, ledger = wide_plan("random"), Ledger(results)
    ledger.create()
    search = Search(plan, ledger, trials=0)
    storage, study_id = search.study._storage, search.study._study_id
    if first == 0:
        _commit(plan, ledger, _job(plan, 0))
    parts = {
        table: next((results / table).glob("search-00000*")).read_bytes() for table in ("trials", "reconstructions")
    }

    def add(begin: int, stop: int) -> None:
        for number in range(begin, stop):
            job = _job(plan, number)
            trial = storage.create_new_trial(study_id)
            storage.set_trial_system_attr(trial, GeneticSampler._get_generation_key(), number // POPULATION)
            for name, value in job.params.items():
                distribution = distribution_of(dict(plan.parameters)[name])
                storage.set_trial_param(trial, name, distribution.to_internal_repr(value), distribution)
            gain = 100 * job.params.get("lr_first", 0.0)
            learned = {"outcome": "ok", "values": [gain], "by_domain": {"photo": gain, "sketch": gain}, "loss": 0.5}
            storage.set_trial_user_attr(trial, "attempt", 1)
            storage.set_trial_user_attr(trial, "job", {"origin": job.origin, "params": dict(job.params)})
            storage.set_trial_user_attr(trial, "learned", learned)
            storage.set_trial_state_values(trial, TrialState.COMPLETE, [gain])
            if number:  # only whether it is there is looked at
                (results / "trials" / f"search-{number:05d}.parquet").write_bytes(parts["trials"])
                for block in range(plan.num_blocks("search")):
                    name = f"search-{number:05d}-{block:03d}.parquet"
                    (results / "reconstructions" / name).write_bytes(parts["reconstructions"])

    for begin in range(first, end, BATCH):
        stop = min(begin + BATCH, end)
        search.clerk.do(lambda begin=begin, stop=stop: add(begin, stop)).result()  # type: ignore[misc]


def measure(results: Path, *, sampler: str, jobs: int) -> dict[str, float]:
    """Play one worker for so many jobs; milliseconds, seconds and MB."""
    plan, ledger = wide_plan(sampler), Ledger(results)
    begin = time.perf_counter()
    search = Search(plan, ledger, trials=1_000_000)
    asks: list[float] = []
    ends: list[float] = []
    begun = None
    while len(ends) < jobs:
        job, milliseconds = _timed(search.next_job)
        asks.append(milliseconds)
        if job is None:
            time.sleep(POLL_SECONDS)
            continue
        begun = begun or time.perf_counter() - begin
        _commit(plan, ledger, job)
        ends.append(_timed(lambda job=job: search.finish(job))[1])  # type: ignore[misc]
    assert begun is not None
    return {
        "ask_median_ms": median(asks),
        "ask_most_ms": max(asks),
        "finish_median_ms": median(ends),
        "jobs_per_second": jobs / (time.perf_counter() - begin - begun),
        "restart_seconds": begun,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _job(plan: StudyPlan, number: int) -> Job:
    draw = Draw(random.Random(derive_seed(plan.seed, "asking", number)))
    if number:
        suggest(draw, plan.task_info.generator_shape, budget=plan.budget)
    origin = "random" if number else "published"
    return Job(phase="search", trial=number, attempt=1, origin=origin, params=draw.params)


def _commit(plan: StudyPlan, ledger: Ledger, job: Job) -> None:
    ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome="ok"))
    for block in range(plan.num_blocks("search")):
        write_block(ledger, plan, job, block)


def _timed(call: Callable[[], Answer]) -> tuple[Answer, float]:
    begin = time.perf_counter()
    answer = call()
    return answer, 1000 * (time.perf_counter() - begin)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking", description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000", help="finished trials (%(default)s)")
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=12, help="to play for each (%(default)s)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # what the fresh process is told
    options = parser.parse_args(arguments)
    if options.measure is not None:
        print(json.dumps(measure(options.measure, sampler=options.samplers, jobs=options.jobs)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results, done = Path(folder), 0
        print("| trials | sampler | ask, median ms | most | finish, median ms | jobs/s | restart s | peak MB |")
        print("|---|---|---|---|---|---|---|---|")
        for size in sorted(map(int, options.sizes.split(","))):
            build(results, first=done, end=size)
            done = size
            for sampler in options.samplers.split(","):
                row = _in_fresh_process(results, sampler, options.jobs)
                done += options.jobs
                values = (f"{value:.3g}" for value in row.values())
                print(f"| {size} | {sampler} | {' | '.join(values)} |", flush=True)
    return 0


def _in_fresh_process(results: Path, sampler: str, jobs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.asking", "--measure", str(results), "--samplers", sampler]
    done = subprocess.run([*command, "--jobs", str(jobs)], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
