"""The stages of one phase as flat arrays, attack after attack; what a prefix of a schedule would have kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.load import Results
from analysis.metric import METRICS, Metric

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

_KINDS = ("evolution", "features", "weights", "pixels")  # as schedules order them
_COLUMNS = (
    "trial", "block", "target_id", "domain", "stage", "kind", "layer", "steps", "steps_taken", "matching_loss",
    "feature_radius", "feature_moved_l1",
)  # fmt: skip


def place_name(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """What a table's row is about, in words: `layer 2`, `weights`."""
    return f"layer {row['layer']}" if row["kind"] == "features" else str(row["kind"])


@dataclass(frozen=True)
class Place:
    """Where a stage searches: the layer it enters, or a kind of stage without any. Schedules are compared by it."""

    rank: int  # of the kind, in `_KINDS`
    layer: int | None

    @property
    def kind(self) -> str:
        """What is searched there: features, weights, evolution or pixels."""
        return _KINDS[self.rank]

    @property
    def name(self) -> str:
        """In words: `layer 2`, `weights`."""
        return place_name({"kind": self.kind, "layer": self.layer})


@dataclass(frozen=True, kw_only=True)
class StageRows:
    """Stages in the order of their schedules, those of an attack (a config on a target) beside one another.

    Every array is [rows]. `place` indexes `places`, `target` indexes `target_ids` and `domains`. Null reads as NaN.
    """

    trial: Integers
    target: Integers
    place: Integers
    attack: Integers  # 0, 1, ...: never falls
    score: Floats  # metric's unit
    loss: npt.NDArray[np.float64]  # matching loss
    evaluations: Integers  # of one restart, scoring included
    radius: Floats  # l1, NaN without a ball
    moved: Floats  # l1, NaN without a feature
    places: tuple[Place, ...]
    target_ids: npt.NDArray[np.object_]
    domains: npt.NDArray[np.str_]  # [targets]
    metric: Metric

    @cached_property
    def first(self) -> npt.NDArray[np.bool_]:
        """Whether a row begins its attack."""
        return np.concatenate([[True], self.attack[1:] != self.attack[:-1]]) if self.attack.size else np.zeros(0, bool)

    @cached_property
    def last(self) -> npt.NDArray[np.bool_]:
        """Whether a row ends its attack."""
        return np.concatenate([self.first[1:], [True]]) if self.attack.size else np.zeros(0, bool)

    @property
    def num_attacks(self) -> int:
        """Configs times targets, as far as there are rows."""
        return int(self.first.sum())

    @property
    def num_configs(self) -> int:
        """Different trials."""
        return int(np.count_nonzero(np.bincount(self.trial)))

    def of_trial(self, trial: int) -> StageRows:
        """The rows of one config."""
        chosen = self.trial == trial
        arrays = {name: getattr(self, name)[chosen] for name in _ROWWISE}
        arrays["attack"] = _numbered(arrays["attack"])
        shared = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _ROWWISE}
        return StageRows(**arrays, **shared)

    def step(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[rows]: `values` less those of the stage before in the same attack; NaN where an attack begins."""
        found = np.full(values.shape, np.nan, dtype=values.dtype)
        found[1:] = values[1:] - values[:-1]
        found[self.first] = np.nan
        return found

    @cached_property
    def position(self) -> npt.NDArray[np.int16]:
        """[rows]: place in the own schedule, from 0, without gaps."""
        begin = np.flatnonzero(self.first)
        lengths = np.diff(np.append(begin, self.first.size))
        return (np.arange(self.first.size, dtype=np.int32) - np.repeat(begin.astype(np.int32), lengths)).astype(
            np.int16
        )

    @cached_property
    def kept(self) -> Integers:
        """[rows]: the row of least matching loss so far, which an attack keeps; -1 before any is finite."""
        return self._best_so_far(-self.loss)

    @cached_property
    def best(self) -> Integers:
        """[rows]: the row of the most leakage so far; -1 before any is finite."""
        return self._best_so_far(self.metric.direction * self.score)

    def _best_so_far(self, values: npt.NDArray[Any]) -> Integers:
        found = np.full(self.attack.size, -1, dtype=np.int32)
        for position in range(1 + int(self.position.max(initial=-1))):  # the first stages of all attacks, the second...
            rows = np.flatnonzero(self.position == position).astype(np.int32)
            before = found[rows - 1] if position else found[rows]
            own = values[rows]
            better = np.isfinite(own) & ((before < 0) | (own > values[before]))
            found[rows] = np.where(better, rows, before)
        return found

    def at(self, values: npt.NDArray[Any], rows: Integers) -> npt.NDArray[Any]:
        """`values` of `rows`; NaN for row -1."""
        return np.where(rows < 0, np.nan, values[rows]).astype(values.dtype) if rows.size else values[:0]


_ROWWISE = ("trial", "target", "place", "attack", "score", "loss", "evaluations", "radius", "moved")


def stage_metric(metric: Metric) -> Metric:
    """The metric that stages are scored by: the study's, or PSNR where a stage has no such score (LPIPS)."""
    return METRICS["psnr_db"] if metric.column.startswith("lpips") else metric


def read_stages(results: Results, phase: str) -> StageRows:
    """The stages of a phase; empty arrays where it has none."""
    metric = stage_metric(results.metric)
    table = results.stages([*_COLUMNS, metric.column], phase)
    target, target_ids = _codes(table, "target_id")
    domain, domain_names = _codes(table, "domain")
    kind, kinds = _codes(table, "kind")
    domains = np.full(len(target_ids), "", dtype=object)
    domains[target] = domain_names[domain]
    place, places = _places(kind, [_KINDS.index(str(name)) for name in kinds], _integers(table, "layer", absent=-1))
    taken = pc.coalesce(table["steps_taken"], table["steps"])
    columns: dict[str, npt.NDArray[Any]] = {
        "trial": _integers(table, "trial"),
        "target": target,
        "place": place,
        "score": _floats(table, metric.column),
        "loss": _floats(table, "matching_loss"),
        "evaluations": taken.to_numpy().astype(np.int32) + np.int32(1),
        "radius": _floats(table, "feature_radius"),
        "moved": _floats(table, "feature_moved_l1"),
    }
    block, stage = _integers(table, "block"), _integers(table, "stage")
    del taken, table
    pa.default_memory_pool().release_unused()
    attack, order = _attacks(columns["trial"], block, target, stage)
    if order is not None:
        columns = {name: values[order] for name, values in columns.items()}
    return StageRows(
        **columns, attack=attack, places=places, target_ids=target_ids, domains=domains.astype(np.str_), metric=metric
    )


def _attacks(
    trial: Integers, block: Integers, target: Integers, stage: Integers
) -> tuple[Integers, npt.NDArray[np.intp] | None]:
    """The attack of every row, and the order of rows in which attacks are whole; None: as they are."""
    key = trial.astype(np.int64)
    for part in (block, target, stage):
        key *= int(part.max(initial=0)) + 1
        key += part
    order = None
    if key.size and not (key[1:] > key[:-1]).all():
        order = np.argsort(key, kind="stable")
        key = key[order]
    key //= int(stage.max(initial=0)) + 1
    return _numbered(key), order


def _numbered(runs: npt.NDArray[Any]) -> Integers:
    """0, 1, ... for each run of equal values."""
    changes = np.zeros(runs.size, dtype=np.int32)
    changes[1:] = runs[1:] != runs[:-1]
    return np.cumsum(changes, dtype=np.int32)


def _places(kind: Integers, ranks: list[int], layer: Integers) -> tuple[Integers, tuple[Place, ...]]:
    """The place of every row, and all places in the order of a schedule."""
    num_layers = int(layer.max(initial=-1)) + 2
    code = np.asarray(ranks, dtype=np.int32)[kind] * num_layers + layer + 1
    present = np.flatnonzero(np.bincount(code)) if code.size else np.zeros(0, np.intp)
    places = tuple(Place(*_decoded(int(each), num_layers)) for each in present)
    positions = np.zeros(int(present.max(initial=-1)) + 1, dtype=np.int32)
    positions[present] = np.arange(present.size)
    return positions[code], places


def _decoded(code: int, num_layers: int) -> tuple[int, int | None]:
    rank, layer = divmod(code, num_layers)
    return rank, layer - 1 if layer else None


def _codes(table: pa.Table, column: str) -> tuple[Integers, npt.NDArray[np.object_]]:
    combined = table[column].unify_dictionaries().combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        if combined.num_chunks == 0:
            return np.zeros(0, np.int32), np.zeros(0, object)
        combined = combined.chunk(0)
    return combined.indices.to_numpy(), np.asarray(combined.dictionary.to_pylist(), dtype=object)


def _integers(table: pa.Table, column: str, *, absent: int = 0) -> Integers:
    values: Integers = table[column].fill_null(absent).to_numpy().astype(np.int32, copy=False)
    return values


def _floats(table: pa.Table, column: str) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = table[column].to_numpy()
    return values
