"""Milliseconds per row for the matching loss and its slope in the image: plain autograd against no second-order tape.

    python -m benchmarks.matching_slope

Both ways are timed in turn, round by round, so that a drifting machine moves both; medians are shown. The generator is
not part of it. Beside them seven plain forward passes of the victim: value and slope take that many products of each
layer's weights or gradients (forward, backward, the gradient itself, two to pull it back, two for its slope), so
nothing exact can do much better, but for layers whose gradients need not be formed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.iteration import a_victim
from benchmarks.timing import in_turns, ratio
from gifd_ops.first_order import value_and_slope
from gifd_ops.gradients import observe
from gifd_ops.matching import CosineMatching, GradientMatching
from gifd_ops.portraits import SEED_RANGES, draw

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


@torch.no_grad()
def seven_forward_passes(images: Tensor, matching: GradientMatching) -> None:
    for _ in range(7):
        matching.victim(images)


WAYS: dict[str, Callable[[Tensor, GradientMatching], object]] = {
    "autograd": by_autograd,
    "first order": value_and_slope,
    "7 forward": seven_forward_passes,
}


def prepared(name: str, size_px: int, rows: int) -> tuple[Tensor, GradientMatching]:
    """Guesses, and the distance to the gradients of other portraits."""
    victim = a_victim(name, size_px)
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
        work = {way: partial(compute, images, matching) for way, compute in WAYS.items()}
        seconds = in_turns(work, rounds=arguments.rounds)
        shown = "   ".join(f"{1000 * statistics.median(values) / int(rows):11.2f}" for values in seconds.values())
        plain, fast = by_autograd(images, matching)[1], value_and_slope(images, matching)[1]
        apart = float((fast - plain).norm() / plain.norm())
        gain = ratio(seconds, "autograd", "first order")
        print(f"{name:9} {size_px:>3} {rows:>5}   {shown}   {gain:5.2f}   {apart:.0e}", flush=True)


if __name__ == "__main__":
    main()
