"""What the parts of a results folder hold, part by part and block by block, and what is wrong with each alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from study.ledger import BLOCK_TABLES
from study.packs import PACKED, Span, read_part
from study.schema import TABLES
from study.versions import is_older

Trial = tuple[str, int]  # phase, number
Block = tuple[str, int, int]  # phase, trial, block
BLOCK_KEY = ["phase", "trial", "block"]
# What must not occur twice in a table.
IDENTITY = {
    "trials": ["phase", "trial"],
    "reconstructions": [*BLOCK_KEY, "target_id"],
    "stages": [*BLOCK_KEY, "target_id", "stage"],
    "images": [*BLOCK_KEY, "target_id"],
    "targets": ["split", "target_id"],
}
BY_PACK = "python -m study.ledger compact keeps one"
BY_LAUNCH = "the same launch command mends it"
BY_MOVING = "move it to another folder: the same launch command then runs again what it held"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong."""

    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


@dataclass
class Contents:
    """What all readable parts hold."""

    findings: list[Finding] = field(default_factory=list)
    parts: int = 0
    older: int = 0  # parts that an earlier version wrote
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    homes: dict[str, dict[Block, str]] = field(default_factory=lambda: {table: {} for table in BLOCK_TABLES})
    targets_of: dict[str, dict[Block, set[tuple[str, int]]]] = field(  # (target, attempt)
        default_factory=lambda: {table: {} for table in BLOCK_TABLES}
    )
    outcomes: dict[Block, list[str]] = field(default_factory=dict)  # of a committed block's rows
    done: dict[Block, set[str]] = field(default_factory=dict)  # targets of it that came out well
    about: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # by target: domain, split, label as attacked
    trials: dict[Trial, str | None] = field(default_factory=dict)  # outcome
    listed: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # by target: domain, split, label as listed

    def note(self, what: str, where: str, remedy: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(what=what, where=where, remedy=remedy))


def read_contents(results: Path) -> Contents:
    """Read every part of every table, whole."""
    found = Contents()
    for table, schema in TABLES.items():
        for path in sorted((results / table).rglob("[!.]*.parquet")):
            part = path.relative_to(results).as_posix()
            found.parts += 1
            try:
                rows = read_part(path)
            except OSError as error:
                if path.exists():  # else it was replaced or packed while we read
                    found.note(f"cannot be read ({str(error.__cause__).splitlines()[0]})", part, BY_MOVING)
                continue
            if not rows.schema.equals(schema):
                if not is_older(rows.schema, schema):
                    found.note("has columns of another version", part, "install the version that wrote it")
                    continue
                found.older += 1
            _take_in(found, table, path, part, rows)
    return found


def _take_in(found: Contents, table: str, path: Path, part: str, rows: pa.Table) -> None:
    found.rows[table] += rows.num_rows
    doubled = rows.group_by(IDENTITY[table]).aggregate([([], "count_all")]).filter(pc.field("count_all") > 1)
    if doubled.num_rows:
        first = ", ".join(str(value) for value in list(doubled.slice(0, 1).to_pylist()[0].values())[:-1])
        found.note(f"{doubled.num_rows} rows twice, the first is {first}", part, BY_MOVING)
    if not _is_named_rightly(table, path, rows):
        found.note("holds something else than its name says", part, BY_MOVING)
    if table == "targets":
        found.listed |= {row["target_id"]: _about(row) for row in rows.drop_columns("png").to_pylist()}
    elif table == "trials":
        for row in rows.select(["phase", "trial", "outcome"]).to_pylist():
            trial = row["phase"], row["trial"]
            if trial in found.trials:
                found.note(f"{_say(trial)} is in another part too", part, BY_PACK)
            found.trials[trial] = row["outcome"]
    else:
        _take_in_blocks(found, table, part, rows)


def _take_in_blocks(found: Contents, table: str, part: str, rows: pa.Table) -> None:
    keys = [*BLOCK_KEY, "target_id", "attempt"]
    here: dict[Block, set[tuple[str, int]]] = {}
    for row in rows.group_by(keys).aggregate([]).to_pylist():
        here.setdefault(_block(row), set()).add((row["target_id"], row["attempt"]))
    for block in here:
        if block in found.homes[table]:
            found.note(f"{_say(block)} is in {found.homes[table][block]} too", part, BY_PACK)
        found.homes[table][block] = part
    found.targets_of[table] |= here
    if table == "reconstructions":
        columns = [*BLOCK_KEY, "target_id", "domain", "split", "label", "outcome"]
        for row in rows.select(columns).to_pylist():
            found.outcomes.setdefault(_block(row), []).append(row["outcome"])
            if row["outcome"] == "ok":
                found.done.setdefault(_block(row), set()).add(row["target_id"])
            found.about[row["target_id"]] = _about(row)


def _is_named_rightly(table: str, path: Path, rows: pa.Table) -> bool:
    if table == "targets":
        return set(rows["split"].to_pylist()) <= {path.stem}
    held = set(_keys(rows, IDENTITY[table][: 2 if table == "trials" else 3]))
    if path.parent.name == PACKED:
        span = Span.of(path)
        return all(key[0] == span.phase and span.first <= key[1] <= span.last for key in held)
    phase, *numbers = path.stem.split("-")
    return held <= {(phase, *map(int, numbers))}


def _keys(rows: pa.Table, names: list[str]) -> Iterable[tuple[Any, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)


def _block(row: dict[str, Any]) -> Block:
    return row["phase"], row["trial"], row["block"]


def _about(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["domain"], row["split"], row["label"]


def _say(key: Trial | Block) -> str:
    return f"{key[0]} of trial {key[1]}" + (f", block {key[2]}" if len(key) == 3 else "")


def blocks_by_trial(found: Contents) -> dict[Trial, set[int]]:
    """The committed blocks of every trial."""
    blocks: dict[Trial, set[int]] = {}
    for phase, trial, block in found.homes["reconstructions"]:
        blocks.setdefault((phase, trial), set()).add(block)
    return blocks


def names_of(blocks: Iterable[Trial | Block]) -> Iterator[str]:
    """Trials or blocks, in words."""
    return (_say(block) for block in sorted(blocks))
