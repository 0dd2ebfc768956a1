"""What choosing without the private image gives up. `python -m analysis.selection RESULTS`.

Writes under RESULTS/analysis the figure selection.png and .pdf with its caption, and selection_configs.csv,
selection_agreement.csv, selection_criteria.csv, selection_tested.csv, selection_overfit.csv and selection_stages.csv.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.choosing import agreement, criteria, tested
from analysis.choosing.figure import selection_figure
from analysis.choosing.measured import Measured, measured
from analysis.choosing.sentences import (
    NO_RESTARTS,
    agreement_lines,
    criteria_lines,
    overfit_lines,
    price_lines,
    stage_lines,
)
from analysis.choosing.stage_regret import stage_regrets
from analysis.command import run_command
from analysis.figures import publish, style
from analysis.load import Results
from analysis.schedule.rows import stage_metric

SEED = 0


@dataclass(frozen=True)
class Selection:
    """The tables by name; `found` is None, and `missing` says why, where configs cannot be compared."""

    found: Measured | None
    tables: Mapping[str, pd.DataFrame]
    missing: tuple[str, ...]


def selection(results: Results) -> Selection:
    """All that the ledger says of choosing without the private image. Raises ValueError if that is nothing."""
    missing: list[str] = []
    tables: dict[str, pd.DataFrame] = {
        "agreement": pd.DataFrame(columns=agreement.COLUMNS),
        "criteria": pd.DataFrame(columns=criteria.COLUMNS),
        "tested": tested.prices(results),
        "overfit": tested.overfit(results),
        "stages": stage_regrets(results),
    }
    found: Measured | None = None
    try:
        found = measured(results)
        tables["agreement"] = agreement.agreement(found)
        tables["criteria"] = criteria.choices_by_criterion(
            found, results.steered_domains, public=results.known_domains, seed=SEED
        )
    except ValueError as error:
        missing.append(str(error))
    if all(table.empty for table in tables.values()):
        raise ValueError("; ".join(missing))
    if tables["tested"].empty:
        missing.append("no choices were compared on test targets; continue the study to its end")
    return Selection(found, tables, tuple(missing))


def configs(found: Measured | None) -> pd.DataFrame:
    """The points of panel a: trial, domain, gain seen and gain leaked."""
    if found is None:
        return pd.DataFrame(columns=["trial", "domain", "seen", "leaked"])
    parts = [
        pd.DataFrame({"trial": found.trials, "domain": name, "seen": seen, "leaked": leaked})
        for name, seen, leaked in zip(
            found.names, found.by_domain(found.seen).T, found.by_domain(found.leaked).T, strict=True
        )
    ]
    return pd.concat(parts, ignore_index=True)


def write_selection(results: Results) -> list[str]:
    """The sentences of `selection`, after writing figure, caption and CSVs to RESULTS/analysis."""
    said = selection(results)
    tables, unit = said.tables, results.metric.unit
    path = results.path / "analysis" / "selection"
    sharing = results.plan.get("sharing") or {}
    conditions = {"victim": results.plan.get("victim"), "defense": sharing.get("defense", "none")}
    with style():
        publish(
            selection_figure(said.found, tables["agreement"], tables["criteria"], tables["overfit"], unit=unit),
            path,
            caption=caption(said, unit),
            tables={f"selection_{name}": table.assign(**conditions) for name, table in tables.items()}
            | {"selection_configs": configs(said.found)},
            drawn_by=selection_figure,
        )
    return [*sentences(said, results), f"figure: {path}.png"]


def sentences(said: Selection, results: Results) -> list[str]:
    """What the tables say, and what cannot be said."""
    tables, unit = said.tables, results.metric.unit
    speak: Sequence[tuple[str, Callable[..., list[str]], tuple[str, ...]]] = (
        ("agreement", agreement_lines, ()),
        ("criteria", criteria_lines, (unit,)),
        ("tested", price_lines, (unit,)),
        ("overfit", overfit_lines, (unit,)),
        ("stages", stage_lines, (stage_metric(results.metric).unit,)),
    )
    lines = [line for name, words, more in speak if len(tables[name]) for line in words(tables[name], *more)]
    return [*lines, f"not said: {NO_RESTARTS}", *(f"not said: {reason}" for reason in said.missing)]


def caption(said: Selection, unit: str) -> str:
    """What the figure shows, of how many, with which interval."""
    counted = "no configs" if said.found is None else f"{len(said.found.trials)} configs of the search"
    return (
        f"What choosing without the private image gives up; {counted}, tuning targets. (a) A point is a config in a "
        "domain: by how much the logarithm of its matching loss falls below the published recipe's, and what it gains "
        f"({unit}). (b) Spearman's rank correlation of the two over configs: on one target (mean over targets, t), and "
        "of config means (jackknife). (c) Regret against the config that leaks most on the steered domains, of the "
        "config of least matching loss there (observable), of the one that leaks most on `photo`, public images that "
        "an attacker can have (shadow), and of the published recipe: chosen on half of the targets, valued on the "
        f"other, jackknife ({unit}). (d) Gain of the chosen trial on the targets that chose it minus its gain on test "
        'targets, steered domains, Welch. Bars are 95 % intervals; n counts targets; "all" and "steered" weigh domains '
        "alike."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.selection RESULTS`."""
    return run_command(
        argv, name="selection", description="What choosing without the private image gives up.", action=write_selection
    )


if __name__ == "__main__":
    sys.exit(main())
