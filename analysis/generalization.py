"""Do tuned settings hold elsewhere: other domains, images, studies. `python -m analysis.generalization RESULTS`.

Writes figures and tables `generalization*` under RESULTS/analysis. What is `search` is of tuning targets, crossed: who
chooses does not value. What is `test` is of fresh targets. No number mixes the two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.command import analyze, report
from analysis.elsewhere.across_studies import Across, compare_studies
from analysis.elsewhere.captions import choices_caption, improvement_caption, studies_caption, transfer_caption
from analysis.elsewhere.choices_figure import choices_figure
from analysis.elsewhere.generalization_figure import generalization_figure
from analysis.elsewhere.sentences import improvement_lines, searched_lines, study_lines, transfer_line
from analysis.elsewhere.studies_figure import studies_figure
from analysis.elsewhere.tables import Searched, searched
from analysis.elsewhere.tested_transfer import adjusted, tested_transfer
from analysis.elsewhere.transfer_figure import transfer_figure
from analysis.figures import publish, style
from analysis.improvement import paired_improvement
from analysis.load import Results, load_results
from analysis.stats import Estimate, mean_interval

SEED = 0
CHOICES = ("oracle", "observable")
_IMPROVEMENT = ["choice", "trial", "domain", "mean", "low", "high", "num_targets"]


def improvement_by_domain(results: Results) -> pd.DataFrame:
    """One row per (choice, domain) of the test phase: trial, mean, low, high (metric's unit), num_targets beside them.

    Domain "all" is the stratified mean. No row before the test phase; NaN bounds where a domain has one target.
    """
    rows: list[tuple[str, int, str, float, float, float, int]] = []
    tested = tested_improvement(results)
    for choice in CHOICES:
        if results.finalists is None or choice not in results.finalists:
            continue
        trial = results.finalists[choice]
        mine = tested[tested["trial"] == trial]
        for domain, part in [*mine.groupby("domain"), ("all", mine)]:
            if not part.empty:
                estimate = mean_interval(part["improvement"], part["domain"])
                rows.append((choice, trial, str(domain), estimate.mean, *_bounds(estimate), estimate.num_targets))
    return pd.DataFrame(rows, columns=_IMPROVEMENT)


def tested_improvement(results: Results) -> pd.DataFrame:
    """`paired_improvement` of the test phase; empty before it."""
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", column], "test")
    return paired_improvement(rows, metric=results.metric)


@dataclass(frozen=True)
class Generalization:
    """`improvement` by domain and `tested` transfer on test targets (may be empty), and what the search says."""

    improvement: pd.DataFrame
    tested: pd.DataFrame
    searched: Searched | None
    missing: str  # why there is nothing of the search; empty where there is


def generalization(results: Results) -> Generalization:
    """All that one study says of other images. Raises ValueError if that is nothing."""
    improvement = improvement_by_domain(results)
    tested = adjusted(tested_transfer(results, tested_improvement(results)))
    try:
        return Generalization(improvement, tested, searched(results, seed=SEED), "")
    except ValueError as error:
        if improvement.empty:
            raise
        return Generalization(improvement, tested, None, str(error))


def write_generalization(results: Results) -> Generalization:
    """What `generalization` finds, after writing its figures and tables. Raises ValueError as it does."""
    found = generalization(results)
    folder, unit = results.path / "analysis", results.metric.unit
    folder.mkdir(exist_ok=True)
    search = found.searched
    searched_transfer = None if search is None else search.transfer_table
    tables = {"generalization_improvement": found.improvement}
    transfer = [part.assign(phase=name) for name, part in _transfers(found) if not part.empty]
    if transfer:
        tables["generalization_transfer"] = pd.concat(transfer, ignore_index=True)
    with style():
        publish(
            generalization_figure(found.improvement, searched_transfer, unit), folder / "generalization",
            caption=improvement_caption(found.improvement, search, unit), tables=tables,
            drawn_by=generalization_figure,
        )  # fmt: skip
        if transfer:
            publish(
                transfer_figure(searched_transfer, found.tested, unit), folder / "generalization_transfer",
                caption=transfer_caption(search, found.tested, unit),
                tables={"generalization_transfer": tables["generalization_transfer"]}, drawn_by=transfer_figure,
            )  # fmt: skip
        if search is not None:
            publish(
                choices_figure(search, unit), folder / "generalization_choices",
                caption=choices_caption(search, unit), drawn_by=choices_figure,
                tables={
                    "generalization_lodo": search.left_out, "generalization_robust": search.robust,
                    "generalization_rank_correlation": search.agreement, "generalization_distance": search.distance,
                },
            )  # fmt: skip
    return found


def write_studies(studies: Sequence[Results]) -> Across:
    """The first study with every other, after writing figure and table under the first. Raises ValueError."""
    across = compare_studies(studies, seed=SEED)
    path = studies[0].path / "analysis" / "generalization_studies"
    path.parent.mkdir(exist_ok=True)
    unit = studies[0].metric.unit
    with style():
        publish(
            studies_figure(across.table, unit), path, caption=studies_caption(across.table, unit),
            tables={path.name: across.table}, drawn_by=studies_figure,
        )  # fmt: skip
    return across


def _transfers(found: Generalization) -> list[tuple[str, pd.DataFrame]]:
    return [
        ("search", pd.DataFrame() if found.searched is None else found.searched.transfer_table),
        ("test", found.tested),
    ]


def _bounds(estimate: Estimate) -> tuple[float, float]:
    return (np.nan, np.nan) if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def _lines(results: Results, others: Sequence[str]) -> list[str]:
    across = _across(results, others) if others else []  # first: a study that cannot be compared is said at once
    try:
        lines = own_lines(results)
    except ValueError as error:
        if not across:
            raise
        lines = [str(error)]
    return [*lines, *across, f"figures and tables: {results.path / 'analysis'}/generalization*"]


def own_lines(results: Results) -> list[str]:
    """What one study says of other images, after `write_generalization`."""
    found, unit = write_generalization(results), results.metric.unit
    lines = improvement_lines(found.improvement, unit)
    if not lines:
        lines = ["no test phase yet: nothing can be said about new images"]
    if not found.tested.empty:
        lines.append(transfer_line(found.tested, unit, where="test images"))
    return lines + (
        [f"nothing of the search: {found.missing}"] if found.searched is None else searched_lines(found.searched, unit)
    )


def _across(results: Results, others: Sequence[str]) -> list[str]:
    """What the other studies add; RESULTS itself may be named among them."""
    given = {Path(other).resolve(): other for other in others}
    given.pop(results.path.resolve(), None)
    if not given:
        raise ValueError("--studies needs another study than RESULTS; give one more results folder")
    return study_lines(write_studies([results, *map(load_results, given.values())]), results.metric.unit)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.generalization RESULTS [--studies OTHER ...]`."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.generalization", description="Whether tuned settings hold on other images."
    )
    parser.add_argument("results", metavar="RESULTS", help="the results folder of a study, such as results/ood")
    parser.add_argument(
        "--studies", nargs="+", default=[], metavar="OTHER",
        help="other studies to compare it with: tuned in another space on the same images, or on another victim",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    return report(
        "generalization",
        lambda: analyze(load_results(arguments.results), lambda results: _lines(results, arguments.studies)),
    )


if __name__ == "__main__":
    sys.exit(main())
