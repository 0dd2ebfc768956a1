"""Optuna's journal of a search: a plain Optuna storage in a file, which `optuna-dashboard` can read.

What belongs together is written together. An ask of 34 parameters would be 38 appends, each flushed to the disk, and as
many lines to replay at every start. In a batch it is one append of one line, and a kill finds it there or not.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

JOURNAL = "optuna.journal"
CREATE_TRIAL, SET_PARAM, SET_STATE, SET_USER_ATTR, SET_SYSTEM_ATTR = 4, 5, 6, 8, 9  # "op_code" in the file's format
RUNNING = 0  # "state" in the file's format
Log = dict[str, Any]


class _NoLock(JournalFileOpenLock):
    """A study has one driver, and a lock of its own for that. A lock that a kill left behind would block for 30 s."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""


class Journal(BaseJournalBackend):
    """A journal file with batches. For the one driver of a study: nobody else may write.

    A storage counts the logs it has read. Where a batch was merged the file holds fewer of them than the storage has
    seen: `merged` is the difference.
    """

    def __init__(self, path: Path) -> None:
        cut_torn_line(path)
        self._file = JournalFileBackend(str(path), lock_obj=_NoLock(str(path)))
        self._num_lines = self._num_trials = self._merged = 0
        self._batch: list[str] | None = None  # as JSON: a storage alters what it reads

    def read_logs(self, log_number_from: int) -> Iterator[Log]:
        batch_from = self._num_lines + self._merged
        if self._batch is None or log_number_from < batch_from:
            line = log_number_from - self._merged
            for number, log in enumerate(self._file.read_logs(line), start=line):
                if number >= self._num_lines:
                    self._num_lines = number + 1
                    self._num_trials += log["op_code"] == CREATE_TRIAL
                yield log
        if self._batch is not None:
            yield from map(json.loads, self._batch[max(0, log_number_from - batch_from) :])

    def append_logs(self, logs: list[Log]) -> None:
        if self._batch is None:
            self._file.append_logs(logs)
        else:
            self._batch += map(json.dumps, logs)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Write all that the body logs at its end, at once, and a new trial as one line."""
        assert self._batch is None, "batches do not nest"
        self._batch = []
        try:
            yield
        finally:
            logs, self._batch = [json.loads(log) for log in self._batch], None
            if logs:
                lines = merge(logs, first_trial=self._num_trials)
                self._file.append_logs(lines)
                deque(self._file_lines(), maxlen=0)
                self._merged += len(logs) - len(lines)

    def _file_lines(self) -> Iterator[Log]:
        """Read what was appended, so that the next read begins behind it."""
        return self.read_logs(self._num_lines + self._merged)


def merge(logs: Sequence[Log], *, first_trial: int) -> list[Log]:
    """The same history with what is said of a new trial, until it is finished, in the line that creates it.

    first_trial: the id of the first trial that the logs create.
    """
    lines: list[Log] = []
    created: dict[int, Log] = {}  # lines by trial id
    for log in logs:
        kind, line = log["op_code"], created.get(log.get("trial_id", -1))
        if kind == CREATE_TRIAL:
            created[first_trial + len(created)] = log
            lines.append(log)
        elif line is not None and kind == SET_PARAM:
            line.setdefault("params", {})[log["param_name"]] = log["param_value_internal"]
            line.setdefault("distributions", {})[log["param_name"]] = log["distribution"]
        elif line is not None and kind == SET_USER_ATTR:
            line.setdefault("user_attrs", {}).update(log["user_attr"])
        elif line is not None and kind == SET_SYSTEM_ATTR:
            line.setdefault("system_attrs", {}).update(log["system_attr"])
        elif line is not None and kind == SET_STATE and log["state"] == RUNNING:
            line["state"], line["datetime_start"] = RUNNING, log["datetime_start"]
        else:
            lines.append(log)
    return lines


def cut_torn_line(journal: Path) -> None:
    """Drop a last line that a kill left unfinished: Optuna reads past it, then fails at the next write."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
