"""Results of earlier versions: what their plan and their tables lack, and what stands for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.plan import StudyPlan
from study.schema import SCHEMA_VERSION
from study.sharing import PLAIN

OLDEST = 2
# By version, the fields of the plan that came with it and the values under which a study runs as it did before.
CAME_WITH: dict[int, dict[str, Any]] = {
    3: {
        "other_metrics": [],
        "objective": "oracle",
        "sampler": "tpe",
        "random_share": 0.0,
        "points": [],
        "warm_start": None,
        "patience": 0,
        "racing": "off",
        "racing_error": 0.10,
        "configs_per_trial": 1,
        "recipe": None,
        "own_task": None,
        "sharing": asdict(PLAIN),
    },
}


def migrate_command(results: Path) -> str:
    """What to type to bring results to the present version."""
    return f"python -m study.ledger migrate {results}"


def read_values(results: Path) -> dict[str, Any]:
    """What `plan.json` holds. Raises ValueError for a folder that is no study, and for a file that cannot be read."""
    path = results / "plan.json"
    if not path.is_file():
        raise ValueError(f"{results} holds no plan.json, so it is no study; give the folder of a `study.launch`")
    try:
        values = json.loads(path.read_text())
        if not isinstance(values, dict):
            raise ValueError("it holds no plan")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); restore it") from error
    return values


def version_of(results: Path) -> int:
    """The schema version of a results folder. Raises ValueError for one that this version does not know."""
    version = read_values(results).get("schema_version")
    if not isinstance(version, int) or not OLDEST <= version <= SCHEMA_VERSION:
        raise ValueError(
            f"{results} was written with schema version {version}; this version reads {OLDEST} to {SCHEMA_VERSION}: "
            "install the version that wrote it"
        )
    return version


def check_version(results: Path) -> None:
    """Raise ValueError, with the command to type, unless the results are of the present version."""
    version = version_of(results)
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{results} was written with schema version {version}, which version {SCHEMA_VERSION} cannot continue as "
            f"it is; run: {migrate_command(results)}"
        )


def read_plan(results: Path) -> StudyPlan:
    """The plan of a results folder, of this version or an earlier one. Raises ValueError."""
    version_of(results)
    values = upgrade_plan(read_values(results))
    values.pop("steered_domains", None)  # beside the plan, for readers
    try:
        return StudyPlan.from_json(json.dumps(values))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{results / 'plan.json'} holds no whole plan ({error}); restore it") from error


def upgrade_plan(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a plan of any known version, with those of the present one."""
    upgraded = dict(values)
    for version in range(values["schema_version"] + 1, SCHEMA_VERSION + 1):
        upgraded = {**CAME_WITH[version], **upgraded}
    return upgraded | {"schema_version": SCHEMA_VERSION}


def is_older(schema: pa.Schema, present: pa.Schema) -> bool:
    """Whether a part lacks nothing but columns that came later, which are null where nobody wrote them."""
    known = {field.name for field in present}
    return all(field.name in known and present.field(field.name).type == field.type for field in schema) and all(
        field.nullable for field in present if field.name not in schema.names
    )


def upgrade_table(table: pa.Table, present: pa.Schema) -> pa.Table:
    """A table of any known version with the columns of the present one."""
    columns = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in present
    ]
    return pa.Table.from_arrays(columns, schema=present)
