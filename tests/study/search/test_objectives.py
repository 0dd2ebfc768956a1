"""What steers: oracle or observable, one metric or several, and both searches over one ledger."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from study.evaluation.choosing import choose_finalists
from study.job import Job
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.search.both import BothSearches, open_search
from study.search.numbering import Numbering
from study.search.objectives import Front, check_objective, gain, scores_of, steering_metrics
from study.search.search import Search
from tests.study.conftest import SMALL
from tests.study.rows import commit
from tests.study.search.test_asking import jobs_of


def losing(job: Job) -> float:
    """A matching loss that is least where PSNR, which grows with `lr_first`, is not best."""
    return abs(math.log(job.params.get("lr_first", 0.2)) - math.log(0.05)) + 0.01


def finish(search: Search | BothSearches, ledger: Ledger, job: Job) -> None:
    psnr_db = 10 + 10 * job.params.get("lr_first", 0.0)
    commit(search.plan, ledger, job, psnr_db=psnr_db, matching_loss=losing(job))
    search.finish(job)


def play(search: Search | BothSearches, ledger: Ledger, *, count: int | None = None) -> list[Job]:
    jobs: list[Job] = []
    while len(jobs) != count and (job := search.next_job()) is not None:
        finish(search, ledger, job)
        jobs.append(job)
    return jobs


@pytest.mark.parametrize(
    ("metric", "value", "base", "wanted"),
    [
        ("psnr_db", 13.0, 11.0, 2.0),
        ("mse", 0.1, 0.3, 0.2),
        ("matching_loss", 0.05, 0.1, math.log(2)),
        ("matching_loss", 1e-9, 0.0, math.log(1e-12) - math.log(1e-9)),
        ("seconds", 3.0, 2.0, -1.0),
    ],
)
def test_a_gain_is_positive_where_a_trial_does_better(metric: str, value: float, base: float, wanted: float) -> None:
    assert gain(metric, value, base) == pytest.approx(wanted)


def test_a_target_is_identified_if_it_is_the_nearest_of_its_gallery() -> None:
    row = {"outcome": "ok", "psnr_db": 12.0, "rank_psnr_db": 1}
    assert scores_of(row) == {"psnr_db": 12.0, "identified": 1.0}
    assert scores_of(row | {"rank_psnr_db": 2})["identified"] == 0.0
    assert "identified" not in scores_of(row | {"rank_psnr_db": None})
    assert scores_of(row | {"outcome": "diverged"}) == {}


@pytest.mark.parametrize(
    ("objective", "metrics", "message"),
    [
        ("oracle", ["matching_loss"], "--objective observable"),
        ("oracle", ["seconds", "psnr_db"], "put it behind one"),
        ("observable", ["psnr_db", "ssim"], "--objective both"),
        ("oracle", ["ssim", "ssim"], "twice"),
    ],
)
def test_metrics_that_do_not_suit_an_objective_are_refused(objective: str, metrics: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_objective(objective, metrics)


def test_an_attacker_steers_by_what_an_attacker_sees(plan: StudyPlan) -> None:
    several = replace(plan, other_metrics=("ssim", "seconds"))
    assert steering_metrics(several, "oracle") == ("psnr_db", "ssim", "seconds")
    assert steering_metrics(several, "observable") == ("matching_loss", "seconds")


def test_a_front_holds_exactly_what_nothing_beats() -> None:
    stream, front = random.Random(0), Front()
    points = {trial: (stream.randrange(6), stream.randrange(6)) for trial in range(60)}
    for trial, values in points.items():
        front.add(trial, values)
    beaten = {
        values
        for values in points.values()
        if any(a >= values[0] and b >= values[1] and (a, b) != values for a, b in points.values())
    }
    assert sorted(front.values.values()) == sorted(set(points.values()) - beaten)
    assert front.values[front.end(0) or 0][0] == max(a for a, _ in points.values())
    assert front.values[front.end(1) or 0][1] == max(b for _, b in points.values())


def test_the_observable_search_ends_where_the_matching_loss_is_least(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(replace(plan, objective="observable"), ledger, trials=45)
    jobs = {job.trial: job for job in play(search, ledger)}
    finalists = choose_finalists(search.plan, ledger, by_domain=False)
    best = finalists["observable"]
    assert losing(jobs[best]) == min(map(losing, jobs.values()))
    assert search.improvement(best) == pytest.approx(math.log(losing(jobs[0]) / losing(jobs[best])))
    assert finalists["oracle"] == max(jobs, key=lambda trial: jobs[trial].params.get("lr_first", 0.0))
    assert search.published == {"photo-0": 10.0, "sketch-0": 10.0}, "what is reported stays leakage"


@pytest.mark.parametrize("sampler", ["tpe", "nsga3", "auto"])
def test_several_metrics_give_a_front_that_the_finalists_end(sampler: str, plan: StudyPlan, ledger: Ledger) -> None:
    plan = replace(plan, other_metrics=("matching_loss",), sampler=sampler)
    search = Search(plan, ledger, trials=32)
    jobs = {job.trial: job for job in play(search, ledger)}
    assert {trial.number for trial in search.study.best_trials} >= search.front.values.keys()
    finalists = choose_finalists(search.plan, ledger, by_domain=False)
    assert finalists["oracle"] == max(jobs, key=lambda trial: jobs[trial].params.get("lr_first", 0.0))
    assert finalists["front_matching_loss"] == min(jobs, key=lambda trial: losing(jobs[trial]))
    again = Search(plan, ledger, trials=32)
    assert again.front.values == search.front.values
    assert choose_finalists(again.plan, ledger, by_domain=False) == finalists


def test_a_stopped_trial_is_pruned_with_its_value_so_far_and_done_for_good(ledger: Ledger, tmp_path: Path) -> None:
    options = ["--space", "ood", *SMALL, "--targets-per-domain", "8", "--results", str(tmp_path / "none")]
    plan = read_options(options).plan
    assert plan.num_blocks("search") == 2
    search = Search(plan, ledger, trials=4)
    play(search, ledger, count=2)
    job = search.next_job()
    assert job is not None
    commit(plan, ledger, job, psnr_db=99.0, blocks=1)
    search.finish(job, stopped=True)
    told = search.study.trials[job.trial]
    assert told.state == TrialState.PRUNED
    assert told.intermediate_values == {1: pytest.approx(89.0)}
    row = ledger.trial_row("search", job.trial)
    assert row is not None
    assert row["outcome"] == search.outcomes[job.trial] == "stopped"
    for again in (search, Search(plan, ledger, trials=4)):
        assert again.outcomes[job.trial] == "stopped"
        assert again.improvement(job.trial) is None
        assert job.trial not in choose_finalists(again.plan, ledger, by_domain=False).values()
    (ledger.results / "optuna.journal").unlink()
    rebuilt = Search(plan, ledger, trials=4)
    assert rebuilt.outcomes[job.trial] == "stopped"
    assert rebuilt.study.trials[job.trial].state == TrialState.PRUNED
    assert [other.trial for other in play(rebuilt, ledger)] == [3]


def test_a_stopped_trial_of_several_metrics_reports_nothing(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(replace(plan, other_metrics=("seconds",)), ledger, trials=3)
    play(search, ledger, count=1)
    job = search.next_job()
    assert job is not None
    search.finish(job, stopped=True)
    assert search.study.trials[job.trial].state == TrialState.PRUNED
    assert play(search, ledger)[-1].trial == 2


def test_numbers_of_two_searches_never_collide_and_leave_no_hole() -> None:
    sides = [Numbering(shared=3, side=side, sides=2) for side in (0, 1)]
    numbers = [[side.trial(place) for place in range(8)] for side in sides]
    assert numbers[0][:3] == numbers[1][:3] == [0, 1, 2]
    assert sorted(numbers[0][3:] + numbers[1][3:]) == list(range(3, 13))
    for side, own in zip(sides, numbers, strict=True):
        assert [side.place(trial) for trial in own] == list(range(8))
    assert sides[0].place(numbers[1][5]) is None


@pytest.mark.parametrize("cuts", [(), (0, 1, 4, 12, 15, 20)])
def test_both_searches_take_turns_in_one_ledger_and_each_finds_its_own(
    cuts: tuple[int, ...], plan: StudyPlan, ledger: Ledger
) -> None:
    plan, trials = replace(plan, objective="both"), 40
    jobs: list[Job] = []
    for stop in (*cuts, trials):
        search = open_search(plan, ledger, trials=trials)
        jobs += play(search, ledger, count=stop - len(jobs))
    assert isinstance(search, BothSearches)
    assert [job.trial for job in jobs] == list(range(trials)), "in turn, none twice"
    shared = search.oracle.numbering.shared
    later = {side: [job for job in jobs[shared:] if (job.trial - shared) % 2 == side] for side in (0, 1)}
    assert sum(losing(job) for job in later[1]) < sum(losing(job) for job in later[0])
    finalists = choose_finalists(search.plan, ledger, by_domain=False)
    of_oracle, of_observable = ({job.trial: job for job in [*jobs[:shared], *later[side]]} for side in (0, 1))
    assert finalists["oracle"] == max(of_oracle, key=lambda trial: of_oracle[trial].params.get("lr_first", 0.0))
    assert finalists["observable"] == min(of_observable, key=lambda trial: losing(of_observable[trial]))
    for one in (search.oracle, search.observable):
        assert {trial.state for trial in one.study.trials} == {TrialState.COMPLETE}, "no phantom is left running"
    assert search.finished == trials
    assert not search.waits


def test_both_searches_ask_ahead_without_a_trial_lost_or_doubled(
    plan: StudyPlan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.search.search.AHEAD_FROM", 14)
    search = BothSearches(replace(plan, objective="both"), ledger, trials=30)
    jobs = []
    for job in jobs_of(search):
        finish(search, ledger, job)
        jobs.append(job.trial)
    assert sorted(jobs) == list(range(30))
    search.oracle.clerk.do(lambda: None).result()
    for one in (search.oracle, search.observable):
        assert {trial.state for trial in one.study.trials} == {TrialState.COMPLETE}


def test_a_shared_trial_that_fails_for_good_is_given_up_by_both(plan: StudyPlan, ledger: Ledger) -> None:
    plan = replace(plan, objective="both")
    search = BothSearches(plan, ledger, trials=4)
    play(search, ledger, count=1)
    for _ in range(3):
        job = search.next_job()
        assert job is not None
        search.finish(job, failure="boom")
        search.oracle.failures.clear()
        if job.trial != 1:
            break
    while 1 not in search.outcomes:
        job = search.next_job()
        assert job is not None
        search.oracle.failures.clear()
        if job.trial == 1:
            search.finish(job, failure="boom")
        else:
            finish(search, ledger, job)
    play(search, ledger)
    for one in (search.oracle, search.observable, BothSearches(plan, ledger, trials=4).observable):
        assert one.study.trials[1].state == TrialState.FAIL
        assert one.outcomes[1] == "error"
