"""The value of the best of many configs, free of the luck that made it look best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.stats import Estimate, Floats, membership, t_interval, welch_freedom

Bools = npt.NDArray[np.bool_]

NUM_SPLITS = 20
NUM_DRAWS = 200  # studies drawn anew: a standard error known to 5 %


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """What choosing the best config is worth. `estimate` is honest, `in_sample` the flattered value of `best`.

    `shares` [configs] is how often each was chosen over the splits: one that is chosen every time is a clear best.
    """

    estimate: Estimate
    best: int  # the choice from all targets
    in_sample: float
    shares: Floats

    @property
    def optimism(self) -> float:
        """By how much the best one's own rows flatter it."""
        return self.in_sample - self.estimate.mean


def cross_fit(
    values: Floats,
    strata: Sequence[Any] | npt.NDArray[Any] | pd.Series[Any] | None = None,
    *,
    num_splits: int = NUM_SPLITS,
    num_draws: int = NUM_DRAWS,
    seed: int,
    level: float = 0.95,
) -> CrossFit:
    """What the best config of `values` [configs, targets] (higher is better) is worth on targets it was not chosen on.

    Targets of every stratum are split in halves; the config that is best on one half (stratified mean) is valued on
    the other, halves are crossed, and `num_splits` random splits averaged. So the estimate is of what a choice from
    half as many targets is worth: a choice from all of them is worth at least as much on average.

    Interval: parametric bootstrap (Efron and Tibshirani, 1993, ch. 6), t with the degrees of freedom of Welch and
    Satterthwaite for the held-out values. `num_draws` studies are drawn from the normal distribution with the
    covariance that configs have within each stratum, and cross-fitted anew on the same splits, so the width holds what
    the choice varies by, too. Resampled targets would put copies of one target on both sides of a split, and a
    jackknife counts the jumps of a choice more than once (Efron and Stein, 1981). Config means are first drawn
    together by the part of their spread that is noise (Efron and Morris, 1973), or every drawn study would have a
    clearer best than this one.
    Raises ValueError unless there is a config, every value is finite and every stratum has two targets.
    """
    member, which = membership(strata, values.shape[1])
    counts = member.sum(axis=0).astype(np.int64)
    if len(values) == 0 or min(counts, default=0) < 2 or not np.isfinite(values).all():
        raise ValueError(
            "the value of a choice needs a config, two targets in every stratum and every config valued on every "
            f"target; got {len(values)} configs and strata of {counts.tolist()} targets; leave configs that miss a "
            "target out, or tune with more targets"
        )
    rng = np.random.default_rng(seed)
    halves = _halves(which, counts, num_splits, rng)
    choosing = _weights(np.concatenate([halves, ~halves]), member)  # [crossings, targets]
    valuing = _weights(np.concatenate([~halves, halves]), member)
    chosen = np.argmax(values @ choosing.T, axis=0)
    held_out = np.average(values[chosen], axis=0, weights=valuing > 0)  # [targets]
    error = _error(values, member, which, choosing, valuing, rng=rng, num_draws=num_draws)
    on_all = values @ (member / counts).mean(axis=1)
    best = int(np.argmax(on_all))
    return CrossFit(
        estimate=t_interval(
            _worth(values[chosen], valuing), error, welch_freedom(held_out, member), num_targets=which.size, level=level
        ),
        best=best,
        in_sample=float(on_all[best]),
        shares=np.bincount(chosen, minlength=len(values)) / chosen.size,
    )


def _halves(
    which: npt.NDArray[np.intp], counts: npt.NDArray[np.int64], num_splits: int, rng: np.random.Generator
) -> Bools:
    """[splits, targets]: which half a target is in; halves of a stratum differ by one target at most."""
    halves = np.zeros((num_splits, which.size), dtype=np.bool_)
    for stratum, count in enumerate(counts):
        ranks = rng.random((num_splits, count)).argsort(axis=1).argsort(axis=1)
        size = count // 2 + (count % 2) * rng.integers(2, size=num_splits)
        halves[:, which == stratum] = ranks < size[:, None]
    return halves


def _weights(sides: Bools, member: Floats) -> Floats:
    """[crossings, targets]: what a target counts in the stratified mean of the targets on a side."""
    weights: Floats = sides * ((1 / (sides @ member)) @ member.T) / member.shape[1]
    return weights


def _worth(chosen: Floats, valuing: Floats) -> float:
    """The mean over crossings of what was chosen, valued elsewhere; both [crossings, targets]."""
    return float(np.einsum("xt,xt->", chosen, valuing) / len(valuing))


def _error(
    values: Floats,
    member: Floats,
    which: npt.NDArray[np.intp],
    choosing: Floats,
    valuing: Floats,
    *,
    rng: np.random.Generator,
    num_draws: int,
) -> float:
    """The standard error of the cross-fitted value: its spread over studies drawn anew."""
    counts = member.sum(axis=0)
    means = values @ member / counts
    spread = values - means[:, which]
    level = _drawn_together(means.mean(axis=1), spread, member)
    together = (which[:, None] == which) / np.sqrt(counts - 1)[which]  # targets mix within their stratum only
    worth = np.empty(num_draws)
    for draw in range(num_draws):
        mixing = together * rng.standard_normal(together.shape)
        chosen = np.argmax(level[:, None] + spread @ (mixing @ choosing.T), axis=0)
        worth[draw] = level[chosen].mean() + _worth(spread[chosen] @ mixing, valuing)
    return float(worth.std(ddof=1))


def _drawn_together(means: Floats, spread: Floats, member: Floats) -> Floats:
    """Config means [configs], drawn towards their common mean by the share of their variance that is noise."""
    if len(means) < 2:
        return means
    counts = member.sum(axis=0)
    beside_all = spread - spread.mean(axis=0)  # what all configs share moves no choice
    noise = float(np.mean((beside_all**2 @ member / (counts - 1) / counts).sum(axis=1))) / counts.size**2
    variance = float(means.var(ddof=1))
    kept = max(0.0, 1 - noise / variance) if variance > 0 else 0.0
    return np.asarray(means.mean() + kept * (means - means.mean()))
