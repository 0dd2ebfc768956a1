"""PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) on counts, many draws at once: fast enough to bootstrap.

Densities of numbers and the choice of the best trials are those of Optuna's `PedAnovaImportanceEvaluator` (5.0, local
mode, region quantile 1); a test holds them together. Optuna would need a study object for every draw of a bootstrap.
A sample is the number of its trials in every cell of a parameter's axis: `counts` [..., cells].
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NUM_CELLS = 50  # Optuna's grid
_PRIOR_WEIGHT = 1.0
_MIN_BANDWIDTH = 0.5 / 1.64


def grid_cells(values: Floats, *, log: bool) -> Integers:
    """The cell (0 to NUM_CELLS - 1) of each value on a grid over the observed range, geometric if `log`."""
    positions = np.log(values) if log else values
    low, high = positions.min(), positions.max()
    if low == high:
        return np.zeros(values.shape, dtype=np.int64)
    cells = np.ceil((positions - low) / ((high - low) / (NUM_CELLS - 1)) - 0.5)
    return np.asarray(np.clip(cells, 0, NUM_CELLS - 1), dtype=np.int64)


def scott_bandwidths(counts: Integers) -> Floats:
    """The kernel width [...] of each sample, in cells: Scott's rule as Optuna applies it to the counts of a grid."""
    cells = np.arange(NUM_CELLS)
    total = counts.sum(axis=-1)
    mean = counts @ cells / np.maximum(1, total)
    spread = np.sqrt(((cells - mean[..., None]) ** 2 * counts).sum(axis=-1) / np.maximum(1, total - 1))
    reached = counts.cumsum(axis=-1)
    lower = (reached >= np.maximum(1, total // 4)[..., None]).argmax(axis=-1)
    upper = (reached > (total * 3 // 4)[..., None]).argmax(axis=-1)
    scott = 1.059 * np.minimum((upper - lower) / 1.34, spread) * np.maximum(1, total) ** -0.2
    return np.asarray(np.maximum(scott, _MIN_BANDWIDTH))


def densities(counts: Integers, bandwidths: Floats) -> Floats:
    """The Parzen estimate [..., NUM_CELLS] of each sample, with one wide kernel as prior; each sums to 1.

    `bandwidths` is one width for all samples or one for each.
    """
    widths = np.append(np.empty(NUM_CELLS), NUM_CELLS) * np.ones((*bandwidths.shape, 1))
    widths[..., :-1] = bandwidths[..., None]
    centers = np.append(np.arange(NUM_CELLS), (NUM_CELLS - 1) / 2)
    edges = np.arange(NUM_CELLS + 1)[:, None] - 0.5
    cumulative = ndtr((edges - centers) / widths[..., None, :])  # [..., edges, kernels]
    kernels = np.diff(cumulative, axis=-2) / (cumulative[..., -1:, :] - cumulative[..., :1, :])
    mixture = np.concatenate([counts, np.full((*counts.shape[:-1], 1), _PRIOR_WEIGHT)], axis=-1)
    mixture = mixture / mixture.sum(axis=-1, keepdims=True)
    if bandwidths.ndim == 0:  # one width: one product for all samples
        return np.asarray(mixture @ kernels.T + 1e-12)
    return np.asarray(np.matmul(kernels, mixture[..., None])[..., 0] + 1e-12)


def frequencies(counts: Integers) -> Floats:
    """The frequencies [..., choices] of each sample, with one uniform kernel as prior; each sums to 1.

    Optuna smooths every choice by a share that does not shrink with the number of trials: a choice that decides alone
    would explain a sixth of the variance there, however many trials show it.
    """
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray((counts + _PRIOR_WEIGHT / counts.shape[-1]) / (total + _PRIOR_WEIGHT))


def best_trials(values: Floats, *, quantile: float) -> Mask:
    """Whether each trial [draws, trials] is among the best (highest) `quantile` of its draw; ties with the last count.

    A trial whose value is -inf is not in the draw.
    """
    ordered = np.sort(values, axis=-1)[..., ::-1]
    sizes = np.isfinite(values).sum(axis=-1, keepdims=True)
    places = np.maximum(np.ceil(quantile * sizes).astype(np.int64) - 1, 0)
    cutoffs = np.take_along_axis(ordered, places, axis=-1)
    return np.asarray((values >= cutoffs) & np.isfinite(values))


def variance_shares(everywhere: Integers, best: Integers, widths: tuple[Floats, Floats] | None = None) -> Floats:
    """The share of the variance of "is this trial among the best" that one parameter alone explains; 0 is none.

    everywhere, best: the counts [..., NUM_CELLS] of all trials and of the best. PED-ANOVA's local variance is q^2 D,
    with D the Pearson divergence of the best trials' density from that of all and q the share of the best; the
    indicator's whole variance is q (1 - q). The ratio does not depend on how many parameters there are, so parameters
    that different trials have can stand side by side. It is near 1 for a parameter that decides alone; smoothing keeps
    it below, small samples can lift it past 1, where it is cut.
    `widths` (of all, of the best) fixes the kernels: a resample repeats trials, and Scott's rule takes repetition for
    precision.
    """
    wide, narrow = (scott_bandwidths(everywhere), scott_bandwidths(best)) if widths is None else widths
    return _shares(densities(everywhere, wide), densities(best, narrow), everywhere, best)


def choice_shares(everywhere: Integers, best: Integers) -> Floats:
    """`variance_shares` of a parameter with few values, which are told apart and not laid on an axis."""
    return _shares(frequencies(everywhere), frequencies(best), everywhere, best)


def _shares(all_density: Floats, best_density: Floats, everywhere: Integers, best: Integers) -> Floats:
    divergence = (all_density * (best_density / all_density - 1) ** 2).sum(axis=-1)
    q = best.sum(axis=-1) / np.maximum(1, everywhere.sum(axis=-1))
    told = (q > 0) & (q < 1)
    share = divergence * q / np.where(told, 1 - q, math.inf)
    return np.asarray(np.where(told, np.minimum(share, 1.0), 0.0))
