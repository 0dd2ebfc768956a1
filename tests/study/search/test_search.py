"""The search against a real Optuna journal and a real ledger; the workers' part is played by `commit`."""

from __future__ import annotations

from statistics import fmean

import pytest
from optuna.trial import TrialState

from search_spaces.base import Space
from study.evaluation.choosing import choose_finalists
from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.search import JOURNAL, MOST_ATTEMPTS, Search, StudyError
from tests.study.rows import commit


def take(search: Search) -> Job:
    job = search.next_job()
    assert job is not None
    return job


def run(search: Search, plan: StudyPlan, ledger: Ledger, *, count: int | None = None) -> list[Job]:
    """Play the workers: the PSNR of a trial is ten plus a hundred times its last learning rate."""
    jobs: list[Job] = []
    while (count is None or len(jobs) < count) and (job := search.next_job()):
        commit(plan, ledger, job, psnr_db=10 + 100 * job.params.get("lr_first", 0.0))
        search.finish(job)
        jobs.append(job)
    return jobs


def test_the_first_trial_is_the_published_recipe(plan: StudyPlan, ledger: Ledger) -> None:
    job = take(Search(plan, ledger, trials=3))
    assert (job.trial, job.origin, job.params) == (0, "published", {})


def test_what_is_told_is_the_mean_paired_improvement(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=5)
    jobs = run(search, plan, ledger)
    assert len(jobs) == search.finished == 5
    for job in jobs[1:]:
        assert search.improvement(job.trial) == pytest.approx(100 * job.params["lr_first"])
    assert search.best() == max(jobs[1:], key=lambda job: job.params["lr_first"]).trial


def test_only_steered_domains_steer(plan: StudyPlan, ledger: Ledger) -> None:
    assert plan.steered_domains == ("sketch",)
    search = Search(plan, ledger, trials=2)
    run(search, plan, ledger)
    assert set(search.scores[1]) == {"photo", "sketch"}
    assert search.improvement(1) == pytest.approx(search.scores[1]["sketch"])


def test_trials_that_end_before_the_published_recipe_wait_for_it(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=2)
    published, other = take(search), take(search)
    commit(plan, ledger, other, psnr_db=15.0)
    search.finish(other)
    assert search.improvement(1) is None
    commit(plan, ledger, published, psnr_db=11.0)
    search.finish(published)
    assert search.improvement(1) == pytest.approx(4.0)


def test_a_diverged_trial_is_pruned_without_a_value(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=2)
    run(search, plan, ledger, count=1)
    job = take(search)
    commit(plan, ledger, job, psnr_db=None)
    search.finish(job)
    trial = search.study.trials[1]
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.PRUNED, None, {})
    assert search.outcomes[1] == "diverged"


def test_sampling_goes_on_after_the_published_recipe_diverged(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=3)
    job = take(search)
    commit(plan, ledger, job, psnr_db=None)
    search.finish(job)
    run(search, plan, ledger)
    assert search.finished == 3


def test_a_restart_hands_out_what_the_ledger_lacks_under_its_own_number(plan: StudyPlan, ledger: Ledger) -> None:
    first = Search(plan, ledger, trials=6)
    run(first, plan, ledger, count=2)
    lost, unreported = take(first), take(first)
    commit(plan, ledger, unreported, psnr_db=17.0)  # committed, then the driver was killed before it heard

    second = Search(plan, ledger, trials=6)
    assert second.improvement(unreported.trial) == pytest.approx(7.0)
    again = take(second)
    assert (again.trial, again.params, again.attempt) == (lost.trial, lost.params, 2)
    commit(plan, ledger, again, psnr_db=12.0)
    second.finish(again)
    run(second, plan, ledger)
    assert [trial.number for trial in second.study.trials] == list(range(6))
    assert {trial.state for trial in second.study.trials} == {TrialState.COMPLETE}


def test_an_interrupted_search_asks_what_it_would_have_asked(plan: StudyPlan, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    orders = []
    for stops in ([14], [1, 2, 5, 6]):
        ledger = Ledger(tmp_path_factory.mktemp("search"))
        ledger.create()
        jobs = [job for count in stops for job in run(Search(plan, ledger, trials=14), plan, ledger, count=count)]
        orders.append([job.params for job in jobs])
    assert orders[0] == orders[1]
    assert len({str(params) for params in orders[0]}) == 14


def test_a_finished_search_is_extended(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=3), plan, ledger)
    assert Search(plan, ledger, trials=3).next_job() is None
    longer = Search(plan, ledger, trials=5)
    assert [job.trial for job in run(longer, plan, ledger)] == [3, 4]
    assert longer.finished == 5


def test_a_block_lost_from_the_ledger_is_run_again(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=3)
    run(search, plan, ledger)
    value = search.improvement(1)
    (ledger.results / "reconstructions" / "search-00001-000.parquet").unlink()
    again = Search(plan, ledger, trials=3)
    assert [job.trial for job in run(again, plan, ledger)] == [1]
    assert again.improvement(1) == value


def test_a_torn_last_line_of_the_journal_is_cut(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=3), plan, ledger)
    with (ledger.results / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code": 4, "worker_id": "x')
    search = Search(plan, ledger, trials=5)
    assert len(run(search, plan, ledger)) == 2
    assert Search(plan, ledger, trials=5).finished == 5


def test_a_trial_whose_worker_dies_is_tried_again_then_given_up(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=3)
    run(search, plan, ledger, count=1)
    for attempt in range(1, MOST_ATTEMPTS):
        job = take(search)
        assert (job.trial, job.attempt) == (1, attempt)
        search.finish(job)
    search.failures.clear()  # others succeeded in between
    search.finish(take(search), failure="RuntimeError: boom")
    assert search.study.trials[1].state == TrialState.FAIL
    row = ledger.trial_row("search", 1)
    assert row is not None
    assert (row["outcome"], row["message"]) == ("error", "RuntimeError: boom")
    assert [job.trial for job in run(search, plan, ledger)] == [2]
    assert Search(plan, ledger, trials=3).next_job() is None


def test_failures_in_a_row_end_the_search_with_the_first_message(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=9)
    search.finish(take(search), failure="ValueError: first cause")
    search.finish(take(search), failure="ValueError: second")
    with pytest.raises(StudyError, match="first cause"):
        search.finish(take(search), failure="ValueError: third")


def test_fixed_parameters_are_not_searched(plan: StudyPlan, ledger: Ledger) -> None:
    from dataclasses import replace

    search = Search(replace(plan, fixed=(("balls", 0.0), ("end_layer", 3.0))), ledger, trials=4)
    jobs = run(search, plan, ledger)
    assert all(job.params["balls"] == 0 and job.params["end_layer"] == 3 for job in jobs[1:])
    assert all("balls" not in trial.params for trial in search.study.trials)


def test_tuning_beats_random_on_a_smooth_objective(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=40)
    jobs = run(search, plan, ledger)
    early, late = jobs[1:11], jobs[-10:]
    assert fmean(job.params["lr_first"] for job in late) > 1.5 * fmean(job.params["lr_first"] for job in early)


def test_the_observable_choice_has_the_least_matching_loss(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=4)
    for loss in (0.5, 0.2, 0.1, 0.3):
        job = take(search)
        commit(plan, ledger, job, psnr_db=20 - job.trial, matching_loss=loss)
        search.finish(job)
    assert choose_finalists(plan, ledger, by_domain=False)["observable"] == 2
    assert search.best() == 0


def test_replayed_parameters_give_the_config_that_was_asked(plan: StudyPlan, ledger: Ledger) -> None:
    space: Space = plan.search_space
    for job in run(Search(plan, ledger, trials=8), plan, ledger)[1:]:
        config = space.configure(job.params, plan.task_info.generator_shape, budget=plan.budget)
        assert config == plan.configure(job.params, origin="search")
        assert config.gradient_evaluations == plan.budget


@pytest.mark.parametrize("kept_lines", [0, 12, 40])
def test_a_lost_or_shortened_journal_is_rebuilt_from_the_ledger(
    plan: StudyPlan, ledger: Ledger, kept_lines: int
) -> None:
    first = Search(plan, ledger, trials=7)
    run(first, plan, ledger)
    told = [(trial.params, trial.value) for trial in first.study.trials]
    journal = ledger.results / JOURNAL
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:kept_lines]))
    again = Search(plan, ledger, trials=7)
    assert again.next_job() is None
    assert [(trial.params, trial.value) for trial in again.study.trials] == told


def test_any_cut_of_the_journal_can_be_continued(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=4), plan, ledger)
    journal = ledger.results / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    params = {number: (ledger.trial_row("search", number) or {})["params"] for number in range(4)}
    for kept in range(len(lines)):
        journal.write_text("".join(lines[:kept]))
        again = Search(plan, ledger, trials=4)
        assert again.next_job() is None, kept
        assert {trial.state for trial in again.study.trials} == {TrialState.COMPLETE}, kept
        assert again.published is not None
        assert {n: (ledger.trial_row("search", n) or {})["params"] for n in range(4)} == params, kept


def test_a_driver_killed_while_asking_asks_on(plan: StudyPlan, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    whole = Ledger(tmp_path_factory.mktemp("whole"))
    whole.create()
    search = Search(plan, whole, trials=3)
    expected = [take(search).params for _ in range(3)]
    lines = (whole.results / JOURNAL).read_text().splitlines(keepends=True)
    for kept in range(len(lines) + 1):
        ledger = Ledger(tmp_path_factory.mktemp("cut"))
        ledger.create()
        (ledger.results / JOURNAL).write_text("".join(lines[:kept]))
        again = Search(plan, ledger, trials=3)
        jobs = [take(again) for _ in range(3)]
        assert again.next_job() is None
        assert [job.trial for job in jobs] == [0, 1, 2], kept
        assert jobs[0].origin == "published"
        assert jobs[1].params == expected[1], kept


def test_rows_without_settings_are_set_aside(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=3), plan, ledger)
    (ledger.results / JOURNAL).unlink()
    (ledger.results / "trials" / "search-00001.parquet").unlink()
    again = Search(plan, ledger, trials=3)
    assert [job.trial for job in run(again, plan, ledger)] == [1]
    assert list((ledger.results / ".damaged" / "reconstructions").glob("search-00001-*"))


def test_jobs_that_ray_dropped_do_not_count_as_failures(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=6)
    jobs = [take(search) for _ in range(5)]
    for job in jobs:
        search.put_back(job)
    assert [job.trial for job in run(search, plan, ledger)] == [0, 1, 2, 3, 4, 5]
