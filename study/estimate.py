"""What a study will cost, for `--dry-run`: time, memory and gradient evaluations, from a profile of its attack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study.evaluation.choosing import criteria
from study.evaluation.protocol import Protocol, protocol_of_others
from study.plan import StudyPlan

START_SECONDS = 15.0  # until Ray runs and its workers have imported torch
RAY_BYTES = 100_000_000  # of a worker, beside what it works on
PROFILE_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What `study.profile` measured on one worker, others idle."""

    seconds_per_evaluation: float  # of one target, one of a block's
    seconds_beside: float  # per target: its metrics, its place in the gallery
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a whole study costs."""

    seconds: float
    workers: int
    worker_bytes: int
    gradient_evaluations: int

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return (
            f"about {_duration(self.seconds)} on {workers}; {self.worker_bytes / 1e9:.1f} GB per worker; "
            f"{_count(self.gradient_evaluations)} gradient evaluations"
        )


def estimate(plan: StudyPlan, profile: Profile, *, trials: int, protocol: Protocol, workers: int) -> Estimate:
    """What `trials` of a plan and its evaluation cost, at most; racing may save some of it.

    Other attacks are taken to cost what this one does, and an ablation to change half of the parameters.
    """
    tune, test = (plan.targets_of(phase) * len(plan.domains) for phase in ("search", "test"))
    steps = len(plan.parameters) // 2 if protocol.ablation else 0
    runs = [*_runs(plan, trials, protocol), (steps, tune), (steps, test)]
    runs += _runs(plan, trials, protocol_of_others(protocol)) * len(protocol.methods)
    per_target = plan.budget * profile.seconds_per_evaluation + profile.seconds_beside
    return Estimate(
        seconds=START_SECONDS + _rounds(runs, workers=workers) * per_target,
        workers=workers,
        worker_bytes=profile.peak_bytes + RAY_BYTES,
        gradient_evaluations=_rounds(runs, workers=1) * plan.budget,
    )


def _runs(plan: StudyPlan, trials: int, protocol: Protocol) -> list[tuple[int, int]]:
    """Configs, and on how many targets each, of the search of one attack and of what follows."""
    tune, test = (plan.targets_of(phase) * len(plan.domains) for phase in ("search", "test"))
    wanted = criteria(plan, by_domain=protocol.by_domain)
    candidates = 1 + sum(criterion.count for criterion in wanted) if protocol.select else 0
    finalists = 1 + len(wanted)
    controlled = len(protocol.controlled) * len(protocol.controls)
    return [(trials, tune), (min(candidates, trials), tune), (min(finalists, trials), test), (controlled, test)]


def _rounds(runs: Sequence[tuple[int, int]], *, workers: int) -> int:
    """How many targets one worker after another attacks, in runs of so many configs on so many targets each."""
    return sum(-(-configs // workers) * targets for configs, targets in runs)


def measure(plan: StudyPlan, *, pictures_folder: Path | None) -> Profile:
    """Profile a plan's attack in a process of its own. Raises RuntimeError with its last line if it fails."""
    asked = {"plan": plan.to_json(), "pictures_folder": None if pictures_folder is None else str(pictures_folder)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "study.profile"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=PROFILE_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"ten iterations took more than {PROFILE_TIMEOUT:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return Profile(**json.loads(done.stdout.splitlines()[-1]))


def workers_of(address: str | None, *, max_concurrent: int | None) -> int:
    """How many workers a study would have; one of a cluster that was not asked what it has."""
    cpus = os.cpu_count() or 1
    if address is not None:
        return max_concurrent or 1
    return min(cpus, max_concurrent) if max_concurrent else cpus


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}s"
    return "a minute"


def _count(number: int) -> str:
    for word, size in (("billion", 10**9), ("million", 10**6)):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:,}"
