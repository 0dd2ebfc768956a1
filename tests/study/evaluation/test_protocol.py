"""What a protocol runs after a search, and what is refused before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.registry import METHODS
from study.evaluate import main
from study.evaluation.ablation import Run
from study.evaluation.methods import method_launches, plan_of_method
from study.evaluation.phases import evaluate
from study.evaluation.protocol import PROTOCOLS, QUICK
from study.farm.source import FixedJobs
from study.job import Job
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from tests.study.conftest import SMALL
from tests.study.rows import commit


def searched(plan: StudyPlan, ledger: Ledger, *, trials: int) -> None:
    for trial in range(trials):
        params = plan.search_space.point({"lr_first": 0.05 + trial / 100}, plan.task_info.generator_shape, budget=24)
        origin, params = ("published", {}) if trial == 0 else ("search", params)
        job = Job(phase="search", trial=trial, attempt=1, origin=origin, params=params)
        commit(plan, ledger, job, psnr_db=10.0 + trial, matching_loss=0.5 + trial / 100)


def run_at_once(ran: list[Job]) -> Run:
    """Commits jobs at once, and remembers them."""

    def run(source: FixedJobs, plan: StudyPlan, ledger: Ledger) -> None:
        while (job := source.next_job()) is not None:
            ran.append(job)
            commit(plan, ledger, job, psnr_db=10.0 + job.trial)
            source.finish(job)

    return run


def test_the_full_protocol_runs_every_phase_once(plan: StudyPlan, ledger: Ledger) -> None:
    searched(plan, ledger, trials=12)
    ran: list[Job] = []
    run = run_at_once(ran)
    said: list[str] = []
    finalists = evaluate(plan, ledger, PROTOCOLS["full"], run=run, say=said.append)
    phases = {job.phase for job in ran}
    controls = {"test_noise_gradient", "test_other_image", "test_untrained_generator"}
    assert phases == {"select", "test", "ablation_order", "ablation"} | controls
    assert finalists["oracle"] == 11
    assert {job.trial for job in ran if job.phase == "test"} == set(finalists.values())
    assert len({(job.phase, job.trial) for job in ran}) == len(ran)
    count = len(ran)
    assert evaluate(plan, ledger, PROTOCOLS["full"], run=run, say=said.append) == finalists
    assert len(ran) == count, "what is there is not run again"


def test_the_quick_protocol_runs_the_test_alone(plan: StudyPlan, ledger: Ledger) -> None:
    searched(plan, ledger, trials=4)
    ran: list[Job] = []
    evaluate(plan, ledger, QUICK, run=run_at_once(ran), say=lambda step: None)
    assert {job.phase for job in ran} == {"test"}


def test_other_attacks_share_all_that_is_held_fixed(tmp_path: Path) -> None:
    launch = read_options(["--space", "ood", *SMALL, "--protocol", "full", "--results", str(tmp_path / "r")])
    others = method_launches(launch)
    assert {other.plan.method for other in others} == set(METHODS) - {"gifd"}
    assert len({other.results for other in others}) == len(others)
    free = {"method": "", "parameters": (), "fixed": ()}
    for other in others:
        assert replace(other.plan, **free) == replace(launch.plan, **free)
        assert other.trials == launch.trials
        assert not other.protocol.methods
        assert other.plan == plan_of_method(launch.plan, other.plan.method)


def test_the_same_attack_as_a_command_has_the_same_plan(tmp_path: Path) -> None:
    base = ["--space", "ood", *SMALL, "--results", str(tmp_path / "r")]
    assert plan_of_method(read_options(base).plan, "ig") == read_options([*base, "--method", "ig"]).plan


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--protocol", "ful"], "did you mean 'full'"),
        (["--methods", "gif"], "no method 'gif'"),
        (["--controls", "noise"], "no control 'noise'"),
        (["--images", "pictures"], "no pictures of your own"),
        (["--max-concurrent", "0"], "--max-concurrent must be 1 or more"),
    ],
)
def test_bad_words_end_before_anything_runs(
    plan: StudyPlan, ledger: Ledger, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    plan.save(ledger.results)
    searched(plan, ledger, trials=2)
    assert main([str(ledger.results), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert ledger.phases() == ["search"]


def test_what_holds_no_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "plan.json" in capsys.readouterr().err


def test_a_study_without_its_recipe_is_refused(
    plan: StudyPlan, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.save(ledger.results)
    assert main([str(ledger.results)]) == 2
    assert "published recipe" in capsys.readouterr().err


def test_a_control_has_no_controls(tmp_path: Path) -> None:
    base = ["--space", "ood", *SMALL, "--control", "other_image", "--results", str(tmp_path / "r")]
    assert read_options([*base, "--protocol", "full"]).protocol.controls == ()
    with pytest.raises(ValueError, match="leave one of them out"):
        read_options([*base, "--controls", "all"])


def test_pictures_of_a_person_are_split_in_three(plan: StudyPlan) -> None:
    digests = tuple(f"{number:064x}" for number in range(20))
    own = replace(plan, pictures=digests, domains=("user",), targets_per_domain=4, test_targets_per_domain=8)
    splits = [own.picture_split(split) for split in ("tune", "test", "select")]
    assert [len(split) for split in splits] == [4, 8, 4]
    assert len({digest for split in splits for digest in split}) == 16
    few = replace(own, pictures=digests[:12])
    assert few.picture_split("select") == ()
    assert few.targets_of("select") == 0
