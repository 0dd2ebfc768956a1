from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from gifd_ops.defenses.config import DifferentialPrivacy
from gifd_ops.defenses.privacy import delta_of, epsilon_of, guarantee


# noise multipliers that theorem 8 of Balle & Wang (2018) asks for, by an independent computation (scipy's normal
# distribution and root finding); the classical rule, sqrt(2 ln(1.25 / delta)) / epsilon, asks for more
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0, 50.0])
def test_epsilon_is_that_of_the_analytic_gaussian_mechanism(epsilon: float) -> None:
    def excess(noise: float) -> float:
        half, shift = 1 / (2 * noise), epsilon * noise
        return stats.norm.cdf(half - shift) - math.exp(epsilon + stats.norm.logcdf(-half - shift)) - 1e-5

    noise = optimize.brentq(excess, 0.01, 1000, xtol=1e-13)
    assert epsilon_of(noise, delta=1e-5) == pytest.approx(epsilon, rel=1e-6)
    if epsilon <= 1:
        assert noise < math.sqrt(2 * math.log(1.25 / 1e-5)) / epsilon


def test_epsilon_one_at_delta_1e_5_needs_the_published_noise() -> None:
    assert epsilon_of(3.730631634944469, delta=1e-5) == pytest.approx(1.0, rel=1e-6)


@given(st.floats(0.3, 30), st.floats(0, 5))
def test_delta_is_how_much_one_release_exceeds_the_other(noise: float, epsilon: float) -> None:
    """Delta is the integral of max(0, p - exp(epsilon) q) for normal densities one sensitivity apart."""
    p, q = stats.norm(1, noise), stats.norm(0, noise)
    begins = 0.5 + epsilon * noise**2  # where p / q = exp(epsilon)
    expected, _ = integrate.quad(lambda x: p.pdf(x) - math.exp(epsilon) * q.pdf(x), begins, begins + 40 * noise + 40)
    assert delta_of(epsilon, noise=noise) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@given(st.floats(0.02, 50), st.floats(1.01, 3))
def test_more_noise_is_more_private(noise: float, factor: float) -> None:
    assert epsilon_of(noise * factor, delta=1e-5) <= epsilon_of(noise, delta=1e-5)


def test_no_noise_guarantees_nothing_and_very_much_all_but_delta() -> None:
    assert epsilon_of(0.0, delta=1e-5) == math.inf
    assert epsilon_of(1e5, delta=1e-5) == 0.0
    assert epsilon_of(0.01, delta=1e-5) == pytest.approx(5000, rel=0.1)  # 1 / (2 noise^2), and a little more


def test_exchanging_an_example_moves_the_sum_twice_as_far_as_leaving_it_out() -> None:
    stated = guarantee(DifferentialPrivacy(bound=7.0, noise=2.0))
    assert stated.add_remove == epsilon_of(2.0, delta=1e-5)
    assert stated.replace_one == epsilon_of(1.0, delta=1e-5) > stated.add_remove
    assert "add/remove" in str(stated)
    assert "replace one" in str(stated)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0])
def test_a_delta_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match=r"delta is between 0 and 1"):
        epsilon_of(1.0, delta=delta)
