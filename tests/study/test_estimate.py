from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from study.estimate import START_SECONDS, Estimate, Profile, estimate, measure, workers_of
from study.evaluation.protocol import PROTOCOLS, QUICK
from study.plan import StudyPlan

PROFILE = Profile(seconds_per_evaluation=0.01, seconds_beside=0.1, peak_bytes=500_000_000)


def test_evaluations_are_those_of_search_and_finalists(plan: StudyPlan) -> None:
    cost = estimate(plan, PROFILE, trials=10, protocol=QUICK, workers=1)
    assert cost.gradient_evaluations == 10 * 2 * 24 + 3 * 2 * 24
    controlled = replace(QUICK, controls=("other_image",) * 3)
    cost = estimate(plan, PROFILE, trials=10, protocol=controlled, workers=1)
    assert cost.gradient_evaluations == 10 * 2 * 24 + 12 * 2 * 24
    assert estimate(plan, PROFILE, trials=1, protocol=QUICK, workers=1).gradient_evaluations == 2 * 2 * 24


def test_workers_share_the_trials(plan: StudyPlan) -> None:
    one = estimate(plan, PROFILE, trials=300, protocol=QUICK, workers=1).seconds - START_SECONDS
    three = estimate(plan, PROFILE, trials=300, protocol=QUICK, workers=3).seconds - START_SECONDS
    assert one == pytest.approx(3 * three)
    assert one == pytest.approx((300 + 3) * 2 * (24 * 0.01 + 0.1))


def test_the_full_protocol_counts_every_attack(plan: StudyPlan) -> None:
    quick, full = (
        estimate(plan, PROFILE, trials=32, protocol=PROTOCOLS[name], workers=1).gradient_evaluations
        for name in ("quick", "full")
    )
    assert full > 6 * quick


def test_an_estimate_reads_as_a_sentence() -> None:
    cost = Estimate(seconds=180, workers=2, worker_bytes=600_000_000, gradient_evaluations=1_210_000)
    assert str(cost) == "about 3 minutes on 2 workers; 0.6 GB per worker; 1.2 million gradient evaluations"


def test_workers_are_no_more_than_asked_for() -> None:
    assert workers_of(None, max_concurrent=1) == 1
    assert workers_of("10.0.0.1:6379", max_concurrent=40) == 40


@pytest.mark.slow
def test_a_profile_is_of_the_attack_that_the_plan_says(plan: StudyPlan) -> None:
    here = measure(plan, pictures_folder=None)
    assert 0 < here.seconds_per_evaluation < 10
    assert 10**8 < here.peak_bytes < 10**10


@pytest.mark.slow
def test_configs_that_run_as_one_are_profiled_as_one(plan: StudyPlan) -> None:
    alone, fused = (measure(replace(plan, configs_per_trial=count), pictures_folder=None) for count in (1, 32))
    assert fused.peak_bytes > alone.peak_bytes
    assert fused.seconds_per_evaluation < 3 * alone.seconds_per_evaluation, "of one config, not of all"


@pytest.mark.slow
def test_a_profile_that_fails_says_why(plan: StudyPlan) -> None:
    with pytest.raises(RuntimeError, match="give their folder again"):
        measure(replace(plan, pictures=("a" * 64,) * 8, domains=("user",)), pictures_folder=None)
    with pytest.raises(RuntimeError):
        measure(replace(plan, pictures=("a" * 64,) * 8, domains=("user",)), pictures_folder=Path("nowhere"))
