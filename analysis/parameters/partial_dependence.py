"""What a surrogate predicts as one parameter moves and the others stay as trials had them (Friedman, 2001)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.parameters.features import Features
from analysis.parameters.halves import Halves, spread_interval
from analysis.parameters.searched import Floats, Integers

COLUMNS = ["parameter", "value", "effect", "low", "high", "num_trials"]
NUM_POINTS = 9
NUM_ROWS = 100  # trials that the others' values are taken from


def grid(features: Features, place: int) -> Floats:
    """The values (as encoded) at which parameter `place` is looked at: its choices, or quantiles from 2 to 98 %."""
    values = features.matrix[features.have[:, place], place]
    distinct = np.unique(values)
    if distinct.size <= NUM_POINTS:
        return distinct
    return np.unique(np.quantile(values, np.linspace(0.02, 0.98, NUM_POINTS)))


def partial_dependence(halves: Halves, *, seed: int) -> pd.DataFrame:
    """One row per (parameter, value): parameter, value, effect, low, high, num_trials; the metric's unit.

    The effect is the mean prediction over trials that have the parameter (NUM_ROWS of them at most), less its mean over
    the values shown: how hard targets are is no matter of a parameter. So conditional parameters are averaged over the
    structures that were really tried; a choice brings and takes away what depends on it. The interval is that of
    `halves`, over trials and targets.
    """
    rng = np.random.default_rng(seed)
    features = halves.features
    rows, stacked = [], []
    for place, name in enumerate(features.names):
        there = np.flatnonzero(features.have[:, place])
        background = features.matrix[draw_rows(there, NUM_ROWS, rng)]
        points = grid(features, place)
        values = np.repeat(points, len(background))
        stacked.append(features.assign(np.tile(background, (points.size, 1)), place, values))
        shown = np.exp(points) if features.logs[place] else points
        rows += [(name, float(value), len(background), there.size) for value in shown]
    counts = [row[2] for row in rows]
    predictions = np.array([fitted.predict(np.concatenate(stacked)) for fitted in halves.forests])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    means = np.add.reduceat(predictions, starts, axis=1) / counts
    table = pd.DataFrame([(row[0], row[1], row[3]) for row in rows], columns=["parameter", "value", "num_trials"])
    for _, member in table.groupby("parameter"):
        means[:, member.index] -= means[:, member.index].mean(axis=1, keepdims=True)
    effect, low, high = spread_interval(means)
    return table.assign(effect=effect, low=low, high=high)[COLUMNS]


def draw_rows(rows: Integers, count: int, rng: np.random.Generator) -> Integers:
    """`count` of `rows` without replacement, all where there are no more."""
    return rows if rows.size <= count else rng.choice(rows, size=count, replace=False)
