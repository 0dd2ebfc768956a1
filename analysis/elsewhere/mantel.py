"""Do two tables of pairs go together: rank correlation, tested by exchanging the names of one (Mantel, 1967)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
MOST = 8  # things, whose 40,320 orders are all tried


@dataclass(frozen=True)
class Mantel:
    """Spearman's `correlation` over `num_pairs`.

    `p_value`: the share of orders of the names that go together as well or better, the true one included;
    `least_p_value`: the smallest that so many orders can give.
    """

    correlation: float
    p_value: float
    least_p_value: float
    num_pairs: int


def mantel(one: Floats, other: Floats) -> Mantel | None:
    """The exact one-sided test that pairs far apart in `one` are far apart in `other`; both symmetric [things, things].

    Pairs share things, so they are no independent points: the things' names are exchanged, not the pairs. None with
    under three things, over eight, a value that is not finite, or no difference between pairs.
    """
    num = len(one)
    if not 3 <= num <= MOST:
        return None
    upper = np.triu_indices(num, 1)
    if not (np.isfinite(one[upper]).all() and np.isfinite(other[upper]).all()):
        return None
    x, y = (stats.rankdata(table[upper]) for table in (one, other))
    x, y = x - x.mean(), y - y.mean()
    length = np.sqrt(np.sum(x**2) * np.sum(y**2))
    if length == 0:
        return None
    ranks = np.zeros((num, num))
    ranks[upper] = y
    ranks += ranks.T
    orders = np.array(list(permutations(range(num))))
    found = ranks[orders[:, upper[0]], orders[:, upper[1]]] @ x / length  # the first order is the true one
    reached = found >= found[0] - 1e-12
    return Mantel(float(found[0]), float(reached.mean()), float(np.mean(found >= found.max() - 1e-12)), len(x))
