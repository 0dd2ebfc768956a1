"""Which trials end early: schedulers of Ray Tune that judge a running trial after each of its blocks.

A trial's scores are those of the targets that steer the search, higher is better; None where the row diverged. How a
search begins (the published recipe, given points, single changes) always runs to its end, for what comes after builds
on it; so do jobs of other phases than the search.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.beginning import Beginning
from study.search.objectives import gain, scores_of, steering_metrics
from study.search.racing import Race

Scores = Mapping[str, float | None]  # by target
IMPROVEMENT = "improvement"  # what Tune's own schedulers look at


class StudyScheduler(FIFOScheduler):
    """First come, first served, all to their end. Lives as long as a study's run, from Tuner to Tuner."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.halted = False  # then every trial is stopped at its next report
        self.first_raced = 0  # trials before this one are not judged

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: a Tuner pickles what it is given, for a restore that never comes."""
        return {}

    def judge(self, controller: Any, trial: Trial, blocks: int, scores: Scores) -> str:
        """CONTINUE or STOP, for a raced trial with these scores after so many blocks."""
        return str(TrialScheduler.CONTINUE)

    def learn(self, number: int, scores: Scores) -> None:
        """Take note of a trial of the search that completed all blocks, in this run or an earlier one."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        job = _raced(trial)
        if self.halted:
            return str(TrialScheduler.STOP)
        if job.phase != "search" or job.trial < self.first_raced or result["failure"] is not None:
            return str(TrialScheduler.CONTINUE)
        return self.judge(tune_controller, trial, result["blocks"], json.loads(result["scores"]))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        job = _raced(trial)
        if job.phase == "search" and result["complete"]:
            self.learn(job.trial, json.loads(result["scores"]))


def _raced(trial: Trial) -> Job:
    """The job of a trial: where trials are raced it has one only."""
    return Job.from_json(trial.config["jobs"][0])


class RacingScheduler(StudyScheduler):
    """Stops a trial whose scores are confidently worse than the incumbent's on the same targets."""

    def __init__(self, race: Race) -> None:
        super().__init__()
        self.race = race

    def judge(self, controller: Any, trial: Trial, blocks: int, scores: Scores) -> str:
        return str(TrialScheduler.STOP if self.race.stops(scores) else TrialScheduler.CONTINUE)

    def learn(self, number: int, scores: Scores) -> None:
        self.race.finish(number, scores)


class OfTuneScheduler(StudyScheduler):
    """One of Tune's own schedulers, shown the mean improvement over the published recipe on the targets so far.

    It sees the trials of this run only: after a restart it begins anew. A trial with a diverged row is stopped.
    """

    def __init__(self, inner: FIFOScheduler) -> None:
        super().__init__()
        self.inner, self.published = inner, dict[str, float]()
        self.inner.set_search_properties(IMPROVEMENT, "max")

    def judge(self, controller: Any, trial: Trial, blocks: int, scores: Scores) -> str:
        if not scores.keys() <= self.published.keys():
            return str(TrialScheduler.CONTINUE)  # the recipe itself still runs, or diverged
        improvement = self._improvement(scores)
        if improvement is None:
            return str(TrialScheduler.STOP)
        return str(self.inner.on_trial_result(controller, trial, {"blocks": blocks, IMPROVEMENT: improvement}))

    def learn(self, number: int, scores: Scores) -> None:
        if number == 0:
            self.published = {target: score for target, score in scores.items() if score is not None}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_add(tune_controller, trial)
        self.inner.on_trial_add(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, trial, result)
        scores = json.loads(result["scores"])
        improvement = self._improvement(scores) if scores.keys() <= self.published.keys() else None
        if result["complete"] and improvement is not None:
            shown = {"blocks": result["blocks"], IMPROVEMENT: improvement}
            self.inner.on_trial_complete(tune_controller, trial, shown)

    def _improvement(self, scores: Scores) -> float | None:
        gains = [None if score is None else score - self.published[target] for target, score in scores.items()]
        known = [gain for gain in gains if gain is not None]
        return fmean(known) if known and len(known) == len(gains) else None


def scheduler_of(plan: StudyPlan, ledger: Ledger) -> StudyScheduler:
    """The scheduler that the plan names, told of all trials that are complete already."""
    blocks = plan.num_blocks("search")
    scheduler = _new_scheduler(plan, blocks)
    scheduler.first_raced = Beginning(plan).end
    if plan.racing != "off":
        for number in sorted(ledger.trial_numbers("search")):
            if ledger.is_complete("search", number, blocks=blocks):
                scheduler.learn(number, steering_scores(plan, ledger.rows("search", number, blocks=blocks)))
    return scheduler


def _new_scheduler(plan: StudyPlan, blocks: int) -> StudyScheduler:
    match plan.racing:
        case "on":
            return RacingScheduler(Race(looks=blocks, error=plan.racing_error))
        case "asha":
            inner = AsyncHyperBandScheduler(
                time_attr="blocks", max_t=max(2, blocks), grace_period=1, reduction_factor=2, stop_last_trials=False
            )
            return OfTuneScheduler(inner)
        case "median":
            never: Any = float("inf")  # it would pause trials while it knows too few of them
            return OfTuneScheduler(MedianStoppingRule(time_attr="blocks", grace_period=1, min_time_slice=never))
    return StudyScheduler()


def steering_scores(plan: StudyPlan, rows: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """What a scheduler judges by: of every target that steers, the metric that does, higher is better.

    Differences between trials on a target are those of their gains over the published recipe.
    """
    metric = steering_metrics(plan, plan.objective)[0]
    values = {row["target_id"]: scores_of(row).get(metric) for row in rows if row["domain"] in plan.steered_domains}
    return {target: None if value is None else gain(metric, value, 1.0) for target, value in values.items()}
