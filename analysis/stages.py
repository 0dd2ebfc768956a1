"""What the stages of an attack do, layer by layer. `python -m analysis.stages RESULTS`.

Writes under RESULTS/analysis the figure stages.png and .pdf with its caption, and stages_contribution.csv,
stages_best.csv, stages_loss_psnr.csv, stages_constraint.csv and stages_prefix.csv. What is claimed of the finalists
rests on the test phase; what is said of the search explains it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.command import run_command
from analysis.figures import publish, style
from analysis.load import Results
from analysis.metric import Metric
from analysis.schedule.constraint import constraint
from analysis.schedule.figure import caption, stages_figure
from analysis.schedule.rows import StageRows, read_stages, stage_metric
from analysis.schedule.sentences import SEARCHED, sentences
from analysis.schedule.tables import best_stages, contribution, loss_against_score, prefixes

TABLES: Mapping[str, Callable[[StageRows], pd.DataFrame]] = {
    "contribution": contribution,
    "best": best_stages,
    "loss_psnr": loss_against_score,
    "constraint": constraint,
    "prefix": prefixes,
}


@dataclass(frozen=True)
class Stages:
    """The tables by name, each with phase, settings and trial in front."""

    tables: Mapping[str, pd.DataFrame]
    metric: Metric
    places: tuple[str, ...]  # in the order of a schedule


def study_stages(results: Results) -> Stages:
    """All tables of a study: of every config of the search, the published recipe there, and the finalists on the test.

    Raises ValueError if no stage has been kept.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    searched = read_stages(results, "search")
    places = set(searched.places)
    _add(parts, searched, "search", SEARCHED, None)
    _add(parts, searched.of_trial(0), "search", "published", 0)
    del searched  # ten million rows
    tested = read_stages(results, "test")
    for settings, trial in (results.finalists or {}).items():
        _add(parts, tested.of_trial(trial), "test", settings, trial)
    tables = {name: _joined(found) for name, found in parts.items()}
    if tables["contribution"].empty:
        raise ValueError(
            f"stages are read from {results.path}/stages, which holds no stage with a score; "
            "run the same `python -m study.launch` command again to continue the study"
        )
    ordered = sorted(places | set(tested.places), key=lambda place: (place.rank, place.layer or 0))
    return Stages(tables, stage_metric(results.metric), tuple(place.name for place in ordered))


def _add(
    parts: Mapping[str, list[pd.DataFrame]], rows: StageRows, phase: str, settings: str, trial: int | None
) -> None:
    for name, make in TABLES.items() if rows.num_attacks else ():
        table = make(rows)
        number = pd.Series([trial] * len(table), dtype="Int64")
        named = table.assign(phase=phase, settings=settings, trial=number)
        parts[name].append(named[["phase", "settings", "trial", *table.columns]])


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = [table for table in tables if not table.empty]
    return pd.concat(whole, ignore_index=True) if whole else tables[0] if tables else pd.DataFrame()


def write_stages(results: Results) -> list[str]:
    """The sentences of `study_stages`, after writing figure, caption and CSVs to RESULTS/analysis."""
    found = study_stages(results)
    folder = results.path / "analysis"
    with style():
        publish(
            stages_figure(found.tables, found.metric, found.places),
            folder / "stages",
            caption=caption(found.tables, found.metric),
            tables={f"stages_{name}": table for name, table in found.tables.items()},
            drawn_by=stages_figure,
        )
    return [*sentences(found.tables, found.metric), f"figure: {folder / 'stages.png'}"]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.stages RESULTS`."""
    return run_command(argv, name="stages", description="What the stages of an attack do.", action=write_stages)


if __name__ == "__main__":
    sys.exit(main())
