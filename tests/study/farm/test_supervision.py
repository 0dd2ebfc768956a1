from __future__ import annotations

import pytest

from study.farm.supervision import (
    LEAST_BLOCK_TIMEOUT,
    MOST_DEATHS_IN_A_ROW,
    MOST_DEATHS_OF_A_JOB,
    MOST_RESTARTS,
    TIMES_THE_MEDIAN,
    BlockTimes,
    FarmError,
    Supervisor,
)
from study.job import Job
from study.plan import StudyPlan

WORKERS = 2


def job(trial: int) -> Job:
    return Job(phase="search", trial=trial, attempt=1, origin="published", params={})


@pytest.fixture
def supervisor(plan: StudyPlan) -> Supervisor:
    return Supervisor(plan, BlockTimes.of(plan, said=None), workers=WORKERS)


def test_a_block_may_take_many_times_what_blocks_took(supervisor: Supervisor) -> None:
    times = supervisor.times
    assert times.limit() >= LEAST_BLOCK_TIMEOUT
    for seconds in (90.0, 100.0, 110.0):
        times.seconds.append(seconds)
    assert times.limit() == TIMES_THE_MEDIAN * 100.0


def test_short_blocks_leave_time_for_a_worker_to_begin(supervisor: Supervisor) -> None:
    supervisor.progress(0.01)
    assert supervisor.times.limit() == LEAST_BLOCK_TIMEOUT


def test_what_a_person_says_is_the_limit(plan: StudyPlan) -> None:
    times = BlockTimes.of(plan, said=7.0)
    times.seconds.append(1000.0)
    assert times.limit() == 7.0


def test_deaths_without_progress_end_the_study_with_the_first(supervisor: Supervisor) -> None:
    for trial in range(MOST_DEATHS_IN_A_ROW + WORKERS - 1):
        supervisor.died([job(trial)], f"problem {trial}")
    with pytest.raises(FarmError, match="7 workers died in a row; the first was at trial 0: problem 0"):
        supervisor.died([job(99)], "the last problem")


def test_a_block_done_in_between_is_progress(supervisor: Supervisor) -> None:
    for trial in range(10 * (MOST_DEATHS_IN_A_ROW + WORKERS)):
        supervisor.died([job(trial)], "killed")
        supervisor.progress(1.0)
    for _ in range(10 * MOST_RESTARTS):
        supervisor.ray_failed("memory")
        supervisor.progress(1.0)


def test_ray_may_fail_a_few_times_in_a_row(supervisor: Supervisor) -> None:
    for time in range(MOST_RESTARTS - 1):
        supervisor.ray_failed(f"time {time}")
    with pytest.raises(FarmError, match="the first time: time 0"):
        supervisor.ray_failed("the last time")


def test_a_job_that_costs_many_workers_is_counted_as_failed(supervisor: Supervisor) -> None:
    back = []
    for _ in range(MOST_DEATHS_OF_A_JOB):
        back.append(supervisor.died([job(1)], "killed"))
        supervisor.progress(1.0)
    assert back == [True] * (MOST_DEATHS_OF_A_JOB - 1) + [False]


def test_a_block_of_several_jobs_may_take_as_many_times_as_long(supervisor: Supervisor) -> None:
    times = supervisor.times
    assert times.limit(jobs=8) == 8 * times.limit()
    supervisor.progress(400.0, jobs=4)
    assert times.limit() == TIMES_THE_MEDIAN * 100.0
    assert times.limit(jobs=8) == 8 * times.limit()


def test_a_death_over_several_jobs_is_one_and_none_of_them_is_given_up_for_it(supervisor: Supervisor) -> None:
    several = [job(trial) for trial in range(MOST_DEATHS_IN_A_ROW + WORKERS)]
    assert supervisor.died(several, "killed")
    assert supervisor.deaths_in_a_row == 1
    for _ in range(MOST_DEATHS_OF_A_JOB - 1):
        assert supervisor.died(several, "killed"), "which of them it was shows when each is tried alone"
        supervisor.progress(1.0)
    assert not supervisor.died([job(1)], "killed")
    assert supervisor.limits([job(2)])["max_rows"] == 1
    assert supervisor.limits(several) == {"max_rows": None, "too_large": None}


def test_each_death_halves_the_rows_of_its_job_only(supervisor: Supervisor) -> None:
    rows = []
    for _ in range(3):
        rows.append(supervisor.limits([job(1)])["max_rows"])
        supervisor.died([job(1)], "killed")
    assert rows == [None, 1, 1]  # two targets
    assert supervisor.limits([job(2)]) == {"max_rows": None, "too_large": None}


def test_only_ray_s_word_makes_a_job_too_large(supervisor: Supervisor) -> None:
    for _ in range(3):
        supervisor.died([job(1)], "killed")
        supervisor.progress(1.0)
    assert supervisor.limits([job(1)])["too_large"] is None
    supervisor.killed_for_memory([job(2)])
    assert supervisor.limits([job(2)]) == {"max_rows": 1, "too_large": None}
    supervisor.killed_for_memory([job(2)])
    assert "killed for memory 2 times" in str(supervisor.limits([job(2)])["too_large"])
