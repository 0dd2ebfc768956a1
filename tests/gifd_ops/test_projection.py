from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gifd_ops.projection import project_l1_ball, theta_by_newton, theta_by_sorting

entries = st.floats(-1e3, 1e3, allow_subnormal=False)
vectors = st.lists(entries, min_size=1, max_size=12).map(lambda values: torch.tensor(values, dtype=torch.float64))
radius_values = st.floats(1e-3, 1e4)
pairs = st.integers(1, 12).flatmap(
    lambda size: st.tuples(*[st.lists(entries, min_size=size, max_size=size)] * 2).map(
        lambda two: torch.tensor(two, dtype=torch.float64)
    )
)


def project(vector: Tensor, radius: float) -> Tensor:
    return project_l1_ball(vector[None], torch.tensor([radius], dtype=vector.dtype))[0]


def l1(vector: Tensor) -> float:
    return float(vector.abs().sum())


def rounding(vector: Tensor) -> float:
    return 1e-13 * (1 + l1(vector))


def nearest_by_bisection(vector: list[float], radius: float) -> list[float]:
    """The soft threshold found by halving: slow, and nothing in common with sorting."""
    if sum(abs(value) for value in vector) <= radius:
        return vector
    low, high = 0.0, max(abs(value) for value in vector)
    for _ in range(200):
        theta = (low + high) / 2
        if sum(max(abs(value) - theta, 0.0) for value in vector) > radius:
            low = theta
        else:
            high = theta
    return [max(abs(value) - high, 0.0) * (1 if value > 0 else -1) for value in vector]


@given(vectors, st.floats(0, 1))
def test_points_inside_the_ball_do_not_move(vector: Tensor, share: float) -> None:
    radius = 2.5
    inside = vector * (share * radius / max(l1(vector), radius)) * (1 - 1e-12)
    assert torch.equal(project(inside, radius), inside)


@given(vectors, radius_values)
def test_the_result_is_in_the_ball_and_on_its_surface_if_the_point_was_outside(vector: Tensor, radius: float) -> None:
    projected = project(vector, radius)
    assert l1(projected) <= radius + rounding(vector)
    if l1(vector) > radius:
        assert l1(projected) == pytest.approx(radius, rel=0, abs=rounding(vector))


@given(vectors, radius_values)
def test_projecting_again_changes_nothing(vector: Tensor, radius: float) -> None:
    once = project(vector, radius)
    torch.testing.assert_close(project(once, radius), once, rtol=0, atol=rounding(vector))


@given(vectors, radius_values)
def test_signs_and_order_of_size_are_kept(vector: Tensor, radius: float) -> None:
    projected = project(vector, radius)
    assert bool((projected * vector >= 0).all())
    by_size = vector.abs().argsort()
    assert bool((projected.abs()[by_size].diff() >= 0).all())


@given(pairs, radius_values)
def test_no_other_point_of_the_ball_is_nearer(two: Tensor, radius: float) -> None:
    vector, other = two
    other = other * (radius / max(l1(other), radius))
    projected = project(vector, radius)
    # at the nearest point of a convex set, the way out makes no acute angle with any way into the set
    angle = torch.dot(vector - projected, other - projected)
    assert float(angle) <= 1e-12 * (1 + l1(vector)) * (1 + l1(vector) + radius)
    assert float((vector - projected).norm()) <= float((vector - other).norm()) + rounding(vector)


@given(vectors, radius_values)
def test_it_agrees_with_bisection(vector: Tensor, radius: float) -> None:
    expected = torch.tensor(nearest_by_bisection(vector.tolist(), radius), dtype=torch.float64)
    torch.testing.assert_close(project(vector, radius), expected, rtol=0, atol=rounding(vector))


def test_each_row_is_projected_on_its_own_ball() -> None:
    rows = torch.randn(6, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    radii = torch.tensor([0.01, 1e6, 3.0, 20.0, 1e-9, 0.5], dtype=torch.float64)
    together = project_l1_ball(rows, radii)
    for row, radius, projected in zip(rows, radii, together, strict=True):
        torch.testing.assert_close(project(row, float(radius)), projected, rtol=0, atol=1e-15)
    assert torch.equal(together[1], rows[1])
    assert l1(together[0]) == pytest.approx(0.01)


def test_a_point_off_the_axes_lands_where_the_paper_says() -> None:
    # theta = 1 for (3, 2, 0.5) and radius 3
    point = torch.tensor([3.0, -2.0, 0.5])
    torch.testing.assert_close(project(point, 3.0), torch.tensor([2.0, -1.0, 0.0]))


@pytest.mark.parametrize("radius", [1e30, float("inf")])
def test_a_huge_ball_holds_everything(radius: float) -> None:
    points = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(project_l1_ball(points, torch.full((3,), radius)), points)


@pytest.mark.parametrize("radius", [0.0, 1e-300, 1.0])
def test_the_center_stays_the_center(radius: float) -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [5.0, -5.0, 1.0]], dtype=torch.float64)
    projected = project_l1_ball(points, torch.full((2,), radius, dtype=torch.float64))
    assert torch.equal(projected[0], points[0])
    assert l1(projected[1]) == pytest.approx(radius, abs=1e-14)


def test_a_tiny_ball_collapses_a_point_to_the_center_and_not_beyond() -> None:
    projected = project(torch.tensor([1e3, -1.0, 0.0], dtype=torch.float64), 1e-300)
    assert float(projected.abs().max()) <= 1e-12


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.5, 50))
def test_single_precision_is_good_to_its_rounding(seed: int, radius: float) -> None:
    rows = torch.randn(4, 3000, generator=torch.Generator().manual_seed(seed))
    projected = project_l1_ball(rows, torch.full((4,), radius))
    exact = project_l1_ball(rows.double(), torch.full((4,), radius, dtype=torch.float64))
    torch.testing.assert_close(projected.double(), exact, rtol=0, atol=5e-5)
    assert bool((projected.abs().sum(dim=1) <= radius * (1 + 1e-3)).all())


def test_the_input_is_left_as_it_was() -> None:
    points = torch.full((2, 4), 3.0)
    project_l1_ball(points, torch.tensor([1.0, 100.0]))
    assert torch.equal(points, torch.full((2, 4), 3.0))


@given(st.integers(0, 2**31), st.integers(1, 60), st.floats(0, 0.999))
def test_newton_and_sorting_find_the_same_theta(seed: int, length: int, share: float) -> None:
    points = torch.randn(3, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    points[0] = points[0].round()  # ties
    points = points[points.abs().sum(dim=1) > 0]
    radii = share * points.abs().sum(dim=1)
    torch.testing.assert_close(theta_by_newton(points, radii), theta_by_sorting(points, radii), rtol=1e-9, atol=1e-12)


def test_a_row_that_is_not_a_number_does_not_hold_up_the_others() -> None:
    points = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    radii = torch.tensor([3.0, 3.0, torch.inf])
    alone = project_l1_ball(points[:1], radii[:1])
    points[1, 7], points[2, 3] = torch.nan, torch.inf
    assert torch.equal(project_l1_ball(points, radii)[:1], alone)
