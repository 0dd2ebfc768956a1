"""A fixture that writes synthetic ledgers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_ledger import Ledger, write_ledger


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Ledger], Path]:
    """Writes a ledger to a fresh folder and returns it."""
    return lambda ledger: write_ledger(tmp_path / f"results-{ledger.seed}", ledger)
