"""Run a study: `python -m study.launch --space ood`. See `--help`."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from gifd_ops.config import AttackConfig
from gifd_ops.quirks import MENDED
from search_spaces.base import Draw, Frozen
from study.checks import missing_metrics
from study.describe import describe_config
from study.environment import save_environment
from study.ledger import Ledger
from study.options import Launch, read_options
from study.plan import control_phase

ANALYSES = ("analysis.sensitivity", "analysis.generalization", "analysis.pictures", "analysis.findings")
CONTINUE = "what is finished is kept: the same command continues"


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the study, say what was found. Returns the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        launch = read_options(arguments)
        if launch.dry_run:
            print_plan(launch, console)
            return 0
        with only_driver(launch.results):
            launch.plan.save(launch.results)
            return run_study(launch, console)
    except (ValueError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstudy: stopped; {CONTINUE}", file=sys.stderr)
        return 130


def run_study(launch: Launch, console: Console) -> int:
    """Search, re-run the finalists on the test targets, analyze."""
    from study.farm import FixedJobs, JobSource, cluster, run_jobs  # Ray takes seconds to import: not for --help
    from study.finalists import choose_finalists, final_jobs
    from study.search import Search
    from study.status import SearchView, watch

    plan, ledger = launch.plan, Ledger(launch.results)
    try:
        save_environment(plan, launch.results)
        ledger.remove_partials()
        for part in ledger.set_aside_damaged():
            again = "it is listed anew with the next block" if part.parts[0] == "targets" else "its block is run again"
            console.print(f"set aside {part}, which cannot be read; {again}")
        print_heading(launch, console)
        if missing := missing_metrics():
            console.print(f"{' and '.join(missing)} stay empty: weights are missing (see docs/results.md, LPIPS)\n")
        search = Search(plan, ledger, trials=launch.trials)
        with cluster(launch.address, max_concurrent=launch.max_concurrent) as workers:

            def run(source: JobSource) -> None:
                run_jobs(source, plan, ledger, pictures_folder=launch.pictures_folder, max_concurrent=workers)

            with watch(SearchView(search, workers=workers), console):
                run(search)
            phases = ["test", *map(control_phase, launch.controls)]
            jobs = final_jobs(search, choose_finalists(search, launch.results), ledger, phases)
            if jobs:
                under = f", under {len(launch.controls)} controls as well" if launch.controls else ""
                console.print(f"\nthe search is done; the finalists run on fresh test targets{under}")
                run(FixedJobs(jobs, plan, ledger))
    except (RuntimeError, OSError) as error:
        print(f"study: {error}\nstudy: {CONTINUE}", file=sys.stderr)
        return 1
    return analyze(launch.results, console)


def analyze(results: Path, console: Console) -> int:
    """Run the analyses as processes of their own (`study` never imports `analysis`); findings and path come last."""
    status = 0
    console.print()
    for module in ANALYSES:
        last = module == ANALYSES[-1]
        done = subprocess.run([sys.executable, "-m", module, str(results)], stdout=None if last else subprocess.DEVNULL)
        if done.returncode not in (0, 2):  # 2: there was too little to say anything, and it said so
            status = 1
    figures = sorted((results / "analysis").glob("*.png"))
    if figures:
        console.print("figures: " + ", ".join(map(str, figures)))
    console.print(f"results: {results}")
    return status


def print_heading(launch: Launch, console: Console) -> None:
    """What is about to happen, in three lines."""
    plan = launch.plan
    count = plan.targets_of("search") * len(plan.domains)
    conditions = [plan.method] * (plan.method != "gifd") + [f"control {plan.control}"] * (plan.control != "none")
    conditions += ["given labels"] * (plan.labels == "given") + ["with quirks"] * (plan.quirks != MENDED)
    console.print(
        f"study {plan.space} on {plan.task}: {''.join(f'{condition}, ' for condition in conditions)}"
        f"victim {plan.victim}, budget {plan.budget} gradient evaluations per "
        f"target, {count} tuning targets in {len(plan.domains)} domain{'s' if len(plan.domains) > 1 else ''} "
        f"({', '.join(plan.domains)})"
    )
    if plan.reuses_pictures:
        console.print(
            f"{count} pictures are too few to set some aside: the test attacks the same pictures again, with fresh "
            "victims and seeds"
        )
    console.print(f"{launch.results}  (Ctrl-C is safe: the same command continues)\n")


def print_plan(launch: Launch, console: Console) -> None:
    """The plan, what the space may suggest, and three sampled configs; nothing is written."""
    plan = launch.plan
    print_heading(launch, console)
    console.print(f"{launch.trials} trials; steered by {plan.metric} on {', '.join(plan.steered_domains)}\n")
    console.print("parameters:")
    fixed = dict(plan.fixed)
    for name, allowed in plan.parameters:
        console.print(f"  {name:22} {f'{fixed[name]:g} (set)' if name in fixed else str(allowed)}")
    console.print("\npublished recipe:")
    _print_config(plan.configure({}, origin="published"), console)
    for number in range(3):
        ask = Frozen(Draw(random.Random(f"{plan.seed} sample {number}")), fixed)
        config = plan.search_space.suggest(ask, plan.task_info.generator_shape, budget=plan.budget)
        console.print(f"\nsample {number + 1}:")
        _print_config(config, console)


def _print_config(config: AttackConfig, console: Console) -> None:
    for line in describe_config(config):
        console.print(f"  {line}")


@contextmanager
def only_driver(results: Path) -> Iterator[None]:
    """Hold the study's folder: one driver at a time. A lock whose process is gone is free. Raises ValueError."""
    try:
        Ledger(results).create()
        lock = (results / ".lock").open("a+")
    except OSError as error:
        raise ValueError(f"{results} cannot be written ({error.strerror}); choose another --results") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise ValueError(
                f"{results} is in use by process {lock.read().strip() or 'unknown'}; wait for it, or choose another "
                "--results"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


if __name__ == "__main__":
    sys.exit(main())
