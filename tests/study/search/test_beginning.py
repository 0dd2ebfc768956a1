"""How a search begins: single changes to the recipe's likeness, then all together that helped."""

from __future__ import annotations

from pathlib import Path

import pytest

from gifd_ops.tasks import PORTRAITS
from search_spaces.base import Range
from search_spaces.registry import METHODS, get_space
from study.job import Job
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.search.search import Search
from tests.study.conftest import SMALL
from tests.study.rows import commit

SHAPE, BUDGET = PORTRAITS.generator_shape, 24


def run_until(search: Search, plan: StudyPlan, ledger: Ledger, *, trials: int, psnr: dict[int, float]) -> list[Job]:
    """The jobs of a search whose trials score what `psnr` says, 10 dB where it says nothing."""
    jobs = []
    while len(jobs) < trials:
        job = search.next_job()
        assert job is not None
        commit(plan, ledger, job, psnr_db=psnr.get(job.trial, 10.0))
        search.finish(job)
        jobs.append(job)
    return jobs


def changed(job: Job, likeness: Job) -> dict[str, float]:
    return {name: value for name, value in job.params.items() if likeness.params.get(name) != value}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_begins_at_the_recipes_likeness_and_changes_one_thing_at_a_time(method: str) -> None:
    space = get_space("ood", method)
    first, *others = space.first_changes(SHAPE, budget=120)
    assert first == {}
    assert len(others) >= 3
    likeness = space.point({}, SHAPE, budget=120)
    for change in others:
        ((name, value),) = change.items()
        assert name in space.begin
        assert value != likeness[name]
        point = space.point(change, SHAPE, budget=120)
        assert point[name] == value
        assert {key: point[key] for key in point.keys() & likeness.keys() - {name}} == {
            key: likeness[key] for key in point.keys() & likeness.keys() - {name}
        }
        assert space.configure(point, SHAPE, budget=120).gradient_evaluations == 120


@pytest.mark.parametrize(
    ("allowed", "value", "other"),
    [
        (Range(0.01, 1.0, log=True), 0.8, 0.1),
        (Range(0.01, 1.0, log=True), 0.1, None),
        (Range(0.01, 1.0, log=True), 0.11, None),  # near the middle
        (Range(0.0, 10.0), 1.0, 5.0),
        (Range(0, 3, options=(0, 1, 2, 3)), 3, 2),
        (Range(0, 1, options=(0, 1)), 0, 1),
        (Range(7, 7, options=(7,)), 7, None),
    ],
)
def test_a_telling_change_goes_to_the_middle_or_to_the_option_beside(
    allowed: Range, value: float, other: float | None
) -> None:
    assert allowed.another(value) == (None if other is None else pytest.approx(other))


def test_what_helped_alone_is_tried_together(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=40)
    single = len(search.beginning.changes)
    helped = {3, single}  # trials whose single change did better than none
    psnr = {0: 15.0, 1: 12.0} | dict.fromkeys(helped, 14.0)
    jobs = run_until(search, plan, ledger, trials=single + 4, psnr=psnr)
    likeness = jobs[1]
    wanted: dict[str, float] = {}
    for number in helped:
        wanted |= changed(jobs[number], likeness)
    assert len(wanted) == 2
    together = jobs[single + 1]
    assert {name: together.params[name] for name in wanted} == wanted
    assert changed(together, likeness) == wanted
    later = [dict(job.params) for job in jobs[single + 2 :]]
    assert dict(together.params) not in later, "it is tried once"


@pytest.mark.parametrize("helped", [set(), {4}])
def test_nothing_is_put_together_where_not_two_changes_helped(
    helped: set[int], plan: StudyPlan, ledger: Ledger
) -> None:
    search = Search(plan, ledger, trials=40)
    single = len(search.beginning.changes)
    jobs = run_until(search, plan, ledger, trials=single + 3, psnr={1: 12.0} | dict.fromkeys(helped, 14.0))
    begun = [dict(job.params) for job in jobs[1 : single + 1]]
    assert not [job for job in jobs[single + 1 :] if dict(job.params) in begun]


def test_an_interrupted_search_goes_on_as_it_would_have(plan: StudyPlan, tmp_path: Path) -> None:
    psnr = {0: 15.0, 1: 12.0, 2: 14.0, 4: 13.0}
    asked = []
    for name, cuts in (("whole", ()), ("cut", (3, 9, 10, 11))):
        ledger = Ledger(tmp_path / name)
        ledger.create()
        search = Search(plan, ledger, trials=40)
        jobs: list[Job] = []
        for stop in (*cuts, 13):
            jobs += run_until(search, plan, ledger, trials=stop - len(jobs), psnr=psnr)
            search = Search(plan, ledger, trials=40)
        asked.append([(job.trial, dict(job.params)) for job in jobs])
    assert asked[0] == asked[1]


def test_what_a_person_has_set_is_never_changed(tmp_path: Path) -> None:
    arguments = ["--space", "ood", *SMALL, "--set", "balls=0", "--set", "end_layer=2"]
    plan = read_options([*arguments, "--results", str(tmp_path / "none")]).plan
    ledger = Ledger(tmp_path / "results")
    ledger.create()
    search = Search(plan, ledger, trials=40)
    assert not [change for change in search.beginning.changes if change.keys() & {"balls", "end_layer"}]
    for job in run_until(search, plan, ledger, trials=len(search.beginning.changes) + 1, psnr={})[1:]:
        assert (job.params["balls"], job.params["end_layer"]) == (0, 2)
        assert "latent_radius" not in job.params
