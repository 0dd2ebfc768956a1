"""Train a victim for a few epochs on portraits, and keep it.

    python -m gifd_ops.train_victim lenet --epochs 3 --seed 0 lenet.safetensors

What it saw is of no split of a study. Prints the file's sha256, and how often the victim is right on new portraits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gifd_ops.tasks import PORTRAITS
from gifd_ops.training import accuracy, save_victim, trained_victim
from gifd_ops.victim_states import Trained
from gifd_ops.victims import VICTIMS


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 if a file was written, 2 if what was asked for cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("victim", choices=VICTIMS)
    parser.add_argument("file", type=Path, help="where its weights go (safetensors)")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of its weights and of what it sees (default %(default)s)")
    told = parser.parse_args(arguments)
    try:
        state = Trained(told.epochs)
        if not told.file.parent.is_dir():
            raise ValueError(f"a file is written into a folder that is there; there is no {told.file.parent}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    victim = trained_victim(told.victim, epochs=state.epochs, seed=told.seed)
    digest = save_victim(victim, told.file, name=told.victim)
    right = accuracy(victim)
    print(f"{told.file}: {told.victim}, {state}, seed {told.seed}, sha256 {digest}")
    print(f"right on {right:.0%} of new portraits (chance is {1 / PORTRAITS.num_classes:.0%})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
