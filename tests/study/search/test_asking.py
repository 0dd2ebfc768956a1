"""Every sampler, asked as it is needed and ahead of need: what is asked, and what a restart asks."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from study.job import Job
from study.ledger import Ledger
from study.plan import SAMPLERS, StudyPlan
from study.search import search as search_module
from study.search.both import BothSearches
from study.search.samplers.registry import CHOOSERS, Chooser, nsga3
from study.search.search import Search
from tests.study.rows import commit


def new_ledger(folder: Path) -> Ledger:
    ledger = Ledger(folder)
    ledger.create()
    return ledger


def jobs_of(search: Search | BothSearches) -> Iterator[Job]:
    """The jobs of a search, one after another, waiting for those that are made ahead."""
    while search.waits:
        job = search.next_job()
        if job is None:
            time.sleep(0.001)
        else:
            yield job


def score(job: Job) -> float:
    return 10 + 10 * job.params.get("lr_first", 0.0) - job.params.get("balls", 0.0)


def play(search: Search, ledger: Ledger, *, count: int | None = None) -> list[Job]:
    """Play one worker."""
    jobs: list[Job] = []
    for job in jobs_of(search):
        if len(jobs) == count:
            break  # handed out, and then the driver is killed
        commit(search.plan, ledger, job, psnr_db=score(job))
        search.finish(job)
        jobs.append(job)
    return jobs


def test_every_name_of_a_sampler_has_one() -> None:
    assert set(SAMPLERS) == CHOOSERS.keys()


@pytest.mark.parametrize("ahead_from", [10_000, 12], ids=["as needed", "ahead"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_killed_search_asks_what_it_would_have_asked(
    sampler: str, ahead_from: int, plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "AHEAD_FROM", ahead_from)
    monkeypatch.setattr("study.search.samplers.genetic.POPULATION", 4)
    monkeypatch.setitem(CHOOSERS, "nsga3", Chooser(nsga3, 4))
    monkeypatch.setattr("study.search.asking.SLOW_ASK_SECONDS", 0.0)
    monkeypatch.setattr("study.search.asking.SLOW_ASKS", 1)  # auto turns to its window at once
    monkeypatch.setattr("study.search.samplers.window.NUM_RECENT", 5)
    monkeypatch.setattr("study.search.samplers.window.NUM_BEST", 3)
    plan, trials = replace(plan, sampler=sampler), 26
    whole = new_ledger(tmp_path / "whole")
    expected = {job.trial: dict(job.params) for job in play(Search(plan, whole, trials=trials), whole)}

    asked: dict[int, dict[str, float]] = {}
    ledger = new_ledger(tmp_path / "0")
    for cut, count in enumerate((1, 10, 1, 2, 4, 3, None)):
        jobs = play(Search(plan, ledger, trials=trials), ledger, count=count)
        asked |= {job.trial: dict(job.params) for job in jobs}
        folder = tmp_path / str(cut + 1)
        shutil.copytree(ledger.results, folder)  # what a kill at this moment leaves
        ledger = Ledger(folder)
    assert asked == expected


@pytest.mark.parametrize("sampler", ["nsga3", "tpe"])
def test_a_sampler_that_learns_finds_better_settings_than_it_began_with(
    sampler: str, plan: StudyPlan, tmp_path: Path
) -> None:
    ledger = new_ledger(tmp_path / "results")
    jobs = play(Search(replace(plan, sampler=sampler, random_share=0.0), ledger, trials=90), ledger)
    early = [score(job) for job in jobs if job.origin == "random"]
    late = [score(job) for job in jobs[-15:]]
    assert sum(late) / len(late) > sum(early) / len(early) + 0.5


def test_quasi_random_points_fill_a_range_evenly_and_go_on_after_the_beginning(plan: StudyPlan, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "results")
    search = Search(replace(plan, sampler="qmc"), ledger, trials=60)
    jobs = play(search, ledger)[search.beginning.end :][:32]
    assert {job.origin for job in jobs} == {"random"}
    allowed = dict(plan.parameters)["lr_first"]
    whole = math.log(allowed.high / allowed.low)
    places = Counter(int(8 * math.log(job.params["lr_first"] / allowed.low) / whole) for job in jobs)
    assert set(places.values()) == {4}, "a Sobol sequence puts equally many of 2**5 points in every eighth"


def test_a_share_is_random_and_says_so(plan: StudyPlan, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "results")
    search = Search(replace(plan, random_share=0.25), ledger, trials=58)
    jobs = play(search, ledger)[search.beginning.end :]
    random = [job for job in jobs if job.origin == "random"]
    assert len(random) == int(0.25 * len(jobs))
    row = ledger.trial_row("search", random[-1].trial)
    assert row is not None
    assert row["origin"] == "random"
    assert search.study.trials[random[-1].trial].user_attrs["job"]["origin"] == "random"


def test_what_is_drawn_before_a_sampler_knows_enough_is_random_and_counts_towards_the_share(
    plan: StudyPlan, tmp_path: Path
) -> None:
    ledger = new_ledger(tmp_path / "results")
    search = Search(replace(plan, random_share=0.2), ledger, trials=32)
    jobs = play(search, ledger)
    after = jobs[search.beginning.end :]
    assert [job.origin for job in after[:2]].count("random") >= 1
    assert sum(job.origin == "random" for job in after) == int(0.2 * len(after))


def test_an_ask_that_is_made_ahead_keeps_nobody_waiting(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "AHEAD_FROM", 3)
    ledger = new_ledger(tmp_path / "results")
    search = Search(plan, ledger, trials=9)
    slow, ask = 0.2, search.asker.ask

    def ask_slowly(*arguments: object) -> Job:
        time.sleep(slow)
        return ask(*arguments)  # type: ignore[arg-type]

    play(search, ledger, count=3)
    monkeypatch.setattr(search.asker, "ask", ask_slowly)
    waits = []
    for _ in range(20):
        begin = time.perf_counter()
        search.next_job()
        waits.append(time.perf_counter() - begin)
        time.sleep(0.01)
    assert max(waits) < slow / 2


def test_workers_that_end_together_find_a_job_each(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "AHEAD_FROM", 4)
    ledger = new_ledger(tmp_path / "results")
    search = Search(plan, ledger, trials=40)
    handed: list[Job] = []
    for job in jobs_of(search):
        handed.append(job)
        if len(handed) == 8:
            break
    search.clerk.do(lambda: None).result()
    for job in handed[:4]:
        commit(plan, ledger, job, psnr_db=10.0)
        search.finish(job)
    assert all(search.next_job() is not None for _ in range(4))


def test_a_failed_ask_is_not_swallowed(plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "AHEAD_FROM", 2)
    ledger = new_ledger(tmp_path / "results")
    search = Search(plan, ledger, trials=9)
    play(search, ledger, count=2)
    search.clerk.do(lambda: 1 / 0)
    search.clerk.do(lambda: None).result()
    with pytest.raises(ZeroDivisionError):
        search.next_job()


def test_slow_asks_turn_to_a_window_of_the_history_and_say_so_once(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.search.asking.SLOW_ASK_SECONDS", 0.0)
    monkeypatch.setattr("study.search.samplers.window.NUM_RECENT", 5)
    monkeypatch.setattr("study.search.samplers.window.NUM_BEST", 3)
    ledger, said = new_ledger(tmp_path / "results"), list[str]()
    search = Search(plan, ledger, trials=24, say=said.append)
    jobs = play(search, ledger, count=20)
    (line,) = said
    begins = search.study.user_attrs["window_from"]
    assert f"from trial {begins} on" in line
    third = [job.trial for job in jobs if job.trial >= search.beginning.end and job.origin == "search"][:4]
    assert begins in range(third[2], third[3] + 2)

    again = Search(plan, ledger, trials=24, say=said.append)
    play(again, ledger)
    assert len(said) == 1
    assert again.finished == 24


def test_a_window_holds_the_best_the_latest_and_those_that_run(
    plan: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.search.samplers.window import window_of

    monkeypatch.setattr("study.search.samplers.window.NUM_RECENT", 4)
    monkeypatch.setattr("study.search.samplers.window.NUM_BEST", 3)
    ledger = new_ledger(tmp_path / "results")
    search = Search(plan, ledger, trials=30)
    jobs = play(search, ledger, count=20)
    kept = {trial.number for trial in window_of(search.study.trials, search.study.directions)}
    best = sorted((job.trial for job in jobs), key=lambda trial: search.improvement(trial) or 0.0)[-3:]
    assert kept == {*best, 16, 17, 18, 19, 20}
