from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.job import trial_row
from study.ledger import Ledger
from study.lock import only_driver
from study.plan import StudyPlan
from study.search.beginning import Beginning
from study.search.search import Search
from study.upkeep.check import check
from study.upkeep.commands import main
from study.upkeep.compact import compact
from tests.study.upkeep.studies import commit_whole, parts, run_study


def says(results: Path) -> list[str]:
    return [str(finding) for finding in check(results).findings]


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def test_nothing_is_found_in_a_whole_study_and_nothing_is_written(
    whole: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    before = parts(whole.results)
    assert main(["check", str(whole.results)]) == 0
    assert parts(whole.results) == before
    out = capsys.readouterr().out
    assert "trials    5 ok" in out
    assert "all is well" in out


def cut_short(ledger: Ledger) -> None:
    path = ledger.results / "stages/search-00001-000.parquet"
    path.write_bytes(path.read_bytes()[:-9])


def corrupt_in_the_middle(ledger: Ledger) -> None:
    path = ledger.results / "images/search-00001-000.parquet"
    data = bytearray(path.read_bytes())
    data[4:200] = b"\0" * 196
    path.write_bytes(data)


def rows_twice(ledger: Ledger) -> None:
    rewrite(ledger.results / "reconstructions/search-00001-000.parquet", lambda rows: pa.concat_tables([rows, rows]))


def block_under_another_name(ledger: Ledger) -> None:
    folder = ledger.results / "images"
    (folder / "search-00002-001.parquet").write_bytes((folder / "search-00001-001.parquet").read_bytes())


def image_lost(ledger: Ledger) -> None:
    rewrite(ledger.results / "images/search-00001-000.parquet", lambda rows: rows.slice(1))


def stages_of_another_attempt(ledger: Ledger) -> None:
    def change(rows: pa.Table) -> pa.Table:
        return rows.set_column(3, rows.schema.field("attempt"), pa.array([7] * len(rows), pa.int32()))

    rewrite(ledger.results / "stages/search-00001-000.parquet", change)


def block_lost(ledger: Ledger) -> None:
    (ledger.results / "reconstructions/search-00003-002.parquet").unlink()


def row_of_trial_lost(ledger: Ledger) -> None:
    (ledger.results / "trials/search-00003.parquet").unlink()


def targets_lost(ledger: Ledger) -> None:
    (ledger.results / "targets/tune.parquet").unlink()


def schema_of_nobody(ledger: Ledger) -> None:
    rewrite(ledger.results / "images/search-00001-000.parquet", lambda rows: rows.append_column("more", rows["png"]))


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (cut_short, "stages/search-00001-000.parquet: cannot be read"),
        (corrupt_in_the_middle, "images/search-00001-000.parquet: cannot be read"),
        (rows_twice, "reconstructions/search-00001-000.parquet: 2 rows twice, the first is search, 1, 0, "),
        (block_under_another_name, "images/search-00002-001.parquet: holds something else than its name says"),
        (image_lost, "search of trial 1, block 0: images are missing"),
        (stages_of_another_attempt, "search of trial 1, block 0: its stages are of other rows or another attempt"),
        (block_lost, "search of trial 3 is called ok, but lacks block 2; the same launch command mends it"),
        (row_of_trial_lost, "nobody knows the settings of search of trial 3"),
        (targets_lost, "target photo-tune-0 is not listed"),
        (schema_of_nobody, "images/search-00001-000.parquet: has columns of another version"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_harm_is_found_and_named(whole: Ledger, harm: Callable[[Ledger], None], expected: str) -> None:
    harm(whole)
    assert any(expected in finding for finding in says(whole.results)), says(whole.results)
    assert main(["check", str(whole.results)]) == 1


def test_a_block_that_is_packed_and_small_is_found_and_compact_keeps_one(whole: Ledger) -> None:
    name = "stages/search-00001-000.parquet"
    small = (whole.results / name).read_bytes()
    compact(whole.results)
    (whole.results / name).write_bytes(small)
    twice = f"{name}: search of trial 1, block 0 is in stages/packed/search-00000-00004.parquet too"
    assert any(twice in text for text in says(whole.results))
    assert main(["compact", str(whole.results)]) == 0
    assert says(whole.results) == []


def test_a_running_trial_is_a_finding_only_without_a_driver(plan: StudyPlan, whole: Ledger) -> None:
    search = Search(plan, whole, trials=6)
    job = search.next_job()
    assert job is not None
    whole.write_trial("search", job.trial, trial_row(plan, job, outcome=None))
    assert any("trial 5: it is said to run, but nothing does" in finding for finding in says(whole.results))
    with only_driver(whole.results, trials=6):
        assert says(whole.results) == []
    commit_whole(plan, whole, job)
    search.finish(job)
    assert says(whole.results) == []


def test_what_optuna_and_the_ledger_know_must_agree(plan: StudyPlan, whole: Ledger) -> None:
    run_study(plan, whole.results.with_name("longer"), trials=7)
    longer, short = whole.results.with_name("longer"), whole.results
    ours, theirs = (path / "optuna.journal" for path in (short, longer))
    first, second = ours.read_bytes(), theirs.read_bytes()
    ours.write_bytes(second)
    assert any("the ledger knows no outcome" in finding for finding in says(short))
    theirs.write_bytes(first)
    assert any("search of trial 6: the ledger knows it, Optuna does not" in finding for finding in says(longer))


def test_the_trials_of_two_searches_are_told_apart(plan: StudyPlan, tmp_path: Path) -> None:
    both = replace(plan, objective="both", targets_per_domain=1)
    ledger = run_study(both, tmp_path / "both", trials=Beginning(both).end + 5)
    report = check(ledger.results)
    assert report.findings == ()
    (line,) = [line for line in report.looked_at if line.startswith("optuna")]
    assert line.count("trials of") == 2
    (ledger.results / "trials/search-00001.parquet").unlink()
    assert sum("Optuna says COMPLETE, the ledger knows no outcome" in text for text in says(ledger.results)) == 2


def test_a_torn_journal_is_read_and_left_as_it_is(whole: Ledger) -> None:
    journal = whole.results / "optuna.journal"
    journal.write_bytes(torn := journal.read_bytes() + b'{"op_code": 5, "wor')
    assert says(whole.results) == []
    assert journal.read_bytes() == torn


def test_a_lost_journal_is_no_harm(whole: Ledger) -> None:
    (whole.results / "optuna.journal").unlink()
    assert says(whole.results) == []


@pytest.mark.parametrize("command", ["check", "compact", "migrate"])
def test_a_folder_that_is_no_study_is_left_alone(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path)]) == 2
    assert "holds no plan.json, so it is no study" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
