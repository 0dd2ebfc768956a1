from __future__ import annotations

from pathlib import Path

import pytest

from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from tests.study.upkeep.studies import run_study


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> StudyPlan:
    """Nine targets a domain in the search: three blocks."""
    few = ["--targets-per-domain", "9", "--test-targets-per-domain", "2", "--domains", "photo,sketch", "--budget", "24"]
    return read_options(["--space", "ood", *few, "--results", str(tmp_path_factory.mktemp("none") / "none")]).plan


@pytest.fixture
def whole(plan: StudyPlan, tmp_path: Path) -> Ledger:
    """A finished study of five trials."""
    return run_study(plan, tmp_path / "whole", trials=5)
