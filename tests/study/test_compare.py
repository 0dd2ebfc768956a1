"""The comparison of attacks as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SMALL = ["--domains", "photo,sketch", "--targets-per-domain", "1", "--test-targets-per-domain", "2", "--budget", "24"]


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "study.compare", "--space", "ood", *SMALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("methods", ["gifd,gi", pytest.param("gifd,latent,gias,ggl,ig,gi", marks=pytest.mark.slow)])
def test_methods_can_be_planned_without_running_anything(methods: str, tmp_path: Path) -> None:
    done = compare("--dry-run", "--methods", methods, "--results", str(tmp_path / "all"))
    assert done.returncode == 0, done.stderr
    begun = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("==")]
    assert begun == [f"{name}:" for name in methods.split(",")]
    assert not (tmp_path / "all").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "gifd,gan"], "no method 'gan'; choose from gifd, latent, gias, ggl, ig, gi"),
        (["--controls", "some"], "no control 'some'"),
        (["--budget", "4"], "4 stages and needs a budget >= 8, got 4"),
        (["--victim", "vgg"], "no victim 'vgg'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = compare(*arguments, "--results", str(tmp_path / "all"))
    assert done.returncode == 2
    assert done.stderr.startswith("study: ")
    assert message in done.stderr
    assert not (tmp_path / "all").exists()


@pytest.mark.slow
def test_methods_are_run_tuned_controlled_and_put_side_by_side(tmp_path: Path) -> None:
    results = tmp_path / "all"
    arguments = [
        "--methods",
        "gifd,gias,gi",
        "--trials",
        "2",
        "--controls",
        "noise_gradient",
        "--results",
        str(results),
    ]
    done = compare(*arguments)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(results / "analysis" / "methods.csv")
    assert len(table) == 3 * 3 * 2 * 2  # methods, settings, controls, places
    assert table.num_targets.eq(2).all()
    tested = {}
    for method in ("gifd", "gias", "gi"):
        rows = pd.read_parquet(results / method / "reconstructions")
        assert set(rows.method) == {method}
        assert set(rows.gradient_evaluations) == {24}
        tested[method] = set(map(tuple, rows.loc[rows.phase != "search", ["phase", "target_id", "seed"]].to_numpy()))
    assert tested["gifd"] == tested["gias"] == tested["gi"], "compared in pairs, so on the same targets"
    again = compare(*arguments)
    assert again.returncode == 0, again.stderr
    assert pd.read_csv(results / "analysis" / "methods.csv").equals(table), "a finished comparison is only read again"
