"""Do tuned settings hold elsewhere: improvement by domain, transfer between them. `python -m analysis.generalization`.

Writes under RESULTS/analysis: generalization.png and .pdf, generalization_improvement.csv (test phase only) and
generalization_transfer.csv (search phase only, cross-fitted). No number mixes the two phases.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.command import run_command
from analysis.figures import save, style
from analysis.generalization_figure import generalization_figure
from analysis.improvement import improvement_matrix, paired_improvement
from analysis.load import Results
from analysis.stats import Estimate, mean_interval, rounded
from analysis.transfer import Transfer, transfer_regret

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


def search_transfer(results: Results) -> Transfer:
    """The transfer matrix of the search's rows, among the configs (published recipe included) valued on every target.

    Configs that were stopped early or diverged somewhere are left out: without a value on a domain they can neither be
    chosen nor judged there. Stopping looked at the same targets, which leaves the survivors slightly dependent between
    domains. Raises ValueError if fewer than two configs, or too few targets, remain.
    """
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "origin", "domain", "target_id", column], "search")
    improvements = paired_improvement(rows[rows["origin"] != "method"], metric=results.metric)
    values, _, domains = improvement_matrix(improvements)
    complete = np.isfinite(values).all(axis=1)
    if complete.sum() < 2:
        raise ValueError(
            "transfer needs at least two configs that were valued on every tuning target, "
            f"{results.path} holds {int(complete.sum())}; continue the study with more trials"
        )
    return transfer_regret(values[complete], domains, seed=SEED)


def transfer_table(transfer: Transfer) -> pd.DataFrame:
    """`transfer` in long form: tuned_on, valued_on, regret, low, high, num_targets (of valued_on), num_configs."""
    rows = [
        (tuned, valued, transfer.regret[a, b], transfer.low[a, b], transfer.high[a, b], transfer.num_targets[b])
        for a, tuned in enumerate(transfer.domains)
        for b, valued in enumerate(transfer.domains)
    ]
    table = pd.DataFrame(rows, columns=["tuned_on", "valued_on", "regret", "low", "high", "num_targets"])
    return table.assign(num_configs=transfer.num_configs)


def write_generalization(results: Results) -> tuple[pd.DataFrame, Transfer | None]:
    """The improvement table and the transfer (None if it cannot be had), after writing figure and CSVs.

    Raises ValueError if there is neither a test phase nor a transfer.
    """
    table = improvement_by_domain(results)
    try:
        transfer: Transfer | None = search_transfer(results)
    except ValueError:
        if table.empty:
            raise
        transfer = None
    folder = results.path / "analysis"
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "generalization_improvement.csv", index=False)
    if transfer is not None:
        transfer_table(transfer).to_csv(folder / "generalization_transfer.csv", index=False)
    with style():
        save(generalization_figure(table, transfer, results.metric.unit), folder / "generalization")
    return table, transfer


def _bounds(estimate: Estimate) -> tuple[float, float]:
    return (np.nan, np.nan) if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def _interval(mean: float, low: float, high: float, unit: str) -> str:
    interval = "no interval" if np.isnan(low) else f"{rounded(low, 1)} to {rounded(high, 1)}"
    return f"{rounded(mean, 1)} {unit} ({interval})"


def _lines(results: Results) -> list[str]:
    table, transfer = write_generalization(results)
    unit = results.metric.unit
    lines = [] if not table.empty else ["no test phase yet: nothing can be said about new images"]
    for _, row in table.iterrows():
        choice = f"{row['choice']:10} trial {row['trial']:<4} {row['domain']:10}"
        estimate = _interval(row["mean"], row["low"], row["high"], unit)
        lines.append(f"{choice} {estimate}, {row['num_targets']} targets")
    if transfer is None:
        lines.append("no transfer matrix: it needs two domains with two tuning targets each, and two complete configs")
    else:
        for _, row in transfer_table(transfer).query("tuned_on != valued_on").iterrows():
            regret = _interval(row["regret"], row["low"], row["high"], unit)
            lines.append(f"tuned on {row['tuned_on']:10} gives up on {row['valued_on']:10} {regret}")
    return [*lines, f"figure: {results.path / 'analysis' / 'generalization.png'}"]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.generalization RESULTS`."""
    return run_command(
        argv, name="generalization", description="Whether tuned settings hold on other images.", action=_lines
    )


if __name__ == "__main__":
    sys.exit(main())
