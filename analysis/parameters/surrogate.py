"""A regression from parameters to value, and its skill on trials it has not seen: no skill, no claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesRegressor

from analysis.parameters.features import Features, encode
from analysis.parameters.searched import Floats, Integers, SearchedTrials

MAX_TRIALS = 1_000  # of more, so many are drawn: the forests' time grows with them, their skill hardly
MIN_TRIALS = 20
NUM_FOLDS = 5
NUM_TREES = 50
NUM_DRAWS = 200
MIN_RANDOM = 10  # trials drawn at random, for a rank correlation among them


@dataclass(frozen=True)
class Surrogate:
    """Forests, one a fold, each fitted to the other folds of `trials`.

    `values` [trials] are the truth, `predictions` [trials] come from the forest that has not seen the trial. `draws`
    holds (values [trials, draws] on resampled targets, how often each trial is drawn [trials, draws]).
    """

    trials: SearchedTrials
    features: Features
    forests: tuple[Any, ...]
    config: Integers  # [trials]: a config that was asked twice has one number
    fold: Integers
    values: Floats
    predictions: Floats
    draws: tuple[Floats, Floats]


@dataclass(frozen=True)
class Skill:
    """How well unseen trials are predicted: out-of-fold R^2 and Spearman's rank correlation, with 95 % intervals.

    `random_rank` is the rank correlation among the `num_random` trials that were drawn at random, None if too few.
    """

    r2: float
    r2_low: float
    r2_high: float
    rank: float
    rank_low: float
    rank_high: float
    num_trials: int
    random_rank: float | None
    num_random: int

    @property
    def shown(self) -> bool:
        """Whether both intervals lie above zero: what the surrogate says may then be read."""
        return self.r2_low > 0 and self.rank_low > 0


def forest(num_trees: int, rng: np.random.Generator) -> Any:
    """Extremely randomized trees (Geurts, Ernst and Wehenkel, 2006): smoother than a random forest, and faster."""
    return ExtraTreesRegressor(n_estimators=num_trees, min_samples_leaf=3, random_state=int(rng.integers(2**31)))


def _configs(features: Features) -> Integers:
    """The number of each trial's config [trials]: one that was asked twice must not be on both sides of a split."""
    _, number = np.unique(features.matrix.round(12), axis=0, return_inverse=True)
    return np.asarray(number, dtype=np.int64)


def fit_surrogate(trials: SearchedTrials, *, seed: int, num_draws: int = NUM_DRAWS) -> Surrogate:
    """A surrogate of `trials`, MAX_TRIALS of them at most (drawn by `seed`), in NUM_FOLDS folds of whole configs.

    Raises ValueError with fewer than MIN_TRIALS trials, or if no parameter varies.
    """
    rng = np.random.default_rng(seed)
    trials = trials.sample(MAX_TRIALS, rng)
    features, values = encode(trials), trials.values()
    if values.size < MIN_TRIALS or not features.names:
        raise ValueError(
            f"a surrogate needs at least {MIN_TRIALS} searched trials with parameters that vary, there are "
            f"{values.size} with {len(features.names)}; continue the study with more trials"
        )
    config = _configs(features)
    fold = (rng.permutation(config.max() + 1) % NUM_FOLDS)[config]
    forests, predictions = [], np.empty(values.size)
    for number in range(NUM_FOLDS):
        inside = fold == number
        fitted = forest(NUM_TREES, rng).fit(features.matrix[~inside], values[~inside])
        if inside.any():
            predictions[inside] = fitted.predict(features.matrix[inside])
        forests.append(fitted)
    resampled = trials.values(trials.drawn_targets(rng, num_draws))
    picked = rng.multinomial(values.size, np.full(values.size, 1 / values.size), num_draws).T * np.isfinite(resampled)
    draws = np.nan_to_num(resampled), picked.astype(np.float64)
    return Surrogate(trials, features, tuple(forests), config, fold, values, predictions, draws)


def skill(surrogate: Surrogate) -> Skill:
    """The skill of a surrogate; intervals over trials and, within domains, targets.

    R^2 is judged about the mean of truth and prediction: how hard a draw's targets are is no matter of parameters.
    """
    values, times = surrogate.draws
    ones = np.ones((surrogate.values.size, 1))
    r2 = float(_r2(surrogate.values[:, None], surrogate.predictions, ones)[0])
    low, high = drawn_interval(r2, _r2(values, surrogate.predictions, times))
    ranks = []
    for value, count in zip(values.T, times.T, strict=True):
        rows = np.repeat(np.arange(count.size), count.astype(np.int64))
        ranks.append(_rank_correlation(value[rows], surrogate.predictions[rows]))
    rank = _rank_correlation(surrogate.values, surrogate.predictions)
    rank_low, rank_high = drawn_interval(rank, np.array(ranks))
    chance = surrogate.trials.at_random
    enough = int(chance.sum()) >= MIN_RANDOM
    among = _rank_correlation(surrogate.values[chance], surrogate.predictions[chance]) if enough else None
    return Skill(r2, low, high, rank, rank_low, rank_high, ones.size, among, int(chance.sum()))


def drawn_interval(estimate: float, draws: Floats) -> tuple[float, float]:
    """The 95 % interval of an `estimate` of at most 1: the percentiles of `draws`, moved so that their mean is it.

    Targets drawn anew add their own noise to the truth, which lowers every draw alike.
    """
    low, high = np.quantile(draws, [0.025, 0.975]) - draws.mean() + estimate
    return float(low), float(min(high, 1.0))


def _r2(values: Floats, predictions: Floats, times: Floats) -> Floats:
    left = variances(values - predictions[:, None], times)
    spread = variances(values, times)
    return 1 - np.divide(left, spread, out=np.ones_like(left), where=spread > 0)


def variances(values: Floats, times: Floats) -> Floats:
    """The variance [draws] of `values` [trials, draws], each trial as often as `times` [trials, draws] says."""
    total = np.maximum(times.sum(axis=0), 1)
    mean = (values * times).sum(axis=0) / total
    return np.asarray(((values - mean) ** 2 * times).sum(axis=0) / total)


def _rank_correlation(first: Floats, second: Floats) -> float:
    ranks = rankdata(first), rankdata(second)
    if min(float(np.ptp(rank)) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
