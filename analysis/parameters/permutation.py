"""What an unseen trial's prediction loses when one parameter is drawn anew (Breiman, 2001), out of fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from analysis.comparisons import holm
from analysis.parameters.searched import Floats
from analysis.parameters.surrogate import Surrogate, drawn_interval, variances

NUM_PERMUTATIONS = 8


def permutation_importances(surrogate: Surrogate, *, seed: int) -> pd.DataFrame:
    """One row per varying parameter, most important first: parameter, loss, low, high, p_holm, num_trials.

    loss: the R^2 that the surrogate loses on trials it has not seen when the parameter takes the value of another
    trial that has it, the rest as it was; 0 for a parameter without effect, in the mean over NUM_PERMUTATIONS. Only
    trials that have the parameter lose. low, high: 95 % interval (`drawn_interval`) over trials and targets,
    forests as they are. p_holm: one-sided, normal, corrected for the number of parameters (Holm, 1979).
    It means as much as the surrogate has skill.
    """
    rng = np.random.default_rng(seed)
    features, predictions = surrogate.features, surrogate.predictions
    shape = (len(predictions), len(features.names))
    mean, square = np.tile(predictions[:, None], (1, shape[1])), np.tile(predictions[:, None] ** 2, (1, shape[1]))
    for number, fitted in enumerate(surrogate.forests):
        inside = np.flatnonzero(surrogate.fold == number)
        for place in range(shape[1]):
            there = np.flatnonzero(features.have[:, place])
            rows = inside[features.have[inside, place]]
            if not rows.size:
                continue
            drawn = features.matrix[rng.choice(there, size=(NUM_PERMUTATIONS, rows.size)), place]
            stacked = np.tile(features.matrix[rows], (NUM_PERMUTATIONS, 1))
            stacked[:, place] = drawn.ravel()
            changed = fitted.predict(stacked).reshape(NUM_PERMUTATIONS, -1)
            mean[rows, place], square[rows, place] = changed.mean(axis=0), (changed**2).mean(axis=0)
    values, times = surrogate.draws
    ones = np.ones((len(predictions), 1))
    table = []
    for place, name in enumerate(features.names):
        # the squared error (y - f)^2 grows by mean(g^2) - f^2 - 2 y (mean(g) - f), with g the changed prediction
        grown, moved = square[:, place] - predictions**2, mean[:, place] - predictions
        loss = float(_loss(surrogate.values[:, None], ones, grown, moved, predictions)[0])
        drawn_losses = _loss(values, times, grown, moved, predictions)
        low, high = drawn_interval(loss, drawn_losses)
        spread = float(drawn_losses.std(ddof=1))
        p = float(norm.sf(loss / spread)) if spread > 0 else 1.0
        table.append((name, loss, low, high, p, int(features.have[:, place].sum())))
    frame = pd.DataFrame(table, columns=["parameter", "loss", "low", "high", "p_holm", "num_trials"])
    frame["p_holm"] = holm(frame["p_holm"].to_numpy())
    return frame.sort_values("loss", ascending=False, ignore_index=True)


def _loss(values: Floats, times: Floats, grown: Floats, moved: Floats, predictions: Floats) -> Floats:
    total = np.maximum(1, times.sum(axis=0))
    level = ((values - predictions[:, None]) * times).sum(axis=0) / total  # how hard a draw's targets are
    errors = grown[:, None] - 2 * (values - level) * moved[:, None]
    spread = variances(values, times)
    lost = (errors * times).sum(axis=0) / total
    return np.asarray(np.divide(lost, spread, out=np.zeros_like(lost), where=spread > 0))
