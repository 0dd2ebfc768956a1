"""Event files for TensorBoard below RESULTS/tensorboard: scalars by trial, read from the ledger while a study runs.

They are drawn from the ledger anew at every start, like figures, so nothing in them is ever doubled or missing.
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from study.background import every
from study.search.objectives import scores_of
from study.watch.history import Ended, History

FOLDER = "tensorboard"
EVERY_SECONDS = 5.0


def check_tensorboard() -> None:
    """Raise ValueError if the package that writes event files is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard needs a package that is not installed; run: pip install tensorboard")


@contextmanager
def event_files(results: Path) -> Iterator[None]:
    """Write event files while the body runs, and the rest at its end."""
    shutil.rmtree(results / FOLDER, ignore_errors=True)
    history, writer = History(results), _Writer(results / FOLDER)
    try:
        with every(EVERY_SECONDS, lambda: writer.write(history, history.read())):
            yield
    finally:
        writer.write(history, history.read())
        writer.close()


class _Writer:
    """Turns ended trials into scalars; the step of each is its trial's number."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(mode=0o700)
        # TensorBoard's own event file writer would name this machine in the file's name
        self._file: Any = RecordWriter((folder / "events.out.tfevents.study").open("wb"))
        self._add_event(wall_time=time.time(), file_version="brain.Event:2")
        self._outcomes: Counter[str] = Counter()
        self._waiting: list[Ended] = []  # ended before the published recipe, which they are held against

    def write(self, history: History, new: list[Ended]) -> None:
        self._waiting += new
        if 0 not in history.ended:
            return
        for ended in self._waiting:
            self._outcomes[ended.outcome] += 1
            self._add(ended, {f"outcomes/{name}": float(count) for name, count in self._outcomes.items()})
            self._add(ended, _scalars(history, ended))
        self._waiting = []
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _add(self, ended: Ended, scalars: dict[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._add_event(wall_time=ended.at, step=ended.trial, summary=Summary(value=values))

    def _add_event(self, **entries: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._file.write(Event(**entries).SerializeToString())


def _scalars(history: History, ended: Ended) -> dict[str, float]:
    """The improvement over the recipe, and the plan's metrics by domain."""
    plan, gains = history.plan, history.gains(ended.trial)
    steered = [gains[domain] for domain in plan.steered_domains if domain in gains]
    scalars = {f"improvement/{plan.metric}": fmean(steered)} if steered else {}
    for name in (plan.metric, *plan.other_metrics, "matching_loss"):
        for domain in plan.domains:
            scores = [scores_of(row) for row in ended.rows if row["domain"] == domain]
            values = [found[name] for found in scores if name in found]
            if values:
                scalars[f"{name}/{domain}"] = fmean(values)
    return scalars
