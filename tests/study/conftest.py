from __future__ import annotations

from pathlib import Path

import pytest

from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan

SMALL = ["--targets-per-domain", "1", "--test-targets-per-domain", "1", "--domains", "photo,sketch", "--budget", "24"]


@pytest.fixture
def plan(tmp_path: Path) -> StudyPlan:
    """A study of two targets that runs in a second."""
    return read_options(["--space", "ood", *SMALL, "--results", str(tmp_path / "none")]).plan


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "results")
    ledger.create()
    return ledger
