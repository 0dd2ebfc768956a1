"""How the tests share a machine: `-n 2 --dist loadgroup` runs them in two processes, those that start Ray in one."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch is imported later; two processes need no four threads

STARTS_RAY = (
    "tests/test_end_to_end.py",
    "tests/study/farm/",
    "tests/study/cluster/",
    "tests/study/test_grid.py",
    "tests/benchmarks/test_chaos.py",
)

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what starts a cluster together: two clusters at a time would wait for one another's processors."""
    for item in items:
        if item.nodeid.startswith(STARTS_RAY):
            item.add_marker(pytest.mark.xdist_group("ray"))
