"""Samples of a task's generator and three iterations of its attack: `python -m study.task.trial_run < request.json`.

A process of its own, since the driver never imports torch. Writes two pictures and what it measured, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.stages import FeatureStage
from study.bench import Bench, truth_of
from study.plan import StudyPlan
from study.profile import peak_bytes

SAMPLES = 8
ITERATIONS = 3


def main() -> int:
    """Run the request on the standard input. Returns the exit code: 2 for what a person can mend."""
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)  # as on a worker
    try:
        found = trial_run(
            StudyPlan.from_json(asked["plan"]), Path(asked["inputs"]), asked["device"], Path(asked["output"])
        )
    except ValueError as error:
        print(json.dumps({"problem": str(error)}))
        return 2
    print(json.dumps(found))
    return 0


def trial_run(plan: StudyPlan, inputs: Path, device: str, output: Path) -> dict[str, Any]:
    """Draw samples and private images into `output`, run three iterations of the first stage, say what they took."""
    bench = Bench(plan, pictures_folder=inputs)
    bench.device = torch.device(device)
    targets, victim, generator = bench.blocks("search")[0], bench.victim("search", 0), bench.generator("search")
    labels = torch.arange(SAMPLES, device=bench.device) % plan.task_info.num_classes
    with torch.no_grad():
        samples = generator.render(generator.start(range(SAMPLES), labels))
    write_row(samples, output / f"{plan.task}-samples.png")
    write_row(truth_of(targets), output / f"{plan.task}-pictures.png")
    stage = FeatureStage(layer=0, steps=ITERATIONS, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None)
    config = AttackConfig(stages=(stage,), restarts=1, tv_weight=1e-4, l2_weight=1e-6)
    seeds = [target.seed for target in targets]
    observation = bench.observation("search", 0)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    result = run_attack(observation, generator, victim, config, seeds=seeds)
    losses = result.best.matching_loss.tolist()  # waits for the device
    seconds = time.perf_counter() - begin
    return {
        "device": torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU, one thread",
        "targets": len(targets),
        "seconds_per_iteration": seconds / config.gradient_evaluations,
        "peak_bytes": peak_bytes(),
        "device_bytes": torch.cuda.max_memory_allocated() if bench.device.type == "cuda" else None,
        "matching_loss": sum(losses) / len(losses),
        "devices": ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"],
    }


def write_row(images: Tensor, path: Path) -> None:
    """Images [n, 3, h, w] side by side, as PNG."""
    row = torch.cat(list(images.detach().cpu().clamp(0, 1)), dim=2)
    pixels = (row.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    sys.exit(main())
