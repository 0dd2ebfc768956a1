"""Whether domains rank settings alike: rank correlations, and what is left of them once noise is accounted for."""

from __future__ import annotations

from itertools import combinations
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.jackknife import jackknife

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LEAST_CONFIGS = 8  # under which a rank correlation says nothing
LEAST_RELIABILITY = 0.5  # of a domain's mean; under it the correction is a division by noise
COLUMNS = [
    "domain", "other", "correlation", "low", "high", "reliability", "other_reliability", "corrected", "corrected_low",
    "corrected_high", "num_targets", "other_num_targets", "num_configs",
]  # fmt: skip


def rank_agreement(values: Floats, domains: npt.NDArray[np.str_]) -> pd.DataFrame:
    """One row per pair of domains, from `values` [configs, targets] and the domain of each target.

    correlation: Spearman's, over configs, of the domains' means. reliability: how well as many other targets of the
    same domain would repeat its mean, n r / (1 + (n - 1) r) with r the mean rank correlation between two of its
    targets (Spearman, 1910; Brown, 1910): the mean of all split halves (Cronbach, 1951). corrected: the mean rank
    correlation between a target of one and a target of the other domain, over the geometric mean of those within the
    domains (Spearman, 1904), in the plain correlations that normal values of these rank correlations would have: 1 if
    only noise sets the domains apart; it may exceed 1 by chance. NaN where a reliability is under 0.5. Targets of one
    block share their victim, whose likings count as common to domains. Intervals: 95 %, jackknife over targets;
    correlations by Fisher's z. Empty with under 8 configs or two domains.
    """
    names = [str(name) for name in np.unique(domains)]
    if len(values) < LEAST_CONFIGS:
        return pd.DataFrame(columns=COLUMNS)
    between = _correlations(_ranks(values))  # of every two targets
    rows = []
    for name, other in combinations(names, 2):
        mine, theirs = (np.flatnonzero(domains == which) for which in (name, other))
        if min(len(mine), len(theirs)) < 2:
            continue
        rows.append((name, other, *_pair(values, between, mine, theirs), len(mine), len(theirs), len(values)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _pair(values: Floats, between: Floats, mine: Ints, theirs: Ints) -> tuple[float, ...]:
    group = np.repeat(np.array([0, 1]), [len(mine), len(theirs)])
    every = np.concatenate([mine, theirs])
    leave = [(mine[mine != target], theirs[theirs != target]) for target in every]
    spearman = _of_means(values, [(mine, theirs), *leave])
    corrected = np.array([_corrected(between, a, b) for a, b in [(mine, theirs), *leave]])
    with np.errstate(divide="ignore"):
        z = np.arctanh(spearman)
    fisher = jackknife(z[0], z[1:], group)
    plain = jackknife(corrected[0], corrected[1:], group)
    reliability = tuple(_reliability(between, which) for which in (mine, theirs))
    bounds = [float(np.tanh(fisher.low)), float(np.tanh(fisher.high))]
    if min(len(mine), len(theirs)) < 3:
        bounds = [np.nan, np.nan]
    told = min(reliability) >= LEAST_RELIABILITY
    shown = (float(corrected[0]), float(plain.low), float(plain.high)) if told else (np.nan,) * 3
    return float(spearman[0]), *bounds, *reliability, *shown


def _ranks(values: Floats) -> Floats:
    return cast(Floats, stats.rankdata(values, axis=0).astype(np.float64))


def _correlations(ranks: Floats) -> Floats:
    """Between every two columns; NaN for one without any difference."""
    centred = ranks - ranks.mean(axis=0)
    length = np.sqrt(np.sum(centred**2, axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return cast(Floats, centred.T @ centred / np.outer(length, length))


def _of_means(values: Floats, pairs: list[tuple[Ints, Ints]]) -> Floats:
    """Spearman's correlation of the mean over one and over the other targets, for each of `pairs`."""
    one, other = (
        np.stack([values[:, pair[side]].mean(axis=1) for pair in pairs], axis=1) for side in (0, 1)
    )  # fmt: skip
    a, b = (ranks - ranks.mean(axis=0) for ranks in (_ranks(one), _ranks(other)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return cast(Floats, np.sum(a * b, axis=0) / np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2, axis=0)))


def _within(between: Floats, targets: Ints) -> float:
    """The mean correlation between two targets of a domain; NaN with one."""
    if len(targets) < 2:
        return np.nan
    block = between[np.ix_(targets, targets)]
    return float((block.sum() - np.trace(block)) / (len(targets) * (len(targets) - 1)))


def _reliability(between: Floats, targets: Ints) -> float:
    within, num = _within(between, targets), len(targets)
    return num * within / (1 + (num - 1) * within)


def _corrected(between: Floats, mine: Ints, theirs: Ints) -> float:
    """Only noise within: not given where two targets of a domain do not agree at all."""
    within = _normal(_within(between, mine)), _normal(_within(between, theirs))
    if not min(within) > 0:
        return np.nan
    ratio = _normal(float(between[np.ix_(mine, theirs)].mean())) / np.sqrt(within[0] * within[1])
    return float(6 / np.pi * np.arcsin(np.clip(ratio / 2, -1, 1)))


def _normal(rank_correlation: float) -> float:
    """The plain correlation of normal values with this rank correlation (Pearson, 1907): noise lowers that in ratio."""
    return float(2 * np.sin(np.pi / 6 * rank_correlation))
