"""What a results folder tells of its search while somebody else runs it, or nobody: read from the ledger and the plan.

Trials that ended are read once. Everything else is looked at anew, so it may be asked again and again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from study.ledger import Ledger
from study.lock import Holder, read_holder
from study.search.beginning import Beginning
from study.search.numbering import Numbering
from study.search.objectives import Front, Scores, gains_by_domain, scores_of, steering_metrics
from study.versions import read_plan
from study.watch.live import by_domain
from study.watch.standing import Best, Standing, time_left

PHASE = "search"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A trial of the search that has an outcome."""

    trial: int
    outcome: str
    at: float  # when its last word was written, seconds since 1970
    params: Mapping[str, float]
    rows: tuple[Mapping[str, Any], ...]  # what the ledger says of its targets


class History:
    """The ended trials of a study, and what they come to."""

    def __init__(self, results: Path) -> None:
        self.results, self.plan = results, read_plan(results)
        self.objectives = ("oracle", "observable") if self.plan.objective == "both" else (self.plan.objective,)
        shared = Beginning(self.plan).end
        self._numberings = {
            objective: Numbering(shared=shared, side=side, sides=len(self.objectives))
            for side, objective in enumerate(self.objectives)
        }
        self.ended: dict[int, Ended] = {}
        self.attack_seconds = 0.0  # that all of them took on their workers
        self.fronts = {objective: Front() for objective in self.objectives}
        self._best: dict[str, tuple[float, int]] = {}  # by objective: value and trial
        self._gains: dict[int, dict[str, float]] = {}  # by trial and domain, in the plan's metric
        self._recipe: dict[str, Scores] | None = None
        self._waiting: list[Ended] = []  # ended before the recipe
        self._known = 0

    def read(self) -> list[Ended]:
        """The trials that have ended since the last call, with their rows, in the order of their numbers."""
        ledger = Ledger(self.results)
        numbers = ledger.trial_numbers(PHASE)
        self._known = len(numbers)
        found = [self._read(ledger, number) for number in sorted(numbers - self.ended.keys())]
        new = [ended for ended in found if ended is not None]
        self._waiting += new
        for ended in new:
            self.ended[ended.trial] = replace(ended, rows=())  # ten thousand trials' rows would fill the memory
            self.attack_seconds += sum(row["seconds"] for row in ended.rows)
            if ended.trial == 0:
                self._recipe = {row["target_id"]: scores for row in ended.rows if (scores := scores_of(row))}
        if self._recipe is not None:
            for ended in self._waiting:
                self._judge(ended, self._recipe)
            self._waiting = []
        return new

    def gains(self, trial: int) -> Mapping[str, float]:
        """A trial's mean improvement in each domain, in the plan's metric; empty where none is known."""
        return self._gains.get(trial, {})

    def standing(self) -> Standing:
        """Where the search stands now."""
        self.read()
        holder = read_holder(self.results)
        total = None if holder is None else holder.owner.trials
        done, elapsed, left = len(self.ended), None, None
        if holder is not None:
            elapsed = max(0.0, time.time() - holder.owner.since)
            in_this_run = sum(ended.at >= holder.owner.since for ended in self.ended.values())
            if total is not None:
                left = time_left(elapsed_seconds=elapsed, done=in_this_run, missing=total - done)
        scores = {target: found[self.plan.metric] for target, found in (self._recipe or {}).items()}
        first = self.objectives[0]
        return Standing(
            plan=self.plan,
            done=done,
            total=total,
            running=0 if holder is None else self._known - done,
            workers=None,
            outcomes=Counter(ended.outcome for ended in self.ended.values()),
            published=by_domain(scores, self.plan.domains),
            best=tuple(self._best_of(objective) for objective in self.objectives if objective in self._best),
            metrics=steering_metrics(self.plan, first),
            front=self.fronts[first].values,
            elapsed_seconds=elapsed,
            left_seconds=left,
        )

    def finals(self) -> dict[str, int]:
        """By phase, how many finalists have rows on test targets."""
        ledger = Ledger(self.results)
        return {phase: len(ledger.trial_numbers(phase)) for phase in ledger.phases() if phase != PHASE}

    def holder(self) -> Holder | None:
        """Who runs the study; None if nobody does."""
        return read_holder(self.results)

    def _read(self, ledger: Ledger, number: int) -> Ended | None:
        try:
            row = ledger.trial_row(PHASE, number)
            if row is None or row["outcome"] is None:
                return None
            rows = ledger.rows(PHASE, number, blocks=self.plan.num_blocks(PHASE))
            at = ledger.written_at(PHASE, number)
        except OSError:  # being replaced, or damaged, which `study.ledger check` tells
            return None
        return Ended(trial=number, outcome=row["outcome"], at=at, params=row["params"], rows=tuple(rows))

    def _judge(self, ended: Ended, recipe: Mapping[str, Scores]) -> None:
        """Hold a trial against the published recipe; those that did not come to their end do not compete."""
        steered = self.plan.steered_domains
        in_metric = gains_by_domain(self.plan.metric, ended.rows, recipe)
        self._gains[ended.trial] = {domain: fmean(gains) for domain, gains in in_metric.items()}
        if ended.outcome != "ok" and ended.trial != 0:
            return
        for objective, numbering in self._numberings.items():
            if numbering.place(ended.trial) is None:  # asked for by the other search
                continue
            by_metric = [gains_by_domain(name, ended.rows, recipe) for name in steering_metrics(self.plan, objective)]
            found = [[gain for domain in steered for gain in gains.get(domain, [])] for gains in by_metric]
            if not all(found):
                continue
            values = tuple(fmean(gains) for gains in found)
            self.fronts[objective].add(ended.trial, values)
            best, trial = self._best.get(objective, (values[0], ended.trial))
            if (values[0], -ended.trial) >= (best, -trial):
                self._best[objective] = values[0], ended.trial

    def _best_of(self, objective: str) -> Best:
        _, trial = self._best[objective]
        gains = {} if trial == 0 else self._gains[trial]
        return Best(objective=objective, trial=trial, params=self.ended[trial].params, by_domain=gains)
