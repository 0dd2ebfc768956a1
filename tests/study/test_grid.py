"""A grid of studies as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from study.grid import split_defenses

TINY = ["--space", "defended", "--domains", "photo,sketch", "--targets-per-domain", "1"]
TINY += ["--test-targets-per-domain", "1", "--budget", "24", "--trials", "3"]


def grid(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "study.grid", *TINY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def test_the_comma_within_dp_separates_nothing() -> None:
    assert split_defenses("none, noise=0.1r,dp=1,0.1,soteria=10") == ["none", "noise=0.1r", "dp=1,0.1", "soteria=10"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--defenses", "none,nose=1"], "did you mean noise"),
        (["--answers", "knows,guesses"], "no answer 'guesses'"),
        (["--victims", "lenet,lennet"], "no victim 'lennet'"),
        (["--batch-sizes", "1,64"], "--batch-size must be 1 to 32, got 64"),
        (["--protocol", "full"], "a grid tunes one attack"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = grid(*arguments, "--results", str(tmp_path / "grid"))
    assert done.returncode == 2
    assert done.stderr.startswith("study: ")
    assert message in done.stderr
    assert not (tmp_path / "grid").exists()


@pytest.mark.slow
def test_a_dry_run_says_what_each_study_and_all_together_cost(tmp_path: Path) -> None:
    done = grid("--defenses", "none,noise=1r", "--answers", "ignores", "--dry-run", "--results", str(tmp_path / "grid"))
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()[:2]] == [
        str(tmp_path / "grid" / name) for name in ("none", "noise-1r-ignores")
    ]
    assert "2 studies of 3 trials: about" in done.stdout
    assert not (tmp_path / "grid").exists()


@pytest.mark.slow
def test_studies_of_a_grid_share_targets_and_are_not_run_twice(tmp_path: Path) -> None:
    root = tmp_path / "grid"
    arguments = ["--defenses", "none,sparsification=99", "--answers", "knows,ignores", "--results", str(root)]
    done = grid(*arguments)
    assert done.returncode == 0, done.stderr
    names = ["none", "sparsification-99-ignores", "sparsification-99-knows"]
    assert sorted(path.name for path in root.iterdir()) == names
    tables = {name: pd.read_parquet(root / name / "reconstructions") for name in names}
    targets = [set(map(tuple, rows[["phase", "target_id", "seed"]].to_numpy())) for rows in tables.values()]
    assert targets[0] == targets[1] == targets[2], "compared in pairs, so on the same targets"
    assert [set(rows.answer.dropna()) for rows in tables.values()] == [set(), {"ignores"}, {"knows"}]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("reconstructions/**/*.parquet")}
    assert grid(*arguments).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("reconstructions/**/*.parquet")} == before
