"""Who becomes a candidate, and who a finalist: by the ledger alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from study.evaluation.choosing import (
    PER_CRITERION,
    choose_candidates,
    choose_finalists,
    learn,
    save_finalists,
    settings_of,
)
from study.job import Job, trial_row
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.beginning import Beginning
from tests.study.rows import commit, commit_scores


def run(
    plan: StudyPlan,
    ledger: Ledger,
    trial: int,
    *,
    psnr_db: float | None,
    matching_loss: float = 0.5,
    phase: str = "search",
    blocks: int | None = None,
) -> None:
    """A trial with one score on all targets."""
    origin, params = ("published", {}) if trial == 0 else ("random", {"lr_first": 0.1 + trial / 1000})
    point = plan.search_space.point(params, plan.task_info.generator_shape, budget=plan.budget) if trial else {}
    job = Job(phase=phase, trial=trial, attempt=1, origin=origin, params=point)
    commit(plan, ledger, job, psnr_db=psnr_db, matching_loss=matching_loss, blocks=blocks)


def run_by_domain(plan: StudyPlan, ledger: Ledger, trial: int, scores: Mapping[str, float], *, phase: str) -> None:
    origin = "published" if trial == 0 else "random"
    params = {} if trial == 0 else plan.search_space.point({}, plan.task_info.generator_shape, budget=plan.budget)
    commit_scores(plan, ledger, Job(phase=phase, trial=trial, attempt=1, origin=origin, params=params), scores)


def test_the_oracle_and_the_attacker_choose_by_what_each_of_them_sees(plan: StudyPlan, ledger: Ledger) -> None:
    for trial, (psnr_db, loss) in enumerate([(10.0, 0.5), (12.0, 0.4), (11.0, 0.1), (9.0, 0.6)]):
        run(plan, ledger, trial, psnr_db=psnr_db, matching_loss=loss)
    assert choose_finalists(plan, ledger, by_domain=False) == {"published": 0, "oracle": 1, "observable": 2}


def test_what_diverged_or_was_stopped_is_not_chosen(plan: StudyPlan, ledger: Ledger) -> None:
    plan = replace(plan, targets_per_domain=2 * plan.block_targets_per_domain)
    run(plan, ledger, 0, psnr_db=10.0)
    run(plan, ledger, 1, psnr_db=None)
    run(plan, ledger, 2, psnr_db=30.0, blocks=1)
    assert choose_finalists(plan, ledger, by_domain=False) == {"published": 0, "oracle": 0, "observable": 0}


def test_candidates_are_the_best_of_every_criterion_and_the_recipe(plan: StudyPlan, ledger: Ledger) -> None:
    for trial in range(12):
        run(plan, ledger, trial, psnr_db=10.0 + trial, matching_loss=0.5 + 0.01 * trial)
    best, least_loss = range(12 - PER_CRITERION, 12), range(PER_CRITERION)
    assert choose_candidates(plan, ledger, by_domain=False) == sorted({*best, *least_loss})


def test_candidates_are_chosen_by_all_that_was_seen_of_them(plan: StudyPlan, ledger: Ledger) -> None:
    for trial, psnr_db in enumerate([10.0, 14.0, 13.0]):
        run(plan, ledger, trial, psnr_db=psnr_db)
    assert choose_finalists(plan, ledger, by_domain=False)["oracle"] == 1
    for trial, psnr_db in enumerate([10.0, 10.0, 13.0]):  # trial 1 was lucky: 4 and 0 dB, trial 2 has 3 and 3
        run(plan, ledger, trial, psnr_db=psnr_db, phase="select")
    assert choose_finalists(plan, ledger, by_domain=False)["oracle"] == 2


def test_a_selection_that_is_not_complete_counts_for_nothing(plan: StudyPlan, ledger: Ledger) -> None:
    for trial, psnr_db in enumerate([10.0, 14.0, 13.0]):
        run(plan, ledger, trial, psnr_db=psnr_db)
    run(plan, ledger, 0, psnr_db=10.0, phase="select")
    run(plan, ledger, 1, psnr_db=5.0, phase="select")
    assert choose_finalists(plan, ledger, by_domain=False)["oracle"] == 1


def test_every_domain_may_have_a_choice_of_its_own(plan: StudyPlan, ledger: Ledger) -> None:
    photo, sketch = plan.domains
    for trial, (a, b) in enumerate([(10.0, 10.0), (20.0, 9.0), (11.0, 12.0)]):
        run_by_domain(plan, ledger, trial, {photo: a, sketch: b}, phase="search")
    chosen = choose_finalists(plan, ledger, by_domain=True)
    assert (chosen["oracle_photo"], chosen["oracle_sketch"], chosen["oracle"]) == (1, 2, 2)
    assert not [name for name in choose_finalists(plan, ledger, by_domain=False) if name.startswith("oracle_")]


def test_an_attacker_does_not_choose_what_the_private_images_found(plan: StudyPlan, ledger: Ledger) -> None:
    plan = replace(plan, objective="both")
    shared = Beginning(plan).end
    for trial in range(shared + 4):  # of the last four, the first and third are the oracle's
        run(plan, ledger, trial, psnr_db=10.0 + trial, matching_loss=1.0 / (2 + trial))
    chosen = choose_finalists(plan, ledger, by_domain=False)
    assert (chosen["oracle"], chosen["observable"]) == (shared + 2, shared + 3)


def test_losses_are_compared_by_ratios(plan: StudyPlan, ledger: Ledger) -> None:
    for trial, loss in enumerate([0.5, 0.25]):
        run(plan, ledger, trial, psnr_db=10.0, matching_loss=loss)
    values = learn(plan, ledger, ["search"])[1].values
    assert values is not None
    assert values[-1] == pytest.approx(0.6931, abs=1e-3), "a halving"


def test_settings_are_read_back_as_jobs_want_them(plan: StudyPlan, ledger: Ledger) -> None:
    run(plan, ledger, 3, psnr_db=10.0)
    settings = settings_of(ledger, [3, 4])
    assert settings.keys() == {3}
    job = Job(phase="test", trial=3, attempt=1, **settings[3])
    assert trial_row(plan, job, outcome=None)["params"]


def test_finalists_are_kept_for_readers(ledger: Ledger) -> None:
    save_finalists(ledger.results, {"published": 0, "oracle": 7})
    assert json.loads((ledger.results / "finalists.json").read_text()) == {"published": 0, "oracle": 7}
