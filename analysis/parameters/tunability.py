"""What tuning one parameter alone would gain over the recipe's likeness, as a surrogate predicts it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.parameters.halves import Halves, spread_interval
from analysis.parameters.partial_dependence import grid
from analysis.parameters.searched import SearchedTrials

COLUMNS = ["parameter", "default", "best", "gain", "low", "high"]


def likeness(trials: SearchedTrials) -> pd.Series[float] | None:
    """The parameters of the published recipe's likeness in the space: the first point that the search itself asked.

    The recipe itself has no parameters of the space. None where the sampler asked nothing.
    """
    asked = np.flatnonzero(trials.origins == "search")
    if not asked.size:
        return None
    first = asked[np.argmin(trials.parameters.index.to_numpy()[asked])]
    row: pd.Series[float] = trials.parameters.iloc[first]
    return row


def tunability(halves: Halves, default: pd.Series[float]) -> pd.DataFrame:
    """One row per parameter that `default` has, most tunable first: COLUMNS; gain in the metric's unit.

    The tunability of Probst, Boulesteix and Bischl (2019): the gain of the parameter's best value over its default,
    others at theirs, where the best is sought among `partial_dependence.grid`. They take best and gain from one
    surrogate, which flatters every parameter: here the forest of one half of the trials chooses and that of the other
    half values the choice. So a gain may be negative: the choice does not hold. low, high: 95 %, as in `halves`, the
    targets drawn anew as well. best: the median of the choices. A surrogate predicts it; nothing was run.
    """
    features = halves.features
    row = features.row({str(name): float(value) for name, value in default.items()})
    rows = []
    for place, name in enumerate(features.names):
        if not np.isfinite(default.get(name, np.nan)):
            continue
        points = np.append(row[place], grid(features, place))
        candidates = features.assign(np.tile(row, (points.size, 1)), place, points)
        gains, chosen = [], []
        for pair in halves.pairs:
            one, other = (fitted.predict(candidates) for fitted in pair)
            for chooses, judges in ((one, other), (other, one)):
                best = int(chooses.argmax())
                gains.append(judges[best] - judges[0])
                chosen.append(points[best])
        gain, low, high = spread_interval(np.array(gains))
        best_value = float(np.quantile(chosen, 0.5, method="inverted_cdf"))
        value = np.exp(best_value) if features.logs[place] else best_value
        rows.append((name, float(default[name]), float(value), float(gain), float(low), float(high)))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values("gain", ascending=False, ignore_index=True)
