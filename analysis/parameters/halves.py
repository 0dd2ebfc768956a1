"""Surrogates of halves of the trials: how much what a surrogate says depends on the trials that it saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.parameters.features import Features
from analysis.parameters.searched import Floats, Integers, Mask
from analysis.parameters.surrogate import Surrogate, forest

NUM_SPLITS = 12
NUM_TREES = 30


@dataclass(frozen=True)
class Halves:
    """`pairs` of forests, each fitted to one half of the trials and valued on targets drawn anew.

    The two of a pair share no trial, so one may choose and the other value the choice. An estimate made from half the
    trials, drawn without replacement, spreads about its mean as much as one from all of them does (Politis, Romano and
    Wolf, 1999), so the spread over halves gives the interval of an estimate; the mean over halves is the estimate.
    Forests of half the trials flatten: what is read off them is too small rather than too large.
    """

    features: Features
    values: Floats  # [trials]
    pairs: tuple[tuple[Any, Any], ...]

    @property
    def forests(self) -> list[Any]:
        """Both of every pair."""
        return [each for pair in self.pairs for each in pair]


def fit_halves(surrogate: Surrogate, *, seed: int, num_splits: int = NUM_SPLITS) -> Halves:
    """Forests of `num_splits` random splits of the surrogate's configs into halves."""
    rng = np.random.default_rng(seed)
    features, trials = surrogate.features, surrogate.trials
    resampled = trials.values(trials.drawn_targets(rng, 2 * num_splits)).T
    pairs = []
    for split, first in enumerate(random_halves(surrogate.config, num_splits, rng)):
        pairs.append(
            tuple(
                forest(NUM_TREES, rng).fit(features.matrix[half & np.isfinite(value)], value[half & np.isfinite(value)])
                for half, value in zip((first, ~first), resampled[2 * split : 2 * split + 2], strict=True)
            )
        )
    return Halves(features, surrogate.values, tuple((one, other) for one, other in pairs))


def random_halves(config: Integers, count: int, rng: np.random.Generator) -> Iterator[Mask]:
    """`count` times a random half of the trials [trials], whole configs: `config` [trials] is the number of each's."""
    for _ in range(count):
        yield (rng.permutation(config.max() + 1) % 2 == 0)[config]


def spread_interval(estimates: Floats) -> tuple[Floats, Floats, Floats]:
    """(mean, low, high) over the first axis, one estimate a half: 95 %, normal."""
    mean, half = estimates.mean(axis=0), 1.96 * estimates.std(axis=0, ddof=1)
    return mean, mean - half, mean + half
