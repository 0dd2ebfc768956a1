"""Say how trials ended whose blocks are all there, but whose driver or worker died before that was written."""

from __future__ import annotations

from study.job import outcome_of
from study.ledger import Ledger
from study.plan import StudyPlan


def close_trials(ledger: Ledger, plan: StudyPlan) -> int:
    """Give every such trial its outcome; returns how many there were. Only for the one driver, before workers run."""
    closed = 0
    for phase, number in ledger.open_trials():
        blocks, row = plan.num_blocks(phase), ledger.trial_row(phase, number)
        if row is None or not ledger.is_complete(phase, number, blocks=blocks):
            continue
        outcome = outcome_of(ledger.rows(phase, number, blocks=blocks))
        ledger.write_trial(phase, number, row | {"params": sorted(row["params"].items()), "outcome": outcome})
        closed += 1
    return closed
