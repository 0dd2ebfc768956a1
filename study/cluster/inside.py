"""`python -m study.cluster.inside PYTHON ARGUMENTS`: what a cluster runs; a study, if this Python can run it."""

from __future__ import annotations

import sys
from importlib import util

NEEDED = ("torch", "optuna", "pyarrow", "rich")


def main(arguments: list[str] | None = None) -> int:
    """Run the study in the cluster that RAY_ADDRESS names. Returns its exit code; 2 where it cannot run."""
    wanted, *rest = sys.argv[1:] if arguments is None else arguments
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    missing = [name for name in NEEDED if util.find_spec(name) is None]
    if here != wanted:
        problem = f"the cluster runs Python {here}, the side that submitted Python {wanted}; use the same on both"
    elif missing:
        problem = f"the cluster's nodes lack {', '.join(missing)}; install the project there (pip install .)"
    else:
        from study.launch import main as launch  # an older Python could not read it

        return launch(rest)
    print(f"study: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
