"""Milliseconds per row and gradient evaluation, by victim and number of fused rows; no Ray needed.

    python -m benchmarks.iteration

Configurations are timed in turn, round by round, so that a drifting machine moves them all; the median is shown.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from gifd_ops.attack import run_attack
from gifd_ops.generators.loading import load_generator
from gifd_ops.gradients import observe
from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import build_victim
from search_spaces.published import published_scaled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victims", default="lenet,convnet", help="comma separated (default %(default)s)")
    parser.add_argument("--rows", default="1,4,8,16", help="fused rows, comma separated (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after one warm-up (default %(default)s)")
    parser.add_argument("--budget", type=int, default=24, help="evaluations per run (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = load_generator(PORTRAITS.checkpoint, size_px=PORTRAITS.size_px)
    config = published_scaled(generator.shape, budget=arguments.budget)
    cells = [(name, int(rows)) for name in arguments.victims.split(",") for rows in arguments.rows.split(",")]
    times: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
    for _ in range(arguments.rounds + 1):
        for name, rows in cells:
            victim = build_victim(
                name,
                seed=1,
                num_classes=PORTRAITS.num_classes,
                size_px=PORTRAITS.size_px,
                pixel_mean=PORTRAITS.pixel_mean,
                pixel_std=PORTRAITS.pixel_std,
            )
            images, labels = draw(SEED_RANGES["tune"][:rows], domain="photo", size_px=PORTRAITS.size_px)
            observation = observe(victim, images, labels)
            begin = time.perf_counter()
            run_attack(observation, generator, victim, config, seeds=range(rows))
            times[name, rows].append((time.perf_counter() - begin) / rows / arguments.budget * 1000)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), {PORTRAITS.size_px} px, published recipe")
    print("victim    rows   ms per row and evaluation (median of rounds, least, most)")
    for (name, rows), values in times.items():
        kept = values[1:]
        print(f"{name:9} {rows:4}   {statistics.median(kept):6.2f}   {min(kept):6.2f}   {max(kept):6.2f}")


if __name__ == "__main__":
    main()
