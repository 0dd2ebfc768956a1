"""Rewrites are killed with SIGKILL at every step they take: what is left is the old tables or the new ones."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from study.packs import read_part
from study.upkeep import swap
from study.upkeep.swap import rewriting, settle

TABLES = ("trials", "images")
STEPS = ("os.replace", "os.rename", "os.unlink", "os.rmdir", "os.mkdir", "os.fsync")
OLD = {"trials/a": "old", "trials/b": "old", "images/a": "old", "note": "old"}
NEW = {"trials/c": "new", "images/c": "new", "note": "new", ".journal.before-test": "old"}


def build(results: Path) -> None:
    for table in TABLES:
        (results / table).mkdir(parents=True)
    for name in ("trials/a", "trials/b", "images/a"):
        (results / f"{name}.parquet").write_text("old")
    (results / "note").write_text("old")
    (results / "journal").write_text("old")


def rewrite(results: Path) -> None:
    with rewriting(results, tables=TABLES, what="test", set_aside=["journal"]) as new:
        for name in ("trials/c", "images/c"):
            new.write_text(f"{name}.parquet", "new")
        new.write_text("note", "new")


def held(results: Path) -> dict[str, str]:
    paths = (path for path in results.rglob("*") if path.is_file())
    return {path.relative_to(results).as_posix().removesuffix(".parquet"): path.read_text() for path in paths}


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run in a child that is killed before its step-th change of the file system; whether it came that far."""
    child = os.fork()
    if child == 0:
        left = iter(range(step))
        for name in STEPS:
            _count(name.removeprefix("os."), left)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _count(name: str, left: Iterator[int]) -> None:
    does = getattr(os, name)

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return does(*arguments, **options)

    setattr(os, name, counted)


def test_a_rewrite_killed_at_any_step_leaves_the_old_tables_or_the_new_ones(tmp_path: Path) -> None:
    seen, step, killed = set(), 0, True
    while killed:
        results = tmp_path / str(step)
        build(results)
        killed = killed_at(step, lambda results=results: rewrite(results))  # type: ignore[misc]
        for table in TABLES:  # as the next command does before it knows of the rewrite
            (results / table).mkdir(exist_ok=True)
        said = settle(results)
        after = held(results)
        assert after in (OLD | {"journal": "old"}, NEW), f"killed at step {step}"
        assert settle(results) is None
        assert not (said or "").endswith("was undone; nothing had been changed") or after != NEW
        seen.add(after["note"])
        step += 1
    assert seen == {"old", "new"}
    assert step > 20


def test_settling_killed_at_any_step_is_finished_by_the_next(tmp_path: Path) -> None:
    build(tmp_path / "begun")
    step = 0
    while not (tmp_path / "begun" / ".rewrite" / "mark.json").exists():  # killed right after the mark was set
        shutil.rmtree(tmp_path / "begun")
        build(tmp_path / "begun")
        killed_at(step, lambda: rewrite(tmp_path / "begun"))
        step += 1
    step, killed = 0, True
    while killed:
        results = tmp_path / f"settled-{step}"
        shutil.copytree(tmp_path / "begun", results)
        killed = killed_at(step, lambda results=results: settle(results))  # type: ignore[misc]
        settle(results)
        assert held(results) == NEW, f"killed at step {step}"
        step += 1
    assert step > 10


def fail_at_the_end(results: Path) -> None:
    with rewriting(results, tables=TABLES, what="test") as new:
        new.write_text("trials/c.parquet", "new")
        raise OSError("no space left")


def test_a_body_that_fails_changes_nothing(tmp_path: Path) -> None:
    build(tmp_path)
    before = held(tmp_path)
    with pytest.raises(OSError, match="no space left"):
        fail_at_the_end(tmp_path)
    assert held(tmp_path) == before


def test_what_a_left_over_worker_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    build(tmp_path)
    with rewriting(tmp_path, tables=TABLES, what="test") as new:
        new.write_text("trials/c.parquet", "new")
        (tmp_path / "trials" / "late.parquet").write_text("late")
    assert held(tmp_path)["trials/late"] == "late"
    assert "trials/a" not in held(tmp_path)


def test_a_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    path.write_text("no table")
    with pytest.raises(OSError, match=str(path)):
        read_part(path)
    assert swap.settle(tmp_path) is None
