"""Milliseconds per row for the matching loss and its slope in the image: plain autograd against no second-order tape.

    python -m benchmarks.matching_slope

Both ways are timed in turn, round by round, so that a drifting machine moves both; medians are shown. The generator is
not part of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from gifd_ops.first_order import value_and_slope
from gifd_ops.gradients import observe
from gifd_ops.matching import CosineMatching, GradientMatching
from gifd_ops.portraits import SEED_RANGES, draw
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import build_victim

CELLS = (
    *("lenet:32:1", "lenet:32:8", "convnet:32:1", "convnet:32:8"),
    *("resnet18:32:1", "resnet18:32:4", "resnet18:64:1", "resnet18:64:4"),
)


def by_autograd(images: Tensor, matching: GradientMatching) -> tuple[Tensor, Tensor]:
    """Distances and slopes through the graph of the gradients."""
    inputs = images.clone().requires_grad_()
    distances = matching(inputs)
    (slope,) = torch.autograd.grad(distances.sum(), inputs)
    return distances.detach(), slope


WAYS: dict[str, Callable[[Tensor, GradientMatching], tuple[Tensor, Tensor]]] = {
    "autograd": by_autograd,
    "first order": value_and_slope,
}


def prepared(name: str, size_px: int, rows: int) -> tuple[Tensor, GradientMatching]:
    """Guesses, and the distance to the gradients of other portraits."""
    victim = build_victim(
        name,
        seed=1,
        num_classes=PORTRAITS.num_classes,
        size_px=size_px,
        pixel_mean=PORTRAITS.pixel_mean,
        pixel_std=PORTRAITS.pixel_std,
    )
    truth, labels = draw(SEED_RANGES["tune"][:rows], domain="photo", size_px=size_px)
    guesses, _ = draw(SEED_RANGES["select"][:rows], domain="photo", size_px=size_px)
    return guesses, CosineMatching(victim, observe(victim, truth, labels), labels, restarts=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(CELLS), help="VICTIM:SIZE_PX:ROWS, comma separated (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after one warm-up (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), ms per row (medians)")
    print("victim     px  rows   " + "   ".join(f"{way:>11}" for way in WAYS) + "   ratio   slopes differ by")
    for cell in arguments.cells.split(","):
        name, size_px, rows = cell.split(":")
        images, matching = prepared(name, int(size_px), int(rows))
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        slopes = {}
        for _ in range(arguments.rounds + 1):
            for way, compute in WAYS.items():
                begin = time.perf_counter()
                _, slopes[way] = compute(images, matching)
                times[way].append((time.perf_counter() - begin) / int(rows) * 1000)
        medians = [statistics.median(values[1:]) for values in times.values()]
        plain, fast = slopes.values()
        apart = float((fast - plain).norm() / plain.norm())
        shown = "   ".join(f"{median:11.2f}" for median in medians)
        print(f"{name:9} {size_px:>3} {rows:>5}   {shown}   {medians[0] / medians[1]:5.2f}   {apart:.0e}", flush=True)


if __name__ == "__main__":
    main()
