"""Real results of schema version 2 (three trials on two targets, and the finalist), as version 0.1 wrote them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.load import load_results
from study.ledger import Ledger
from study.lock import only_driver
from study.options import read_options
from study.plan import StudyPlan
from study.schema import SCHEMA_VERSION, TABLES
from study.search.search import Search
from study.upkeep.check import check
from study.upkeep.commands import main
from study.versions import CAME_WITH, read_plan, read_values, version_of
from study.watch.history import History
from tests.study.upkeep.studies import parts

DATA = Path(__file__).with_name("version-2.tar.xz")
COMMAND = ["--space", "ood", "--domains", "photo,sketch", "--targets-per-domain", "1", "--test-targets-per-domain", "1"]
COMMAND += ["--budget", "12", "--trials", "3", "--sampler", "tpe", "--random-share", "0"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(DATA) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "version-2"


def test_every_field_of_the_plan_has_a_value_for_old_results(old: Path) -> None:
    assert version_of(old) == 2
    there = read_values(old).keys() - {"steered_domains"}
    assert there | CAME_WITH[3].keys() == {field.name for field in fields(StudyPlan)}
    assert not there & CAME_WITH[3].keys()
    assert read_plan(old).schema_version == SCHEMA_VERSION


def test_old_results_are_read_without_being_migrated(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = parts(old)
    assert load_results(old).trials().trial.nunique() == 3
    assert History(old).standing().outcomes == {"ok": 3}
    assert main(["check", str(old)]) == 1
    out = capsys.readouterr().out
    assert f"run python -m study.ledger migrate {old}" in out
    assert "1 findings" in out
    assert parts(old) == before


def test_a_launch_on_old_results_says_what_to_type_and_moves_nothing(old: Path) -> None:
    before = parts(old)
    command = [sys.executable, "-m", "study.launch", *COMMAND, "--results", str(old)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"run: python -m study.ledger migrate {old}" in done.stderr
    with pytest.raises(ValueError, match=f"run: python -m study.ledger migrate {old}"):
        Ledger(old).set_aside_damaged()
    assert parts(old) == before
    assert not (old / ".damaged").exists()


def test_migrated_results_hold_what_they_held_and_are_continued(old: Path) -> None:
    before = {table: pd.read_parquet(old / table) for table in TABLES}
    plan = read_plan(old)
    assert main(["migrate", str(old)]) == 0
    for table, schema in TABLES.items():
        after = pd.read_parquet(old / table)
        pd.testing.assert_frame_equal(after[before[table].columns], before[table])
        assert all(after[column].isna().all() for column in after.columns if column not in before[table])
        assert all(pq.read_schema(path).equals(schema) for path in (old / table).glob("*.parquet"))
    assert read_plan(old) == plan
    assert version_of(old) == SCHEMA_VERSION
    assert check(old).findings == ()
    launch = read_options([*COMMAND, "--results", str(old)])  # its plan is the migrated one, or it would be refused
    with only_driver(old):
        ledger = Ledger(old)
        assert ledger.set_aside_damaged() == []
        search = Search(launch.plan, ledger, trials=3)
        assert search.next_job() is None
        assert search.finished == 3
    assert check(old).findings == ()


def test_migrating_twice_changes_nothing(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate", str(old)])
    before = parts(old)
    assert main(["migrate", str(old)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert parts(old) == before


def test_a_damaged_part_stops_a_migration_before_it_changes_anything(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = old / "stages/search-00001-000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    before = parts(old)
    assert main(["migrate", str(old)]) == 2
    assert "stages/search-00001-000.parquet cannot be read" in capsys.readouterr().err
    assert parts(old) == before
    assert version_of(old) == 2


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION + 1, "two"])
def test_versions_that_nobody_knows_are_refused(old: Path, version: object, capsys: pytest.CaptureFixture[str]) -> None:
    plan = old / "plan.json"
    plan.write_text(plan.read_text().replace('"schema_version": 2', f'"schema_version": "{version}"'))
    for command in ("check", "migrate"):
        assert main([command, str(old)]) == 2
        assert f"this version reads 2 to {SCHEMA_VERSION}" in capsys.readouterr().err


def test_old_parts_beside_a_plan_of_today_are_migrated_too(old: Path, tmp_path: Path) -> None:
    main(["migrate", str(old)])
    part = next((old / "stages").glob("*.parquet"))
    whole = pq.read_table(part)
    pq.write_table(whole.drop_columns(["steps_taken"]), part)
    assert main(["migrate", str(old)]) == 0
    assert pq.read_table(part).schema.equals(TABLES["stages"])
    assert main(["migrate", str(old)]) == 0, "nothing to do"
