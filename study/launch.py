"""Run a study: `python -m study.launch --space ood`. See `--help`."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from gifd_ops.config import AttackConfig
from search_spaces.base import Draw, Frozen
from study.describe import describe_config
from study.estimate import estimate, measure, workers_of
from study.heading import heading
from study.lock import only_driver
from study.options import Launch, read_options
from study.run import run_command, run_study
from study.search.objectives import steering_metrics


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the study, say what was found. Returns the exit code."""
    return run_command("launch", arguments, lambda command: _launch(read_options(arguments), command))


def _launch(launch: Launch, command: str) -> int:
    console = Console(highlight=False, soft_wrap=True)
    if launch.dry_run:
        print_plan(launch, console)
        with TemporaryDirectory() as folder:
            print_estimate(launch.place_inputs(Path(folder)), console)
        return 0
    with only_driver(launch.results, trials=launch.trials):
        launch.plan.save(launch.results)
        return run_study(launch.place_inputs(launch.results), console, command=command)


def print_plan(launch: Launch, console: Console) -> None:
    """The plan, what the space may suggest, and three sampled configs; nothing is written."""
    plan = launch.plan
    for line in heading(launch):
        console.print(line)
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
    cost = estimate(launch.plan, profile, trials=launch.trials, protocol=launch.protocol, workers=workers)
    console.print(f"\n{cost}")


def _print_config(config: AttackConfig, console: Console) -> None:
    for line in describe_config(config):
        console.print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
