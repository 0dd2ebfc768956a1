"""The picture sheet of a report: of each domain the best, the median and the worst target, by rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.generalization import tested_improvement
from analysis.load import Results
from analysis.reporting.embedded import data_uri
from analysis.stats import rounded, target_means

MEDIAN = "median"
RULE = (
    "of each domain the test targets whose improvement under the oracle's choice over the published recipe is the "
    "largest (best for the attacker), the lower median, and the smallest (worst)"
)
_SETTINGS = {"published": "published recipe", "oracle": "tuned, oracle", "observable": "tuned, observable"}


@dataclass(frozen=True)
class Cell:
    """A picture and what stands under it; `uri` is None where none was kept."""

    uri: str | None
    score: str


@dataclass(frozen=True)
class Sheet:
    """`columns` (domain, which, target_id), and of every row its label and a cell a column."""

    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...]
    unit: str

    def only(self, which: str) -> Sheet:
        """The columns of best, median or worst targets alone."""
        places = [place for place, column in enumerate(self.columns) if column[1] == which]
        rows = tuple((label, tuple(cells[place] for place in places)) for label, cells in self.rows)
        return Sheet(tuple(self.columns[place] for place in places), rows, self.notes, self.unit)


def sheet(results: Results) -> Sheet:
    """Truth, published, oracle, observable and controls. Raises ValueError before the test phase or without images."""
    oracle = (results.finalists or {}).get("oracle")
    improvement = tested_improvement(results)
    mine = improvement[improvement["trial"] == oracle]
    if mine.empty:
        raise ValueError("pictures are those of the tuned settings on test targets, and there are none yet")
    images = results.images(["phase", "trial", "target_id", "png"])
    images = images[images["phase"].str.startswith("test")].drop_duplicates(["phase", "trial", "target_id"])
    if images.empty:
        raise ValueError("no reconstruction of a test target was kept")
    columns = _columns(mine)
    named = _settings(results)
    controls = sorted(set(images["phase"]) - {"test"})
    rows, notes = [], []
    private = dict(results.targets().drop_duplicates("target_id").set_index("target_id")["png"])
    if any(isinstance(private.get(target), bytes) for _, _, target in columns):
        rows.append(("private image", tuple(Cell(_uri(private.get(target)), "") for _, _, target in columns)))
    else:
        notes.append("The private images were not kept, so their row is left out.")
    wanted: list[tuple[str, int | None, str]] = [("test", trial, label) for trial, label in named.items()]
    wanted += [(phase, oracle, f"control: {phase.removeprefix('test_').replace('_', ' ')}") for phase in controls]
    for phase, trial, label in wanted:
        pngs = images[(images["phase"] == phase) & (images["trial"] == trial)].set_index("target_id")["png"]
        rows.append((label, _cells(columns, dict(pngs), _scores(results, phase, trial), results.metric.unit)))
    return Sheet(columns, tuple(rows), tuple(notes), results.metric.unit)


def _settings(results: Results) -> dict[int, str]:
    """The trials to show, each once, with all that they were chosen by."""
    labels: dict[int, list[str]] = {}
    for name, label in _SETTINGS.items():
        if results.finalists and name in results.finalists:
            labels.setdefault(results.finalists[name], []).append(label)
    return {trial: " = ".join(words).replace("= tuned, ", "= ") for trial, words in labels.items()}


def _columns(improvement: pd.DataFrame) -> tuple[tuple[str, str, str], ...]:
    chosen = []
    for domain, part in improvement.sort_values(["improvement", "target_id"]).groupby("domain"):
        targets = part["target_id"].tolist()
        places = {"best": len(targets) - 1, MEDIAN: (len(targets) - 1) // 2, "worst": 0}
        if len(targets) < 3:
            places = {MEDIAN: 0}
        chosen += [(str(domain), which, str(targets[place])) for which, place in places.items()]
    return tuple(chosen)


def _scores(results: Results, phase: str, trial: int | None) -> dict[str, float]:
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", column], phase)
    return dict(target_means(rows[rows["trial"] == trial], column).set_index("target_id")[column])


def _cells(
    columns: tuple[tuple[str, str, str], ...], pngs: Mapping[str, object], scores: Mapping[str, float], unit: str
) -> tuple[Cell, ...]:
    return tuple(Cell(_uri(pngs.get(target)), _score(scores.get(target), unit)) for _, _, target in columns)


def _score(score: float | None, unit: str) -> str:
    return "diverged" if score is None else f"{rounded(score, 1)} dB" if unit == "dB" else rounded(score, 2)


def _uri(png: object) -> str | None:
    return data_uri(png, "image/png") if isinstance(png, bytes) else None
