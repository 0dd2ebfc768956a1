"""The Parquet ledger: the truth of a study. Parts are whole or absent, and named by what they hold.

A part's name is its identity (phase, trial, block), so a second attempt replaces the first. Of a block's parts the one
in `reconstructions` is written last: it is the commit mark, and what lies beside it without one is overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from study.schema import TABLES

Rows = Sequence[Mapping[str, Any]]
BLOCK_TABLES = ("images", "stages", "reconstructions")  # in the order they are written
DAMAGED = ".damaged"


class Ledger:
    """The tables below one results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results

    def create(self) -> None:
        """Make the folders, readable by their owner only; harmless where they exist."""
        if not self.results.exists():
            self.results.mkdir(parents=True)
            self.results.chmod(0o700)
        for table in TABLES:
            (self.results / table).mkdir(mode=0o700, exist_ok=True)

    def write_block(self, phase: str, trial: int, block: int, tables: Mapping[str, Rows]) -> None:
        """Commit a block: images and stages first, its reconstructions last."""
        for table in BLOCK_TABLES:
            self._write(table, f"{phase}-{trial:05d}-{block:03d}", tables[table])

    def write_trial(self, phase: str, trial: int, row: Mapping[str, Any]) -> None:
        """Write or replace what is said of a trial as a whole."""
        self._write("trials", f"{phase}-{trial:05d}", [row])

    def write_targets(self, split: str, rows: Rows) -> None:
        """Write or replace the list of a split's targets."""
        self._write("targets", split, rows)

    def has_targets(self, split: str) -> bool:
        """Whether the split's targets are listed."""
        return self._path("targets", split).exists()

    def has_block(self, phase: str, trial: int, block: int) -> bool:
        """Whether the block is committed."""
        return self._path("reconstructions", f"{phase}-{trial:05d}-{block:03d}").exists()

    def is_complete(self, phase: str, trial: int, *, blocks: int) -> bool:
        """Whether all of a trial's blocks are committed, and the trial's own row is there."""
        return self._path("trials", f"{phase}-{trial:05d}").exists() and all(
            self.has_block(phase, trial, block) for block in range(blocks)
        )

    def rows(self, phase: str, trial: int, *, blocks: int) -> list[dict[str, Any]]:
        """The committed reconstructions of a trial."""
        found: list[dict[str, Any]] = []
        for block in range(blocks):
            path = self._path("reconstructions", f"{phase}-{trial:05d}-{block:03d}")
            if path.exists():
                found.extend(pq.read_table(path, partitioning=None).to_pylist())
        return found

    def trial_row(self, phase: str, trial: int) -> dict[str, Any] | None:
        """What is said of a trial as a whole; None if nothing is."""
        path = self._path("trials", f"{phase}-{trial:05d}")
        if not path.exists():
            return None
        row: dict[str, Any] = pq.read_table(path, partitioning=None).to_pylist()[0]
        return row | {"params": dict(row["params"])}

    def trial_numbers(self, phase: str) -> set[int]:
        """Numbers of all trials of a phase that any table but `targets` knows."""
        tables = (table for table in TABLES if table != "targets")
        parts = (path for table in tables for path in (self.results / table).glob(f"{phase}-*.parquet"))
        return {int(path.stem.split("-")[1]) for path in parts}

    def set_aside_trial(self, phase: str, trial: int) -> None:
        """Move all parts of a trial into the hidden folder of damaged ones."""
        for table in reversed(TABLES):
            for path in sorted((self.results / table).glob(f"{phase}-{trial:05d}*.parquet")):
                self._set_aside(path)

    def set_aside_damaged(self) -> list[Path]:
        """Move parts that cannot be read into a hidden folder, with their block's commit mark; returns what was moved.

        Their blocks are then simply not done, and are run again.
        """
        moved = []
        for table in TABLES:
            for path in sorted((self.results / table).glob("[!.]*.parquet")):
                if _is_readable(path, TABLES[table]):
                    continue
                moved.append(self._set_aside(path))
                mark = self._path("reconstructions", path.stem)
                if table in BLOCK_TABLES and mark != path and mark.exists():
                    moved.append(self._set_aside(mark))
        return moved

    def remove_partials(self) -> None:
        """Delete what interrupted writes left behind. Only for the one driver, before any worker runs."""
        for table in TABLES:
            for path in (self.results / table).glob(".*.partial"):
                path.unlink()

    def _set_aside(self, path: Path) -> Path:
        folder = self.results / DAMAGED / path.parent.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(path, folder / path.name)
        return path.relative_to(self.results)

    def _path(self, table: str, name: str) -> Path:
        return self.results / table / f"{name}.parquet"

    def _write(self, table: str, name: str, rows: Rows) -> None:
        path = self._path(table, name)
        partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")  # a leading dot hides it from every reader
        try:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=TABLES[table]), partial)
            _flush(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_readable(path: Path, schema: pa.Schema) -> bool:
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return False
    return bool(table.schema.equals(schema))
