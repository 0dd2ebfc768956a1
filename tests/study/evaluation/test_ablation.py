"""An ablation goes from the published recipe to the tuned settings, one change after another, each run anew."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from search_spaces.base import Draw
from study.evaluation.ablation import ORDER, PATH, ablate, point, steps_to
from study.farm.source import FixedJobs
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from tests.study.rows import commit


class Farm:
    """Commits jobs at once, with a score that a function gives; remembers what it ran."""

    def __init__(self, score: dict[str, float]) -> None:
        self.score, self.ran = score, list[Job]()

    def __call__(self, source: FixedJobs, plan: StudyPlan, ledger: Ledger) -> None:
        while (job := source.next_job()) is not None:
            self.ran.append(job)
            likeness = point(plan, {})
            gains = (self.score.get(name, 0.0) * (job.params[name] - likeness.get(name, 0.0)) for name in job.params)
            commit(plan, ledger, job, psnr_db=10.0 + sum(gains))
            source.finish(job)


def draw(plan: StudyPlan, seed: int) -> dict[str, float]:
    ask = Draw(random.Random(seed))
    plan.search_space.suggest(ask, plan.task_info.generator_shape, budget=plan.budget)
    return ask.params


def tune(plan: StudyPlan, ledger: Ledger, params: dict[str, float], *, trial: int = 5) -> int:
    commit(plan, ledger, Job(phase="search", trial=trial, attempt=1, origin="search", params=params), psnr_db=12.0)
    return trial


def path_of(results: Path) -> list[dict[str, object]]:
    steps: list[dict[str, object]] = json.loads((results / "ablation.json").read_text())["steps"]
    return steps


@pytest.mark.parametrize("seed", range(12))
def test_the_steps_of_any_settings_lead_to_them(plan: StudyPlan, ledger: Ledger, seed: int) -> None:
    tuned = draw(plan, seed)
    ablate(plan, ledger, trial=tune(plan, ledger, tuned), run=Farm({}))
    steps = path_of(ledger.results)
    rows = [ledger.trial_row(PATH, int(str(step["trial"]))) for step in steps]
    assert rows[0] is not None
    assert rows[0]["origin"] == "published"
    assert rows[1] is not None
    assert rows[1]["params"] == point(plan, {})
    assert rows[-1] is not None
    assert rows[-1]["params"] == tuned
    changed = [name for step in steps[2:] for name in step["changed"]]
    assert len(changed) == len(set(changed)), "nothing is changed twice"


def test_the_largest_gain_goes_first(plan: StudyPlan, ledger: Ledger) -> None:
    tuned = point(plan, {"lr_first": 0.3, "tv_weight": 0.1})
    farm = Farm({"lr_first": 1.0, "tv_weight": 100.0})
    ablate(plan, ledger, trial=tune(plan, ledger, tuned), run=farm)
    assert [step["changed"] for step in path_of(ledger.results)] == [[], ["likeness"], ["tv_weight"], ["lr_first"]]


def test_what_a_choice_brings_is_changed_with_it(plan: StudyPlan) -> None:
    likeness = point(plan, {})
    tuned = point(plan, {"balls": 1 - likeness["balls"], "latent_radius": 0.3})
    brought = tuned.keys() - likeness.keys()
    steps = steps_to(plan, tuned)
    (switch,) = [step for step in steps if "balls" in step.names]
    assert brought <= set(switch.names)


def test_an_ablation_that_is_there_is_not_run_again(plan: StudyPlan, ledger: Ledger) -> None:
    trial, farm = tune(plan, ledger, point(plan, {"lr_first": 0.3})), Farm({})
    ablate(plan, ledger, trial=trial, run=farm)
    steps, count = path_of(ledger.results), len(farm.ran)
    ablate(plan, ledger, trial=trial, run=farm)
    assert (path_of(ledger.results), len(farm.ran)) == (steps, count)
    later = tune(plan, ledger, point(plan, {"lr_first": 0.3, "tv_weight": 0.1}), trial=6)
    ablate(plan, ledger, trial=later, run=farm)
    assert len({(job.phase, job.trial) for job in farm.ran}) == len(farm.ran), "a number is one config"
    assert path_of(ledger.results)[:2] == steps[:2]


def test_order_and_path_attack_different_targets(plan: StudyPlan, ledger: Ledger) -> None:
    farm = Farm({})
    ablate(plan, ledger, trial=tune(plan, ledger, point(plan, {"lr_first": 0.3})), run=farm)
    rows = {phase: ledger.phase_rows("reconstructions", phase, ["split"]) for phase in (ORDER, PATH)}
    assert {row["split"] for row in rows[ORDER]} == {"tune"}
    assert {row["split"] for row in rows[PATH]} == {"test"}


def test_the_recipe_itself_has_no_steps(plan: StudyPlan, ledger: Ledger) -> None:
    commit(plan, ledger, Job(phase="search", trial=0, attempt=1, origin="published", params={}), psnr_db=12.0)
    ablate(plan, ledger, trial=0, run=Farm({}))
    assert path_of(ledger.results) == [{"trial": 0, "changed": []}]
