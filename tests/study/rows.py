"""Ledger rows with known values, for tests of what reads the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from study.job import Job, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan, split_of


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
    commit_scores(plan, ledger, job, dict.fromkeys(plan.domains, psnr_db), matching_loss=matching_loss, blocks=blocks)


def commit_scores(
    plan: StudyPlan,
    ledger: Ledger,
    job: Job,
    psnr_db: Mapping[str, float | None],
    *,
    matching_loss: float = 0.5,
    blocks: int | None = None,
) -> None:
    """Commit every block of a job with one PSNR a domain; None means that the rows diverged."""
    ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=None))
    total, split = plan.num_blocks(job.phase), split_of(job.phase)
    for block in range(total if blocks is None else blocks):
        rows = [
            {
                "phase": job.phase,
                "trial": job.trial,
                "block": block,
                "attempt": job.attempt,
                "target_id": f"{domain}-{block}" if split == "tune" else f"{domain}-{split}-{block}",
                "domain": domain,
                "split": split,
                "method": plan.method,
                "control": plan.control_of(job.phase),
                "origin": job.origin,
                "label": 0,
                "seed": 1,
                "psnr_db": score,
                "matching_loss": matching_loss if score is not None else None,
                "gradient_evaluations": plan.budget,
                "seconds": 0.1,
                "outcome": "diverged" if score is None else "ok",
            }
            for domain, score in psnr_db.items()
        ]
        ledger.write_block(job.phase, job.trial, block, {"images": [], "stages": [], "reconstructions": rows})
