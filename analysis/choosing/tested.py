"""What the finalists say on test targets: the price of each criterion, and how far a choice was flattered."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.choosing.criteria import OBSERVABLE, ORACLE, PUBLISHED, SHADOW
from analysis.improvement import paired_improvement
from analysis.load import Results
from analysis.stats import Estimate, mean_interval, t_intervals

PRICES = ["criterion", "trial", "same", "domain", "regret", "low", "high", "num_targets"]
OVERFIT = ["criterion", "trial", "against", "domain", "tuned", "fresh", "overfit", "low", "high", "num_targets"]


def finalists_by_criterion(results: Results) -> dict[str, int]:
    """The trials that criteria chose among those of `finalists.json`; what a domain alone chose is the shadow's."""
    chosen = results.finalists or {}
    public = [f"oracle_{domain}" for domain in results.known_domains]
    names = {ORACLE: [ORACLE], OBSERVABLE: [OBSERVABLE], SHADOW: public[:1], PUBLISHED: [PUBLISHED]}
    return {criterion: chosen[name] for criterion, found in names.items() for name in found if name in chosen}


def gains(results: Results, phase: str) -> pd.DataFrame:
    """`paired_improvement` of a phase; empty where it has no rows."""
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", column], phase)
    return paired_improvement(rows, metric=results.metric)


def prices(results: Results) -> pd.DataFrame:
    """What each criterion's choice gives up against the oracle's on the same test targets: PRICES, by domain and "all".

    Paired, t over targets; `same`: it is the oracle's trial. No rows before the test phase. The choices were made on
    other targets, so neither is flattered; but it is one choice each: what choosing is worth on average, the search's
    rows say.
    """
    finalists, tested = finalists_by_criterion(results), gains(results, "test")
    oracle = finalists.pop(ORACLE, None)
    rows = []
    for criterion, trial in finalists.items() if oracle is not None else ():
        best, other = (
            tested.loc[tested["trial"] == which, ["domain", "target_id", "improvement"]] for which in (oracle, trial)
        )
        pairs = best.merge(other, on=["domain", "target_id"], suffixes=("_oracle", ""))
        pairs = pairs.assign(regret=pairs["improvement_oracle"] - pairs["improvement"])
        for domain, part in [*pairs.groupby("domain"), ("all", pairs)]:
            if len(part):
                estimate = mean_interval(part["regret"], part["domain"])
                rows.append((criterion, trial, trial == oracle, domain, estimate.mean, *bounds(estimate), len(part)))
    return pd.DataFrame(rows, columns=PRICES)


def overfit(results: Results) -> pd.DataFrame:
    """By how much the gain of a chosen config was larger on the targets that chose it: OVERFIT.

    Gain on `tune` minus gain on fresh targets (`against`: test, and select where it was run), of the same trial over
    the published recipe, on the steered domains and their mean. The two means are of different targets: their
    variances add (Welch). `select` had a say in choosing under the full protocol, so its difference is rather small.
    """
    tuned = gains(results, "search")
    rows = []
    for against in ("test", "select"):
        fresh = gains(results, against)
        for criterion in (ORACLE, OBSERVABLE):
            trial = (results.finalists or {}).get(criterion)
            if trial in (None, 0):
                continue
            before, after = (frame[frame["trial"] == trial] for frame in (tuned, fresh))
            domains = sorted(set(before["domain"]) & set(after["domain"]) & set(results.steered_domains))
            for name, chosen in [*((domain, [domain]) for domain in domains), ("all", domains)]:
                if chosen:
                    rows.append((criterion, trial, against, name, *_difference(before, after, chosen)))
    return pd.DataFrame(rows, columns=OVERFIT)


def bounds(estimate: Estimate) -> tuple[float, float]:
    """Low and high; NaN where there is no interval."""
    return (np.nan, np.nan) if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def _difference(
    tuned: pd.DataFrame, fresh: pd.DataFrame, domains: list[str]
) -> tuple[float, float, float, float, float, int]:
    """Both means, the first minus the second with its interval, and the number of fresh targets."""
    means: tuple[list[float], list[float]] = ([], [])
    variances, freedoms, count = [], [], 0
    for side, frame in enumerate((tuned, fresh)):
        for domain in domains:
            values = frame.loc[frame["domain"] == domain, "improvement"].to_numpy(dtype=np.float64)
            means[side].append(values.mean())
            alone = values.size < 2
            variances.append(np.nan if alone else values.var(ddof=1) / values.size / len(domains) ** 2)
            freedoms.append(max(values.size - 1, 1))
            count += values.size * side
    tune, other = float(np.mean(means[0])), float(np.mean(means[1]))
    found = t_intervals(
        np.array([tune - other]), np.array([variances]), np.array([freedoms]), np.array([count]), 0.95
    )[0]  # fmt: skip
    return tune, other, found.mean, *bounds(found), count
