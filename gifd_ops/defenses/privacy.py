"""What one Gaussian release guarantees: epsilon by the analytic Gaussian mechanism. Standard library only.

Balle & Wang (ICML 2018), theorem 8: a release of L2 sensitivity D with noise of std s is (epsilon, delta)-private if
and only if  Phi(D / 2s - epsilon s / D) - exp(epsilon) Phi(-D / 2s - epsilon s / D) <= delta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gifd_ops.defenses.config import DifferentialPrivacy

DELTA = 1e-5


@dataclass(frozen=True)
class Guarantee:
    """epsilon at `delta`, for two notions of neighbouring data: they must not be compared with one another.

    add_remove: one example more or less, which moves the clipped sum by its bound at most. replace_one: one example
    exchanged, by twice the bound. Infinite without noise.
    """

    add_remove: float
    replace_one: float
    delta: float

    def __str__(self) -> str:
        return (
            f"epsilon {self.add_remove:.3g} (add/remove), {self.replace_one:.3g} (replace one) at delta {self.delta:g}"
        )


def guarantee(defense: DifferentialPrivacy, *, delta: float = DELTA) -> Guarantee:
    """What one release of the clipped and noised sum guarantees; no subsampling and no composition is counted."""
    return Guarantee(
        add_remove=epsilon_of(defense.noise, delta=delta),
        replace_one=epsilon_of(defense.noise / 2, delta=delta),
        delta=delta,
    )


def epsilon_of(noise: float, *, delta: float) -> float:
    """Least epsilon >= 0 of a release whose noise is `noise` times its L2 sensitivity; infinite without noise."""
    if not 0 < delta < 1:
        raise ValueError(f"delta is between 0 and 1, got {delta}; {DELTA:g} is usual")
    if noise <= 0:
        return math.inf
    if delta_of(0.0, noise=noise) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while delta_of(high, noise=noise) > delta:
        low, high = high, 2 * high
    for _ in range(200):  # to the last digit
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if delta_of(middle, noise=noise) > delta else (low, middle)
    return high


def delta_of(epsilon: float, *, noise: float) -> float:
    """The delta at which a release with noise of `noise` sensitivities is (epsilon, delta)-private."""
    half, shift = 1 / (2 * noise), epsilon * noise
    return max(0.0, math.exp(_log_phi(half - shift)) - math.exp(epsilon + _log_phi(-half - shift)))


def _log_phi(x: float) -> float:
    """Logarithm of the standard normal distribution function, far into its lower tail."""
    if x > -30:
        return math.log(math.erfc(-x / math.sqrt(2)) / 2)
    terms = 1 - 1 / x**2 + 3 / x**4 - 15 / x**6 + 105 / x**8  # Mills' ratio; the next term is below 2e-12
    return -(x**2) / 2 - math.log(-x) - math.log(2 * math.pi) / 2 + math.log(terms)
