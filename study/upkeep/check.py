"""Is a ledger whole? Every part read, every block held against its sisters, its trial, its targets and Optuna.

Nothing is written, so it may run beside a driver: what is under way then is no finding.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from study.lock import read_holder
from study.plan import StudyPlan
from study.upkeep.contents import BY_LAUNCH, BY_MOVING, Contents, Finding, blocks_by_trial, names_of, read_contents
from study.upkeep.swap import is_unsettled
from study.upkeep.told import JOURNAL, Told, told_by_study
from study.versions import migrate_command, read_plan, version_of

BY_LISTING = "the next block of its split lists it"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was looked at, a line each, and what is wrong."""

    looked_at: tuple[str, ...]
    findings: tuple[Finding, ...]


def check(results: Path) -> Report:
    """Look at all that a results folder holds. Raises ValueError if it is no study."""
    plan, holder = read_plan(results), read_holder(results)
    told = told_by_study(results, plan)  # before the ledger: what is told by then is committed
    found = read_contents(results)
    if is_unsettled(results):
        found.note("a rewrite was interrupted", str(results), "any command of study.ledger that writes settles it")
    if found.older:
        what = f"{found.older} parts lack columns that came after schema version {version_of(results)}"
        found.note(what, str(results), f"run {migrate_command(results)}")
    _check_blocks(found)
    _check_trials(found, plan, running=holder is not None)
    _check_targets(found)
    if told and holder is None:  # beside a driver, what one of them knows the other is about to learn
        _check_told(found, told)
    return Report(looked_at=tuple(_looked_at(found, told, holder)), findings=tuple(found.findings))


def _looked_at(found: Contents, told: dict[str, list[Told]], holder: object) -> list[str]:
    rows = ", ".join(f"{count} {table}" for table, count in found.rows.items())
    outcomes = Counter(outcome or "unfinished" for outcome in found.trials.values())
    by_outcome = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    optuna = ", ".join(f"{len(trials)} trials of {name}" for name, trials in told.items())
    return [
        f"parts     {found.parts}",
        f"rows      {rows}",
        f"blocks    {len(found.homes['reconstructions'])} committed",
        f"trials    {by_outcome or 'none'}",
        f"optuna    {optuna or 'no journal: the next launch makes it from the ledger'}",
        f"driver    {holder or 'none'}",
    ]


def _check_blocks(found: Contents) -> None:
    """A committed block's images and stages are of its own rows and of the same attempt, with nothing left out."""
    for block, targets in found.targets_of["reconstructions"].items():
        where = found.homes["reconstructions"][block]
        images, stages = (found.targets_of[table].get(block, set()) for table in ("images", "stages"))
        (name,) = names_of([block])
        for table, rows in (("images", images), ("stages", stages)):
            if not rows <= targets:
                found.note(f"{name}: its {table} are of other rows or another attempt", where, BY_MOVING)
        if images and {target for target, _ in images} != found.done.get(block, set()):
            found.note(f"{name}: images are missing, or of rows that did not come out well", where, BY_MOVING)
        if stages and stages != targets:
            found.note(f"{name}: stages are missing", where, BY_MOVING)


def _check_trials(found: Contents, plan: StudyPlan, *, running: bool) -> None:
    """A finished trial has the blocks that its outcome promises, and no block lacks its trial."""
    blocks = blocks_by_trial(found)
    for trial, outcome in found.trials.items():
        there, promised = blocks.get(trial, set()), set(range(plan.num_blocks(trial[0])))
        (name,) = names_of([trial])
        if outcome is None:
            if not running and there == promised:
                found.note(f"{name} is done, but not called so", "trials", BY_LAUNCH)
        elif outcome == "error":
            continue  # given up: it may have any block
        elif outcome == "stopped":
            if there != set(range(len(there))) or not there:
                found.note(f"{name} was stopped, but its first blocks are missing", "reconstructions", BY_LAUNCH)
        elif there != promised:
            missing = ", ".join(map(str, sorted(promised - there)))
            found.note(f"{name} is called {outcome}, but lacks block {missing}", "reconstructions", BY_LAUNCH)
        elif (outcome == "ok") != (_outcomes(found, trial, there) == {"ok"}):
            found.note(f"{name} is called {outcome}, but its rows say otherwise", "trials", BY_MOVING)
    for name in names_of(trial for trial in blocks if trial not in found.trials):
        found.note(f"nobody knows the settings of {name}", "reconstructions", "the same launch command sets it aside")


def _outcomes(found: Contents, trial: tuple[str, int], blocks: set[int]) -> set[str]:
    return {outcome for block in blocks for outcome in found.outcomes[(*trial, block)]}


def _check_targets(found: Contents) -> None:
    """What was attacked is listed, as what it was attacked as."""
    for target, about in sorted(found.about.items()):
        if target not in found.listed:
            found.note(
                f"target {target} is not listed", "targets", "it is listed anew with the next block of its split"
            )
        elif found.listed[target] != about:
            found.note(f"target {target} is listed with another domain, split or label", "targets", BY_MOVING)


def _check_told(found: Contents, told: dict[str, list[Told]]) -> None:
    """Optuna and the ledger know of the same trials of the search, and of the same ends."""
    for name, trials in told.items():
        for trial in trials:
            where = f"{JOURNAL}, {name}, trial {trial.number}"
            outcome = found.trials.get(("search", trial.number))
            if trial.state == "RUNNING":
                found.note("it is said to run, but nothing does", where, "the same launch command hands it out again")
            elif trial.state == "WAITING":
                continue  # it is asked for next
            elif outcome is None:
                found.note(f"Optuna says {trial.state}, the ledger knows no outcome", where, BY_LAUNCH)
            elif (trial.state == "FAIL") != (outcome == "error"):
                found.note(f"Optuna says {trial.state}, the ledger says {outcome}", where, BY_LAUNCH)
    known = {trial.number for trials in told.values() for trial in trials}
    for phase, number in sorted(found.trials):
        if phase == "search" and number not in known:
            found.note("the ledger knows it, Optuna does not", f"search of trial {number}", BY_LAUNCH)
