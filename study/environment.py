"""What a study ran on: versions, hardware, commit, weights. No host names, no home paths."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from study.plan import StudyPlan

PACKAGES = ("torch", "torchvision", "ray", "optuna", "numpy", "pandas", "pyarrow", "scipy", "safetensors", "lpips")


def describe_environment(plan: StudyPlan) -> dict[str, Any]:
    """Everything that may move a number and is not in the plan."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if (changes := _git("status", "--porcelain")) is None else bool(changes),
        "weights": {plan.task_info.checkpoint.name: plan.checkpoint_sha256},
    }


def save_environment(plan: StudyPlan, results: Path) -> None:
    """Write `environment.json`, or append to it if the study continues somewhere else."""
    path = results / "environment.json"
    try:
        entries = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):  # none yet, or not to be read: what this run runs on is known anyway
        entries = []
    entry = describe_environment(plan)
    if entry not in entries:
        partial = results / ".environment.json.partial"
        partial.write_text(json.dumps([*entries, entry], indent=1) + "\n")
        os.replace(partial, path)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git(*arguments: str) -> str | None:
    """What git says of the folder this code lies in; None where there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
