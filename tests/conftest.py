"""How the tests share a machine: `-n 2 --dist loadgroup` runs them in two processes, those that start Ray in one."""

from __future__ import annotations

import pytest

STARTS_RAY = ("tests/test_end_to_end.py", "tests/study/farm/", "tests/benchmarks/test_chaos.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what starts a cluster together: two clusters at a time would wait for one another's processors."""
    for item in items:
        if item.nodeid.startswith(STARTS_RAY):
            item.add_marker(pytest.mark.xdist_group("ray"))
