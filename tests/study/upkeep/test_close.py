from __future__ import annotations

import pytest

from study.job import trial_row
from study.ledger import Ledger
from study.plan import StudyPlan
from study.upkeep.check import check
from study.upkeep.close import close_trials
from study.upkeep.compact import compact
from tests.study.upkeep.studies import block_of, job_like


def reopen(plan: StudyPlan, ledger: Ledger, trial: int) -> None:
    """Leave a trial as a worker does that dies between its last block and its last word."""
    ledger.write_trial("search", trial, trial_row(plan, job_like(ledger, trial), outcome=None))


@pytest.mark.parametrize(("worst", "outcome"), [("ok", "ok"), ("diverged", "diverged"), ("error", "error")])
def test_a_trial_whose_blocks_are_all_there_gets_its_outcome(
    plan: StudyPlan, whole: Ledger, worst: str, outcome: str
) -> None:
    tables = block_of(plan, job_like(whole, 2), 1, psnr_db=1.0)
    tables["reconstructions"][0]["outcome"] = worst
    whole.write_block("search", 2, 1, tables)
    before = whole.trial_row("search", 2)
    reopen(plan, whole, 2)
    assert whole.open_trials() == [("search", 2)]
    assert close_trials(whole, plan) == 1
    assert before is not None
    assert whole.trial_row("search", 2) == before | {"outcome": outcome}
    assert whole.open_trials() == []


def test_check_finds_it_and_the_next_launch_mends_it(plan: StudyPlan, whole: Ledger) -> None:
    reopen(plan, whole, 2)
    (first, *_) = check(whole.results).findings
    assert str(first) == "trials: search of trial 2 is done, but not called so; the same launch command mends it"
    close_trials(whole, plan)
    assert check(whole.results).findings == ()


def test_a_trial_that_lacks_a_block_stays_open(plan: StudyPlan, whole: Ledger) -> None:
    compact(whole.results)
    ledger = Ledger(whole.results)
    job = job_like(ledger, 2, number=5)
    ledger.write_trial("search", 5, trial_row(plan, job, outcome=None))
    ledger.write_block("search", 5, 0, block_of(plan, job, 0, psnr_db=1.0))
    assert close_trials(ledger, plan) == 0
    assert ledger.open_trials() == [("search", 5)]
