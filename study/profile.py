"""What a few iterations of a study's attack cost: `python -m study.profile < plan.json`, for `study.launch --dry-run`.

A process of its own, since the driver never imports torch. Reads `{"plan": ..., "pictures_folder": ...}`, writes a
`Profile` as JSON. Nothing is kept.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from gifd_ops.attack import run_attacks
from gifd_ops.config import AttackConfig
from gifd_ops.stages import EvolutionStage
from study.bench import Bench, truth_of
from study.estimate import Profile
from study.placing import placed
from study.plan import StudyPlan
from study.scores import all_scores

ITERATIONS = 10


def main() -> int:
    """Profile the plan on the standard input. Returns the exit code."""
    asked = json.load(sys.stdin)
    folder = asked["pictures_folder"]
    torch.set_num_threads(1)  # as on a worker
    found = profile(StudyPlan.from_json(asked["plan"]), pictures_folder=None if folder is None else Path(folder))
    print(json.dumps(asdict(found)))
    return 0


def profile(plan: StudyPlan, *, pictures_folder: Path | None) -> Profile:
    """Run the published recipe, cut to some ten iterations, on the first block of the search: once to warm up.

    As often at a time as the plan runs configs as one, so the memory is that of a whole group.
    """
    bench = Bench(plan, pictures_folder=pictures_folder)
    targets, victim, generator = bench.blocks("search")[0], bench.victim("search", 0), bench.generator("search")
    observation = bench.observation("search", 0)
    config, count = plan.configure({}, origin="published"), plan.configs_per_trial
    warm_up, config = cut(config, iterations=1), cut(config, iterations=ITERATIONS)
    seeds = bench.seeds("search", 0)
    run_attacks(observation, generator, victim, [warm_up] * count, seeds=seeds)
    begin = time.perf_counter()
    result, *_ = run_attacks(observation, generator, victim, [config] * count, seeds=seeds)
    attacked = time.perf_counter()
    best = placed(result.best, truth_of(targets), batch_size=plan.sharing.batch_size).reconstruction
    all_scores(best, targets, bench, victim)
    scored = time.perf_counter()
    return Profile(
        seconds_per_evaluation=(attacked - begin) / len(targets) / count / config.gradient_evaluations,
        seconds_beside=(scored - attacked) / len(targets),
        peak_bytes=peak_bytes(),
    )


def peak_bytes() -> int:
    """The most memory that this process ever held.

    Linux says it of the process alone; what `getrusage` says there is no less than what its parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def cut(config: AttackConfig, *, iterations: int) -> AttackConfig:
    """The config with about so many iterations, spread over its stages, one at least in each."""
    steps = -(-iterations // len(config.stages))
    least = [stage.population if isinstance(stage, EvolutionStage) else 1 for stage in config.stages]
    stages = (replace(stage, steps=max(steps, few)) for stage, few in zip(config.stages, least, strict=True))
    return replace(config, stages=tuple(stages))


if __name__ == "__main__":
    sys.exit(main())
