"""Locks between real processes, one of them killed with SIGKILL."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from study import lock
from study.lock import LOCK, STALE_SECONDS, Owner, only_driver, read_holder

HOLD = """
import sys, time
from pathlib import Path
from study.lock import only_driver

with only_driver(Path(sys.argv[1]), trials=7):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the study."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def owner_elsewhere() -> Owner:
    return Owner(host="elsewhere", boot="another", pid=1, began="5", since=time.time() - 600, trials=3)


def leave(results: Path, owner: Owner, *, seconds_ago: float) -> None:
    path = results / LOCK
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - seconds_ago,) * 2)


def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no locks of its own."""

    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.01)


def test_a_second_driver_is_told_who_holds_the_study_and_what_to_do(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    says = rf"in use by process {other.pid} on this machine since 20.*; wait for it"
    with pytest.raises(ValueError, match=says), only_driver(tmp_path):
        pass
    holder = read_holder(tmp_path)
    assert holder is not None
    assert (holder.owner.pid, holder.owner.trials) == (other.pid, 7)


def test_the_lock_of_a_killed_driver_is_free_at_once(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / LOCK).read_text() != ""
    assert read_holder(tmp_path) is None
    with only_driver(tmp_path):
        holder = read_holder(tmp_path)
        assert holder is not None
        assert holder.owner.pid == os.getpid()
    assert read_holder(tmp_path) is None


def test_where_the_kernel_locks_nothing_a_living_process_still_excludes(
    tmp_path: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch)
    with pytest.raises(ValueError, match=f"in use by process {other.pid} on this machine"), only_driver(tmp_path):
        pass
    other.kill()
    other.wait()
    with only_driver(tmp_path):
        pass


def test_a_driver_on_another_machine_counts_while_its_heart_beats(tmp_path: Path) -> None:
    leave(tmp_path, owner_elsewhere(), seconds_ago=STALE_SECONDS - 20)
    says = r"process 1 on elsewhere since .*, last sign of life 4\d s ago"
    with pytest.raises(ValueError, match=says), only_driver(tmp_path):
        pass
    assert read_holder(tmp_path) is not None
    leave(tmp_path, owner_elsewhere(), seconds_ago=STALE_SECONDS + 1)
    assert read_holder(tmp_path) is None
    with only_driver(tmp_path):
        pass


def test_a_process_that_was_given_the_number_of_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    with only_driver(tmp_path):
        ours = Owner(**json.loads((tmp_path / LOCK).read_text()))
    leave(tmp_path, replace(ours, began="1"), seconds_ago=1)
    with only_driver(tmp_path):
        pass


def test_a_lock_without_a_name_is_free(tmp_path: Path) -> None:
    for text in ("", "4711", "{}", "not a lock"):
        (tmp_path / LOCK).write_text(text)
        with only_driver(tmp_path):
            pass


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    with only_driver(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / LOCK).stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def be_taken_over(results: Path) -> None:
    with only_driver(results):
        leave(results, owner_elsewhere(), seconds_ago=0)
        threading.Event().wait(10)


def test_a_driver_whose_study_was_taken_over_is_interrupted_and_leaves_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    restore = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            be_taken_over(tmp_path)
    finally:
        signal.signal(signal.SIGINT, restore)
    assert "another driver has taken this study over" in capsys.readouterr().err
    assert json.loads((tmp_path / LOCK).read_text())["host"] == "elsewhere"


def test_of_two_who_take_it_at_once_without_the_kernel_only_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.3)
    late = threading.Timer(0.1, leave, (tmp_path, owner_elsewhere()), {"seconds_ago": 0})
    late.start()
    with pytest.raises(ValueError, match="process 1 on elsewhere"), only_driver(tmp_path):
        pass
    late.join()


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    says = r"cannot be written .*; choose another --results"
    with pytest.raises(ValueError, match=says), only_driver(tmp_path / "file" / "results"):
        pass
