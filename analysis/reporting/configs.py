"""The configs of the search as a table to sort, and as points to touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.choosing.measured import Measured
from analysis.improvement import improvement_matrix, paired_improvement
from analysis.load import Results
from analysis.stats import Estimate, mean_intervals

MOST_ROWS, MOST_POINTS = 300, 800
WIDTH, HEIGHT, MARGIN = 640, 400, 48  # of the plot, in units of its own


@dataclass(frozen=True)
class Config:
    """A row of the table."""

    trial: int
    origin: str
    gain: Estimate
    by_domain: tuple[float | None, ...]
    parameters: str


@dataclass(frozen=True)
class Point:
    """A config on the plot: place, index of its color, and what it says when touched."""

    x: float
    y: float
    color: int
    text: str


@dataclass(frozen=True)
class Plot:
    """Points by domain, ticks of both axes as (place, label), and the names that the colors stand for."""

    points: tuple[Point, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    names: tuple[str, ...]
    num_configs: int


def config_rows(results: Results) -> tuple[list[Config], list[str], int]:
    """The configs of largest gain (MOST_ROWS at most), the names of the domains, and how many configs there are."""
    column = results.metric.column
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", column], "search")
    values, trials, domains = improvement_matrix(paired_improvement(rows, metric=results.metric))
    steered = np.isin(domains, list(results.steered_domains))
    valued = np.flatnonzero(np.isfinite(values[:, steered]).any(axis=1)) if len(trials) else np.zeros(0, np.intp)
    if not valued.size:
        raise ValueError("no config of the search has a score beside the published recipe's")
    gains = mean_intervals(values[np.ix_(valued, np.flatnonzero(steered))], domains[steered])
    names = sorted(set(domains.tolist()))
    known = results.trials()
    origins = dict(known[known["phase"] == "search"].set_index("trial")["origin"])
    parameters = results.parameters()
    found = []
    for place in np.argsort(-gains.mean, kind="stable")[:MOST_ROWS]:
        row, trial = int(valued[place]), trials[valued[place]]
        means = (values[row, domains == name] for name in names)
        by_domain = tuple(float(np.nanmean(part)) if np.isfinite(part).any() else None for part in means)
        words = _words(parameters.loc[trial]) if trial in parameters.index else ""
        found.append(Config(trial, str(origins.get(trial, "")), gains[int(place)], by_domain, words))
    return found, names, len(valued)


def _words(parameters: pd.Series[float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in parameters.dropna().items())


def plot(found: Measured, unit: str) -> Plot:
    """Every config in every domain: fall of the log matching loss across, gain upwards; an even sample of too many."""
    seen, leaked = found.by_domain(found.seen), found.by_domain(found.leaked)
    order = np.argsort(-leaked.mean(axis=1), kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, MOST_POINTS // len(found.names)).astype(int))]
    across, upwards = _Axis.of(seen[kept], MARGIN, WIDTH - 8), _Axis.of(leaked[kept], HEIGHT - MARGIN, 8)
    points = [
        Point(
            across.place(seen[row, column]),
            upwards.place(leaked[row, column]),
            column,
            f"trial {found.trials[row]}, {name}: {leaked[row, column]:+.2f} {unit}, log loss {-seen[row, column]:+.2f}",
        )
        for column, name in enumerate(found.names)
        for row in kept
    ]
    return Plot(tuple(points), across.ticks(), upwards.ticks(), tuple(found.names), len(kept))


@dataclass(frozen=True)
class _Axis:
    """A linear scale from values (low to high) to places (begin to end)."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def of(cls, values: np.ndarray, begin: float, end: float) -> _Axis:
        low, high = float(min(values.min(), 0.0)), float(max(values.max(), 0.0))
        gap = 0.05 * (high - low or 1.0)
        return cls(low - gap, high + gap, begin, end)

    def place(self, value: float) -> float:
        return round(self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin), 1)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        rough = (self.high - self.low) / 5
        power = 10 ** np.floor(np.log10(rough))
        step = float(power * min((each for each in (1, 2, 5, 10) if each * power >= rough), default=10))
        first = int(np.ceil(self.low / step))
        last = int(np.floor(self.high / step))
        return tuple((self.place(tick * step), f"{tick * step:.4g}") for tick in range(first, last + 1))
