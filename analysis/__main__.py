"""Everything that can be said of a study: `python -m analysis RESULTS`, what `study.launch` runs at its end.

All figures and tables are written, the findings alone are printed. One process, so what analyses import is imported
once. What an analysis cannot say it says on stderr; the others go on.
"""

from __future__ import annotations

import argparse
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from analysis import findings, generalization, methods, pictures, selection, sensitivity, stages

Main = Callable[[Sequence[str] | None], int]
ANALYSES: tuple[Main, ...] = (
    sensitivity.main, generalization.main, stages.main, selection.main, pictures.main,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 1 if an analysis broke off or could not be written; that there was too little to say is no failure."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description="All figures and tables, and the findings.")
    parser.add_argument("results", metavar="RESULTS", help="the results folder of a study, such as results/ood")
    results: str = parser.parse_args(argv).results
    with redirect_stdout(io.StringIO()):
        statuses = [_status(analysis, [results]) for analysis in ANALYSES]
        if others := sorted(str(plan.parent) for plan in Path(results).glob("methods/*/plan.json")):
            statuses.append(_status(methods.main, [results, *others, "--output", f"{results}/analysis"]))
    statuses.append(_status(findings.main, [results]))
    return int(not set(statuses) <= {0, 2})


def _status(analysis: Main, arguments: list[str]) -> int:
    """The exit status of an analysis; 1, its traceback shown, where it has a fault: the others are not lost to it."""
    try:
        return analysis(arguments)
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(main())
