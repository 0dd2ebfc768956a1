"""A recorded pool: configs, and what each scored on every target. `study.record` writes it, `study.replay` asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from search_spaces.base import Prefer, Range
from study.choices import check_name
from study.options import read_options
from study.plan import METRICS, StudyPlan

Array = NDArray[np.float64]
Params = Mapping[str, float]

PLAN_KEY = b"plan"  # in the table's metadata: the plan as JSON
TABLE = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),  # 0: the published recipe
        pa.field("origin", pa.string(), nullable=False),  # published | beginning | random
        pa.field("params", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("target_id", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("block", pa.int32(), nullable=False),
        pa.field("psnr_db", pa.float64()),
        pa.field("ssim", pa.float64()),
        pa.field("matching_loss", pa.float64()),
        pa.field("gradient_evaluations", pa.int32(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Pool:
    """Every config on every target. Config 0 is the published recipe, which has no parameters."""

    plan: StudyPlan
    params: tuple[Params, ...]
    origins: tuple[str, ...]
    scores: Array  # [configs, targets], higher is better; nan where the row diverged
    evaluations: Array  # [configs, targets], gradient evaluations
    domains: tuple[str, ...]  # by target
    steering: tuple[str, ...]  # domains whose improvement is searched for

    @classmethod
    def read(cls, path: Path, *, metric: str | None = None, steering: tuple[str, ...] = ()) -> Pool:
        """The pool of a table, scored by a metric of it and steered by some of its domains (those of its plan).

        Raises ValueError if the file is no such table, is incomplete or was recorded in another space.
        """
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path} cannot be read as Parquet ({error}); record one with study.record") from error
        if PLAN_KEY not in (table.schema.metadata or {}) or not set(TABLE.names) <= set(table.column_names):
            raise ValueError(f"{path} is no recorded pool: it lacks its plan or columns; record one with study.record")
        plan = _read_plan(json.loads(table.schema.metadata[PLAN_KEY]))
        metric = metric or plan.metric
        if metric not in METRICS or metric not in table.column_names:
            known = ", ".join(name for name in METRICS if name in table.column_names)
            raise ValueError(f"a replay needs a metric of the table ({known}), got {metric!r}")
        pool = cls._of_rows(table.to_pylist(), plan, metric, steering or plan.steered_domains)
        for domain in pool.steering:
            check_name("domain", domain, pool.domains)
        if pool.origins[0] != "published" or np.isnan(pool.scores[0]).any():
            raise ValueError(
                f"{path} lacks scores of the published recipe, which all are compared with; record it anew"
            )
        for params in pool.params[1:]:
            if pool.ranges_of(params).keys() != params.keys():
                raise ValueError(f"{path} was recorded in another space {plan.space!r} than today's; record it anew")
        return pool

    @classmethod
    def _of_rows(cls, rows: list[dict[str, Any]], plan: StudyPlan, metric: str, steering: tuple[str, ...]) -> Pool:
        trials, targets = sorted({row["trial"] for row in rows}), dict[str, str]()
        first = {trial: next(row for row in rows if row["trial"] == trial) for trial in trials}
        for row in rows:
            targets[row["target_id"]] = row["domain"]
        line, column = ({key: place for place, key in enumerate(keys)} for keys in (trials, targets))
        sign = 1 if METRICS[metric] == "maximize" else -1
        scores, evaluations = np.full((2, len(trials), len(targets)), np.nan)
        for row in rows:
            place = line[row["trial"]], column[row["target_id"]]
            evaluations[place] = row["gradient_evaluations"]
            if row["outcome"] == "ok" and row[metric] is not None:
                scores[place] = sign * row[metric]
        if np.isnan(evaluations).any():
            raise ValueError("a pool needs every config on every target; run the same study.record command to its end")
        return cls(
            plan,
            tuple(dict(first[trial]["params"]) for trial in trials),
            tuple(first[trial]["origin"] for trial in trials),
            scores,
            evaluations,
            tuple(targets.values()),
            steering,
        )

    @property
    def steered(self) -> NDArray[np.bool_]:
        """Of every target, whether its domain steers."""
        return np.isin(self.domains, self.steering)

    def ranges_of(self, params: Params) -> dict[str, Range]:
        """What the walk through the space that these parameters take may answer."""
        ask = Prefer(params)
        self.plan.search_space.suggest(ask, self.plan.task_info.generator_shape, budget=self.plan.budget)
        return ask.ranges

    def nearest(self, params: Params, among: NDArray[np.intp]) -> int:
        """The config, of those named, that is nearest to a point of the space.

        Gower's distance (Biometrics 27, 1971): a parameter that both have counts by its difference in units of its
        range, on the scale that is searched; one that only one of them has counts a whole range.
        """
        point, configs = self._place(params), self._places[among]
        apart = np.abs(configs - point)
        apart[np.isnan(configs) ^ np.isnan(point)] = 1.0
        return int(among[np.nansum(apart, axis=1).argmin()])

    @cached_property
    def _places(self) -> Array:
        return np.stack([self._place(params) for params in self.params])

    @cached_property
    def _ranges(self) -> dict[str, Range]:
        return {name: allowed for params in self.params[1:] for name, allowed in self.ranges_of(params).items()}

    def _place(self, params: Params) -> Array:
        """A point in units of the ranges; nan for parameters that it does not have."""
        return np.array(
            [_share(allowed, params[name]) if name in params else np.nan for name, allowed in self._ranges.items()]
        )


def _share(allowed: Range, value: float) -> float:
    """Where a value lies in its range, 0 to 1; options lie evenly apart, in their order."""
    if allowed.options is not None:
        return allowed.options.index(int(value)) / max(1, len(allowed.options) - 1)
    low, high, here = (np.log([allowed.low, allowed.high, value]) if allowed.log else
                       np.array([allowed.low, allowed.high, value]))  # fmt: skip
    return float((here - low) / (high - low)) if high > low else 0.0


def _read_plan(stored: Mapping[str, Any]) -> StudyPlan:
    """A plan as it was recorded; fields that are newer than the table have their defaults."""
    default = json.loads(read_options(["--space", stored["space"], "--dry-run"]).plan.to_json())
    known = {field.name for field in fields(StudyPlan)}
    return StudyPlan.from_json(json.dumps(default | {name: stored[name] for name in stored if name in known}))
