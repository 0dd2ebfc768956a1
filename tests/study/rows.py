"""Ledger rows with known values, for tests of what reads the ledger."""

from __future__ import annotations

from study.job import Job, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan


def commit(
    plan: StudyPlan,
    ledger: Ledger,
    job: Job,
    *,
    psnr_db: float | None,
    matching_loss: float = 0.5,
    blocks: int | None = None,
) -> None:
    """Commit every block of a job with one PSNR for all targets; None means that the rows diverged."""
    ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=None))
    total = plan.num_blocks(job.phase)
    for block in range(total if blocks is None else blocks):
        rows = [
            {
                "phase": job.phase,
                "trial": job.trial,
                "block": block,
                "attempt": job.attempt,
                "target_id": f"{domain}-{block}",
                "domain": domain,
                "split": "tune" if job.phase == "search" else "test",
                "method": plan.method,
                "control": plan.control_of(job.phase),
                "origin": job.origin,
                "label": 0,
                "seed": 1,
                "psnr_db": psnr_db,
                "matching_loss": matching_loss if psnr_db is not None else None,
                "gradient_evaluations": plan.budget,
                "seconds": 0.1,
                "outcome": "diverged" if psnr_db is None else "ok",
            }
            for domain in plan.domains
        ]
        ledger.write_block(job.phase, job.trial, block, {"images": [], "stages": [], "reconstructions": rows})
