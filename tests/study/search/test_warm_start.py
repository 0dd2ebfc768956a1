"""Points to begin from: a person's own, and those of an earlier study."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.search.search import Search
from tests.study.conftest import SMALL
from tests.study.rows import commit


def options(tmp_path: Path, *more: str) -> list[str]:
    return ["--space", "ood", *SMALL, "--results", str(tmp_path / "later"), *more]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def run_study(plan: StudyPlan, results: Path, *, trials: int) -> Search:
    """A finished study: PSNR grows with the first learning rate, and so does the matching loss."""
    ledger = Ledger(results)
    ledger.create()
    plan.save(results)
    search = Search(plan, ledger, trials=trials)
    while (job := search.next_job()) is not None:
        psnr_db = 10 + job.params.get("lr_first", 0.0)
        commit(plan, ledger, job, psnr_db=psnr_db, matching_loss=1 + job.params.get("lr_first", 0.0))
        search.finish(job)
    return search


@pytest.fixture
def earlier(tmp_path: Path, plan: StudyPlan) -> Search:
    return run_study(plan, tmp_path / "earlier", trials=20)


def test_a_persons_point_is_the_second_trial(tmp_path: Path, ledger: Ledger) -> None:
    file = written(tmp_path / "mine.toml", "lr_first = 0.3\nballs = 0\n")
    plan = read_options(options(tmp_path, "--point", file)).plan
    search = Search(plan, ledger, trials=4)
    jobs = []
    while (job := search.next_job()) is not None:
        jobs.append(job)
    assert [job.origin for job in jobs] == ["published", "user", "search", "search"]
    assert jobs[1].params["lr_first"] == 0.3
    assert "latent_radius" not in jobs[1].params
    likeness = plan.search_space.point({}, plan.task_info.generator_shape, budget=plan.budget)
    assert jobs[1].params["tv_weight"] == likeness["tv_weight"], "what is not named is as in the recipe"
    assert jobs[2].params == likeness, "the single changes follow"
    assert StudyPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr_frist = 0.1", "did you mean 'lr_first'"),
        ("lr_first = 7.0", "lies outside the space: it may be 0.02 to 0.4"),
        ('lr_first = "much"', "needs a number"),
        ("balls = 0\nlatent_radius = 1.0", "never asks for latent_radius"),
        ("restarts = 1", "--set holds it at 2"),
        ("lr_first =", "cannot be read"),
    ],
)
def test_a_point_that_does_not_fit_is_refused_with_rule_value_and_remedy(
    text: str, message: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "mine.toml", text)
    more = ["--budget", "120", "--set", "restarts=2"] if "restarts" in text else []
    with pytest.raises(ValueError, match=message):
        read_options(options(tmp_path, "--point", file, *more))


def test_a_point_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_options(options(tmp_path, "--point", str(tmp_path / "absent.toml")))


def test_the_best_of_an_earlier_study_is_tried_first(tmp_path: Path, earlier: Search, ledger: Ledger) -> None:
    launch = read_options(options(tmp_path, "--warm-start", str(tmp_path / "earlier")))
    best = max(range(1, 20), key=lambda trial: earlier.improvement(trial) or 0.0)
    ((origin, params),) = launch.plan.points
    assert origin == "warm_start"
    assert dict(params) == earlier.job_of(best)["params"]
    assert launch.notes == ()
    search = Search(launch.plan, ledger, trials=2)
    search.next_job()
    job = search.next_job()
    assert job is not None
    assert (job.origin, dict(job.params)) == ("warm_start", dict(params))


def test_with_several_metrics_the_front_comes_along(tmp_path: Path, earlier: Search) -> None:
    more = ["--metric", "psnr_db,matching_loss", "--warm-start", str(tmp_path / "earlier")]
    points = [dict(params) for _, params in read_options(options(tmp_path, *more)).plan.points]
    assert 2 <= len(points) <= 8
    trials = [earlier.job_of(trial)["params"] for trial in range(1, 20)]
    assert points[0] == max(trials, key=lambda params: params["lr_first"])
    assert points[1] == min(trials, key=lambda params: params["lr_first"])
    assert all(point in trials for point in points)


def test_what_does_not_fit_is_dropped_by_name(tmp_path: Path, earlier: Search) -> None:
    more = ["--warm-start", str(tmp_path / "earlier"), "--set", "lr_last=0.123", "--set", "balls=0"]
    launch = read_options(options(tmp_path, *more))
    ((_, params),) = launch.plan.points
    assert dict(params)["lr_last"] == 0.123
    (line,) = launch.notes
    assert "comes without" in line
    assert "lr_last" in line


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--warm-start", "absent"], "holds no plan.json"),
        (["--warm-start", "{earlier}", "--method", "ggl", "--set", "tv_weight=0.012"], "no parameters that fit"),
    ],
)
def test_a_warm_start_from_nothing_is_refused(more: list[str], message: str, tmp_path: Path, earlier: Search) -> None:
    with pytest.raises(ValueError, match=message):
        read_options(options(tmp_path, *(word.format(earlier=tmp_path / "earlier") for word in more)))


def test_the_same_command_goes_on_after_the_earlier_study_has_grown(tmp_path: Path, plan: StudyPlan) -> None:
    run_study(plan, tmp_path / "earlier", trials=6)
    command = options(tmp_path, "--warm-start", str(tmp_path / "earlier"))
    begun = read_options(command).plan
    (tmp_path / "later").mkdir()
    begun.save(tmp_path / "later")
    grown = run_study(plan, tmp_path / "earlier", trials=30)
    assert grown.job_of(grown.best() or 0)["params"] != dict(begun.points[0][1])
    assert read_options(command).plan == begun
