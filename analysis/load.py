"""A results folder, read: the plan, the finalists and the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from analysis.metric import Metric, leakage_metric
from study.schema import TABLES

_PLAN, _FINALISTS = "plan.json", "finalists.json"


@dataclass(frozen=True)
class Results:
    """A results folder. `finalists` maps published, oracle and observable to trials; None before the test phase."""

    path: Path
    plan: Mapping[str, Any]
    finalists: Mapping[str, int] | None

    @property
    def metric(self) -> Metric:
        """The score of leakage that this study reports."""
        return leakage_metric(self.plan.get("metric"))

    @property
    def steered_domains(self) -> tuple[str, ...]:
        """The domains whose improvement steered the search; all domains of the search where the plan names none."""
        named = self.plan.get("steered_domains") or self.plan.get("domains")
        if named:
            return tuple(named)
        return tuple(sorted(self.reconstructions(["domain"], "search")["domain"].unique()))

    def reconstructions(self, columns: Sequence[str], phase: str | None = None) -> pd.DataFrame:
        """`columns` of the reconstructions of `phase` (search or test; None: both). A null score reads as NaN."""
        return _frame(self._read("reconstructions", columns, phase))

    def images(self, columns: Sequence[str], phase: str | None = None) -> pd.DataFrame:
        """`columns` of the reconstructed images of `phase`; `png` holds bytes."""
        return _frame(self._read("images", columns, phase))

    def targets(self) -> pd.DataFrame:
        """The targets; `png` (the private image) is None where the study may not keep it."""
        return _frame(self._read("targets", TABLES["targets"].names, None))

    def trials(self) -> pd.DataFrame:
        """One row per (phase, trial), the last attempt, with one column per parameter: NaN where a trial lacks it."""
        table = self._read("trials", TABLES["trials"].names, None)
        parameters = pd.DataFrame([dict(params) for params in table["params"].to_pylist()], index=range(table.num_rows))
        frame = pd.concat([_frame(table.drop_columns(["params"])), parameters], axis=1)
        order = ["phase", "trial", "attempt", "_finished"]  # a row of a running trial gives way to its finished one
        sorted_rows = frame.assign(_finished=frame["outcome"].notna()).sort_values(order)
        last = sorted_rows.drop(columns="_finished").drop_duplicates(["phase", "trial"], keep="last")
        return last.reset_index(drop=True)

    def parameters(self) -> pd.DataFrame:
        """The searched parameters, index `trial`, one float column each: trials of the search that have any."""
        trials = self.trials()
        names = [name for name in trials.columns if name not in TABLES["trials"].names]
        searched = trials[(trials["phase"] == "search") & (trials["origin"] != "method")]
        return searched.set_index("trial")[sorted(names)].dropna(how="all").dropna(axis="columns", how="all")

    def _read(self, name: str, columns: Sequence[str], phase: str | None) -> pa.Table:
        folder = self.path / name
        if not folder.is_dir():
            return TABLES[name].empty_table().select(list(columns))
        rows = ds.dataset(folder, schema=TABLES[name], format="parquet")
        chosen = None if phase is None else pc.field("phase") == phase
        return rows.to_table(columns=list(columns), filter=chosen)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); run the same `python -m study.launch` command again to write it anew"
        ) from error


def load_results(path: str | Path) -> Results:
    """The results in folder `path`. Raises ValueError if it holds no plan or no reconstruction yet."""
    folder = Path(path)
    if not (folder / _PLAN).is_file():
        raise ValueError(
            f"a results folder holds {_PLAN}, {folder} does not; give the folder that `python -m study.launch` printed"
        )
    finalists = folder / _FINALISTS
    results = Results(
        path=folder,
        plan=_read_json(folder / _PLAN),
        finalists=_read_json(finalists) if finalists.is_file() else None,
    )
    if results.reconstructions(["trial"]).empty:
        raise ValueError(
            f"an analysis needs at least one finished block, {folder}/reconstructions holds none; "
            "run the same `python -m study.launch` command again to continue the study"
        )
    return results
