"""Small whole studies without an attack: plan, ledger with images and stages, targets, Optuna's journal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from study.job import Job, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan, split_of
from study.search.both import open_search

SIZE_PX = 16


def run_study(plan: StudyPlan, results: Path, *, trials: int) -> Ledger:
    """Run a search to its end; the PSNR of a trial is ten plus a hundred times its first learning rate."""
    ledger = Ledger(results)
    ledger.create()
    plan.save(results)
    list_targets(plan, ledger, "tune")
    search = open_search(plan, ledger, trials=trials)
    while (job := search.next_job()) is not None:
        commit_whole(plan, ledger, job)
        search.finish(job)
    return ledger


def commit_whole(plan: StudyPlan, ledger: Ledger, job: Job, *, psnr_db: float | None = None) -> None:
    """Commit a job as a worker does: row, blocks of all three tables, row with its outcome."""
    ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=None))
    value = 10 + 100 * job.params.get("lr_first", 0.0) if psnr_db is None else psnr_db
    for block in range(plan.num_blocks(job.phase)):
        ledger.write_block(job.phase, job.trial, block, block_of(plan, job, block, psnr_db=value))
    ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome="ok"))


def job_like(ledger: Ledger, trial: int, *, phase: str = "search", number: int | None = None) -> Job:
    """A job with the settings of a trial of the search, under another phase or number."""
    row = ledger.trial_row("search", trial)
    assert row is not None
    number = trial if number is None else number
    return Job(phase=phase, trial=number, attempt=1, origin=row["origin"], params=row["params"])


def block_of(plan: StudyPlan, job: Job, block: int, *, psnr_db: float) -> dict[str, list[dict[str, Any]]]:
    """The rows of a block in every table."""
    tables: dict[str, list[dict[str, Any]]] = {"images": [], "stages": [], "reconstructions": []}
    for domain in plan.domains:
        identity = {
            "phase": job.phase, "trial": job.trial, "block": block, "attempt": job.attempt,
            "target_id": target_id(job.phase, domain, block), "domain": domain, "split": split_of(job.phase),
        }  # fmt: skip
        tables["images"].append(identity | {"png": png(0.4 + 0.01 * job.trial)})
        tables["stages"].append(identity | {"stage": 0, "kind": "features", "layer": 0, "steps": 5, "psnr_db": psnr_db})
        tables["reconstructions"].append(
            identity
            | {
                "method": plan.method, "control": plan.control_of(job.phase), "origin": job.origin, "label": 0,
                "seed": 1, "psnr_db": psnr_db, "matching_loss": 0.5, "gradient_evaluations": plan.budget,
                "seconds": 0.5, "outcome": "ok",
            }
        )  # fmt: skip
    return tables


def list_targets(plan: StudyPlan, ledger: Ledger, split: str) -> None:
    """List the targets of a split, each with its image."""
    phase = "search" if split == "tune" else "test"
    rows: list[Mapping[str, Any]] = [
        {
            "target_id": target_id(phase, domain, block), "domain": domain, "split": split, "block": block, "label": 0,
            "png": png(0.5),
        }
        for block in range(plan.num_blocks(phase))
        for domain in plan.domains
    ]  # fmt: skip
    ledger.write_targets(split, rows)


def target_id(phase: str, domain: str, block: int) -> str:
    """The name of the one target of a domain in a block."""
    return f"{domain}-{split_of(phase)}-{block}"


def png(brightness: float) -> bytes:
    """A picture of one gray."""
    buffer = io.BytesIO()
    Image.new("RGB", (SIZE_PX, SIZE_PX), (round(255 * brightness),) * 3).save(buffer, format="PNG")
    return buffer.getvalue()


def parts(results: Path) -> dict[str, bytes]:
    """Every part of every table, by its path below the results."""
    found = sorted(results.glob("*/**/*.parquet"))
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in found if ".rewrite" not in path.parts}
