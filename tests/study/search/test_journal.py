"""The journal file: what is written at once, and that a plain Optuna storage reads the same history from it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from study.ledger import Ledger
from study.plan import StudyPlan
from study.search.journal import JOURNAL, Journal, cut_torn_line
from study.search.search import Search
from tests.study.search.test_asking import play


def said(trial: FrozenTrial) -> tuple[object, ...]:
    return trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs


def history(journal: Path) -> list[FrozenTrial]:
    """What Optuna's own storage reads."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    (study,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=study.study_name, storage=storage).trials


def test_optuna_reads_what_the_search_wrote(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=16)
    play(search, ledger, count=14)
    here = search.study.trials
    there = history(ledger.results / JOURNAL)
    assert list(map(said, there)) == list(map(said, here))
    assert [trial.system_attrs for trial in there] == [trial.system_attrs for trial in here]
    assert {trial.state for trial in there} == {TrialState.COMPLETE, TrialState.RUNNING}
    assert [trial.datetime_start for trial in there] == [trial.datetime_start for trial in here]


def test_a_trial_is_asked_in_one_line(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=16)
    play(search, ledger, count=12)
    before = (ledger.results / JOURNAL).read_text().count("\n")
    job = search.next_job()
    assert job is not None
    assert len(job.params) > 5
    assert (ledger.results / JOURNAL).read_text().count("\n") == before + 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_batch_is_on_the_file_at_its_end_even_if_it_fails(fails: bool, tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    journal = Journal(path)
    study = optuna.create_study(storage=JournalStorage(journal))
    study.ask()
    try:
        with journal.batch():
            before = path.read_text()
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.set_user_attr("a", {"b": 1})
            assert path.read_text() == before
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    study.ask()
    study.tell(1, 1.0)
    assert list(map(said, history(path))) == list(map(said, study.trials))
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING, TrialState.COMPLETE, TrialState.RUNNING]


def test_what_is_said_of_an_older_trial_is_not_put_into_a_new_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / JOURNAL)
    study = optuna.create_study(storage=JournalStorage(journal))
    old = study.ask()
    with journal.batch():
        new = study.ask()
        old.suggest_float("x", 0, 1)
        old.set_user_attr("whose", "old")
        new.set_user_attr("whose", "new")
        study.tell(new, 2.0)
    assert list(map(said, history(tmp_path / JOURNAL))) == list(map(said, study.trials))


def test_a_lock_that_a_kill_left_behind_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / f"{JOURNAL}.lock").symlink_to(tmp_path / JOURNAL)
    study = optuna.create_study(storage=JournalStorage(Journal(tmp_path / JOURNAL)))
    assert study.ask().number == 0


def test_a_torn_line_is_cut_and_whole_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(b'{"a":1}\n{"b":2}\n{"c"')
    cut_torn_line(path)
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
    cut_torn_line(path)
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
