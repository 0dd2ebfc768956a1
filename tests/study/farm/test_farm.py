"""The farm with real Ray, a real ledger and workers that really hang, die and run out of disk."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.trivial import TrivialTrainable
from study.farm import farm
from study.farm.farm import FixedJobs, cluster, run_jobs
from study.farm.supervision import FarmError
from study.farm.worker import JobTrainable
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.search import Search

pytestmark = pytest.mark.slow
WORKERS = 2


class Misfortune(TrivialTrainable):
    """Something happens to trial 1 in its first attempt; who ran what is noted beside the ledger."""

    def run_block(self, job: Job, block: int) -> None:
        note(self.ledger.results, f"{job.trial}-{job.attempt}-{block}-{os.getpid()}-{self.max_rows}")
        if job.trial == 1 and len(noted(self.ledger.results, trial=1)) == 1:
            self.befall(job)
        super().run_block(job, block)

    def befall(self, job: Job) -> None:
        raise NotImplementedError


class Hangs(Misfortune):
    def befall(self, job: Job) -> None:
        sum(range(10**13))  # holds the interpreter lock, as a hanging call into C may


class Dies(Misfortune):
    def befall(self, job: Job) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class LosesItsDevice(Misfortune):
    def befall(self, job: Job) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")


class FillsTheDisk(TrivialTrainable):
    def run_block(self, job: Job, block: int) -> None:
        if job.trial == 1 and not (self.ledger.results / "room").exists():
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            super().run_block(job, block)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class AlwaysHangs(JobTrainable):
    def run_block(self, job: Job, block: int) -> None:
        time.sleep(10**6)


class AlwaysDies(JobTrainable):
    def run_block(self, job: Job, block: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def note(results: Path, name: str) -> None:
    (results / "notes").mkdir(exist_ok=True)
    (results / "notes" / f"{name}-{time.monotonic_ns()}").touch()


def noted(results: Path, *, trial: int) -> list[list[str]]:
    """What was noted of a trial, in order: [trial, attempt, block, pid, max_rows, time]."""
    notes = [path.name.split("-") for path in (results / "notes").iterdir()]
    return sorted((entry for entry in notes if entry[0] == str(trial)), key=lambda entry: int(entry[5]))


def jobs(count: int) -> list[Job]:
    return [Job(phase="search", trial=trial, attempt=1, origin="published", params={}) for trial in range(count)]


@pytest.fixture(scope="module")
def workers() -> Iterator[int]:
    with cluster(None, max_concurrent=WORKERS) as count:
        yield count


def run(
    kind: type[JobTrainable],
    plan: StudyPlan,
    ledger: Ledger,
    workers: int,
    *,
    count: int = 4,
    block_timeout: float = 4.0,
) -> FixedJobs:
    waiting = [job for job in jobs(count) if not ledger.is_complete("search", job.trial, blocks=1)]
    source = FixedJobs(waiting, plan, ledger)
    run_jobs(
        source,
        plan,
        ledger,
        pictures_folder=None,
        max_concurrent=workers,
        block_timeout=block_timeout,
        trainable=kind,
    )
    return source


def test_a_hanging_worker_is_ended_and_its_job_tried_again(plan: StudyPlan, ledger: Ledger, workers: int) -> None:
    assert run(Hangs, plan, ledger, workers).done == 4
    first, second = noted(ledger.results, trial=1)
    assert (first[1], second[1]) == ("1", "2")
    assert first[3] != second[3], "the worker that hung was used again"


def test_a_job_that_always_hangs_fails_with_the_place_it_hangs_in(
    plan: StudyPlan, ledger: Ledger, workers: int
) -> None:
    with pytest.raises(RuntimeError, match=r"took more than 2 s .*line .* in run_block"):
        run(AlwaysHangs, plan, ledger, workers, count=1, block_timeout=2.0)


def test_a_killed_worker_costs_its_job_nothing_but_time(plan: StudyPlan, ledger: Ledger, workers: int) -> None:
    assert run(Dies, plan, ledger, workers).done == 4
    first, second = noted(ledger.results, trial=1)
    assert (first[1], second[1]) == ("1", "1"), "a death was counted as a failure of the job"
    assert (first[4], second[4]) == ("None", "1"), "the job was not given fewer rows after its worker died"


def test_a_worker_that_lost_its_device_is_not_used_again(plan: StudyPlan, ledger: Ledger, workers: int) -> None:
    assert run(LosesItsDevice, plan, ledger, workers, count=6).done == 6
    first, second = noted(ledger.results, trial=1)
    assert second[1] == "2"
    after = [entry for trial in range(6) for entry in noted(ledger.results, trial=trial) if entry[5] > first[5]]
    assert first[3] not in {entry[3] for entry in after}


def test_a_full_disk_stops_the_study_with_everything_saved(plan: StudyPlan, ledger: Ledger, workers: int) -> None:
    with pytest.raises(FarmError, match=r"cannot be written .*File too large"):
        run(FillsTheDisk, plan, ledger, workers)
    done = [trial for trial in range(4) if ledger.is_complete("search", trial, blocks=1)]
    assert 0 in done
    assert 1 not in done
    assert not list(ledger.results.glob("*/.*partial"))
    (ledger.results / "room").touch()
    run(FillsTheDisk, plan, ledger, workers)
    assert all(ledger.is_complete("search", trial, blocks=1) for trial in range(4))


def test_workers_that_always_die_end_the_study_with_the_first_reason(
    plan: StudyPlan, ledger: Ledger, workers: int
) -> None:
    with pytest.raises((FarmError, RuntimeError), match="died"):
        run(AlwaysDies, plan, ledger, workers)


def test_a_fresh_tuner_goes_on_where_the_last_one_ended(
    plan: StudyPlan, ledger: Ledger, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farm, "TRIALS_PER_TUNER", 3)
    assert run(TrivialTrainable, plan, ledger, workers, count=8).done == 8
    assert all(ledger.is_complete("search", trial, blocks=1) for trial in range(8))


class DiesBeside(TrivialTrainable):
    """A worker of several jobs is killed in their second block, when the first of them is committed."""

    def run_block(self, job: Job, block: int) -> None:
        note(self.ledger.results, f"{job.trial}-{job.attempt}-{block}-{os.getpid()}-{len(self.jobs)}")
        if block == 1 and len(self.jobs) > 1 and job is self.jobs[1] and not (self.ledger.results / "fell").exists():
            (self.ledger.results / "fell").touch()
            self.befall()
        super().run_block(job, block)

    def befall(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class HangsBeside(DiesBeside):
    def befall(self) -> None:
        sum(range(10**13))


class LosesItsDeviceBeside(DiesBeside):
    def befall(self) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")


class OneFails(TrivialTrainable):
    """Whatever runs trial 1, which is one of a group, fails."""

    def run_block(self, job: Job, block: int) -> None:
        if job.trial == 1:
            raise RuntimeError("boom")
        super().run_block(job, block)


@pytest.mark.parametrize("kind", [DiesBeside, HangsBeside, LosesItsDeviceBeside])
def test_what_befalls_a_worker_of_several_jobs_costs_them_time_only(
    plan: StudyPlan, ledger: Ledger, workers: int, kind: type[JobTrainable]
) -> None:
    fused = replace(plan, configs_per_trial=3, targets_per_domain=12, sampler="random")
    search = Search(fused, ledger, trials=24)
    run_jobs(search, fused, ledger, pictures_folder=None, max_concurrent=workers, block_timeout=4.0, trainable=kind)
    assert search.outcomes == dict.fromkeys(range(24), "ok")
    assert (ledger.results / "fell").exists()
    entries = [entry for trial in range(24) for entry in noted(ledger.results, trial=trial)]
    again = {entry[0] for entry in entries if entry[1] == "2"}
    assert len(again) in (2, 3), "other jobs than those of the worker were run again"
    assert {entry[4] for entry in entries if entry[1] == "2"} == {"1"}, "they did not go alone"
    assert {entry[4] for entry in entries if entry[1] == "1"} == {"1", "2", "3"}
    rows = [row for trial in range(24) for row in ledger.rows("search", trial, blocks=3)]
    assert len(rows) == len({(row["trial"], row["target_id"]) for row in rows}) == 24 * 24


def test_of_several_jobs_only_the_one_that_fails_is_given_up(plan: StudyPlan, ledger: Ledger, workers: int) -> None:
    fused = replace(plan, configs_per_trial=3)
    search = Search(fused, ledger, trials=9)
    assert len(search.groups.of(1)) > 1
    run_jobs(search, fused, ledger, pictures_folder=None, max_concurrent=workers, trainable=OneFails)
    assert {trial for trial, outcome in search.outcomes.items() if outcome != "ok"} == {1}
    row = ledger.trial_row("search", 1)
    assert row is not None
    assert (row["outcome"], row["message"]) == ("error", "RuntimeError: boom")


@pytest.mark.parametrize("rule", ["on", "asha", "median"])
def test_racing_stops_bad_trials_only_and_the_search_goes_on(
    plan: StudyPlan, ledger: Ledger, workers: int, rule: str
) -> None:
    """Scores of `TrivialTrainable` rise with `lr_first`, their luck is small; 12 steered targets in three blocks."""
    raced = replace(plan, racing=rule, targets_per_domain=12, sampler="random")
    for trials in (12, 16):  # the second is a restart, with what the ledger knows of the first
        search = Search(raced, ledger, trials=trials)
        run_jobs(search, raced, ledger, pictures_folder=None, max_concurrent=workers, trainable=TrivialTrainable)
        assert search.finished == trials
    rows = [ledger.trial_row("search", trial) for trial in range(16)]
    skill = [row["params"].get("lr_first", 0.0) for row in rows if row is not None]
    stopped = [trial for trial, row in enumerate(rows) if row is not None and row["outcome"] == "stopped"]
    assert stopped
    assert 0 not in stopped
    assert skill.index(max(skill)) not in stopped
    assert all(not ledger.has_block("search", trial, 2) for trial in stopped)
    assert all(ledger.is_complete("search", trial, blocks=3) for trial in set(range(16)) - set(stopped))
