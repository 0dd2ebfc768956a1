"""How tests share a machine: `-n 2 --dist loadfile --no-loadscope-reorder`, two processes, a file to one of them."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch is imported later; two processes need no four threads

LONGEST = "tests/test_end_to_end.py"

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest goes first: begun last, it would keep one process alone at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
