"""What a study will cost, for `--dry-run`: time, memory and gradient evaluations, from a profile of its attack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from study.plan import StudyPlan

START_SECONDS = 15.0  # until Ray runs and its workers have imported torch
RAY_BYTES = 100_000_000  # of a worker, beside what it works on
MOST_FINALISTS = 3  # the published recipe, the best by oracle, the best by observable
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


def estimate(plan: StudyPlan, profile: Profile, *, trials: int, controls: int, workers: int) -> Estimate:
    """What `trials` of a plan cost, and its finalists under so many controls. Racing may save some of it."""
    search, test = (plan.targets_of(phase) * len(plan.domains) for phase in ("search", "test"))
    tests = min(MOST_FINALISTS, trials) * (1 + controls)
    per_target = plan.budget * profile.seconds_per_evaluation + profile.seconds_beside
    rounds = -(-trials // workers) * search + -(-tests // workers) * test
    return Estimate(
        seconds=START_SECONDS + rounds * per_target,
        workers=workers,
        worker_bytes=profile.peak_bytes + RAY_BYTES,
        gradient_evaluations=(trials * search + tests * test) * plan.budget,
    )


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
