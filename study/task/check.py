"""Says whether a task's file is sound, shows what it makes, and what a study of it would take."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from study.estimate import Profile, estimate, workers_of
from study.options import Launch, read_options


def main(arguments: list[str] | None = None) -> int:
    """`python -m study.task check FILE.toml`. Returns the exit code: 2 if something must be mended."""
    parser = argparse.ArgumentParser(
        prog="python -m study.task",
        description="Check a task of your own (docs/own-data.md). Further options are those of study.launch.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="open its files, draw samples, run three iterations, say what they take")
    check.add_argument("task", help="FILE.toml, or ffhq or imagenet with --data and --weights")
    check.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="where pictures go (here)")
    options, others = parser.parse_known_args(arguments)
    space = [] if "--space" in others else ["--space", "ood"]
    try:
        if not options.output.is_dir():
            raise ValueError(f"--output needs a folder that exists, got {options.output}; make it first")
        launch = read_options(
            [*space, "--task", options.task, *others, "--dry-run", "--results", str(options.output / ".no-results")]
        )
        if launch.inputs is None:
            raise ValueError(f"{options.task} is built in, so there is nothing to check; give a FILE.toml")
        for line in describe(launch):
            print(line)
        with TemporaryDirectory() as folder:
            inputs = launch.inputs.save(Path(folder))
            found = run(launch, inputs, device="cpu", output=options.output)
            report(launch, found)
            for device in found["devices"][1:]:
                report(launch, run(launch, inputs, device=device, output=options.output))
    except (ValueError, OSError) as error:
        print(f"task: {error}", file=sys.stderr)
        return 2
    for what in ("samples", "pictures"):
        print(f"{what}: {options.output / f'{launch.plan.task}-{what}.png'}")
    return 0


def describe(launch: Launch) -> list[str]:
    """What the task is made of, a line each."""
    plan, task, own = launch.plan, launch.plan.task_info, launch.plan.own_task
    assert own is not None
    lines = [
        f"task {task.name}: pictures of {task.size_px} px, {task.num_classes} classes",
        f"generator {own.architecture}: {task.generator_shape.num_layers} layers"
        + (f", approximated by {own.approximation}" if own.approximation != "none" else "")
        + f", sha256 {own.checkpoint_sha256[:12]}...",
        f"victim {own.victim}: {own.victim_layers} layers with parameters",
    ]
    for domain, entries in own.pictures:
        labels = sorted({label for _, label in entries})
        known = " (the generator's own)" if domain in own.in_distribution else ""
        lines.append(
            f"domain {domain}{known}: {len(entries)} pictures used ({plan.targets_per_domain} tune, "
            f"{plan.test_targets_per_domain} test, {plan.targets_per_domain} select, the rest a gallery), labels "
            f"{', '.join(map(str, labels[:12]))}{', ...' if len(labels) > 12 else ''}"
        )
    return lines


def run(launch: Launch, inputs: Path, *, device: str, output: Path) -> dict[str, Any]:
    """Three iterations on a device, in a process of their own. Raises ValueError with its last line if it fails."""
    asked = {"plan": launch.plan.to_json(), "inputs": str(inputs), "device": device, "output": str(output)}
    done = subprocess.run(
        [sys.executable, "-m", "study.task.trial_run"], input=json.dumps(asked), capture_output=True, text=True
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise ValueError(f"three iterations on {device} failed: {last}") from None
    if "problem" in found:
        raise ValueError(found["problem"])
    return found


def report(launch: Launch, found: dict[str, Any]) -> None:
    """What three iterations took, and what a study would."""
    memory = found["device_bytes"] or found["peak_bytes"]
    print(
        f"{found['device']}: {found['seconds_per_iteration']:.2f} s per iteration of {found['targets']} targets, "
        f"{memory / 1e9:.1f} GB at most, matching loss {found['matching_loss']:.3f} after three"
    )
    profile = Profile(
        seconds_per_evaluation=found["seconds_per_iteration"] / found["targets"],
        seconds_beside=0.0,
        peak_bytes=memory,
    )
    workers = workers_of(launch.address, max_concurrent=launch.max_concurrent)
    cost = estimate(launch.plan, profile, trials=launch.trials, protocol=launch.protocol, workers=workers)
    print(f"a study of {launch.trials} trials, budget {launch.plan.budget}, if every stage cost as much: {cost}")
