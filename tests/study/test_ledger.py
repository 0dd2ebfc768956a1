from __future__ import annotations

import stat
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.job import Job
from study.ledger import Ledger
from study.plan import StudyPlan
from study.schema import RECONSTRUCTIONS
from tests.study.rows import commit


def job(trial: int, attempt: int = 1) -> Job:
    return Job(phase="search", trial=trial, attempt=attempt, origin="published", params={})


def test_a_second_attempt_replaces_the_first(plan: StudyPlan, ledger: Ledger) -> None:
    commit(plan, ledger, job(3), psnr_db=10.0)
    commit(plan, ledger, job(3, attempt=2), psnr_db=20.0)
    rows = pd.read_parquet(ledger.results / "reconstructions")
    assert len(rows) == len(plan.domains)
    assert set(rows.attempt) == {2}


def test_a_block_without_its_last_part_does_not_count(plan: StudyPlan, ledger: Ledger) -> None:
    class KilledError(Exception):
        pass

    class Rows(list[dict[str, object]]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            raise KilledError

    with pytest.raises(KilledError):
        ledger.write_block("search", 1, 0, {"images": [], "stages": [], "reconstructions": Rows()})
    assert list((ledger.results / "stages").glob("*.parquet"))
    assert not ledger.has_block("search", 1, 0)


def test_readers_do_not_see_unfinished_files(plan: StudyPlan, ledger: Ledger) -> None:
    commit(plan, ledger, job(0), psnr_db=10.0)
    (ledger.results / "reconstructions" / ".search-00001-000.parquet.abc.partial").write_bytes(b"half a fi")
    assert len(pd.read_parquet(ledger.results / "reconstructions")) == len(plan.domains)
    ledger.remove_partials()
    assert not list((ledger.results / "reconstructions").glob(".*"))


def test_parts_that_are_null_throughout_keep_the_schema(plan: StudyPlan, ledger: Ledger) -> None:
    commit(plan, ledger, job(0), psnr_db=None)
    commit(plan, ledger, job(1), psnr_db=12.0)
    rows = pd.read_parquet(ledger.results / "reconstructions")
    assert rows.psnr_db.dtype == "float64"
    assert rows.set_index("trial").psnr_db.isna().to_dict() == {0: True, 1: False}
    first = pq.read_schema(ledger.results / "reconstructions" / "search-00000-000.parquet")
    assert first.equals(RECONSTRUCTIONS)


def test_a_truncated_part_is_set_aside_and_its_block_is_open_again(plan: StudyPlan, ledger: Ledger) -> None:
    commit(plan, ledger, job(0), psnr_db=10.0)
    commit(plan, ledger, job(1), psnr_db=11.0)
    for table, trial in (("reconstructions", 0), ("stages", 1)):
        part = ledger.results / table / f"search-{trial:05d}-000.parquet"
        part.write_bytes(part.read_bytes()[:-20])
    moved = ledger.set_aside_damaged()
    assert len(moved) == 3  # the commit mark of trial 1 goes with its stages
    assert not ledger.has_block("search", 0, 0)
    assert not ledger.has_block("search", 1, 0)
    assert len(list((ledger.results / ".damaged").rglob("*.parquet"))) == 3
    assert ledger.set_aside_damaged() == []


def test_results_are_private_to_their_owner(ledger: Ledger) -> None:
    folders = [ledger.results, *(path for path in ledger.results.iterdir() if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_nothing_half_written_stays_behind_when_a_write_fails(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        ledger.write_block("search", 0, 0, {})
    bad = {"images": [{"phase": 1}], "stages": [], "reconstructions": []}
    with pytest.raises(pa.ArrowTypeError):
        ledger.write_block("search", 0, 0, bad)
    assert [path for table in ("images", "stages") for path in (Path(ledger.results) / table).iterdir()] == []


def test_parts_of_another_version_are_never_set_aside(plan: StudyPlan, ledger: Ledger) -> None:
    commit(plan, ledger, job(0), psnr_db=10.0)
    path = ledger.results / "reconstructions" / "search-00000-000.parquet"
    rows = pq.read_table(path, partitioning=None)
    for changed, says in (
        (rows.drop_columns("lpips"), "older version; run: python -m study.ledger migrate"),
        (rows.append_column("later", rows["seed"]), "columns of no version that is known here"),
        (rows.drop_columns("seed"), "columns of no version that is known here"),
    ):
        pq.write_table(changed, path)
        with pytest.raises(ValueError, match=says):
            ledger.set_aside_damaged()
        assert path.exists()
