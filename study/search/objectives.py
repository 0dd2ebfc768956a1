"""What steers a search: by how much a trial beats the published recipe on the same targets, in each metric.

The `oracle` objective maximizes leakage as the private images tell it. The `observable` objective is what an attacker
without them can tune by: the matching loss, and what an attack costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from study.plan import METRICS, ORACLES, StudyPlan

Row = Mapping[str, Any]  # of the ledger's reconstructions
Scores = dict[str, float]  # by metric
LEAST_LOSS = 1e-12  # a matching loss is a cosine distance: rounding may take it to zero or below


def steering_metrics(plan: StudyPlan, objective: str) -> tuple[str, ...]:
    """The metrics that an objective (oracle or observable) maximizes the improvement in; the first decides."""
    asked = (plan.metric, *plan.other_metrics)
    if objective == "oracle":
        return asked
    return ("matching_loss", *(name for name in asked if name not in ORACLES and name != "matching_loss"))


def check_objective(objective: str, metrics: Sequence[str]) -> None:
    """Raise ValueError where metrics and objective do not go together: rule, value, remedy."""
    if len(set(metrics)) < len(metrics):
        raise ValueError(f"--metric names each metric once, got {','.join(metrics)}; leave out what is there twice")
    first, *others = metrics
    if first not in ORACLES:
        remedy = "say --objective observable to search by it" if first == "matching_loss" else "put it behind one"
        raise ValueError(f"the first --metric says how much leaked, one of {', '.join(ORACLES)}, got {first}; {remedy}")
    hidden = [name for name in others if name in ORACLES]
    if objective == "observable" and hidden:
        raise ValueError(
            f"--objective observable cannot steer by {', '.join(hidden)}, which need the private image; leave them "
            "out, or use --objective both"
        )


def scores_of(row: Row) -> Scores:
    """Every metric that a row has a value for; none for a row that diverged."""
    if row["outcome"] != "ok":
        return {}
    rank = row.get("rank_psnr_db")
    values = {name: row.get(name) for name in METRICS} | {"identified": None if rank is None else float(rank == 1)}
    return {name: float(value) for name, value in values.items() if value is not None}


def gain(metric: str, value: float, base: float) -> float:
    """By how much `value` is better than the published recipe's `base` on the same target; higher is better.

    Matching losses of different targets and victims differ by orders of magnitude, and so would their differences: what
    counts is the decrease of their logarithm, in which a halving weighs alike everywhere.
    """
    if metric == "matching_loss":
        return math.log(max(base, LEAST_LOSS)) - math.log(max(value, LEAST_LOSS))
    return value - base if METRICS[metric] == "maximize" else base - value


def gains_by_domain(metric: str, rows: Iterable[Row], published: Mapping[str, Scores]) -> dict[str, list[float]]:
    """The paired gains of a trial's rows, by domain; targets that either side has no value for are left out."""
    found: dict[str, list[float]] = {}
    for row in rows:
        value, base = scores_of(row).get(metric), published.get(row["target_id"], {}).get(metric)
        if value is not None and base is not None:
            found.setdefault(row["domain"], []).append(gain(metric, value, base))
    return found


class Front:
    """The trials that no other trial beats in every metric at once: values are maximized. Kept up trial by trial."""

    def __init__(self) -> None:
        self.values: dict[int, tuple[float, ...]] = {}

    def add(self, trial: int, values: tuple[float, ...]) -> None:
        """Let a trial in if none there is as good in everything, and let those go that it beats."""
        if any(_as_good(other, values) for other in self.values.values()):
            return
        self.values = {number: other for number, other in self.values.items() if not _as_good(values, other)}
        self.values[trial] = values

    def end(self, place: int) -> int | None:
        """The trial of the front that is best in the metric at `place`; None while the front is empty."""
        return max(self.values, key=lambda trial: self.values[trial][place]) if self.values else None


def _as_good(here: Sequence[float], there: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(here, there, strict=True))
