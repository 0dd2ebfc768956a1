"""Trials that cost nothing: a worker that writes what an attack would, without one. The farm is measured with them."""

from __future__ import annotations

import random
from typing import Any

from gifd_ops.seeds import derive_seed
from study.farm.worker import JobTrainable
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan, split_of


class TrivialTrainable(JobTrainable):
    """Commits blocks of made-up scores: everything that a worker does for a job, except the attack."""

    def run_block(self, job: Job, block: int) -> None:
        if not self.ledger.has_block(job.phase, job.trial, block):
            write_block(self.ledger, self.plan, job, block)


def write_block(ledger: Ledger, plan: StudyPlan, job: Job, block: int) -> None:
    """Commit a block of made-up scores: better the larger the first learning rate, apart by the target and by luck."""
    skill = 10.0 + 100.0 * job.params.get("lr_first", 0.0)
    rows = [_row(plan, job, block, domain, place, skill) for domain in plan.domains for place in _places(plan, block)]
    ledger.write_block(job.phase, job.trial, block, {"images": [], "stages": [], "reconstructions": rows})


def _places(plan: StudyPlan, block: int) -> range:
    first = block * plan.block_targets_per_domain
    return range(first, min(first + plan.block_targets_per_domain, plan.targets_per_domain))


def _row(plan: StudyPlan, job: Job, block: int, domain: str, place: int, skill: float) -> dict[str, Any]:
    target = f"{domain}-{place}"
    luck = random.Random(derive_seed(plan.seed, "luck", job.trial, target)).gauss(0, 0.3)
    return {
        "phase": job.phase,
        "trial": job.trial,
        "block": block,
        "attempt": job.attempt,
        "target_id": target,
        "domain": domain,
        "split": split_of(job.phase),
        "method": plan.method,
        "control": plan.control_of(job.phase),
        "origin": job.origin,
        "label": 0,
        "seed": 1,
        "psnr_db": skill + place + luck,
        "matching_loss": 1.0 / skill,
        "gradient_evaluations": plan.budget,
        "seconds": 0.001,
        "outcome": "ok",
    }
