"""Whether clients can share as a plan says, and an attack begin: `python -m study.rehearsal < request.json`.

A process of its own, since the driver never imports torch. What a victim does not allow is found by trying it: the
first block is shared, its labels are inferred, and the published recipe takes a step in every stage. Writes
`{"problem": ...}`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from study.plan import StudyPlan
from study.sharing import PLAIN

if TYPE_CHECKING:
    from study.options import Launch


def check_sharing(launches: Sequence[Launch]) -> None:
    """Rehearse the plans in which clients do not share plainly. Raises ValueError with what one does not allow."""
    asked = [launch for launch in launches if launch.plan.sharing != PLAIN]
    if not asked:
        return
    with TemporaryDirectory() as folder:
        request = [
            {"plan": launch.plan.to_json(), "inputs": _text(launch.place_inputs(Path(folder)).pictures_folder)}
            for launch in asked
        ]
        done = subprocess.run(
            [sys.executable, "-m", "study.rehearsal"], input=json.dumps(request), capture_output=True, text=True
        )
    if done.returncode != 0:
        raise ValueError(f"a rehearsal ended early: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    problem = json.loads(done.stdout.splitlines()[-1])["problem"]
    if problem is not None:
        raise ValueError(problem)


def main() -> int:
    """Rehearse what is asked for on the standard input, up to the first problem. Returns the exit code."""
    import torch

    torch.set_num_threads(1)  # as on a worker
    problem = None
    for asked in json.load(sys.stdin):
        try:
            rehearse(
                StudyPlan.from_json(asked["plan"]), inputs=None if asked["inputs"] is None else Path(asked["inputs"])
            )
        except ValueError as error:
            problem = str(error)
            break
    print(json.dumps({"problem": problem}))
    return 0


def rehearse(plan: StudyPlan, *, inputs: Path | None) -> None:
    """Share the first block of the search and begin to attack it. Raises ValueError: rule, value, remedy.

    The victim is an untrained one: what it allows does not depend on what it has seen.
    """
    from gifd_ops.attack import run_attacks
    from gifd_ops.labels import why_labels_hide
    from study.bench import Bench
    from study.profile import cut

    plan = replace(plan, sharing=replace(plan.sharing, victim_state=PLAIN.victim_state))
    bench, task = Bench(plan, pictures_folder=inputs), plan.task_info
    victim = bench.victim("search", 0)
    if plan.labels == "inferred":
        shape = (3, task.size_px, task.size_px)
        hidden = why_labels_hide(victim, image_shape=shape, num_classes=task.num_classes)
        if hidden is not None:
            raise ValueError(f"--labels inferred asks what --victim {plan.victim} hides: {hidden}; use --labels given")
    observation = bench.observation("search", 0)
    config = cut(plan.configure({}, origin="published"), iterations=1)
    run_attacks(observation, bench.generator("search"), victim, [config], seeds=bench.seeds("search", 0))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


if __name__ == "__main__":
    sys.exit(main())
