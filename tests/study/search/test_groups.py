"""Groups of configs that run as one computation: what is asked together, handed out together, and after a kill."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from study.farm.source import FixedJobs
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search import search as search_module
from study.search.beginning import Beginning
from study.search.both import BothSearches
from study.search.groups import Groups
from study.search.journal import CREATE_TRIAL, JOURNAL
from study.search.samplers.registry import CHOOSERS, Chooser, nsga3
from study.search.search import Search
from tests.study.rows import commit
from tests.study.search.test_asking import new_ledger, score

SIZE = 4


@pytest.fixture
def fused(plan: StudyPlan) -> StudyPlan:
    return replace(plan, configs_per_trial=SIZE)


def batches_of(search: Search | BothSearches) -> Iterator[list[Job]]:
    """What a farm of one worker takes, one batch after another."""
    while search.waits:
        job = first = search.next_job()
        batch = []
        while job is not None:
            batch.append(job)
            assert first is not None
            job = search.next_job(beside=first) if len(batch) < search.plan.configs_per_trial else None
        if batch:
            yield batch
        else:
            time.sleep(0.001)


def play(search: Search | BothSearches, ledger: Ledger, *, count: int | None = None) -> list[list[Job]]:
    """Play one worker for so many batches."""
    done: list[list[Job]] = []
    for batch in batches_of(search):
        if len(done) == count:
            break  # handed out, and then the driver is killed
        for job in batch:
            commit(search.plan, ledger, job, psnr_db=score(job))
        for job in batch:
            search.finish(job)
        done.append(batch)
    return done


def key(plan: StudyPlan, job: Job) -> Hashable:
    return plan.configure(job.params, origin=job.origin).fuse_key


def test_every_batch_can_run_as_one_computation(fused: StudyPlan, ledger: Ledger) -> None:
    search = Search(fused, ledger, trials=48)
    batches = play(search, ledger)
    assert [job.trial for batch in batches for job in batch] == list(range(48))
    assert all(len({key(fused, job) for job in batch}) == 1 for batch in batches)
    after = [batch for batch in batches if batch[0].trial >= search.beginning.end]
    assert {len(batch) for batch in after[:-1]} == {SIZE}
    assert len({key(fused, batch[0]) for batch in after}) > 2, "all batches have one schedule"


def test_of_a_group_the_schedule_is_shared_and_the_rest_is_chosen_anew(fused: StudyPlan, ledger: Ledger) -> None:
    search = Search(fused, ledger, trials=48)
    for batch in play(search, ledger):
        if batch[0].trial > search.beginning.end:  # that one may be asked with all changes that helped
            assert len({str(fused.search_space.schedule_of(job.params)) for job in batch}) == 1
            assert len({job.params["lr_first"] for job in batch}) == len(batch)
            assert len({job.origin for job in batch}) == 1
    for trial in search.study.trials[1:]:
        assert trial.params == {
            name: pytest.approx(value) for name, value in search.job_of(trial.number)["params"].items()
        }


def test_a_search_of_single_configs_hands_out_nothing_beside_another(plan: StudyPlan, ledger: Ledger) -> None:
    assert [len(batch) for batch in play(Search(plan, ledger, trials=30), ledger)] == [1] * 30


@pytest.mark.parametrize("size", [1, 2, 3, 64])
def test_a_beginning_is_in_runs_of_equal_keys_and_the_rest_in_full_groups(plan: StudyPlan, size: int) -> None:
    plan = replace(plan, configs_per_trial=size)
    beginning = Beginning(plan)
    groups, end = Groups(plan, beginning), beginning.end
    place, sizes = 0, []
    while place < end + 3 * size:
        group = groups.of(place)
        assert all(groups.of(other) == group for other in group)
        assert group.start == place, "groups neither leave places out nor share them"
        assert group.stop <= end or group.start >= end
        keys = {
            plan.configure(params, origin=origin).fuse_key
            for origin, params in filter(None, map(beginning.planned, group))
        }
        assert len(keys) <= 1
        sizes.append(len(group))
        place = group.stop
    assert sizes[-3:] == [size] * 3
    assert sizes[0] == min(size, 2), "the recipe and its likeness have one schedule"


@pytest.mark.parametrize("ahead_from", [10_000, 12], ids=["as needed", "ahead"])
@pytest.mark.parametrize("sampler", ["auto", "nsga3", "qmc"])
def test_a_search_killed_between_batches_asks_what_it_would_have_asked(
    sampler: str, ahead_from: int, fused: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "AHEAD_FROM", ahead_from)
    monkeypatch.setattr("study.search.samplers.genetic.POPULATION", 4)
    monkeypatch.setitem(CHOOSERS, "nsga3", Chooser(nsga3, 4))
    plan, trials = replace(fused, sampler=sampler), 40
    whole = new_ledger(tmp_path / "whole")
    expected = {
        job.trial: dict(job.params) for batch in play(Search(plan, whole, trials=trials), whole) for job in batch
    }

    asked: dict[int, dict[str, float]] = {}
    ledger = new_ledger(tmp_path / "0")
    for cut, count in enumerate((0, 1, 3, 1, 2, None)):
        batches = play(Search(plan, ledger, trials=trials), ledger, count=count)
        asked |= {job.trial: dict(job.params) for batch in batches for job in batch}
        ledger = copy(ledger, tmp_path / str(cut + 1))
    assert asked == expected


@pytest.mark.parametrize("ahead_from", [10_000, 12], ids=["as needed", "ahead"])
@pytest.mark.parametrize(("committed", "told"), [(1, 0), (3, 2), (4, 0)])
def test_a_search_killed_within_a_batch_asks_what_it_would_have_asked(
    committed: int, told: int, ahead_from: int, fused: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "AHEAD_FROM", ahead_from)
    whole = new_ledger(tmp_path / "whole")
    expected = [dict(job.params) for batch in play(Search(fused, whole, trials=36), whole) for job in batch]

    asked: dict[int, dict[str, float]] = {}
    ledger = new_ledger(tmp_path / "0")
    for cut in range(12):
        search = Search(fused, ledger, trials=36)
        batches = batches_of(search)
        for ended, heard in ((SIZE, SIZE), (committed, told)):  # a whole batch, and one in which the driver is killed
            batch = next(batches, [])
            for job in batch[:ended]:
                commit(fused, ledger, job, psnr_db=score(job))
            for job in batch[:heard]:
                search.finish(job)
            asked |= {job.trial: dict(job.params) for job in batch}
        search.clerk.do(lambda: None).result()
        ledger = copy(ledger, tmp_path / str(cut + 1))
    asked |= {job.trial: dict(job.params) for batch in play(Search(fused, ledger, trials=36), ledger) for job in batch}
    rows = [ledger.trial_row("search", trial) for trial in range(36)]
    assert [row["params"] for row in rows if row is not None] == expected
    assert all(asked[trial] == expected[trial] for trial in asked)


def copy(ledger: Ledger, folder: Path) -> Ledger:
    """What a kill at this moment leaves."""
    shutil.copytree(ledger.results, folder)
    return Ledger(folder)


def test_any_cut_of_the_journal_can_be_continued(fused: StudyPlan, ledger: Ledger) -> None:
    plan = replace(fused, fixed=(("balls", 0.0), ("lr_last", 0.1), ("steps_tilt", 1.0), ("tv_weight", 1e-4)))
    trials = Beginning(plan).end + 6
    play(Search(plan, ledger, trials=trials), ledger)
    journal = ledger.results / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    params = {number: (ledger.trial_row("search", number) or {})["params"] for number in range(trials)}
    for kept in range(len(lines)):
        journal.write_text("".join(lines[:kept]))
        again = Search(plan, ledger, trials=trials)
        assert again.next_job() is None, kept
        assert {trial.state for trial in again.study.trials} == {TrialState.COMPLETE}, kept
        assert {n: (ledger.trial_row("search", n) or {})["params"] for n in range(trials)} == params, kept


def test_a_driver_killed_while_it_asks_for_a_group_completes_it(
    fused: StudyPlan, ledger: Ledger, tmp_path: Path
) -> None:
    search = Search(fused, ledger, trials=search_end(fused) + 2 * SIZE)
    play(search, ledger)
    lines = (ledger.results / JOURNAL).read_text().splitlines(keepends=True)
    asks = [place for place, line in enumerate(lines) if json.loads(line)["op_code"] == CREATE_TRIAL]
    first = asks[search.beginning.end + SIZE]  # the first line of the last group
    for kept in range(first, first + SIZE + 1):
        cut = new_ledger(tmp_path / f"cut-{kept}")
        for table in ("trials", "reconstructions"):
            for path in (ledger.results / table).glob("search-*.parquet"):
                if int(path.name.split("-")[1].split(".")[0]) < search.beginning.end + SIZE:
                    shutil.copy(path, cut.results / table)
        (cut.results / JOURNAL).write_text("".join(lines[:kept]))
        again = Search(fused, cut, trials=search.trials)
        (batch,) = batches_of(again)
        assert [(job.trial, job.params) for job in batch] == [
            (trial, search.job_of(trial)["params"]) for trial in range(search.trials - SIZE, search.trials)
        ]


def search_end(plan: StudyPlan) -> int:
    return Beginning(plan).end


@pytest.mark.parametrize("size", [1, 3, 8])
def test_no_more_than_the_stated_share_is_random(plan: StudyPlan, tmp_path: Path, size: int) -> None:
    ledger = new_ledger(tmp_path / "results")
    fused = replace(plan, random_share=0.25, configs_per_trial=size)
    search = Search(fused, ledger, trials=search_end(fused) + 48)
    jobs = [job for batch in play(search, ledger) for job in batch][search.beginning.end :]
    random = sum(job.origin == "random" for job in jobs)
    assert 12 - size < random <= 12


def test_jobs_that_come_back_go_alone(fused: StudyPlan, ledger: Ledger) -> None:
    search = Search(fused, ledger, trials=30)
    first, second, third = (next(batches_of(search)) for _ in range(3))
    assert max(len(first), len(second), len(third)) > 1
    for job in (*first, *second):
        search.put_back(job)
    again = [next(batches_of(search)) for _ in (*first, *second)]
    assert [[job.trial for job in batch] for batch in again] == [[job.trial] for job in (*first, *second)]
    assert all(job.attempt == 2 for batch in again for job in batch)


def test_one_job_that_fails_takes_no_other_along(fused: StudyPlan, ledger: Ledger) -> None:
    search = Search(fused, ledger, trials=search_end(fused) + SIZE)
    bad = search_end(fused) + 1
    for batch in batches_of(search):
        if bad in {job.trial for job in batch} and len(batch) > 1:  # what the farm does with several
            for job in batch:
                search.put_back(job)
            continue
        for job in batch:
            if job.trial == bad:
                search.finish(job, failure="RuntimeError: boom")
            else:
                commit(fused, ledger, job, psnr_db=score(job))
                search.finish(job)
    assert {trial for trial, outcome in search.outcomes.items() if outcome != "ok"} == {bad}
    assert search.finished == search.trials


def test_a_finished_search_is_extended_within_a_group(fused: StudyPlan, ledger: Ledger) -> None:
    end = search_end(fused)
    play(Search(fused, ledger, trials=end + 2), ledger)
    (rest, *_) = play(Search(fused, ledger, trials=end + 3 * SIZE), ledger)
    assert [job.trial for job in rest] == [end + 2, end + 3]
    first = ledger.trial_row("search", end)
    assert first is not None
    assert all(key(fused, job) == fused.configure(first["params"], origin="search").fuse_key for job in rest)


@pytest.mark.parametrize("trials", [5, 31])
def test_both_searches_have_groups_of_their_own(fused: StudyPlan, ledger: Ledger, trials: int) -> None:
    plan = replace(fused, objective="both")
    play(BothSearches(plan, ledger, trials=trials), ledger)
    search = BothSearches(plan, ledger, trials=48)
    batches = play(search, ledger)
    assert search.finished == 48
    assert search.oracle.finished + search.observable.finished == 48 + search_end(plan)
    assert all(len({key(plan, job) for job in batch}) == 1 for batch in batches)
    sides = [{search._owner(job.trial).objective for job in batch} for batch in batches]
    assert all(len(side) == 1 for side in sides)
    assert {"oracle"} in sides
    assert {"observable"} in sides


def test_jobs_of_a_list_run_together_in_one_phase_and_with_one_schedule(fused: StudyPlan, ledger: Ledger) -> None:
    space, shape = fused.search_space, fused.task_info.generator_shape
    alike = [space.point({"lr_first": lr}, shape, budget=fused.budget) for lr in (0.05, 0.1, 0.2)]
    other = space.point({"end_layer": 0}, shape, budget=fused.budget)
    jobs = [
        Job(phase=phase, trial=trial, attempt=1, origin="search", params=params)
        for trial, (phase, params) in enumerate(
            [("search", alike[0]), ("search", alike[1]), ("test", alike[2]), ("test", other)]
        )
    ]
    source = FixedJobs(jobs, fused, ledger)
    first = source.next_job()
    assert first is not None
    second = source.next_job(beside=first)
    assert second is not None
    assert source.next_job(beside=first) is None, "another phase has other targets"
    third = source.next_job()
    assert third is not None
    assert source.next_job(beside=third) is None, "another schedule"
    source.next_job()
    for job in (first, second):
        source.put_back(job)
    assert source.next_job() == first
    assert source.next_job(beside=first) is None, "jobs that come back go alone"
