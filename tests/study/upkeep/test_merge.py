from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from study.job import trial_row
from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.search import Search
from study.upkeep.check import check
from study.upkeep.commands import main
from study.upkeep.compact import compact
from study.upkeep.merge import merge
from tests.study.upkeep.studies import block_of, commit_whole, job_like, list_targets, parts, run_study


@pytest.fixture
def longer(plan: StudyPlan, tmp_path: Path) -> Ledger:
    """A study of the same plan that went on for longer: its first five trials are those of `whole`."""
    return run_study(plan, tmp_path / "longer", trials=8)


def search_rows(ledger: Ledger, trial: int) -> list[dict[str, Any]]:
    rows = ledger.rows("search", trial, blocks=3)
    return [{name: value for name, value in row.items() if name != "trial"} for row in rows]


def test_new_trials_get_new_numbers_and_equal_ones_are_left_out(whole: Ledger, longer: Ledger) -> None:
    before = parts(whole.results)
    (taken,) = merge(whole.results, [longer.results])
    assert (taken.trials, taken.equal, taken.unfinished) == (3, 5, 0)
    assert before.items() <= parts(whole.results).items()
    for trial in (5, 6, 7):
        assert search_rows(whole, trial) == search_rows(longer, trial)
        assert {row["trial"] for row in whole.rows("search", trial, blocks=3)} == {trial}
    assert check(whole.results).findings == ()
    assert [taken.trials for taken in merge(whole.results, [longer.results])] == [0]


def test_the_merged_study_is_continued_by_the_next_launch(plan: StudyPlan, whole: Ledger, longer: Ledger) -> None:
    merge(whole.results, [longer.results])
    assert not (whole.results / "optuna.journal").exists()
    search = Search(plan, whole, trials=9)
    told = Search(plan, longer, trials=8)
    assert [search.improvement(trial) for trial in range(8)] == [told.improvement(trial) for trial in range(8)]
    job = search.next_job()
    assert job is not None
    assert job.trial == 8
    commit_whole(plan, whole, job)
    search.finish(job)
    assert search.next_job() is None
    assert check(whole.results).findings == ()


def test_packed_studies_are_merged_too(whole: Ledger, longer: Ledger) -> None:
    for ledger in (whole, longer):
        compact(ledger.results)
    (taken,) = merge(whole.results, [longer.results])
    assert (taken.trials, taken.equal) == (3, 5)
    assert search_rows(Ledger(whole.results), 6) == search_rows(Ledger(longer.results), 6)
    assert check(whole.results).findings == ()


def test_a_merge_that_was_cut_off_is_completed_by_another(plan: StudyPlan, whole: Ledger, longer: Ledger) -> None:
    begun = job_like(longer, 6, number=5)  # its row and one block were copied, under the next free number
    whole.write_trial("search", 5, trial_row(plan, begun, outcome=None))
    whole.write_block("search", 5, 0, block_of(plan, begun, 0, psnr_db=10 + 100 * begun.params["lr_first"]))
    (taken,) = merge(whole.results, [longer.results])
    assert (taken.trials, taken.equal) == (3, 5)
    assert search_rows(whole, 5) == search_rows(longer, 6)
    assert whole.trial_numbers("search") == set(range(8))
    assert check(whole.results).findings == ()


def test_unfinished_and_failed_trials_stay_behind(plan: StudyPlan, whole: Ledger, longer: Ledger) -> None:
    for trial, outcome in ((6, None), (7, "error")):
        longer.write_trial("search", trial, trial_row(plan, job_like(longer, trial), outcome=outcome))
    (longer.results / "reconstructions/search-00007-001.parquet").unlink()
    (taken,) = merge(whole.results, [longer.results])
    assert (taken.trials, taken.equal, taken.unfinished) == (1, 5, 2)


def test_runs_on_test_targets_follow_their_trial(plan: StudyPlan, whole: Ledger, longer: Ledger) -> None:
    list_targets(plan, longer, "test")
    for trial in (0, 6):
        commit_whole(plan, longer, job_like(longer, trial, phase="test"))
    whole.write_trial("search", 5, trial_row(plan, job_like(longer, 7, number=5), outcome="error"))  # takes a number
    (taken,) = merge(whole.results, [longer.results])
    assert (taken.tests, taken.tests_left) == (2, 0)
    row = whole.trial_row("search", 7)
    assert row is not None
    assert row["params"] == longer.trial_row("search", 6)["params"]  # type: ignore[index]
    assert whole.trial_numbers("test") == {0, 7}
    assert set(pd.read_parquet(whole.results / "targets").split) == {"tune", "test"}


def test_another_plan_is_refused_and_its_fields_are_named(
    plan: StudyPlan, whole: Ledger, longer: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(plan, budget=48, seed=3).save(longer.results)
    before = parts(whole.results)
    assert main(["merge", str(whole.results), str(longer.results)]) == 2
    assert "(budget: 48 there, 24 here; seed: 3 there, 0 here)" in capsys.readouterr().err
    assert parts(whole.results) == before
    assert (whole.results / "optuna.journal").exists()


def test_the_machines_of_both_are_named(whole: Ledger, longer: Ledger) -> None:
    for ledger, entries in ((whole, [{"cpus": 1}]), (longer, [{"cpus": 1}, {"cpus": 64}])):
        (ledger.results / "environment.json").write_text(json.dumps(entries))
    merge(whole.results, [longer.results])
    assert json.loads((whole.results / "environment.json").read_text()) == [{"cpus": 1}, {"cpus": 64}]


def test_a_study_is_not_merged_with_itself(whole: Ledger) -> None:
    with pytest.raises(ValueError, match="is the study itself"):
        merge(whole.results, [whole.results])
