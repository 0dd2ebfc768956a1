"""A study from its first job to its last sentence: search, evaluation, other attacks, analysis."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from study.checks import missing_metrics
from study.environment import save_environment
from study.evaluation.methods import method_launches
from study.heading import heading
from study.ledger import Ledger
from study.lock import only_driver
from study.options import Launch
from study.plan import StudyPlan
from study.upkeep.close import close_trials
from study.upkeep.compact import compact_many
from study.upkeep.swap import settle
from study.watch.event_files import event_files
from study.watch.live import SearchView, watch

CONTINUE = "what is finished is kept: the same command continues"


def run_command(module: str, arguments: list[str] | None, body: Callable[[str], int]) -> int:
    """The exit code of `python -m study.MODULE`: that of `body`, which is given the command to say.

    2: what was asked for cannot be done, in one line. 130: somebody stopped it, and is told how to go on.
    """
    command = shlex.join(["python", "-m", f"study.{module}", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        return body(command)
    except (ValueError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstudy: stopped; {CONTINUE}\n{command}", file=sys.stderr)
        return 130


def run_study(launch: Launch, console: Console, *, command: str, search: bool = True) -> int:
    """Run a study and those of other attacks beside it, then analyze. Returns the exit code.

    command: what to say if it must be continued. search: whether trials are asked for; without, what is there is
    evaluated.
    """
    from study.farm.farm import cluster  # Ray takes seconds to import: not for --help

    others = method_launches(launch)
    try:
        _bring_in_order(launch, console)
        for line in heading(launch):
            console.print(line)
        if missing := missing_metrics():
            console.print(f"{' and '.join(missing)} stay empty: weights are missing (see docs/results.md, LPIPS)\n")
        with cluster(launch.address, max_concurrent=launch.max_concurrent) as workers:
            _conduct(launch, console, workers=workers, search=search)
            for place, other in enumerate(others, start=1):
                console.print(f"\n== {other.plan.method}, tuned alike ({place} of {len(others)} other attacks)\n")
                conduct_another(other, console, workers=workers)
    except (RuntimeError, OSError) as error:
        print(f"study: {error}\nstudy: {CONTINUE}\n{command}", file=sys.stderr)
        return 1
    return analyze(launch.results, console)


def conduct_another(launch: Launch, console: Console, *, workers: int) -> None:
    """Run a whole study, in a folder of its own, on a cluster that is there. Raises what running it raises."""
    with only_driver(launch.results, trials=launch.trials):
        launch.plan.save(launch.results)
        launch = launch.place_inputs(launch.results)
        _bring_in_order(launch, console)
        _conduct(launch, console, workers=workers, search=True)


def _bring_in_order(launch: Launch, console: Console) -> None:
    """Mend what an interrupted run left behind, and note what this one runs on."""
    ledger = Ledger(launch.results)
    if (done := settle(launch.results)) is not None:
        console.print(done)
    save_environment(launch.plan, launch.results)
    ledger.remove_partials()
    for part in ledger.set_aside_damaged():
        again = "it is listed anew with the next block" if part.parts[0] == "targets" else "its block is run again"
        console.print(f"set aside {part}, which cannot be read; {again}")


def _conduct(launch: Launch, console: Console, *, workers: int, search: bool) -> None:
    """Search and evaluate one study on a cluster that is there."""
    from study.evaluation.phases import evaluate
    from study.farm.farm import JobSource, run_jobs
    from study.search.both import open_search

    plan, ledger = launch.plan, Ledger(launch.results)

    def run(source: JobSource, plan: StudyPlan, ledger: Ledger) -> None:
        run_jobs(
            source,
            plan,
            ledger,
            pictures_folder=launch.pictures_folder,
            max_concurrent=workers,
            block_timeout=launch.block_timeout,
        )

    if search:
        source = open_search(plan, ledger, trials=launch.trials, say=console.print)
        events = event_files(launch.results) if launch.tensorboard else nullcontext()
        with events, watch(SearchView(source, workers=workers), console):
            run(source, plan, ledger)
    evaluate(plan, ledger, launch.protocol, run=run, say=lambda step: console.print(f"\n{step}"))
    close_trials(ledger, plan)
    ledger.remove_partials()  # of workers that were killed; none runs any more
    if (packed := compact_many(launch.results)) is not None:
        console.print(f"\n{packed}")


def analyze(results: Path, console: Console) -> int:
    """Run the analyses in a process of their own (`study` never imports `analysis`); findings and paths come last."""
    console.print()
    status = subprocess.run([sys.executable, "-m", "analysis", str(results)]).returncode
    figures = sorted((results / "analysis").glob("*.png"))
    if figures:
        console.print("figures: " + ", ".join(map(str, figures)))
    console.print(f"one page of it all: python -m analysis.report {results}")
    console.print(f"results: {results}")
    return status
