"""The search's configs, each with what leaked and with what the attacker saw, on the same tuning targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.improvement import improvement_matrix, paired_improvement
from analysis.load import Results
from analysis.parameters.searched import MATCHING_LOSS

Floats = npt.NDArray[np.float64]
LEAST_LOSS = 1e-12  # a matching loss is a cosine distance: rounding may take it to zero or below


@dataclass(frozen=True)
class Measured:
    """`leaked` and `seen` [configs, targets]: gains over the published recipe, by the score and by the matching loss.

    A gain in matching loss is the fall of its logarithm: a halving weighs alike on every target.
    """

    leaked: Floats
    seen: Floats
    trials: npt.NDArray[np.int64]
    domains: npt.NDArray[np.str_]  # [targets]

    @property
    def names(self) -> list[str]:
        """The domains, in order."""
        return sorted(set(self.domains.tolist()))

    def by_domain(self, values: Floats) -> Floats:
        """[configs, domains]: means of `values` [configs, targets]."""
        return np.stack([values[:, self.domains == name].mean(axis=1) for name in self.names], axis=1)


def measured(results: Results) -> Measured:
    """Of the search, the configs that have both numbers on every tuning target, the published recipe included.

    Raises ValueError if fewer than three are left: two always rank either alike or in reverse.
    """
    score = results.metric
    columns = ["phase", "trial", "domain", "target_id", score.column, "matching_loss"]
    rows = results.reconstructions(columns, "search").dropna(subset=[score.column, "matching_loss"])
    logarithm = np.log(np.maximum(rows["matching_loss"], LEAST_LOSS))
    leaked, trials, domains = improvement_matrix(paired_improvement(rows, metric=score))
    losses = rows.assign(matching_loss=logarithm)
    seen, _, _ = improvement_matrix(paired_improvement(losses, metric=MATCHING_LOSS))
    whole = np.isfinite(leaked).all(axis=1) & np.isfinite(seen).all(axis=1)
    if whole.sum() < 3:
        raise ValueError(
            "choices by matching loss are compared among three configs at least that have a score and a matching loss "
            f"on every tuning target, as has the published recipe; {results.path} holds {int(whole.sum())}; "
            "continue the study with more trials"
        )
    return Measured(leaked[whole], seen[whole], np.array(trials, dtype=np.int64)[whole], domains)
