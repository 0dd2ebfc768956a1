"""One file that says what a study found. `python -m analysis.report RESULTS [OTHER ...]` writes RESULTS/report.html.

OTHER: studies of other attacks on the same task, or of the same attack elsewhere; those in RESULTS/methods are found.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.command import notes_of, report
from analysis.load import load_results
from analysis.reporting.page import render

FILE = "report.html"


def write_report(path: str | Path, others: Sequence[str] = (), *, images: bool = True) -> Path:
    """The report's path, after writing it whole or not at all. Raises ValueError as `load_results` does."""
    return _written(path, others, images=images)[0]


def _written(path: str | Path, others: Sequence[str], *, images: bool) -> tuple[Path, list[str]]:
    results = load_results(path)
    beside = [load_results(other) for other in others]
    content = render(results, beside, images=images)
    written = results.path / FILE
    partial = written.with_name(f".{FILE}.partial")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, written)
    return written, notes_of(results, *beside)


def _lines(path: str, others: Sequence[str], *, images: bool) -> list[str]:
    written, notes = _written(path, others, images=images)
    return [f"report: {written} ({written.stat().st_size / 1e6:.1f} MB, opens without a network)", *notes]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.report RESULTS [OTHER ...] [--no-images]`."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="A study in one HTML file.")
    parser.add_argument("results", metavar="RESULTS", help="the results folder of a study, such as results/ood")
    parser.add_argument("others", nargs="*", metavar="OTHER", help="other studies to set beside it")
    parser.add_argument("--no-images", action="store_true", help="leave all private and reconstructed pictures out")
    arguments = parser.parse_args(argv)
    return report(
        "report", lambda: _lines(arguments.results, arguments.others, images=not arguments.no_images)
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
