"""Who is raced, and by what. Through Ray itself: `test_farm.py`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from study.farm.schedulers import StudyScheduler, scheduler_of, steering_scores
from study.job import Job
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.search.beginning import Beginning
from tests.study.rows import commit

BAD = {f"sketch-{place}": 1.0 + 0.01 * place for place in range(8)}
GOOD = {target: score + 10 + 0.02 * (place % 3) for place, (target, score) in enumerate(BAD.items())}
LATER = 50  # trials after a search's beginning
WHOLE = GOOD | {f"sketch-{place}": 11.0 for place in range(8, 16)}


def trial(number: int, *, phase: str = "search", origin: str = "search") -> Any:
    job = Job(phase=phase, trial=number, attempt=1, origin=origin, params={})
    return SimpleNamespace(trial_id=str(number), config={"jobs": [job.to_json()]})


def report(scores: dict[str, float | None], *, blocks: int = 2, complete: bool = False) -> dict[str, Any]:
    return {"blocks": blocks, "scores": json.dumps(scores), "complete": complete, "failure": None}


@pytest.fixture
def racing(plan: StudyPlan, ledger: Ledger) -> StudyScheduler:
    """A race of four blocks whose incumbent is good."""
    scheduler = scheduler_of(replace(plan, racing="on", targets_per_domain=16), ledger)
    scheduler.on_trial_complete(None, trial(0, origin="published"), report(WHOLE, blocks=4, complete=True))
    return scheduler


def test_a_trial_confidently_worse_than_the_incumbent_is_stopped(racing: StudyScheduler) -> None:
    assert racing.on_trial_result(None, trial(LATER + 1), report(BAD)) == TrialScheduler.STOP
    assert racing.on_trial_result(None, trial(LATER + 1), report(GOOD)) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("phase", ["test", "test_noise_gradient"])
def test_tests_are_never_raced(racing: StudyScheduler, phase: str) -> None:
    assert racing.on_trial_result(None, trial(LATER, phase=phase), report(BAD)) == TrialScheduler.CONTINUE


def test_what_a_search_begins_with_is_never_raced(racing: StudyScheduler, plan: StudyPlan) -> None:
    end = Beginning(plan).end
    judged = [racing.on_trial_result(None, trial(number), report(BAD)) for number in (0, 1, end - 1, end)]
    assert judged == [TrialScheduler.CONTINUE] * 3 + [TrialScheduler.STOP]


def test_a_trial_that_was_stopped_teaches_the_race_nothing(plan: StudyPlan, ledger: Ledger) -> None:
    scheduler = scheduler_of(replace(plan, racing="on", targets_per_domain=16), ledger)
    scheduler.on_trial_complete(None, trial(LATER + 1), report(GOOD))
    assert scheduler.on_trial_result(None, trial(LATER + 2), report(BAD)) == TrialScheduler.CONTINUE


def test_a_halted_study_stops_everything(racing: StudyScheduler) -> None:
    racing.halted = True
    assert racing.on_trial_result(None, trial(0, phase="test"), report(GOOD)) == TrialScheduler.STOP


def test_a_restarted_race_knows_what_the_ledger_knows(plan: StudyPlan, ledger: Ledger) -> None:
    raced = replace(plan, racing="on", targets_per_domain=16, domains=("sketch",))
    job = Job(phase="search", trial=0, attempt=1, origin="published", params={})
    commit(raced, ledger, job, psnr_db=20.0)
    race = scheduler_of(raced, ledger).race  # type: ignore[attr-defined]
    assert race.incumbent == 0


def test_only_steered_domains_are_judged_and_divergence_is_told(plan: StudyPlan) -> None:
    assert plan.steered_domains == ("sketch",)
    rows = [
        {"target_id": "photo-0", "domain": "photo", "outcome": "ok", "psnr_db": 9.0},
        {"target_id": "sketch-0", "domain": "sketch", "outcome": "ok", "psnr_db": 12.0},
        {"target_id": "sketch-1", "domain": "sketch", "outcome": "diverged", "psnr_db": None},
    ]
    scores = steering_scores(plan, rows)
    assert scores.keys() == {"sketch-0", "sketch-1"}
    assert scores["sketch-1"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--racing", "maybe"], "no racing 'maybe'|racing.*maybe"),
        (["--racing-error", "0.7"], "at most 0.5, got 0.7"),
        (["--racing", "on", "--objective", "both"], "needs one objective"),
        (["--racing", "on", "--metric", "psnr_db,seconds"], "needs one objective and one metric"),
        (["--block-timeout", "0"], "1 second or more, got 0"),
    ],
)
def test_bad_ways_of_racing_are_refused(options: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        read_options(["--space", "ood", "--results", str(tmp_path / "none"), *options])


@pytest.mark.parametrize(("metric", "better"), [("psnr_db", 14.0), ("lpips", 0.1), ("mse", 0.001)])
def test_a_better_row_has_the_higher_score_whatever_the_metric(plan: StudyPlan, metric: str, better: float) -> None:
    def score(value: float) -> float:
        row = {"target_id": "sketch-0", "domain": "sketch", "outcome": "ok", metric: value}
        found = steering_scores(replace(plan, metric=metric), [row])["sketch-0"]
        assert found is not None
        return found

    worse = {"psnr_db": 12.0, "lpips": 0.4, "mse": 0.01}[metric]
    assert score(better) > score(worse)
