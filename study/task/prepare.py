"""From what a person says of a task to what a plan holds of it. No torch: another process opens the files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study.task.content import TaskContent
from study.task.definition import Definition
from study.task.inputs import Inputs


def prepare(definition: Definition, *, seed: int, tune: int, test: int, gallery: int) -> tuple[TaskContent, Inputs]:
    """Content and inputs of a task: its files opened, its pictures chosen. Raises ValueError: rule, value, remedy."""
    least = 2 * tune + test
    asked = {
        "definition": _plain(asdict(definition)),
        "seed": seed,
        "wanted": {"least": least, "most": least + max(gallery - 1, 1)},  # one at least for the control other_image
    }
    told = open_elsewhere(asked)
    if "problem" in told:
        raise ValueError(told["problem"])
    return TaskContent.from_dict(told["content"]), Inputs(**told["inputs"])


def open_elsewhere(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What `study.task.inspection` answers, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "study.task.inspection"], input=json.dumps(asked), capture_output=True, text=True
    )
    try:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return {"problem": f"the task {asked['definition']['name']} cannot be opened: {last}"}
    return told


def _plain(value: Any) -> Any:
    """The value for JSON: paths as text."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return str(value) if isinstance(value, Path) else value
