"""Importance domain by domain, and by what is sought: leakage, or the matching loss that an attacker sees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.parameters.importance import COLUMNS, FEW_DRAWS, importances
from analysis.parameters.searched import MIN_TRIALS, SearchedTrials


def importances_by_domain(trials: SearchedTrials, *, seed: int) -> pd.DataFrame:
    """`importances` of the trials valued on one domain at a time: domain, COLUMNS, num_targets.

    `trials` hold the targets of every domain of the search. A domain with fewer than six trials is left out.
    """
    return _by("domain", {str(domain): trials.within([str(domain)]) for domain in np.unique(trials.domains)}, seed)


def importances_by_objective(trials: Mapping[str, SearchedTrials], *, seed: int) -> pd.DataFrame:
    """`importances` of trials valued by one score at a time: objective, COLUMNS, num_targets."""
    return _by("objective", trials, seed)


def _by(kind: str, parts: Mapping[str, SearchedTrials], seed: int) -> pd.DataFrame:
    columns, tables = [kind, *COLUMNS, "num_targets"], []
    for name, part in parts.items():
        if len(part.parameters) >= MIN_TRIALS:
            table = importances(part, num_draws=FEW_DRAWS, seed=seed)
            table[kind], table["num_targets"] = name, part.domains.size
            tables.append(table)
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)
