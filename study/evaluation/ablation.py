"""From the published recipe to the tuned settings in single steps, every one of them run anew.

After Fawcett and Hoos (Journal of Heuristics 22, 2016), with the order decided beforehand: every step is first run
alone, as a change to the recipe's likeness in the space, on the tuning targets; the largest gain goes first. The path
itself is run on the test targets, which had no say in it. It is one of many orders: what a step is worth may depend on
those before it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from study.farm.source import FixedJobs
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.objectives import gains_by_domain, scores_of

ORDER, PATH = "ablation_order", "ablation"  # phases
FILE = "ablation.json"
Params = dict[str, float]
Run = Callable[[FixedJobs, StudyPlan, Ledger], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Parameters that are changed together: a choice, and what is only there because of it."""

    changes: Params

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.changes)


def steps_to(plan: StudyPlan, tuned: Mapping[str, float]) -> list[Step]:
    """The steps from the recipe's likeness to the tuned parameters, in the order that the space asks for them."""
    likeness = point(plan, {})
    differing = [name for name, value in tuned.items() if name in likeness and likeness[name] != value]
    brought = [name for name in tuned if name not in likeness]
    steps = []
    for name in differing:
        there = point(plan, {name: tuned[name]})
        together = [name, *(other for other in brought if other in there)]
        steps.append(Step(changes={other: tuned[other] for other in together}))
        brought = [other for other in brought if other not in there]
    if brought and steps:  # there by several choices at once: with the last of them
        steps[-1] = Step(changes={**steps[-1].changes, **{name: tuned[name] for name in brought}})
    return steps


def point(plan: StudyPlan, changes: Mapping[str, float]) -> Params:
    """The parameters of the recipe's likeness with something changed, within what the plan holds fixed."""
    shape = plan.task_info.generator_shape
    return plan.search_space.point({**changes, **dict(plan.fixed)}, shape, budget=plan.budget)


def ablate(plan: StudyPlan, ledger: Ledger, *, trial: int, run: Run) -> None:
    """Run what the ledger lacks of the path to a trial of the search, and write `ablation.json`."""
    row = ledger.trial_row("search", trial)
    assert row is not None, f"trial {trial} is a finalist, so the ledger knows it"
    tuned = row["params"]
    steps = steps_to(plan, tuned) if tuned else []
    singles = [point(plan, step.changes) for step in steps]
    numbers = _run_points(plan, ledger, ORDER, [("published", {}), *(("ablation", single) for single in singles)], run)
    gains = [_gain(plan, ledger, baseline=numbers[0], trial=number) for number in numbers[1:]]
    ordered = [steps[place] for place in sorted(range(len(steps)), key=lambda place: (-gains[place], place))]

    path: list[tuple[str, Params]] = [("published", {})]
    changed: list[Sequence[str]] = [()]
    if tuned:
        path.append(("ablation", point(plan, {})))
        changed.append(("likeness",))
    changes: Params = {}
    for step in ordered:
        changes |= step.changes
        path.append(("ablation", point(plan, changes)))
        changed.append(step.names)
    if tuned and path[-1][1] != tuned:  # what clamps a range may depend on the order
        path.append(("ablation", dict(tuned)))
        changed.append(("rest",))
    numbers = _run_points(plan, ledger, PATH, path, run)
    listed = [{"trial": n, "changed": list(names)} for n, names in zip(numbers, changed, strict=True)]
    _save(ledger.results, {"oracle": trial, "steps": listed})


def _run_points(
    plan: StudyPlan, ledger: Ledger, phase: str, points: Sequence[tuple[str, Params]], run: Run
) -> list[int]:
    """Run what the ledger lacks of settings; returns their numbers in the phase: the same settings keep theirs."""
    known = {number: ledger.trial_row(phase, number) for number in sorted(ledger.trial_numbers(phase))}
    places = {_key(row["origin"], row["params"]): number for number, row in known.items() if row is not None}
    following = max(known, default=-1) + 1
    numbers = []
    for origin, params in points:
        key = _key(origin, params)
        if key not in places:
            places[key], following = following, following + 1
        numbers.append(places[key])
    jobs = {
        number: Job(phase=phase, trial=number, attempt=1, origin=origin, params=params)
        for number, (origin, params) in zip(numbers, points, strict=True)
        if not ledger.is_complete(phase, number, blocks=plan.num_blocks(phase))
    }
    if jobs:
        run(FixedJobs(jobs.values(), plan, ledger), plan, ledger)
    return numbers


def _key(origin: str, params: Mapping[str, float]) -> tuple[Any, ...]:
    return origin, tuple(sorted(params.items()))


def _gain(plan: StudyPlan, ledger: Ledger, *, baseline: int, trial: int) -> float:
    """The mean improvement of a single step on the domains that steered; the least possible where it diverged."""
    blocks = plan.num_blocks(ORDER)
    published = {row["target_id"]: scores_of(row) for row in ledger.rows(ORDER, baseline, blocks=blocks)}
    found = gains_by_domain(plan.metric, ledger.rows(ORDER, trial, blocks=blocks), published)
    gains = [gain for domain in plan.steered_domains for gain in found.get(domain, [])]
    return fmean(gains) if gains else float("-inf")


def _save(results: Path, values: Mapping[str, Any]) -> None:
    partial = results / f".{FILE}.partial"
    partial.write_text(json.dumps(values) + "\n")
    os.replace(partial, results / FILE)
