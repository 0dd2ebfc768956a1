"""What a surrogate of the search may be read for, and what it may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.parameters.halves import fit_halves
from analysis.parameters.interactions import interactions
from analysis.parameters.partial_dependence import partial_dependence
from analysis.parameters.permutation import permutation_importances
from analysis.parameters.searched import SearchedTrials
from analysis.parameters.surrogate import NUM_FOLDS, Skill, fit_surrogate, skill
from analysis.parameters.tunability import likeness, tunability
from analysis.stats import rounded

NUM_INTERACTING = 6
LEVEL = 0.05


@dataclass(frozen=True)
class Claims:
    """The skill of a surrogate and, where it has shown any, its tables; all None where it has not.

    `tunable` is None too where the search asked no likeness of the recipe.
    """

    skill: Skill
    permutation: pd.DataFrame | None = None
    dependence: pd.DataFrame | None = None
    pairs: pd.DataFrame | None = None
    tunable: pd.DataFrame | None = None


def surrogate_claims(trials: SearchedTrials, *, seed: int) -> Claims:
    """What the surrogate of `trials` says. Raises ValueError as `fit_surrogate` does."""
    surrogate = fit_surrogate(trials, seed=seed)
    shown = skill(surrogate)
    if not shown.shown:
        return Claims(shown)
    permutation = permutation_importances(surrogate, seed=seed)
    halves = fit_halves(surrogate, seed=seed)
    default = likeness(trials)
    return Claims(
        shown,
        permutation,
        partial_dependence(halves, seed=seed),
        interactions(surrogate, permutation["parameter"].head(NUM_INTERACTING).tolist(), seed=seed),
        None if default is None else tunability(halves, default),
    )


def pair_claimed(row: pd.Series[Any]) -> bool:
    """Whether a pair can be told apart from an additive model: its whole interval lies above null_95."""
    return bool(row["low"] > row["null_95"])


def claim_lines(claims: Claims, unit: str) -> list[str]:
    """The skill, then what is claimed with it; or what cannot be."""
    found, decimals = claims.skill, 1 if unit == "dB" else 3
    line = (
        f"a surrogate predicts trials it has not seen ({NUM_FOLDS} folds of {found.num_trials} trials) with R^2 "
        f"{_bounds(found.r2, found.r2_low, found.r2_high)}, rank correlation "
        f"{_bounds(found.rank, found.rank_low, found.rank_high)}"
    )
    if claims.permutation is None or claims.dependence is None or claims.pairs is None:
        return [
            f"{line}: no skill shown, so partial dependence, interactions, tunability and permutation importance "
            "are not claimed; more trials may show it"
        ]
    among = "" if found.random_rank is None else f"; {found.random_rank:.2f} among {found.num_random} drawn at random"
    missed = claims.permutation[claims.permutation["p_holm"] <= LEVEL]
    named = [f"{row['parameter']} ({_bounds(row['loss'], row['low'], row['high'])})" for _, row in missed.iterrows()]
    lines = [f"{line}{among}", f"  it loses R^2 without: {', '.join(named) or 'no parameter that can be told apart'}"]
    beyond = [
        f"{row['first']} x {row['second']} ({_bounds(row['share'], row['low'], row['high'], 3)}; chance "
        f"{rounded(row['null_95'], 3)})"
        for _, row in claims.pairs.iterrows()
        if pair_claimed(row)
    ]
    lines.append(f"  share of variance beyond the sum of both: {', '.join(beyond) or 'no pair above chance'}")
    if claims.tunable is None:
        return [*lines, "  tunability: not known, the search asked no likeness of the published recipe"]
    gains = [
        f"{row['parameter']} {row['default']:.3g} -> {row['best']:.3g} by "
        f"{_bounds(row['gain'], row['low'], row['high'], decimals)} {unit}"
        for _, row in claims.tunable[claims.tunable["low"] > 0].iterrows()
    ]
    gained = ", ".join(gains) or "no parameter that can be told apart"
    return [*lines, f"  tuned alone on the recipe's likeness, predicted and not run: {gained}"]


def _bounds(value: float, low: float, high: float, decimals: int = 2) -> str:
    return f"{rounded(value, decimals)} ({rounded(low, decimals)} to {rounded(high, decimals)})"
