"""Bring results of an earlier version to the present one: all parts rewritten with the schema of today."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from study.packs import read_part
from study.schema import SCHEMA_VERSION, TABLES
from study.upkeep.swap import rewriting
from study.upkeep.told import JOURNAL
from study.versions import is_older, read_plan, read_values, upgrade_table, version_of


def migrate(results: Path) -> str:
    """Rewrite every part, and the plan; says what was done.

    Optuna's journal is set aside, since it is named by the plan's digest: the next launch rebuilds it from the ledger.
    Raises ValueError if a part has the columns of no version that is known here.
    """
    version, plan = version_of(results), read_plan(results)
    if version == SCHEMA_VERSION and not _has_old_parts(results):
        return f"{results} is of schema version {version}, the present one: nothing to do"
    count = 0
    with rewriting(results, tables=tuple(TABLES), what="migrate", set_aside=(JOURNAL,)) as new:
        for table, schema in TABLES.items():
            for path in sorted((results / table).rglob("[!.]*.parquet")):
                part, rows = path.relative_to(results).as_posix(), read_part(path)
                if not is_older(rows.schema, schema):
                    raise ValueError(f"{part} has the columns of no version that is known here; nothing was changed")
                new.write(part, upgrade_table(rows, schema))
                count += 1
        new.write_text("plan.json", json.dumps({**read_values(results), **plan.to_dict()}, indent=1) + "\n")
    which = f"schema version {version}" if version != SCHEMA_VERSION else "several schema versions"
    return f"{count} parts of {which} rewritten; the next launch rebuilds Optuna's journal"


def _has_old_parts(results: Path) -> bool:
    """Whether some part lacks columns of today, beside a plan that does not: results that were put together by hand."""
    parts = ((path, schema) for table, schema in TABLES.items() for path in (results / table).rglob("[!.]*.parquet"))
    return any(not pq.read_schema(path).equals(schema) for path, schema in parts)
