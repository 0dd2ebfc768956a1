"""Record a pool: `python -m study.record --space ood --configs 300 --table FILE.parquet`.

Runs every config of a pool on every tuning target, then writes one small table for `study.replay` to look answers up
in. The pool is the published recipe (config 0), the single changes to its likeness that a search begins with, all of
them together that helped, and configs drawn at random from the space. The options are those of `study.launch`; the
same command continues what was interrupted, and a larger --configs extends it.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pyarrow as pa
import pyarrow.parquet as pq

from gifd_ops.seeds import derive_seed
from search_spaces.base import Draw, Frozen
from study.job import Job
from study.ledger import Ledger
from study.lock import only_driver
from study.options import Launch, read_options
from study.plan import METRICS, StudyPlan
from study.replay.pool import PLAN_KEY, TABLE
from study.run import CONTINUE
from study.search.beginning import Beginning

PHASE = "search"


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing of the pool, then write its table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m study.record", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="further options: those of python -m study.launch (--results, --victim, --budget, --max-concurrent ...)",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--configs", type=int, default=300, metavar="N", help="random configs (%(default)s)")
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="the Parquet file to write")
    parser.add_argument("--only-table", action="store_true", help="run nothing: write what is complete so far")
    ours, passed_on = parser.parse_known_args(arguments)
    try:
        if ours.configs < 1:
            raise ValueError(f"--configs must be 1 or more, got {ours.configs}")
        if not ours.table.parent.is_dir():
            raise ValueError(f"--table needs a folder that exists, got {ours.table}; make {ours.table.parent} first")
        launch = read_options(passed_on)
        if launch.plan.racing != "off":
            raise ValueError(f"a pool needs every config on every target; leave out --racing {launch.plan.racing}")
        with only_driver(launch.results):
            launch.plan.save(launch.results)
            launch = launch.place_inputs(launch.results)
            ledger = Ledger(launch.results)
            if not ours.only_table:
                run_pool(launch, ledger, configs=ours.configs)
            num_rows = write_table(launch.plan, ledger, ours.table)
    except (ValueError, OSError) as error:
        print(f"record: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"record: {error}\nrecord: {CONTINUE}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nrecord: stopped; {CONTINUE}", file=sys.stderr)
        return 130
    print(f"{ours.table}: {num_rows} rows, {ours.table.stat().st_size / 1000:.0f} kB")
    return 0


def run_pool(launch: Launch, ledger: Ledger, *, configs: int) -> None:
    """Run the configs that the ledger lacks; what helped is put together last, when all single changes are known."""
    from study.farm.farm import FixedJobs, cluster, run_jobs  # Ray takes seconds to import: not for --help

    plan = launch.plan
    ledger.remove_partials()
    ledger.set_aside_damaged()
    with cluster(launch.address, max_concurrent=launch.max_concurrent) as workers:
        for jobs in (pool_jobs(plan, configs=configs), together_jobs(plan, ledger)):
            missing = [job for job in jobs if not ledger.is_complete(PHASE, job.trial, blocks=plan.num_blocks(PHASE))]
            if missing:
                source = FixedJobs(missing, plan, ledger)
                run_jobs(source, plan, ledger, pictures_folder=launch.pictures_folder, max_concurrent=workers)


def pool_jobs(plan: StudyPlan, *, configs: int) -> Iterator[Job]:
    """The published recipe, the single changes, one number kept free for those together, then random configs."""
    beginning = Beginning(plan)
    yield _job(0, "published", {})
    for trial in range(1, len(beginning.changes) + 1):
        params = beginning.single(trial)
        assert params is not None
        yield _job(trial, "beginning", params)
    first = len(beginning.changes) + 2
    for trial in range(first, first + configs):
        ask = Frozen(Draw(random.Random(derive_seed(plan.seed, "pool", trial - first))), dict(plan.fixed))
        plan.search_space.suggest(ask, plan.task_info.generator_shape, budget=plan.budget)
        yield _job(trial, "random", ask.params)


def together_jobs(plan: StudyPlan, ledger: Ledger) -> Iterator[Job]:
    """All single changes together that did better than none; nothing if fewer than two did."""
    beginning = Beginning(plan)
    gains = {trial: _gain(plan, ledger, trial) for trial in range(1, len(beginning.changes) + 1)}
    params = beginning.together(gains, [])
    if params is not None:
        yield _job(len(beginning.changes) + 1, "beginning", params)


def write_table(plan: StudyPlan, ledger: Ledger, path: Path) -> int:
    """Write the complete configs of a ledger as one table, whole or not at all; returns the number of rows."""
    num_blocks, rows = plan.num_blocks(PHASE), []
    for trial in sorted(ledger.trial_numbers(PHASE)):
        about = ledger.trial_row(PHASE, trial)
        if about is None or not ledger.is_complete(PHASE, trial, blocks=num_blocks):
            continue
        params = sorted(about["params"].items())
        for row in ledger.rows(PHASE, trial, blocks=num_blocks):
            rows.append({name: params if name == "params" else row[name] for name in TABLE.names})
    table = pa.Table.from_pylist(rows, schema=TABLE.with_metadata({PLAN_KEY: plan.to_json().encode()}))
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(table, partial, compression="zstd")
    os.replace(partial, path)
    return len(rows)


def _job(trial: int, origin: str, params: dict[str, float]) -> Job:
    return Job(phase=PHASE, trial=trial, attempt=1, origin=origin, params=params)


def _gain(plan: StudyPlan, ledger: Ledger, trial: int) -> float | None:
    """Mean improvement over the published recipe on the steered domains; None if a row diverged."""
    sign = 1 if METRICS[plan.metric] == "maximize" else -1
    blocks = plan.num_blocks(PHASE)
    published = {row["target_id"]: row[plan.metric] for row in ledger.rows(PHASE, 0, blocks=blocks)}
    rows = [row for row in ledger.rows(PHASE, trial, blocks=blocks) if row["domain"] in plan.steered_domains]
    pairs = [(row[plan.metric], published[row["target_id"]]) for row in rows]
    if not pairs or any(value is None or before is None for value, before in pairs):
        return None
    return fmean(sign * (value - before) for value, before in pairs)


if __name__ == "__main__":
    sys.exit(main())
