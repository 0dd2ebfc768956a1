"""A results folder, read: the plan, the finalists and the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from analysis.metric import Metric, leakage_metric
from study.schema import SCHEMA_VERSION, TABLES

_PLAN, _FINALISTS = "plan.json", "finalists.json"


@dataclass(frozen=True)
class Results:
    """A results folder. `finalists` maps published, oracle and observable to trials; None before the test phase.

    Readers raise ValueError for a part that cannot be read, and note what parts of earlier versions lack.
    """

    path: Path
    plan: Mapping[str, Any]
    finalists: Mapping[str, int] | None
    notes: dict[str, None] = field(default_factory=dict, compare=False)  # in the order of their coming

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

    @property
    def known_domains(self) -> tuple[str, ...]:
        """The domains that the generator was trained on."""
        return known_domains(self.plan)

    def reconstructions(self, columns: Sequence[str], phase: str | None = None) -> pd.DataFrame:
        """`columns` of the reconstructions of `phase` (search or test; None: both). A null score reads as NaN.

        Images of a batch share one gradient, so they are no independent witnesses: their rows bear the batch's id as
        `target_id`, and are averaged before anything else.
        """
        if "target_id" not in columns or not self._has_batches:
            return _frame(self._read("reconstructions", columns, phase))
        asked = list(dict.fromkeys([*columns, "batch_id"]))
        frame = _frame(self._read("reconstructions", asked, phase))
        return frame.assign(target_id=frame["batch_id"].fillna(frame["target_id"]))[list(columns)]

    @property
    def _has_batches(self) -> bool:
        return int((self.plan.get("sharing") or {}).get("batch_size", 1)) > 1

    def stages(self, columns: Sequence[str], phase: str) -> pa.Table:
        """`columns` of the stages of `phase`, as few bytes as will do: ten million rows are common.

        Strings are dictionaries and floats take four bytes, but for the matching loss, whose least value decides.
        """
        return self._read("stages", columns, phase, schema=_compact(TABLES["stages"]))

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

    def _read(
        self, name: str, columns: Sequence[str], phase: str | None, *, schema: pa.Schema | None = None
    ) -> pa.Table:
        schema = schema or TABLES[name]
        folder = self.path / name
        if not folder.is_dir():
            return schema.empty_table().select(list(columns))
        chosen = None if phase is None else pc.field("phase") == phase
        try:
            rows = ds.dataset(folder, schema=schema, format=_format(schema))
            table = rows.to_table(columns=list(columns), filter=chosen)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{folder} cannot be read ({str(error).splitlines()[0]}); run: python -m study.ledger check {self.path}"
            ) from error
        self._note_older(name, rows, columns)
        return table

    def _note_older(self, name: str, rows: ds.Dataset, columns: Sequence[str]) -> None:
        """Note the columns that parts lack. Raises ValueError if every row must have them."""
        lacking: dict[str, int] = {}
        fragments = list(rows.get_fragments())
        for fragment in fragments:  # their footers have been read by now
            for column in set(columns).difference(fragment.physical_schema.names):
                lacking[column] = lacking.get(column, 0) + 1
        remedy = f"run: python -m study.ledger migrate {self.path}"
        for column, count in sorted(lacking.items()):
            said = f"{count} of {len(fragments)} parts of {name} are of an earlier version and hold no {column}"
            if not TABLES[name].field(column).nullable:
                raise ValueError(f"{said}, which every row of version {SCHEMA_VERSION} has; {remedy}")
            self.notes[f"{said}, which reads as absent; {remedy}"] = None


def _compact(schema: pa.Schema) -> pa.Schema:
    narrow = {pa.string(): pa.dictionary(pa.int32(), pa.string()), pa.float64(): pa.float32()}
    return pa.schema(
        [each if each.name == "matching_loss" else each.with_type(narrow.get(each.type, each.type)) for each in schema]
    )


def _format(schema: pa.Schema) -> ds.ParquetFileFormat:
    return ds.ParquetFileFormat(dictionary_columns=[f.name for f in schema if pa.types.is_dictionary(f.type)])


def known_domains(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """The domains that the generator was trained on, so that an attacker who has it can have images of them."""
    own = plan.get("own_task")
    return ("photo",) if own is None else tuple(own["in_distribution"])


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _read_json(path: Path, *, remedy: str) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text())
        if not isinstance(values, dict):
            raise ValueError("it is no table of names and values")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); {remedy}") from error
    return values


def _check_version(folder: Path, plan: Mapping[str, Any]) -> list[str]:
    """Notes on the version that wrote the results. Raises ValueError for one that comes after this one."""
    version = plan.get("schema_version", SCHEMA_VERSION)
    if version == SCHEMA_VERSION:
        return []
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ValueError(
            f"{folder} was written with schema version {version}, this version reads up to {SCHEMA_VERSION}; "
            "install the version that wrote it"
        )
    return [
        f"{folder} was written with schema version {version}, so what came with {SCHEMA_VERSION} reads as absent; "
        f"run: python -m study.ledger migrate {folder}"
    ]


def _read_finalists(path: Path) -> Mapping[str, int]:
    again = "run the same `python -m study.launch` command again to write it anew"
    finalists = _read_json(path, remedy=again)
    for criterion, trial in finalists.items():
        if not isinstance(trial, int):
            raise ValueError(f"{path} names a trial by its number, for {criterion} it says {trial!r}; {again}")
    return finalists


def load_results(path: str | Path) -> Results:
    """The results in folder `path`. Raises ValueError without a plan, a known version, or any block."""
    folder = Path(path)
    if not (folder / _PLAN).is_file():
        raise ValueError(
            f"a results folder holds {_PLAN}, {folder} does not; give the folder that `python -m study.launch` printed"
        )
    plan = _read_json(folder / _PLAN, remedy="restore it")
    notes = _check_version(folder, plan)
    finalists = _read_finalists(folder / _FINALISTS) if (folder / _FINALISTS).is_file() else None
    results = Results(path=folder, plan=plan, finalists=finalists, notes=dict.fromkeys(notes))
    if results.reconstructions(["trial"]).empty:
        raise ValueError(
            f"an analysis needs at least one finished block, {folder}/reconstructions holds none; "
            "run the same `python -m study.launch` command again to continue the study"
        )
    return results
