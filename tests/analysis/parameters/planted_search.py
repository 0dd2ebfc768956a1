"""Searches as arrays, with known truth: what a ledger would hold, without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from analysis.parameters.scale import Scale
from analysis.parameters.searched import SearchedTrials

Columns = Mapping[str, np.ndarray]
DOMAINS = np.repeat(["art", "cartoon", "sketch"], 4)


def nothing(columns: Columns) -> np.ndarray:
    return np.zeros(len(columns["x"]))


def planted(
    effect: Callable[[Columns], np.ndarray] = nothing,
    *,
    num_trials: int = 120,
    noise: float = 0.8,
    seed: int = 0,
    columns: Columns | None = None,
    origins: np.ndarray | None = None,
) -> SearchedTrials:
    """Trials of parameters x, y, z, idle, on, the last a choice, and `inner`, which is there where `on` is 1.

    effect: from the columns to the true values [trials]; noise: of one trial on one of the twelve targets.
    """
    rng = np.random.default_rng(seed)
    asked = {name: rng.uniform(size=num_trials) for name in ("x", "y", "z", "idle")}
    asked["on"] = rng.integers(2, size=num_trials).astype(float)
    asked["inner"] = np.where(asked["on"] == 1, 10 ** rng.uniform(-2, 0, num_trials), np.nan)
    asked.update(columns or {})
    truth = effect(asked)
    values = truth[:, None] + rng.normal(scale=noise, size=(num_trials, DOMAINS.size))
    scales = {"on": Scale(log=False, choice=True), "inner": Scale(log=True, choice=False)}
    index = pd.Index(range(1, num_trials + 1), name="trial")
    chosen = np.array(["search"] * num_trials) if origins is None else origins
    return SearchedTrials(values, DOMAINS, pd.DataFrame(asked, index=index), scales, chosen)
