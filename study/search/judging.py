"""What the rows of a trial say of it, beside the published recipe's on the same targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from study.plan import StudyPlan
from study.search.objectives import Row, Scores, gains_by_domain


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a search keeps of a trial that ended."""

    outcome: str  # ok, diverged, out_of_memory, stopped
    values: tuple[float, ...] | None  # what steers: mean paired improvements, higher is better; None: unknown
    by_domain: dict[str, float]  # mean paired improvement in the plan's metric
    loss: float | None  # mean matching loss on the steered domains


def judge(
    rows: Sequence[Row],
    published: Mapping[str, Scores],
    *,
    plan: StudyPlan,
    metrics: Sequence[str],
    outcome: str,
    is_published: bool,
) -> Learned:
    """What `rows` of a trial say; `published` holds the recipe's scores by target.

    One with a diverged row has no value, unless it is the recipe itself, whose other rows still count.
    """
    gains = {name: gains_by_domain(name, rows, published) for name in dict.fromkeys((*metrics, plan.metric))}
    steered = plan.steered_domains
    means = [[gain for domain in steered for gain in gains[name].get(domain, [])] for name in metrics]
    fine = is_published or all(row["outcome"] == "ok" for row in rows)
    losses = [row["matching_loss"] for row in rows if row["domain"] in steered and row["outcome"] == "ok"]
    return Learned(
        outcome=outcome,
        values=tuple(fmean(found) for found in means) if fine and all(means) else None,
        by_domain={domain: fmean(found) for domain, found in gains[plan.metric].items()},
        loss=fmean(losses) if losses else None,
    )
