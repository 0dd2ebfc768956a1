"""Who is run on the test targets: the published recipe, the best by oracle and by observable, the front's ends."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from study.job import Job
from study.ledger import Ledger
from study.search.both import BothSearches
from study.search.search import Search


def choose_finalists(search: Search | BothSearches, results: Path) -> dict[str, int]:
    """Trial numbers by the criterion that chose them, also written to `finalists.json`.

    oracle: largest improvement, measured with the private images. observable: least matching loss, as an attacker
    would choose. front_METRIC: where several metrics steer, the trial of the Pareto front that is best in another one
    than the first. A trial that was stopped or diverged is none of them.
    """
    chosen = {"published": 0, "oracle": search.best_oracle(), "observable": search.best_observable()}
    for place, metric in enumerate(search.metrics[1:], start=1):
        chosen[f"front_{metric}"] = search.front.end(place)
    finalists = {criterion: number for criterion, number in chosen.items() if number is not None}
    partial = results / ".finalists.json.partial"
    partial.write_text(json.dumps(finalists) + "\n")
    os.replace(partial, results / "finalists.json")
    return finalists


def final_jobs(
    search: Search | BothSearches, finalists: dict[str, int], ledger: Ledger, phases: Sequence[str]
) -> list[Job]:
    """The runs on test targets, the finalists in every phase, that the ledger still lacks."""
    return [
        Job(phase=phase, trial=number, attempt=1, **search.job_of(number))
        for phase in phases
        for number in sorted(set(finalists.values()))
        if not ledger.is_complete(phase, number, blocks=search.plan.num_blocks(phase))
    ]
