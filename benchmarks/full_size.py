"""Both full-size generators of the paper, with random weights, run one short trial on a CPU within 16 GiB.

`python -m benchmarks.full_size` attacks one image of 64 px through StyleGAN2-1024 (10 classes) and BigGAN-deep-256
(1000 classes), victim resnet18, by the published recipe cut to one restart and one iteration a stage. Each runs in a
process of its own, on one thread, and tells its peak memory and seconds per iteration. Exit code 1 if it needs more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace

import torch

from gifd_ops.attack import run_attack
from gifd_ops.generators.biggan_config import BIGGAN_DEEP_256
from gifd_ops.generators.checkpoints import Config, build
from gifd_ops.generators.stylegan2_network import StyleGan2Config
from gifd_ops.gradients import observe
from gifd_ops.victims import build_victim
from search_spaces.recipes import RECIPES
from study.profile import cut, peak_bytes

ALLOWED = 16 * 2**30
SIZE_PX = 64
STYLEGAN2_1024 = StyleGan2Config(
    channels=(512, 512, 512, 512, 512, 256, 128, 64, 32), z_dim=512, w_dim=512, mapping_layers=8
)
CASES: dict[str, tuple[Config, str, int]] = {
    "stylegan2-1024": (STYLEGAN2_1024, "paper_stylegan2", 10),
    "biggan-deep-256": (BIGGAN_DEEP_256, "paper_biggan", 1000),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description=__doc__)
    parser.add_argument("--case", choices=CASES, help="run this one here, and print what it took as JSON")
    options = parser.parse_args(arguments)
    if options.case is not None:
        print(json.dumps(run(options.case)))
        return 0
    status = 0
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.full_size", "--case", case]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{case}: failed\n{done.stderr}")
            status = 1
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        fits = found["peak_bytes"] <= ALLOWED
        print(
            f"{case}: {found['peak_bytes'] / 2**30:.1f} GiB at most ({'within' if fits else 'MORE THAN'} 16), "
            f"{found['seconds_per_iteration']:.1f} s per iteration ({found['cpu_seconds_per_iteration']:.1f} of CPU) "
            f"over {found['stages']} stages, matching loss {found['matching_loss']:.3f}",
            flush=True,
        )
        status = status if fits else 1
    return status


def run(case: str) -> dict[str, float]:
    """One trial on one image, and what it took."""
    torch.set_num_threads(1)
    config, recipe, classes = CASES[case]
    generator = build(config, size_px=SIZE_PX, weights=None, seed=0)
    victim = build_victim("resnet18", seed=0, num_classes=classes, size_px=SIZE_PX, pixel_mean=0.5, pixel_std=0.25)
    private = torch.rand(1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1))
    observation = observe(victim, private, torch.tensor([3]))
    published = RECIPES[recipe](generator.shape, budget=8 * generator.shape.num_layers)
    attack = cut(replace(published, restarts=1), iterations=len(published.stages))
    begin, worked = time.perf_counter(), time.process_time()
    result = run_attack(observation, generator, victim, attack, seeds=[0])
    seconds, worked = time.perf_counter() - begin, time.process_time() - worked
    return {
        "peak_bytes": peak_bytes(),
        "seconds_per_iteration": seconds / attack.gradient_evaluations,
        "cpu_seconds_per_iteration": worked / attack.gradient_evaluations,
        "stages": len(attack.stages),
        "matching_loss": float(result.best.matching_loss),
    }


if __name__ == "__main__":
    sys.exit(main())
