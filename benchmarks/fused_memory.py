"""Memory that an extra fused row takes, in bytes of the victim's parameters.

    python -m benchmarks.fused_memory

A fresh process computes the matching loss and its slope for each number of rows and tells its peak; a line through the
peaks gives the price of a row. Rows are restarts of one target, which share what it shared, or targets of their own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import numpy as np

KINDS = ("restarts", "targets")


def measure(victim_name: str, size_px: int, rows: int, kind: str) -> tuple[int, int]:
    """Peak resident bytes of this process, and bytes of the victim's parameters."""
    import torch

    from benchmarks.iteration import a_victim
    from gifd_ops.first_order import value_and_slope
    from gifd_ops.gradients import observe
    from gifd_ops.matching import CosineMatching
    from gifd_ops.portraits import SEED_RANGES, draw

    torch.set_num_threads(1)
    victim, targets = a_victim(victim_name, size_px), rows if kind == "targets" else 1
    truth, labels = draw(SEED_RANGES["tune"][:targets], domain="photo", size_px=size_px)
    guesses, _ = draw(SEED_RANGES["select"][:rows], domain="photo", size_px=size_px)
    matching = CosineMatching(victim, observe(victim, truth, labels), labels, restarts=rows // targets)
    for _ in range(3):
        value_and_slope(guesses, matching)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak, sum(p.numel() * p.element_size() for p in victim.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victim", default="resnet18", help="(default %(default)s)")
    parser.add_argument("--size-px", type=int, default=64, help="of the images (default %(default)s)")
    parser.add_argument("--rows", default="2,4,6,8", help="fused rows, comma separated (default %(default)s)")
    parser.add_argument("--one", nargs=2, metavar=("ROWS", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(*measure(arguments.victim, arguments.size_px, int(arguments.one[0]), arguments.one[1]))
        return
    rows = [int(count) for count in arguments.rows.split(",")]
    print(f"{arguments.victim}, {arguments.size_px} px: peak of a process, MB, with {', '.join(map(str, rows))} rows")
    for kind in KINDS:
        told = [_in_a_fresh_process(arguments.victim, arguments.size_px, count, kind) for count in rows]
        peaks, size = [peak for peak, _ in told], told[0][1]
        slope = float(np.polyfit(rows, peaks, deg=1)[0])
        shown = "  ".join(f"{peak / 1e6:6.0f}" for peak in peaks)
        print(f"{kind:9} {shown}   an extra row: {slope / 1e6:.0f} MB, {slope / size:.2f} x the parameters")


def _in_a_fresh_process(victim: str, size_px: int, rows: int, kind: str) -> tuple[int, int]:
    own = [sys.executable, "-m", "benchmarks.fused_memory", "--victim", victim, "--size-px", str(size_px)]
    done = subprocess.run([*own, "--one", str(rows), kind], check=True, capture_output=True, text=True)
    peak, size = done.stdout.split()
    return int(peak), int(size)


if __name__ == "__main__":
    main()
