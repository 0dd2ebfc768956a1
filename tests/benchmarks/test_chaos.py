"""The count after the kills must see every kind of fault; the kills themselves are a slow test."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.chaos import SMALL, count_faults, plan_kills
from benchmarks.trivial import write_block
from study.job import trial_row
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.search.search import Search

TRIALS = 3


@pytest.fixture
def plan(tmp_path: Path) -> StudyPlan:
    return read_options([*SMALL, "--results", str(tmp_path / "none")]).plan


@pytest.fixture
def ledger(plan: StudyPlan, tmp_path: Path) -> Ledger:
    """A study of three trials in which nothing went wrong."""
    ledger = Ledger(tmp_path / "results")
    ledger.create()
    search = Search(plan, ledger, trials=TRIALS)
    while (job := search.next_job()) is not None:
        for block in range(plan.num_blocks("search")):
            write_block(ledger, plan, job, block)
        ledger.write_trial("search", job.trial, trial_row(plan, job, outcome="ok"))
        search.finish(job)
    return ledger


def faults(plan: StudyPlan, ledger: Ledger) -> dict[str, int]:
    return {name: count for name, count in count_faults(plan, ledger.results, trials=TRIALS).items() if count}


def test_a_study_without_faults_counts_as_one(plan: StudyPlan, ledger: Ledger) -> None:
    assert faults(plan, ledger) == {"complete": TRIALS}


def lose_a_block(results: Path) -> None:
    (results / "reconstructions" / "search-00001-001.parquet").unlink()


def leave_a_partial(results: Path) -> None:
    (results / "images" / ".search-00001-001.parquet.0123.partial").touch()


def forget_what_was_told(results: Path) -> None:
    journal = results / "optuna.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) * 2 // 3]))


@pytest.mark.parametrize(
    ("harm", "noticed"),
    [
        (lose_a_block, {"lost", "torn parts"}),
        (leave_a_partial, {"torn parts"}),
        (forget_what_was_told, {"running in Optuna", "missing in Optuna"}),
    ],
)
def test_every_fault_is_noticed(
    plan: StudyPlan, ledger: Ledger, harm: Callable[[Path], None], noticed: set[str]
) -> None:
    harm(ledger.results)
    found = faults(plan, ledger).keys() - {"complete"}
    assert found
    assert found <= noticed


def test_kills_are_all_due_before_the_study_ends() -> None:
    kills = plan_kills(random.Random(0), trials=30, drivers=5, workers=20)
    assert [kill.victim for kill in kills].count("driver") == 5
    assert len(kills) == 25
    assert all(kill.after < 29 for kill in kills)
    assert {kill.moment for kill in kills} == {"at once", "between writes", "before the report"}


@pytest.mark.slow
def test_a_study_under_fire_loses_and_doubles_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", "--trials", "16", "--driver-kills", "1", "--worker-kills", "3"]
    done = subprocess.run([*command, "--results", str(tmp_path / "study")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 complete, 0 lost, 0 doubled" in done.stdout
