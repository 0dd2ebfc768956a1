"""Say how trials ended whose blocks are all there, but whose driver or worker died before that was written."""

from __future__ import annotations

from study.ledger import Ledger
from study.plan import StudyPlan


def close_trials(ledger: Ledger, plan: StudyPlan) -> int:
    """Give every such trial its outcome; returns how many there were. Only for the one driver, before workers run."""
    from study.worker import WORST_FIRST  # imports Ray

    closed = 0
    for phase, number in ledger.open_trials():
        blocks, row = plan.num_blocks(phase), ledger.trial_row(phase, number)
        if row is None or not ledger.is_complete(phase, number, blocks=blocks):
            continue
        outcomes = {found["outcome"] for found in ledger.rows(phase, number, blocks=blocks)}
        outcome = next((worst for worst in WORST_FIRST if worst in outcomes), "ok")
        ledger.write_trial(phase, number, row | {"params": sorted(row["params"].items()), "outcome": outcome})
        closed += 1
    return closed
