"""The effect of one parameter: improvement against its value, and the mean in bins of equally many trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.parameters.searched import SearchedTrials
from analysis.stats import mean_interval

_TRIALS_PER_BIN = 6
_MAX_BINS = 5


def effect_points(trials: SearchedTrials, names: list[str]) -> pd.DataFrame:
    """One row per (parameter, trial that has it): parameter, trial, value, improvement (metric's unit)."""
    improvement = pd.Series(trials.values(), index=trials.parameters.index, name="improvement")
    points = [
        pd.DataFrame({"parameter": name, "value": trials.parameters[name], "improvement": improvement}).dropna()
        for name in names
    ]
    rows = pd.concat(points).rename_axis("trial").reset_index()
    return rows[["parameter", "trial", "value", "improvement"]]


def effect_curve(points: pd.DataFrame, *, log: bool) -> pd.DataFrame:
    """The smoothed effect of one parameter: value (bin centre), improvement, low, high, num_trials, in rising order.

    Neighbouring trials are binned, about six to a bin, or by value where there are few values; the interval is t over
    the trials of a bin and shows how well its mean is known, other parameters varying as the sampler chose them.
    NaN bounds where a bin has one trial.
    """
    ordered = points.sort_values("value")
    values = ordered["value"].to_numpy(dtype=np.float64)
    if np.unique(values).size <= _MAX_BINS:
        bins = [np.flatnonzero(values == value) for value in np.unique(values)]
    else:
        num_bins = int(np.clip(values.size // _TRIALS_PER_BIN, 1, _MAX_BINS))
        bins = np.array_split(np.arange(values.size), num_bins)
    rows = []
    for places in bins:
        part = ordered.iloc[places]
        positions = part["value"].to_numpy(dtype=np.float64)
        center = float(np.exp(np.log(positions).mean()) if log else positions.mean())
        estimate = mean_interval(part["improvement"].to_numpy(dtype=np.float64))
        bounds = (np.nan, np.nan) if estimate.low is None else (estimate.low, estimate.high)
        rows.append((center, estimate.mean, *bounds, len(part)))
    return pd.DataFrame(rows, columns=["value", "improvement", "low", "high", "num_trials"])


def effect_curves(points: pd.DataFrame, *, logarithmic: Sequence[str]) -> pd.DataFrame:
    """The curve of every parameter of `points`: parameter beside the columns of `effect_curve`."""
    curves = [
        effect_curve(part, log=name in logarithmic).assign(parameter=name)
        for name, part in points.groupby("parameter", sort=False)
    ]
    return pd.concat(curves)[["parameter", "value", "improvement", "low", "high", "num_trials"]]
