"""PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) on arrays: fast enough to bootstrap.

Densities of numbers and the choice of the best trials are those of Optuna's `PedAnovaImportanceEvaluator` (5.0, local
mode, region quantile 1); a test holds them together. Optuna would need a study object for every draw of a bootstrap.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NUM_CELLS = 50  # Optuna's grid
_PRIOR_WEIGHT = 1.0
_MIN_BANDWIDTH = 0.5 / 1.64


def grid_cells(values: Floats, *, log: bool) -> Cells:
    """The cell (0 to NUM_CELLS - 1) of each value on a grid over the observed range, geometric if `log`."""
    positions = np.log(values) if log else values
    low, high = positions.min(), positions.max()
    if low == high:
        return np.zeros(values.shape, dtype=np.int64)
    cells = np.ceil((positions - low) / ((high - low) / (NUM_CELLS - 1)) - 0.5)
    return np.asarray(np.clip(cells, 0, NUM_CELLS - 1), dtype=np.int64)


def scott_bandwidth(cells: Cells) -> float:
    """The kernel width for `cells`, in cells: Scott's rule as Optuna applies it to the counts of a grid."""
    counts = np.bincount(cells, minlength=NUM_CELLS)
    seen = np.flatnonzero(counts)
    weights = counts[seen]
    total = int(weights.sum())
    mean = float(seen @ weights) / total
    spread = math.sqrt(float((seen - mean) ** 2 @ weights) / max(1, total - 1))
    reached = np.cumsum(weights)
    lower = seen[np.searchsorted(reached, total // 4, side="left")]
    upper = seen[min(seen.size - 1, int(np.searchsorted(reached, total * 3 // 4, side="right")))]
    scott = 1.059 * min(float(upper - lower) / 1.34, spread) * float(total) ** -0.2
    return float(max(scott, _MIN_BANDWIDTH))


def density(cells: Cells, bandwidth: float) -> Floats:
    """The Parzen estimate [NUM_CELLS] of the distribution of `cells`, with one wide kernel as prior; it sums to 1."""
    counts = np.bincount(cells, minlength=NUM_CELLS)
    seen = np.flatnonzero(counts)
    centers = np.append(seen, (NUM_CELLS - 1) / 2)
    bandwidths = np.append(np.full(seen.size, bandwidth), NUM_CELLS)
    edges = np.arange(NUM_CELLS + 1) - 0.5
    cumulative = ndtr((edges - centers[:, None]) / bandwidths[:, None])  # [kernels, NUM_CELLS + 1]
    kernels = np.diff(cumulative, axis=1) / (cumulative[:, -1:] - cumulative[:, :1])
    mixture = np.append(counts[seen], _PRIOR_WEIGHT)
    return np.asarray(mixture / mixture.sum() @ kernels + 1e-12, dtype=np.float64)


def categorical_density(cells: Cells, num_choices: int) -> Floats:
    """The frequencies [num_choices] of `cells`, with one uniform kernel as prior; they sum to 1.

    Optuna smooths every choice by a share that does not shrink with the number of trials: a choice that decides alone
    would explain a sixth of the variance there, however many trials show it.
    """
    counts = np.bincount(cells, minlength=num_choices)
    return np.asarray((counts + _PRIOR_WEIGHT / num_choices) / (cells.size + _PRIOR_WEIGHT), dtype=np.float64)


def best_trials(values: Floats, *, quantile: float) -> Mask:
    """Whether each trial is among the best (highest) `quantile` of `values`; ties with the last of them count."""
    cutoff = math.ceil(quantile * values.size) - 1
    losses = -values
    return np.asarray(losses <= np.partition(losses, cutoff)[cutoff])


def bandwidths(cells: Cells, best: Mask) -> tuple[float, float]:
    """The kernel widths (all trials, best trials) of a sample."""
    return scott_bandwidth(cells), scott_bandwidth(cells[best])


def variance_share(cells: Cells, best: Mask, widths: tuple[float, float] | None = None) -> float:
    """The share of the variance of "is this trial among the best" that one parameter alone explains; 0 is none.

    PED-ANOVA's local variance is q^2 D, with D the Pearson divergence of the best trials' density from that of all
    and q the share of the best; the indicator's whole variance is q (1 - q). The ratio does not depend on how many
    parameters there are, so parameters that different trials have can stand side by side. It is near 1 for a parameter
    that decides alone; smoothing keeps it below, small samples can lift it.
    `widths` fixes the kernels: a resample repeats trials, and Scott's rule takes repetition for precision.
    """
    if best.all() or not best.any():
        return 0.0
    all_width, best_width = bandwidths(cells, best) if widths is None else widths
    return _share(density(cells, all_width), density(cells[best], best_width), best)


def categorical_variance_share(cells: Cells, best: Mask, num_choices: int) -> float:
    """`variance_share` of a parameter with few values, which are told apart and not laid on an axis.

    cells: index of each trial's value among `num_choices`.
    """
    if best.all() or not best.any():
        return 0.0
    return _share(categorical_density(cells, num_choices), categorical_density(cells[best], num_choices), best)


def _share(everywhere: Floats, top: Floats, best: Mask) -> float:
    divergence = float(everywhere @ (top / everywhere - 1) ** 2)
    q = float(best.mean())
    return divergence * q / (1 - q)
