"""A trial to run, and what is said of it as a whole. No torch: the driver makes jobs, workers run them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from study.plan import StudyPlan

WORST_FIRST = ("out_of_memory", "error", "diverged")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial to run: what Ray carries to a worker."""

    phase: str
    trial: int
    attempt: int
    origin: str
    params: Mapping[str, float]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        return cls(**json.loads(text))


def outcome_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """What became of a trial with these rows: the worst that became of any, ok if nothing happened to them."""
    outcomes = {row["outcome"] for row in rows}
    return next((worst for worst in WORST_FIRST if worst in outcomes), "ok")


def trial_row(plan: StudyPlan, job: Job, *, outcome: str | None, message: str | None = None) -> dict[str, Any]:
    """What the ledger says of a trial as a whole; outcome None while it runs."""
    config = plan.configure(job.params, origin=job.origin)
    return {
        "phase": job.phase,
        "trial": job.trial,
        "attempt": job.attempt,
        "method": plan.method,
        "control": plan.control_of(job.phase),
        "origin": job.origin,
        **{name: str(value).lower() for name, value in asdict(plan.quirks).items()},
        "params": sorted(job.params.items()),
        "config": json.dumps(config.to_dict()),
        "outcome": outcome,
        "message": message,
    }
