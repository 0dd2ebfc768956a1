"""Which pairs of parameters do more together than each does alone, and how much of that forests invent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.parameters.features import Features
from analysis.parameters.halves import NUM_SPLITS, NUM_TREES, random_halves, spread_interval
from analysis.parameters.partial_dependence import draw_rows
from analysis.parameters.searched import Floats, Integers
from analysis.parameters.surrogate import Surrogate, forest

NUM_POINTS = 18
MIN_POINTS = 8  # trials that have both parameters
NUM_NULL = 20
NUM_LEVELS = 8  # of the additive model, for each parameter
COLUMNS = ["first", "second", "share", "low", "high", "null_95", "strength", "num_trials"]


@dataclass(frozen=True)
class _Pair:
    """Rows in three blocks [points * points each]: first, second, and both parameters of every point put into every
    other point."""

    places: tuple[int, int]
    num_trials: int
    rows: Floats
    num_points: int


def interactions(surrogate: Surrogate, names: Sequence[str], *, seed: int) -> pd.DataFrame:
    """One row per pair of `names`, strongest first: COLUMNS.

    An additive model takes away what each parameter does alone, a forest learns what is left. share: of the variance
    of the values, what the joint partial dependence of the pair in that forest has beyond the sum of both alone (the
    numerator of Friedman and Popescu's H^2, 2008; H itself divides by the pair's own effect, which is a ratio of
    noises where there is none). It is evaluated at NUM_POINTS trials that have both. strength: its root mean square,
    in the metric's unit. low, high: 95 %, from halves of the trials on targets drawn anew, as in `Halves`. null_95:
    forests find interactions where there are none. How strong they are is known from values without any: the additive
    model with its residuals shuffled, all fitted anew to a half, and the 95 % quantile over NUM_NULL of them of the
    strongest pair. It is one level for all pairs, so it holds for all at once.
    """
    rng = np.random.default_rng(seed)
    features, values = surrogate.features, surrogate.values
    pairs = [
        pair
        for pair in (_points(features, *chosen, rng) for chosen in combinations(_places(features, names), 2))
        if pair is not None
    ]
    if not pairs:
        return pd.DataFrame(columns=COLUMNS)
    found = _of_halves(surrogate, pairs, rng)
    additive = _additive(features.matrix, values)
    null = []
    for half in random_halves(surrogate.config, NUM_NULL // 2, rng):
        again = additive + rng.permutation(values - additive)
        null += [_of(pairs, features.matrix[one], again[one], rng)[:, 0].max() for one in (half, ~half)]
    share, low, high = spread_interval(found[..., 0])
    table = pd.DataFrame(
        {
            "first": [features.names[pair.places[0]] for pair in pairs],
            "second": [features.names[pair.places[1]] for pair in pairs],
            "share": share,
            "low": low,
            "high": high,
            "null_95": float(np.quantile(null, 0.95)),
            "strength": np.sqrt(found[..., 1].mean(axis=0)),
            "num_trials": [pair.num_trials for pair in pairs],
        }
    )
    return table.sort_values("share", ascending=False, ignore_index=True)


def _of_halves(surrogate: Surrogate, pairs: Sequence[_Pair], rng: np.random.Generator) -> Floats:
    """(share, mean square) of every pair in every half [halves, pairs, 2]."""
    matrix, trials = surrogate.features.matrix, surrogate.trials
    found = []
    for half in random_halves(surrogate.config, NUM_SPLITS, rng):
        for one in (half, ~half):
            drawn = trials.values(trials.drawn_targets(rng, 1))[:, 0]
            one = one & np.isfinite(drawn)
            found.append(_of(pairs, matrix[one], drawn[one], rng))
    return np.array(found)


def _of(pairs: Sequence[_Pair], matrix: Floats, values: Floats, rng: np.random.Generator) -> Floats:
    """(share, mean square) of every pair [pairs, 2] in a forest of what an additive model leaves of `values`."""
    fitted = forest(NUM_TREES, rng).fit(matrix, values - _additive(matrix, values))
    predictions = np.split(fitted.predict(np.concatenate([pair.rows for pair in pairs])), _ends(pairs))
    squares = np.array([_beyond_sum(part, pair.num_points) for part, pair in zip(predictions, pairs, strict=True)])
    return np.stack([squares / max(float(values.var()), 1e-300), squares], axis=1)


def _additive(matrix: Floats, values: Floats) -> Floats:
    """The values [trials] that a sum of one step function for each column fits: a level for each of NUM_LEVELS parts of
    the column's trials, as if one more trial of the mean value were in each (ridge regression)."""
    levels = []
    for column in matrix.T:
        edges = np.unique(np.quantile(column, np.linspace(0, 1, NUM_LEVELS + 1)[1:-1]))
        part = np.searchsorted(edges, column, side="right")
        levels.append(np.eye(edges.size + 1)[part])
    design, mean = np.concatenate(levels, axis=1), values.mean()
    weights = np.linalg.solve(design.T @ design + np.eye(design.shape[1]), design.T @ (values - mean))
    return np.asarray(mean + design @ weights)


def _places(features: Features, names: Sequence[str]) -> list[int]:
    return [features.names.index(name) for name in names if name in features.names]


def _points(features: Features, first: int, second: int, rng: np.random.Generator) -> _Pair | None:
    there = np.flatnonzero(features.have[:, first] & features.have[:, second])
    if there.size < MIN_POINTS:
        return None
    points = features.matrix[draw_rows(there, NUM_POINTS, rng)]
    if np.unique(points[:, first]).size < 2 or np.unique(points[:, second]).size < 2:
        return None
    count = len(points)
    background = np.tile(points, (count, 1))
    one, other = (np.repeat(points[:, place], count) for place in (first, second))
    alone, beside = features.assign(background, first, one), features.assign(background, second, other)
    both = features.assign(alone, second, other)
    return _Pair((first, second), there.size, np.concatenate([alone, beside, both]), count)


def _ends(pairs: Sequence[_Pair]) -> Integers:
    """Where the rows of each pair but the last end, among those of all."""
    return np.cumsum([len(pair.rows) for pair in pairs])[:-1]


def _beyond_sum(predictions: Floats, num_points: int) -> float:
    """The mean square of what the pair does beyond the sum of both alone; `predictions` of the rows of a `_Pair`."""
    centered = predictions.reshape(3, num_points, num_points).mean(axis=2)
    centered = centered - centered.mean(axis=1, keepdims=True)
    return float(np.mean((centered[2] - centered[0] - centered[1]) ** 2))
