"""Add what other studies of the same plan found. The next launch continues the whole as one study.

A trial of another study gets the next free number here. Equal settings on equal targets with equal seeds give equal
rows, so settings that are here already are not added twice; the published recipe is trial 0 on both sides. Optuna's
journal is set aside, and the next launch rebuilds it from the ledger. A merge that was interrupted is repeated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from study.ledger import BLOCK_TABLES, Ledger
from study.packs import read_part
from study.plan import StudyPlan
from study.upkeep.compact import is_final
from study.upkeep.told import JOURNAL
from study.versions import check_version, read_plan

PHASE = "search"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of another study's trials."""

    trials: int  # added under new numbers
    equal: int  # left out: their settings are here
    unfinished: int  # left out: nothing is known of them, or they failed
    tests: int  # runs on test targets that came along
    tests_left: int  # those that did not: the trial they belong to has no place here

    def __str__(self) -> str:
        tests_left = f", {self.tests_left} without their trial left out" if self.tests_left else ""
        return (
            f"{self.trials} trials added, {self.equal} with settings that are here left out, {self.unfinished} "
            f"unfinished left out; {self.tests} runs on test targets added{tests_left}"
        )


def merge(results: Path, others: Sequence[Path]) -> list[Taken]:
    """Add the trials of other studies to one. Only for the one driver. Raises ValueError if their plans differ."""
    for folder in (results, *others):
        check_version(folder)
    plan = read_plan(results)
    for other in others:
        if other.resolve() == results.resolve():
            raise ValueError(f"{other} is the study itself; give the folders of others")
        _check_same_plan(plan, read_plan(other), here=results, there=other)
    if (results / JOURNAL).exists():
        os.replace(results / JOURNAL, results / f".{JOURNAL}.before-merge")
    ledger = Ledger(results)
    return [_take(ledger, Ledger(other), plan) for other in others]


def _check_same_plan(plan: StudyPlan, other: StudyPlan, *, here: Path, there: Path) -> None:
    names = [field.name for field in fields(plan) if getattr(plan, field.name) != getattr(other, field.name)]
    if names:
        shown = "; ".join(f"{name}: {getattr(other, name)} there, {getattr(plan, name)} here" for name in names)
        raise ValueError(
            f"{there} holds another plan than {here} ({shown}); only studies of one plan can be merged, others can be "
            "compared (python -m analysis.methods)"
        )


def _take(ledger: Ledger, other: Ledger, plan: StudyPlan) -> Taken:
    places = _places(ledger)  # by settings
    finished = {settings: is_final(ledger, plan, PHASE, number) for settings, number in places.items()}
    free = max(ledger.trial_numbers(PHASE) | {0}) + 1  # trial 0 is kept for the published recipe
    _take_targets(ledger, other)
    added = equal = unfinished = 0
    for number in sorted(other.trial_numbers(PHASE)):
        row = other.trial_row(PHASE, number)
        if row is None or not is_final(other, plan, PHASE, number):
            unfinished += 1
        elif finished.get(settings_of(row)):
            equal += 1
        else:
            place = 0 if row["origin"] == "published" else places.get(settings_of(row), free)
            free += place == free
            _copy_trial(ledger, other, plan, row, place)
            places[settings_of(row)], finished[settings_of(row)] = place, True
            added += 1
    tests = tests_left = 0
    for phase in other.phases():
        for number in sorted(other.trial_numbers(phase)) if phase != PHASE else ():
            row = other.trial_row(phase, number)
            if row is None or not is_final(other, plan, phase, number) or settings_of(row) not in places:
                tests_left += 1
            elif not is_final(ledger, plan, phase, places[settings_of(row)]):
                _copy_trial(ledger, other, plan, row, places[settings_of(row)])
                tests += 1
    _take_environment(ledger.results, other.results)
    return Taken(trials=added, equal=equal, unfinished=unfinished, tests=tests, tests_left=tests_left)


def settings_of(row: dict[str, Any]) -> str:
    """What tells the settings of trials of one plan apart: the published recipe has no parameters."""
    return json.dumps(sorted(row["params"].items())) if row["origin"] != "published" else "published"


def _places(ledger: Ledger) -> dict[str, int]:
    """The number of every trial, by its settings."""
    rows = (ledger.trial_row(PHASE, number) for number in sorted(ledger.trial_numbers(PHASE), reverse=True))
    return {settings_of(row): row["trial"] for row in rows if row is not None}


def _copy_trial(ledger: Ledger, other: Ledger, plan: StudyPlan, row: dict[str, Any], number: int) -> None:
    """Copy a trial under a new number. Until its last write it is an unfinished trial like any other."""
    phase, there, blocks = row["phase"], row["trial"], plan.num_blocks(row["phase"])
    own = row | {"trial": number, "params": sorted(row["params"].items())}
    ledger.write_trial(phase, number, own | {"outcome": None})
    rows = {table: other.block_rows(table, phase, there, blocks=blocks) for table in BLOCK_TABLES}
    for block in sorted({found["block"] for found in rows["reconstructions"]}):
        if not ledger.has_block(phase, number, block):
            tables = {
                table: [found | {"trial": number} for found in rows[table] if found["block"] == block]
                for table in BLOCK_TABLES
            }
            ledger.write_block(phase, number, block, tables)
    ledger.write_trial(phase, number, own)


def _take_targets(ledger: Ledger, other: Ledger) -> None:
    for path in sorted((other.results / "targets").glob("[!.]*.parquet")):
        if not ledger.has_targets(path.stem):
            ledger.write_targets(path.stem, read_part(path).to_pylist())


def _take_environment(results: Path, other: Path) -> None:
    """Say of the merged study that it ran on the machines of the other too."""
    here, there = (_environment(folder) for folder in (results, other))
    partial = results / ".environment.json.partial"
    partial.write_text(json.dumps([*here, *(entry for entry in there if entry not in here)], indent=1) + "\n")
    os.replace(partial, results / "environment.json")


def _environment(results: Path) -> list[Any]:
    try:
        entries = json.loads((results / "environment.json").read_text())
    except (FileNotFoundError, ValueError):
        return []
    return entries if isinstance(entries, list) else []
