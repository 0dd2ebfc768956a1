"""Make few parts of many: finished trials are packed, what is unfinished stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from study.ledger import BLOCK_TABLES, Ledger
from study.packs import PACKED, Span
from study.plan import StudyPlan
from study.schema import TABLES
from study.upkeep.swap import Rewrite, rewriting
from study.versions import read_plan

PACK_ROWS = 4096  # reconstructions of a pack, about: some twelve megabytes of images, which is what is held at a time
MANY_PARTS = 2000  # small ones that a study may leave: readers of whole tables take a second or two for as many
TRIAL_TABLES = ("trials", *BLOCK_TABLES)


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """What was done."""

    parts_before: int
    parts_after: int
    trials: int

    def __str__(self) -> str:
        return f"{self.trials} finished trials packed: {self.parts_before} parts before, {self.parts_after} now"


def compact(results: Path) -> Compaction:
    """Pack every finished trial. Only for the one driver, while no worker runs."""
    ledger, plan = Ledger(results), read_plan(results)
    before, packed = count_parts(results), set[tuple[str, int]]()
    with rewriting(results, tables=TRIAL_TABLES, what="compact") as new:
        for phase in ledger.phases():
            final = [number for number in sorted(ledger.trial_numbers(phase)) if is_final(ledger, plan, phase, number)]
            for numbers in _batches(final, plan, phase):
                _pack(new, ledger, plan, phase, numbers)
            packed |= {(phase, number) for number in final}
        for table in TRIAL_TABLES:
            for part in sorted((results / table).glob("[!.]*.parquet")):
                phase, number = part.stem.split("-")[:2]
                if (phase, int(number)) not in packed:
                    new.copy(part, results=results)
    return Compaction(parts_before=before, parts_after=count_parts(results), trials=len(packed))


def compact_many(results: Path) -> Compaction | None:
    """Pack a study that has many small parts; None if it has few. Only for the one driver, while no worker runs."""
    small = sum(1 for table in TABLES for _ in (results / table).glob("[!.]*.parquet"))
    return compact(results) if small > MANY_PARTS else None


def count_parts(results: Path) -> int:
    """Parts of all tables, small and packed."""
    return sum(1 for table in TABLES for _ in (results / table).rglob("[!.]*.parquet"))


def is_final(ledger: Ledger, plan: StudyPlan, phase: str, number: int) -> bool:
    """Whether a trial is done, and all that its outcome promises is committed."""
    row = ledger.trial_row(phase, number)
    if row is None or row["outcome"] is None:
        return False
    return row["outcome"] == "stopped" or ledger.is_complete(phase, number, blocks=plan.num_blocks(phase))


def _batches(numbers: Sequence[int], plan: StudyPlan, phase: str) -> Iterator[Sequence[int]]:
    """The trials of one pack after another."""
    size = max(1, PACK_ROWS // (plan.targets_of(phase) * len(plan.domains)))
    for begin in range(0, len(numbers), size):
        yield numbers[begin : begin + size]


def _pack(new: Rewrite, ledger: Ledger, plan: StudyPlan, phase: str, numbers: Sequence[int]) -> None:
    span, blocks = Span(phase=phase, first=numbers[0], last=numbers[-1]), plan.num_blocks(phase)
    for table in BLOCK_TABLES:
        rows = [ledger.block_table(table, phase, number, blocks=blocks) for number in numbers]
        new.write(f"{table}/{PACKED}/{span}.parquet", pa.concat_tables(rows))
    own = [ledger.trial_table(phase, number) for number in numbers]
    new.write(f"trials/{PACKED}/{span}.parquet", pa.concat_tables(own))
