"""Points that a search tries before it asks anybody: a person's own, and the best of an earlier study."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from study.choices import check_name
from study.plan import METRICS, Points, StudyPlan, read_points
from study.schema import TABLES
from study.search.objectives import Front, gains_by_domain, scores_of, steering_metrics

MOST_POINTS = 8  # of an earlier study: its best, then its front
Rows = dict[int, list[dict[str, Any]]]  # by trial


def read_point(path: Path, plan: StudyPlan) -> dict[str, float]:
    """The point in a TOML file of `parameter = number` lines; what it does not name is as in the recipe's likeness.

    Raises ValueError: rule, value, remedy.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"--point {path} cannot be read ({error}); it needs lines such as lr_first = 0.1") from None
    allowed, fixed = dict(plan.parameters), dict(plan.fixed)
    for name, value in values.items():
        check_name(f"parameter in {path}", name, allowed)
        if not isinstance(value, int | float):
            raise ValueError(f"--point {path}: {name} needs a number, got {value!r}; it may be {allowed[name]}")
        if value not in allowed[name]:
            raise ValueError(f"--point {path}: {name} = {value:g} lies outside the space: it may be {allowed[name]}")
        if fixed.get(name, value) != value:
            raise ValueError(
                f"--point {path}: {name} = {value:g}, but --set holds it at {fixed[name]:g}; leave one out"
            )
    point = _point({name: float(value) for name, value in values.items()}, plan)
    idle = [name for name in values if name not in point]
    if idle:
        raise ValueError(
            f"--point {path}: with its other values the space never asks for {', '.join(idle)}; leave out what has no "
            "effect, or change what switches it off"
        )
    return point


def earlier_study(results: Path) -> str:
    """What names an earlier study: the sha256 of its plan, sixteen hex digits. Raises ValueError if it has none."""
    path = results / "plan.json"
    if not path.is_file():
        raise ValueError(f"--warm-start needs the results of a study; {results} holds no plan.json")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def kept_points(results: Path, warm_start: str) -> Points | None:
    """The points that a study which goes on took from the earlier one when it began; None if it has not begun so."""
    try:
        plan = json.loads((results / "plan.json").read_text())
        if plan.get("warm_start") != warm_start:
            return None
        return tuple(point for point in read_points(plan["points"]) if point[0] == "warm_start")
    except (OSError, ValueError, AttributeError, KeyError):
        return None  # there is no plan that can be read: whether that matters is said elsewhere


def warm_points(earlier: Path, plan: StudyPlan) -> tuple[Points, tuple[str, ...]]:
    """The best of an earlier study and, where several metrics count, its front; and a line for what had to be dropped.

    Both are judged by what steers this plan, on the domains that steer it where the earlier study has them. Raises
    ValueError if nothing of them fits the plan's space.
    """
    params, rows = _trials(earlier), _rows(earlier)
    points: list[dict[str, float]] = []
    lines = []
    for trial in _chosen(rows, set(params), plan, earlier):
        kept, dropped = _fitting(params[trial], plan)
        if dropped:
            lines.append(
                f"warm start: trial {trial} of {earlier} comes without {', '.join(dropped)}, which this study's space "
                "does not have, or not at that value"
            )
        point = _point(kept, plan)
        if any(_is_open(name, plan) for name in kept) and point not in points:
            points.append(point)
    if not points:
        raise ValueError(
            f"--warm-start {earlier} has no parameters that fit {plan.space} with --method {plan.method}; leave it "
            "out, or give a study of the same space"
        )
    return tuple(("warm_start", tuple(sorted(point.items()))) for point in points), tuple(lines)


def _chosen(rows: Rows, candidates: set[int], plan: StudyPlan, earlier: Path) -> list[int]:
    """The trials to take: of every objective of the plan those best in a metric, then the rest of the front."""
    published = {row["target_id"]: scores_of(row) for row in rows.get(0, [])}
    complete = [trial for trial in sorted(candidates & rows.keys()) if _is_whole(rows[trial], published)]
    if not complete:
        raise ValueError(
            f"--warm-start {earlier} holds no finished trial beside the published recipe; let it run longer first"
        )
    chosen: list[int] = []
    for objective in ("oracle", "observable") if plan.objective == "both" else (plan.objective,):
        metrics, front = steering_metrics(plan, objective), Front()
        for trial in complete:
            values = [_mean_gain(name, rows[trial], published, plan) for name in metrics]
            if None not in values:
                front.add(trial, tuple(value for value in values if value is not None))
        ends = [end for place in range(len(metrics)) if (end := front.end(place)) is not None]
        chosen += [*ends, *sorted(front.values)]
    return list(dict.fromkeys(chosen))[:MOST_POINTS]


def _is_whole(rows: list[dict[str, Any]], published: Mapping[str, Any]) -> bool:
    return {row["target_id"] for row in rows} == published.keys() and all(row["outcome"] == "ok" for row in rows)


def _mean_gain(
    metric: str, rows: list[dict[str, Any]], published: Mapping[str, dict[str, float]], plan: StudyPlan
) -> float | None:
    gains = gains_by_domain(metric, rows, published)
    steered = [gain for domain in plan.steered_domains for gain in gains.get(domain, [])]
    found = steered or [gain for of_domain in gains.values() for gain in of_domain]
    return fmean(found) if found else None


def _fitting(params: Mapping[str, float], plan: StudyPlan) -> tuple[dict[str, float], list[str]]:
    """Those of the parameters that the plan's space allows, and the names of the others."""
    allowed, fixed = dict(plan.parameters), dict(plan.fixed)
    kept = {
        name: value
        for name, value in params.items()
        if name in allowed and value in allowed[name] and fixed.get(name, value) == value
    }
    return kept, sorted(params.keys() - kept.keys())


def _is_open(name: str, plan: StudyPlan) -> bool:
    """Whether a parameter can have more than one value."""
    options = dict(plan.parameters)[name].options
    return name not in dict(plan.fixed) and (options is None or len(options) > 1)


def _point(values: Mapping[str, float], plan: StudyPlan) -> dict[str, float]:
    shape = plan.task_info.generator_shape
    return plan.search_space.point({**values, **dict(plan.fixed)}, shape, budget=plan.budget)


def _trials(results: Path) -> dict[int, dict[str, float]]:
    """The parameters of all trials of the search that have any."""
    rows = _read(results, "trials", ["trial", "params"])
    return {row["trial"]: dict(row["params"]) for row in rows if row["params"]}


def _rows(results: Path) -> Rows:
    columns = ["trial", "target_id", "domain", "outcome", "rank_psnr_db"]
    columns += [name for name in METRICS if name in TABLES["reconstructions"].names]
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for row in _read(results, "reconstructions", columns):
        found.setdefault(row["trial"], {})[row["target_id"]] = row
    return {trial: list(by_target.values()) for trial, by_target in found.items()}


def _read(results: Path, table: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    if not (results / table).is_dir():
        return
    parts = ds.dataset(results / table, schema=TABLES[table], format="parquet")
    yield from parts.to_table(columns=columns, filter=pc.field("phase") == "search").to_pylist()
