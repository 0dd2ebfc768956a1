"""The Parquet ledger: the truth of a study. Parts are whole or absent, and named by what they hold.

A part's name is its identity (phase, trial, block), so a second attempt replaces the first. Of a block's parts the one
in `reconstructions` is written last: it is the commit mark, and what lies beside it without one is overwritten.
Many small parts are packed into few (`study/packs.py`); a ledger reads both as one.

`python -m study.ledger --help` says how to check, compact, merge, rescore and migrate one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from study.packs import PACKED, Packs, read_part
from study.schema import TABLES
from study.versions import is_older, migrate_command

Rows = Sequence[Mapping[str, Any]]
BLOCK_TABLES: tuple[str, ...] = ("images", "stages", "reconstructions")  # in the order they are written
DAMAGED = ".damaged"


class Ledger:
    """The tables below one results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self._forget_packs()

    def create(self) -> None:
        """Make the folders, readable by their owner only; harmless where they exist."""
        if not self.results.exists():
            self.results.mkdir(parents=True)
            self.results.chmod(0o700)
        for table in TABLES:
            (self.results / table).mkdir(mode=0o700, exist_ok=True)

    # -- writing -------------------------------------------------------------------------------------------------

    def write_block(self, phase: str, trial: int, block: int, tables: Mapping[str, Rows]) -> None:
        """Commit a block: images and stages first, its reconstructions last. What is packed stays as it is."""
        if Packs(self.results / "reconstructions").holds(phase, trial, block):  # looked at anew: it may be news to us
            return
        for table in BLOCK_TABLES:
            self._write(table, _block_name(phase, trial, block), tables[table])

    def write_trial(self, phase: str, trial: int, row: Mapping[str, Any]) -> None:
        """Write or replace what is said of a trial as a whole. What is packed stays as it is."""
        if not Packs(self.results / "trials").holds(phase, trial):
            self._write("trials", _trial_name(phase, trial), [row])

    def write_targets(self, split: str, rows: Rows) -> None:
        """Write or replace the list of a split's targets."""
        self._write("targets", split, rows)

    # -- reading -------------------------------------------------------------------------------------------------

    def has_targets(self, split: str) -> bool:
        """Whether the split's targets are listed."""
        return self._path("targets", split).exists()

    def has_block(self, phase: str, trial: int, block: int) -> bool:
        """Whether the block is committed."""
        small = self._path("reconstructions", _block_name(phase, trial, block))
        return small.exists() or self.packs["reconstructions"].holds(phase, trial, block)

    def has_trial(self, phase: str, trial: int) -> bool:
        """Whether the trial's own row is there."""
        return self._path("trials", _trial_name(phase, trial)).exists() or self.packs["trials"].holds(phase, trial)

    def is_complete(self, phase: str, trial: int, *, blocks: int) -> bool:
        """Whether all of a trial's blocks are committed, and the trial's own row is there."""
        return self.has_trial(phase, trial) and all(self.has_block(phase, trial, block) for block in range(blocks))

    def rows(self, phase: str, trial: int, *, blocks: int) -> list[dict[str, Any]]:
        """The committed reconstructions of a trial."""
        return self.block_rows("reconstructions", phase, trial, blocks=blocks)

    def block_rows(self, table: str, phase: str, trial: int, *, blocks: int) -> list[dict[str, Any]]:
        """The rows of a trial in a table that is written by the block."""
        found: list[dict[str, Any]] = self.block_table(table, phase, trial, blocks=blocks).to_pylist()
        return found

    def block_table(self, table: str, phase: str, trial: int, *, blocks: int) -> pa.Table:
        """The rows of a trial in a table that is written by the block, in the order of blocks."""
        packed = self.packs[table].table(phase, trial)
        if packed is not None:
            return packed.filter(pc.field("block") < blocks)
        paths = [self._path(table, _block_name(phase, trial, block)) for block in range(blocks)]
        parts = [TABLES[table].empty_table(), *(read_part(path) for path in paths if path.exists())]
        return pa.concat_tables(parts, promote_options="default")  # columns that came later are null

    def phase_rows(self, table: str, phase: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of all committed rows of a phase, in no order."""
        paths = [str(path) for path in sorted((self.results / table).rglob("[!.]*.parquet"))]
        if not paths:
            return []
        rows = ds.dataset(paths, schema=TABLES[table], format="parquet")
        found: list[dict[str, Any]] = rows.to_table(
            columns=list(columns), filter=pc.field("phase") == phase
        ).to_pylist()
        return found

    def trial_row(self, phase: str, trial: int) -> dict[str, Any] | None:
        """What is said of a trial as a whole; None if nothing is."""
        found = self.trial_table(phase, trial)
        if found is None:
            return None
        row: dict[str, Any] = found.to_pylist()[0]
        return row | {"params": dict(row["params"])}

    def trial_table(self, phase: str, trial: int) -> pa.Table | None:
        """What is said of a trial as a whole, as a table of one row; None if nothing is."""
        path = self._path("trials", _trial_name(phase, trial))
        return read_part(path) if path.exists() else self.packs["trials"].table(phase, trial)

    def written_at(self, phase: str, trial: int) -> float:
        """When the last word on a trial was written, in seconds since 1970; of a packed one, when it was packed."""
        path, place = self._path("trials", _trial_name(phase, trial)), self.packs["trials"].find(phase, trial)
        return (path if place is None else place.path).stat().st_mtime

    def trial_numbers(self, phase: str) -> set[int]:
        """Numbers of all trials of a phase that any table but `targets` knows."""
        found: set[int] = set()
        for table in (table for table in TABLES if table != "targets"):
            parts = (self.results / table).glob(f"{phase}-*.parquet")
            found |= {int(path.stem.split("-")[1]) for path in parts} | self.packs[table].numbers(phase)
        return found

    def open_trials(self) -> list[tuple[str, int]]:
        """Phase and number of the trials that have no outcome yet."""
        paths = [str(path) for path in sorted((self.results / "trials").glob("[!.]*.parquet"))]  # packed ones have one
        if not paths:
            return []
        rows = ds.dataset(paths, schema=TABLES["trials"], format="parquet")
        found = rows.to_table(columns=["phase", "trial"], filter=pc.field("outcome").is_null())
        return [(row["phase"], row["trial"]) for row in found.to_pylist()]

    def phases(self) -> list[str]:
        """The phases that trials are known of, sorted."""
        small = {path.stem.split("-")[0] for path in (self.results / "trials").glob("[!.]*.parquet")}
        return sorted(small | {span.phase for span in self.packs["trials"].paths.values()})

    # -- mending -------------------------------------------------------------------------------------------------

    def set_aside_trial(self, phase: str, trial: int) -> None:
        """Move all parts of a trial into the hidden folder of damaged ones.

        A trial without settings is packed only if its whole pack has lost them: the pack goes too.
        """
        for table in reversed(TABLES):
            for path in sorted((self.results / table).glob(f"{phase}-{trial:05d}*.parquet")):
                self._set_aside(path)
            place = self.packs[table].find(phase, trial) if table != "targets" else None
            if place is not None:
                self._set_aside(place.path)
        self._forget_packs()

    def set_aside_damaged(self) -> list[Path]:
        """Move parts that cannot be read into a hidden folder, with their block's commit mark; returns what was moved.

        Their blocks are then simply not done, and are run again. Looks at the end of every part, which is missing when
        it was cut short. Raises ValueError for parts that another version wrote: nothing is wrong with them.
        """
        moved: list[Path] = []
        for table in TABLES:
            parts = sorted((self.results / table).rglob("[!.]*.parquet"))
            for path in parts:
                if path.exists() and not _has_end(path):  # it may have gone with another
                    moved += self._set_aside_with_sisters(table, path)
            self._check_version(table, next((path for path in parts if path.exists()), None))
        self._forget_packs()
        return moved

    def _set_aside_with_sisters(self, table: str, path: Path) -> list[Path]:
        """Set a damaged part aside, its block's commit mark before it.

        Of a pack all sisters go: beside blocks that are run again they would pass for rows of these.
        """
        packed, part = path.parent.name == PACKED, path.relative_to(self.results / table)
        marks = () if table not in BLOCK_TABLES else reversed(BLOCK_TABLES) if packed else ("reconstructions",)
        sisters = (self.results / sister / part for sister in marks if sister != table)
        moved = [self._set_aside(sister) for sister in sisters if sister.exists()]
        if packed and table in BLOCK_TABLES:
            self._unpack_trials(path.stem)
        return [*moved, self._set_aside(path)]

    def remove_partials(self) -> None:
        """Delete what interrupted writes left behind, and small parts of what is packed by now.

        Only for the one driver, before any worker runs.
        """
        for table in TABLES:
            for path in (self.results / table).glob(".*.partial"):
                path.unlink()
            if not self.packs[table].paths:
                continue
            for path in (self.results / table).glob("[!.]*.parquet"):
                phase, trial, *block = path.stem.split("-")
                if self.packs[table].holds(phase, int(trial), int(block[0]) if block else None):
                    path.unlink()

    def _unpack_trials(self, stem: str) -> None:
        """Make small parts of the rows of a pack of trials again: their blocks will be run anew."""
        path = self._path("trials", f"{PACKED}/{stem}")
        if not path.exists():
            return
        for row in read_part(path).to_pylist():
            self._write("trials", _trial_name(row["phase"], row["trial"]), [row])
        path.unlink()

    def _check_version(self, table: str, path: Path | None) -> None:
        """Raise ValueError if a part was written by another version; one version writes all parts of a table."""
        if path is None or (found := pq.read_schema(path)).equals(TABLES[table]):
            return
        part = path.relative_to(self.results)
        if is_older(found, TABLES[table]):
            raise ValueError(f"{part} was written by an older version; run: {migrate_command(self.results)}")
        raise ValueError(f"{part} has the columns of no version that is known here; install the one that wrote it")

    def _forget_packs(self) -> None:
        self.packs = {table: Packs(self.results / table) for table in TABLES}

    def _set_aside(self, path: Path) -> Path:
        part = path.relative_to(self.results)
        folder = self.results / DAMAGED / part.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(path, folder / path.name)
        return part

    def _path(self, table: str, name: str) -> Path:
        return self.results / table / f"{name}.parquet"

    def _write(self, table: str, name: str, rows: Rows) -> None:
        path = self._path(table, name)
        partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")  # a leading dot hides it from every reader
        try:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=TABLES[table]), partial)
            flush(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        flush(path.parent)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _has_end(path: Path) -> bool:
    """Whether a Parquet file ends as it should: with the description of its columns, its length, and `PAR1`."""
    size = path.stat().st_size
    if size < 12:
        return False
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        end = file.read()
    return end[4:] == b"PAR1" and int.from_bytes(end[:4], "little") <= size - 12


def _trial_name(phase: str, trial: int) -> str:
    return f"{phase}-{trial:05d}"


def _block_name(phase: str, trial: int, block: int) -> str:
    return f"{phase}-{trial:05d}-{block:03d}"


if __name__ == "__main__":
    from study.upkeep.commands import main

    sys.exit(main())
