"""The one thread that speaks with Optuna: whatever it is given is done in that order, and nobody has to wait for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from optuna.storages import JournalStorage

from study.search.journal import Journal

Answer = TypeVar("Answer")


class Clerk:
    """Keeps Optuna's journal. What an operation sees depends on the order of operations alone, not on their pace."""

    def __init__(self, journal: Path) -> None:
        self.journal = Journal(journal)
        self.storage = JournalStorage(self.journal)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="optuna")
        self._problem: BaseException | None = None

    def do(self, operation: Callable[[], Answer]) -> Future[Answer]:
        """Queue an operation; what it writes is written at its end, at once.

        Raises what an earlier operation raised, if nobody has seen it.
        """
        self.check()
        future = self._thread.submit(self._in_batch, operation)
        future.add_done_callback(self._note)
        return future

    def check(self) -> None:
        """Raise what an operation raised that nobody waited for."""
        if self._problem is not None:
            raise self._problem

    def _in_batch(self, operation: Callable[[], Answer]) -> Answer:
        with self.journal.batch():
            return operation()

    def _note(self, future: Future[Answer]) -> None:
        self._problem = self._problem or future.exception()
