"""Run a study: `python -m study.launch --space ood`. See `--help`."""

from __future__ import annotations

import random
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from gifd_ops.config import AttackConfig
from gifd_ops.quirks import MENDED
from search_spaces.base import Draw, Frozen
from study.checks import missing_metrics
from study.describe import describe_config
from study.environment import save_environment
from study.estimate import estimate, measure, workers_of
from study.ledger import Ledger
from study.lock import only_driver
from study.options import Launch, read_options
from study.plan import StudyPlan, control_phase
from study.search.objectives import steering_metrics
from study.upkeep.close import close_trials
from study.upkeep.compact import compact_many
from study.upkeep.swap import settle
from study.watch.event_files import event_files
from study.watch.live import SearchView, watch

ANALYSES = ("analysis.sensitivity", "analysis.generalization", "analysis.pictures", "analysis.findings")
CONTINUE = "what is finished is kept: the same command continues"


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the study, say what was found. Returns the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        launch = read_options(arguments)
        if launch.dry_run:
            print_plan(launch, console)
            print_estimate(launch, console)
            return 0
        with only_driver(launch.results, trials=launch.trials):
            launch.plan.save(launch.results)
            return run_study(launch, console, command_line(arguments))
    except (ValueError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstudy: stopped; {CONTINUE}\n{command_line(arguments)}", file=sys.stderr)
        return 130


def command_line(arguments: list[str] | None) -> str:
    """The command that began this, to copy."""
    return shlex.join(["python", "-m", "study.launch", *(sys.argv[1:] if arguments is None else arguments)])


def run_study(launch: Launch, console: Console, command: str) -> int:
    """Search, re-run the finalists on the test targets, analyze. `command` is what to say if it must be continued."""
    from study.farm.farm import FixedJobs, JobSource, cluster, run_jobs  # Ray takes seconds to import: not for --help
    from study.finalists import choose_finalists, final_jobs
    from study.search.both import open_search

    plan, ledger = launch.plan, Ledger(launch.results)
    try:
        if (done := settle(launch.results)) is not None:
            console.print(done)
        save_environment(plan, launch.results)
        ledger.remove_partials()
        for part in ledger.set_aside_damaged():
            again = "it is listed anew with the next block" if part.parts[0] == "targets" else "its block is run again"
            console.print(f"set aside {part}, which cannot be read; {again}")
        print_heading(launch, console)
        if missing := missing_metrics():
            console.print(f"{' and '.join(missing)} stay empty: weights are missing (see docs/results.md, LPIPS)\n")
        search = open_search(plan, ledger, trials=launch.trials, say=console.print)
        with cluster(launch.address, max_concurrent=launch.max_concurrent) as workers:

            def run(source: JobSource) -> None:
                run_jobs(
                    source,
                    plan,
                    ledger,
                    pictures_folder=launch.pictures_folder,
                    max_concurrent=workers,
                    block_timeout=launch.block_timeout,
                )

            events = event_files(launch.results) if launch.tensorboard else nullcontext()
            with events, watch(SearchView(search, workers=workers), console):
                run(search)
            phases = ["test", *map(control_phase, launch.controls)]
            jobs = final_jobs(search, choose_finalists(search, launch.results), ledger, phases)
            if jobs:
                under = f", under {len(launch.controls)} controls as well" if launch.controls else ""
                console.print(f"\nthe search is done; the finalists run on fresh test targets{under}")
                run(FixedJobs(jobs, plan, ledger))
        close_trials(ledger, plan)
        ledger.remove_partials()  # of workers that were killed; none runs any more
        if (packed := compact_many(launch.results)) is not None:
            console.print(f"\n{packed}")
    except (RuntimeError, OSError) as error:
        print(f"study: {error}\nstudy: {CONTINUE}\n{command}", file=sys.stderr)
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
    for note in launch.notes:
        console.print(note)
    if plan.racing == "on" and not _looks(plan):
        console.print(
            "a race needs 8 steering targets before a trial's last block, and this study has too few: nothing will be "
            "stopped early (give more --targets-per-domain)"
        )
    console.print(f"{launch.results}  (Ctrl-C is safe: the same command continues)\n")


def _looks(plan: StudyPlan) -> tuple[int, ...]:
    """After how many steering targets a race looks at a trial."""
    from study.search.racing import interim_looks  # imports numpy

    return interim_looks(plan.targets_of("search") * len(plan.steered_domains), looks=plan.num_blocks("search"))


def print_plan(launch: Launch, console: Console) -> None:
    """The plan, what the space may suggest, and three sampled configs; nothing is written."""
    plan = launch.plan
    print_heading(launch, console)
    objectives = ("oracle", "observable") if plan.objective == "both" else (plan.objective,)
    steering = "; ".join(f"{name}: {', '.join(steering_metrics(plan, name))}" for name in objectives)
    count = f"{launch.trials} trials"
    if plan.configs_per_trial > 1:
        count += f", up to {plan.configs_per_trial} run as one"
    console.print(f"{count}, sampler {plan.sampler}; steered by {steering} on {', '.join(plan.steered_domains)}\n")
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


def print_estimate(launch: Launch, console: Console) -> None:
    """What the study would cost, from ten iterations of its attack."""
    workers = workers_of(launch.address, max_concurrent=launch.max_concurrent)
    try:
        profile = measure(launch.plan, pictures_folder=launch.pictures_folder)
    except RuntimeError as error:
        console.print(f"\nwhat it costs cannot be said: {error}")
        return
    cost = estimate(launch.plan, profile, trials=launch.trials, controls=len(launch.controls), workers=workers)
    console.print(f"\n{cost}")


def _print_config(config: AttackConfig, console: Console) -> None:
    for line in describe_config(config):
        console.print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
