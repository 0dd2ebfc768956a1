"""Importance where the sampler did not choose: among the trials that were drawn without a look at results."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.parameters.importance import COLUMNS, distinguishable, importances
from analysis.parameters.searched import MIN_TRIALS, SearchedTrials

RANDOM = [f"random_{name}" for name in COLUMNS[1:]]


def random_importances(trials: SearchedTrials, *, seed: int) -> pd.DataFrame | None:
    """The rows of `importances` among the trials drawn at random; None where these are fewer than MIN_TRIALS.

    A sampler keeps what did well: later trials differ little in the parameter that decides (so it seems idle), and
    parameters that came to rest at the same time seem to have helped. The random share of a search is free of both, at
    the price of its size: intervals and chance levels are those of so few trials. Weighting all trials by how much
    rarer the sampler made them would use more of them, but no sampler here states the density it drew from, and
    weights of a sampler that has settled are carried by a few trials.
    """
    at_random = trials.only(trials.at_random)
    return importances(at_random, seed=seed) if len(at_random.parameters) >= MIN_TRIALS else None


def random_verdict(row: pd.Series[Any], num_random: int) -> str:
    """What the trials drawn at random say of a parameter that all trials told apart from no effect, in a few words.

    `row` is one of `beside_random`, `num_random` the number of trials drawn at random.
    """
    if pd.isna(row["random_importance"]):
        counted = "1 trial" if num_random == 1 else f"{num_random} trials"
        return f"{counted} at random, too few to check the sampler's focus"
    known = distinguishable(row[RANDOM].set_axis(COLUMNS[1:]))
    return f"{'confirmed' if known else 'not confirmed'} by the {int(row['random_num_trials'])} trials at random"


def beside_random(table: pd.DataFrame, at_random: pd.DataFrame | None) -> pd.DataFrame:
    """`table` of all trials with the columns of those drawn at random beside: random_importance and so on."""
    if at_random is None:
        return table.reindex(columns=[*table.columns, *RANDOM])
    renamed = at_random[COLUMNS].set_axis(["parameter", *RANDOM], axis="columns")
    return table.merge(renamed, on="parameter", how="left")
