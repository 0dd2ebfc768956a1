"""What searches found against compute, over the repeats of a replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.replay.walk import Step

Array = NDArray[np.float64]

GRID = 200  # places of a curve, evenly spaced in compute
RESAMPLES = 1000
Measure = Callable[[Step], float]


@dataclass(frozen=True)
class Curves:
    """What a sampler with a rule came to in every repeat, by one measure."""

    by_compute: Array  # [repeats, GRID], at each share of the compute
    final: Array  # [repeats], after as many configs
    spent: Array  # [repeats], share of the compute that these took

    @classmethod
    def of(cls, walks: list[list[Step]], measure: Measure, *, configs: int, evaluations: int) -> Curves:
        """Curves of the walks of all repeats; before its first step a search answers the published recipe."""
        shares = np.arange(1, GRID + 1) / GRID * evaluations
        rows = []
        for steps in walks:
            ends = np.searchsorted([step.evaluations for step in steps], shares, side="right")
            rows.append(np.array([0.0, *map(measure, steps)])[ends])
        last = [max((step for step in steps if step.configs <= configs), key=lambda s: s.configs) for steps in walks]
        spent = np.array([step.evaluations / evaluations for step in last])
        return cls(np.stack(rows), np.array([measure(step) for step in last]), spent)


def reached(curve: Array, value: float) -> float:
    """The share of the compute at which a mean curve first has a value; infinite where it never has."""
    (places,) = np.nonzero(curve >= value)
    return float(places[0] + 1) / GRID if len(places) else float("inf")


def compute_to_reach(arm: Curves, baseline: Curves) -> tuple[float, tuple[float, float]]:
    """Compute until the mean is the baseline's final one, as a share of the baseline's compute, and its interval."""
    repeats = len(arm.final)
    draws = np.random.default_rng(0).integers(repeats, size=(RESAMPLES, repeats))
    ratios = [reached(arm.by_compute[draw].mean(axis=0), float(baseline.final[draw].mean())) for draw in draws]
    low, high = np.quantile(ratios, [0.025, 0.975], method="nearest")
    return reached(arm.by_compute.mean(axis=0), float(baseline.final.mean())), (float(low), float(high))


def mean_with_interval(values: Array) -> tuple[float, float, float]:
    """The mean over repeats and its interval."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
