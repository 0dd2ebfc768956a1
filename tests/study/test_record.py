from __future__ import annotations

from pathlib import Path

import pytest

from study.ledger import Ledger
from study.plan import StudyPlan
from study.record import main, pool_jobs, together_jobs, write_table
from study.replay.pool import Pool
from tests.study.conftest import SMALL
from tests.study.rows import commit


def test_a_pool_begins_with_the_recipe_and_the_single_changes(plan: StudyPlan) -> None:
    jobs = list(pool_jobs(plan, configs=3))
    assert [job.origin for job in jobs] == ["published"] + ["beginning"] * (len(jobs) - 4) + ["random"] * 3
    assert [job.trial for job in jobs] == [*range(len(jobs) - 3), *range(len(jobs) - 2, len(jobs) + 1)]  # one is free


def test_a_larger_pool_holds_the_smaller_one(plan: StudyPlan) -> None:
    small, large = (list(pool_jobs(plan, configs=configs)) for configs in (3, 10))
    assert large[: len(small)] == small
    assert len({str(job.params) for job in large}) == len(large)


def test_what_helped_is_put_together_under_the_free_number(plan: StudyPlan, ledger: Ledger) -> None:
    jobs = list(pool_jobs(plan, configs=1))
    for job in jobs:
        commit(plan, ledger, job, psnr_db=20.0 + (job.trial in (2, 3)))
    (together,) = together_jobs(plan, ledger)
    assert {job.trial for job in jobs}.isdisjoint({together.trial})
    likeness, second, third = (jobs[number].params for number in (1, 2, 3))
    changed = {name for job in (second, third) for name in job if job[name] != likeness.get(name)}
    assert changed <= {name for name in together.params if together.params[name] != likeness.get(name)}


def test_nothing_is_put_together_where_nothing_helped(plan: StudyPlan, ledger: Ledger) -> None:
    for job in pool_jobs(plan, configs=1):
        commit(plan, ledger, job, psnr_db=20.0)
    assert list(together_jobs(plan, ledger)) == []


def test_a_table_holds_the_complete_configs(plan: StudyPlan, ledger: Ledger, tmp_path: Path) -> None:
    *jobs, last = pool_jobs(plan, configs=3)
    for job in jobs:
        commit(plan, ledger, job, psnr_db=20.0 + job.trial)
    commit(plan, ledger, last, psnr_db=1.0, blocks=0)  # begun, and no more
    num_rows = write_table(plan, ledger, tmp_path / "pool.parquet")
    pool = Pool.read(tmp_path / "pool.parquet")
    assert pool.scores.size == num_rows == len(pool.params) * 2
    assert pool.origins.count("random") == 2
    assert (pool.scores[-1] > pool.scores[0]).all()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--configs", "0"], "--configs"),
        (["--racing", "on"], "--racing"),
        (["--victim", "nobody"], "nobody"),
        (["--table", "no/such/folder/pool.parquet"], "no/such/folder"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    tmp_path: Path, options: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    common = ["--space", "ood", "--results", str(results), "--table", str(tmp_path / "pool.parquet")]
    assert main([*common, *options]) == 2
    assert names in capsys.readouterr().err
    assert not results.exists()


@pytest.mark.slow
def test_a_pool_is_recorded_and_the_same_command_finds_it_done(tmp_path: Path) -> None:
    table, results = tmp_path / "pool.parquet", tmp_path / "results"
    command = ["--space", "ood", *SMALL, "--gallery", "0", "--max-concurrent", "1", "--configs", "2"]
    command += ["--results", str(results), "--table", str(table)]
    assert main(command) == 0
    pool = Pool.read(table)
    assert pool.origins.count("random") == 2
    parts = {path: path.stat().st_mtime_ns for path in (results / "reconstructions").glob("*.parquet")}
    first = table.read_bytes()
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in (results / "reconstructions").glob("*.parquet")} == parts
    assert table.read_bytes() == first
