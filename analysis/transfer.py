"""What settings tuned on one domain give up on another: cross-fitted regret, zero where there is only noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Transfer:
    """`regret[a, b]`: what settings tuned on `domains[a]` give up on `domains[b]`, in the unit of the values.

    `low` and `high` bound it (95 %), NaN where a domain has under three targets; the diagonal is 0 by construction.
    """

    domains: tuple[str, ...]
    regret: Floats
    low: Floats
    high: Floats
    num_targets: tuple[int, ...]
    num_configs: int


def transfer_regret(
    values: Floats, domains: npt.NDArray[np.str_], *, num_splits: int = 20, seed: int, level: float = 0.95
) -> Transfer:
    """The regret of every pair of domains from `values` [configs, targets] (higher is better) and `domains` [targets].

    Targets of every domain are split in halves. The config for A is the best on one half of A's targets, the
    reference for B the best on the same half of B's; both are valued on B's other half; the difference is the regret.
    Halves are crossed, and `num_splits` random splits averaged. Choosing and valuing never share a target, and both
    choices are made from equally many, so if configs do not differ the expected regret is zero: no reference is
    flattered by its own luck. It may be negative: then A's targets chose better for B than as few of B's own.

    Interval: jackknife over the targets of A and of B (one left out at a time, from the same splits, both choices made
    again), t with n_A + n_B - 2 degrees of freedom. A bootstrap would put copies of one target on both sides of a
    split. The jackknife's variance errs upward on average (Efron and Stein, 1981), so with few targets intervals are
    too wide rather than too narrow and "includes 0" is weak evidence of no regret. Choices are made from half the
    targets, so a real study's choice from all of them transfers somewhat better.
    Raises ValueError unless every value is finite and every domain has two targets at least.
    """
    names = tuple(str(name) for name in np.unique(domains))
    counts = tuple(int((domains == name).sum()) for name in names)
    if min(counts, default=0) < 2 or len(names) < 2 or not np.isfinite(values).all():
        raise ValueError(
            "transfer needs two domains at least, two targets in each, and every config valued on every target; "
            f"got targets per domain {dict(zip(names, counts, strict=True))}; tune with more targets or domains"
        )
    halves = _split(domains, names, num_splits, np.random.default_rng(seed))
    member = domains == np.array(names)[:, None]  # [domains, targets]
    regret = _regret(values, member, halves)
    variance = np.zeros_like(regret)
    for index, count in enumerate(counts):
        without = []
        for target in np.flatnonzero(member[index]):
            left = member.copy()
            left[index, target] = False
            without.append(_regret(values, left, halves))
        spread = (count - 1) / count * np.sum((np.array(without) - np.mean(without, axis=0)) ** 2, axis=0)
        variance[index, :] += spread[index, :]
        variance[:, index] += spread[:, index]
    sizes = np.array(counts)
    half = stats.t.ppf((1 + level) / 2, np.add.outer(sizes, sizes) - 2) * np.sqrt(variance)
    half = np.where(np.minimum.outer(sizes, sizes) < 3, np.nan, half)
    np.fill_diagonal(half, 0.0)
    return Transfer(names, regret, regret - half, regret + half, counts, len(values))


def _split(domains: npt.NDArray[np.str_], names: tuple[str, ...], num_splits: int, rng: np.random.Generator) -> Bools:
    """[splits, targets]: which half each target is in; halves of a domain differ by one target at most."""
    halves = np.zeros((num_splits, domains.size), dtype=np.bool_)
    for name in names:
        members = np.flatnonzero(domains == name)
        for split in range(num_splits):
            smaller_or_equal = members.size // 2 + (members.size % 2) * int(rng.integers(2))
            halves[split, rng.permutation(members)[:smaller_or_equal]] = True
    return halves


def _regret(values: Floats, member: Bools, halves: Bools) -> Floats:
    """The mean regret [domains, domains] over splits and both crossings; a split with an empty half counts nothing."""
    sides = np.stack([halves, ~halves])  # [2, splits, targets]
    choosing = (sides[:, :, None, :] & member).reshape(-1, *member.shape)  # [crossings, domains, targets]
    valuing = (sides[::-1, :, None, :] & member).reshape(choosing.shape)
    chosen = np.argmax(np.einsum("xdt,ct->xdc", choosing, values), axis=2)  # [crossings, domains]
    worth = np.einsum("xdt,ct->xdc", valuing, values)  # sum over the valuing half
    sizes = valuing.sum(axis=2)
    crossing = np.arange(len(chosen))[:, None, None]
    onto = np.arange(len(member))[None, None, :]
    tuned_here = worth[crossing, onto, chosen[:, None, :]]
    tuned_there = worth[crossing, onto, chosen[:, :, None]]  # [crossings, from, onto]
    able = np.asarray(choosing.any(axis=2))
    usable = able[:, :, None] & (able & (sizes > 0))[:, None, :]
    weights = np.where(usable, sizes[:, None, :], 0).sum(axis=0)
    total = np.where(usable, tuned_here - tuned_there, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, weights, out=np.full(total.shape, np.nan), where=weights > 0)
    return mean
