"""The benchmark of a whole trial, in the short; and that a worker holds no more after many trials than after a few."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.trial import MIB, WARM_UP, job_of, plan_of, resident_after_trials
from study.plan import StudyPlan

ROOT = Path(__file__).parent.parent.parent
WITHOUT_RAY = "import sys; sys.modules |= {'ray': None, 'optuna': None}; from benchmarks.trial import main; main()"


@pytest.fixture
def plan() -> StudyPlan:
    return plan_of("lenet", budget=24, targets=1)


def test_it_measures_a_trial_where_neither_ray_nor_optuna_is_installed() -> None:
    """The worker's code, `study.trial` and `study.bench`, needs neither."""
    command = [sys.executable, "-c", WITHOUT_RAY, "--victims=lenet", "--budget=8", "--targets=1", "--alone=0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["seconds"]) == 1
    assert 0 < found["seconds"][0] < 60
    assert 0 < found["before"] <= found["peak"]


def test_trial_0_is_the_published_recipe_and_the_others_are_drawn(plan: StudyPlan) -> None:
    published, *drawn = (job_of(plan, trial) for trial in range(4))
    assert plan.configure(published.params, origin=published.origin) == plan.search_space.published(
        plan.task_info.generator_shape, budget=24
    )
    configs = [plan.configure(job.params, origin=job.origin) for job in drawn]
    assert len({config.stages for config in configs}) == 3
    assert job_of(plan, 2) == drawn[1]


@pytest.mark.slow
def test_a_worker_holds_no_more_after_many_trials_than_after_a_few(plan: StudyPlan) -> None:
    """To keep what every attack returns, and nothing else, would come to 5 MiB (measured)."""
    held = resident_after_trials(plan, trials=4 * WARM_UP)
    assert held[-1] - held[WARM_UP - 1] < 3 * MIB  # measured: under 1
