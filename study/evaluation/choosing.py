"""Who is run on images that did not steer the search: by the ledger alone, so that it can be asked again at any time.

A search's best trials are the luckiest too. `choose_candidates` therefore lets several through for every criterion;
they are run on the `select` targets, and `choose_finalists` takes the best by all that was seen of each. That is the
most that can be known of them: with equal noise on both splits the mean over both orders candidates as their posterior
means do, however they got there. What they are worth is said by the `test` targets, which choose nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from study.ledger import Ledger
from study.plan import METRICS, StudyPlan
from study.search.beginning import Beginning
from study.search.judging import Learned, judge
from study.search.numbering import Numbering
from study.search.objectives import scores_of

FINALISTS = "finalists.json"
PUBLISHED = 0  # the trial of the published recipe
PER_CRITERION = 4  # candidates by oracle, and by observable
PER_DOMAIN = 2
_ORACLE, _OBSERVABLE = 0, 1  # whose search may be chosen from, where two share a study
_SCORES = tuple(name for name in METRICS if name != "identified")
_COLUMNS = ("trial", "block", "domain", "target_id", "outcome", "rank_psnr_db", *_SCORES)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A way of choosing among trials: the largest `worth`; None rules a trial out."""

    name: str
    count: int  # of candidates that it lets through
    worth: Callable[[Learned], float | None]
    side: int = _ORACLE

    def best(self, learned: Mapping[int, Learned], *, plan: StudyPlan, count: int) -> list[int]:
        """The best trials, best first; of equals the earlier."""
        own = _trials_of(plan, self.side)
        worths = {trial: self.worth(seen) for trial, seen in learned.items() if own(trial) and seen.values is not None}
        known = {trial: worth for trial, worth in worths.items() if worth is not None}
        return sorted(known, key=lambda trial: (-known[trial], trial))[:count]


def criteria(plan: StudyPlan, *, by_domain: bool) -> list[Criterion]:
    """The ways of choosing that a plan knows.

    oracle: largest improvement, measured with the private images. observable: by how much the matching loss is smaller,
    as an attacker would choose; where two searches share a study, among the trials of the attacker's own. front_METRIC:
    where several metrics steer, the best in another one than the first. oracle_DOMAIN: the largest improvement there.
    """
    names = ["oracle", *(f"front_{metric}" for metric in plan.other_metrics)]
    found = [
        Criterion(name=name, count=1 if place else PER_CRITERION, worth=partial(_value, place))
        for place, name in enumerate(names)
    ]
    found.append(Criterion(name="observable", count=PER_CRITERION, worth=partial(_value, -1), side=_OBSERVABLE))
    for domain in plan.domains if by_domain and len(plan.domains) > 1 else ():
        found.append(Criterion(name=f"oracle_{domain}", count=PER_DOMAIN, worth=partial(_in_domain, domain)))
    return found


def _value(place: int, seen: Learned) -> float | None:
    return None if seen.values is None else seen.values[place]


def _in_domain(domain: str, seen: Learned) -> float | None:
    return seen.by_domain.get(domain)


def _trials_of(plan: StudyPlan, side: int) -> Callable[[int], bool]:
    """Whether a trial may be chosen from a side."""
    if plan.objective != "both":
        return lambda trial: True
    numbering = Numbering(shared=Beginning(plan).end, side=side, sides=2)
    return lambda trial: numbering.place(trial) is not None


def learn(plan: StudyPlan, ledger: Ledger, phases: Sequence[str]) -> dict[int, Learned]:
    """What is known of every trial that is complete in all the phases, from the targets of all of them.

    Its values are the improvements in the plan's metrics, then in the matching loss.
    """
    rows: dict[int, list[dict[str, Any]]] = {}
    blocks: dict[int, set[tuple[str, int]]] = {}
    for phase in phases:
        for row in ledger.phase_rows("reconstructions", phase, _COLUMNS):
            rows.setdefault(row["trial"], []).append(row)
            blocks.setdefault(row["trial"], set()).add((phase, row["block"]))
    needed = sum(plan.num_blocks(phase) for phase in phases)
    published = {row["target_id"]: scores for row in rows.get(PUBLISHED, []) if (scores := scores_of(row))}
    metrics = (plan.metric, *plan.other_metrics, "matching_loss")
    return {
        trial: judge(found, published, plan=plan, metrics=metrics, outcome="ok", is_published=trial == PUBLISHED)
        for trial, found in rows.items()
        if len(blocks[trial]) == needed
    }


def choose_candidates(plan: StudyPlan, ledger: Ledger, *, by_domain: bool) -> list[int]:
    """The trials that are run on the `select` targets: the published recipe, and the best of every criterion."""
    learned, wanted = learn(plan, ledger, ["search"]), criteria(plan, by_domain=by_domain)
    return sorted({PUBLISHED, *(trial for one in wanted for trial in one.best(learned, plan=plan, count=one.count))})


def choose_finalists(plan: StudyPlan, ledger: Ledger, *, by_domain: bool) -> dict[str, int]:
    """Trial numbers by the criterion that chose them. Nothing that was stopped or diverged is among them.

    Where all candidates have been run on the `select` targets, these count as the tuning targets do.
    """
    candidates = choose_candidates(plan, ledger, by_domain=by_domain)
    selected = learn(plan, ledger, ["search", "select"]) if plan.targets_of("select") else {}
    learned = {trial: selected[trial] for trial in candidates} if selected.keys() >= set(candidates) else None
    learned = learned or learn(plan, ledger, ["search"])
    chosen = {"published": PUBLISHED}
    for criterion in criteria(plan, by_domain=by_domain):
        if best := criterion.best(learned, plan=plan, count=1):
            chosen[criterion.name] = best[0]
    return chosen


def save_finalists(results: Path, finalists: Mapping[str, int]) -> None:
    """Write `finalists.json`, whole or not at all."""
    partial = results / f".{FINALISTS}.partial"
    partial.write_text(json.dumps(dict(finalists)) + "\n")
    os.replace(partial, results / FINALISTS)


def settings_of(ledger: Ledger, trials: Iterable[int], *, phase: str = "search") -> dict[int, dict[str, Any]]:
    """Origin and parameters of trials, as a job wants them."""
    found = {trial: ledger.trial_row(phase, trial) for trial in trials}
    return {
        trial: {"origin": row["origin"], "params": row["params"]} for trial, row in found.items() if row is not None
    }
