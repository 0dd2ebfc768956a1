"""Packed parts: a few files that hold many trials each, made of many small ones by `python -m study.ledger compact`.

They lie in the folder `packed` of their table, where readers of the whole table find them. A pack holds trials of one
phase, named by the numbers they span, each with all of its rows in a row; packs of one name hold the same trials in
every table. What is packed is final: nothing is written over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PACKED = "packed"


@dataclass(frozen=True, kw_only=True)
class Span:
    """What a pack's name says: its phase, and its first and last trial."""

    phase: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.phase}-{self.first:05d}-{self.last:05d}"

    @classmethod
    def of(cls, path: Path) -> Span:
        """The span of a pack."""
        phase, first, last = path.stem.rsplit("-", 2)
        return cls(phase=phase, first=int(first), last=int(last))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a trial lies in its pack."""

    path: Path
    first_row: int
    num_rows: int
    blocks: frozenset[int]  # empty in `trials`


class Packs:
    """The packed parts of one table, looked up by trial. A pack's index is read once, when it is first needed."""

    def __init__(self, table: Path) -> None:
        self.folder = table / PACKED
        self._index = lru_cache(maxsize=None)(_read_index)
        self._read = lru_cache(maxsize=2)(read_part)  # trials are mostly read in the order of their numbers

    def __reduce__(self) -> tuple[type[Packs], tuple[Path]]:
        """Travels without what it has read."""
        return Packs, (self.folder.parent,)

    @cached_property
    def paths(self) -> dict[Path, Span]:
        """The packs and what they span."""
        return {path: Span.of(path) for path in sorted(self.folder.glob("[!.]*.parquet"))}

    def find(self, phase: str, trial: int) -> Place | None:
        """Where a trial lies; None if it is not packed."""
        for path, span in self.paths.items():
            if span.phase == phase and span.first <= trial <= span.last and trial in self._index(path):
                return self._index(path)[trial]
        return None

    def holds(self, phase: str, trial: int, block: int | None = None) -> bool:
        """Whether a trial, or one block of it, is packed."""
        place = self.find(phase, trial)
        return place is not None and (block is None or block in place.blocks)

    def table(self, phase: str, trial: int) -> pa.Table | None:
        """All rows of a trial; None if it is not packed."""
        place = self.find(phase, trial)
        return None if place is None else self._read(place.path).slice(place.first_row, place.num_rows)

    def numbers(self, phase: str) -> set[int]:
        """The trials of a phase that are packed."""
        return {trial for path, span in self.paths.items() if span.phase == phase for trial in self._index(path)}


def _read_index(path: Path) -> dict[int, Place]:
    names = [name for name in ("trial", "block") if name in pq.read_schema(path).names]
    columns = read_part(path, columns=names).to_pydict()
    trials: list[int] = columns["trial"]
    blocks: list[int] = columns.get("block", [])
    begins = [row for row in range(len(trials)) if row == 0 or trials[row] != trials[row - 1]]
    ends = [*begins, len(trials)][1:]
    return {
        trials[begin]: Place(
            path=path, first_row=begin, num_rows=end - begin, blocks=frozenset(blocks[begin:end])
        )
        for begin, end in zip(begins, ends, strict=True)
    }  # fmt: skip


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A part, small or packed. Raises OSError, naming it, if it cannot be read."""
    try:
        with pq.ParquetFile(path) as part:
            return part.read(columns=columns, use_threads=False)  # small parts are read twice as fast without
    except (OSError, pa.ArrowException) as error:
        raise OSError(
            f"{path} cannot be read ({error}); move it to another folder, and the same launch runs again what it "
            "held; `python -m study.ledger check` finds all such parts"
        ) from error
