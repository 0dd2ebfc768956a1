from __future__ import annotations

import math

import pytest
import torch

from gifd_ops.priors import l2_norm, total_variation


def checkerboard(side: int, low: float, high: float) -> torch.Tensor:
    place = torch.arange(side)
    return torch.where((place[:, None] + place) % 2 == 0, low, high).expand(1, 3, side, side)


def test_a_constant_image_does_not_vary() -> None:
    assert total_variation(torch.full((2, 3, 8, 8), 0.7)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("side", [2, 8, 9])
def test_every_step_of_a_checkerboard_is_its_contrast(side: int) -> None:
    assert float(total_variation(checkerboard(side, -0.5, 1.0))) == pytest.approx(1.5 + 1.5)


def test_steps_to_the_right_and_down_are_averaged_apart() -> None:
    ramp = torch.arange(4.0).expand(1, 3, 6, 4)  # every step right is 1, every step down is 0
    assert float(total_variation(ramp)) == 1.0
    assert float(total_variation(3 * ramp.transpose(2, 3))) == 3.0


@pytest.mark.parametrize(("value", "side"), [(2.0, 8), (-0.5, 16)])
def test_l2_is_the_norm_over_the_number_of_pixels(value: float, side: int) -> None:
    images = torch.full((1, 3, side, side), value)
    assert float(l2_norm(images)) == pytest.approx(abs(value) * math.sqrt(3 * side**2) / side**2)


@pytest.mark.parametrize("prior", [total_variation, l2_norm])
def test_a_prior_of_a_row_is_that_of_the_row_alone(prior) -> None:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alone = torch.cat([prior(images[row : row + 1]) for row in range(4)])
    torch.testing.assert_close(prior(images), alone, rtol=1e-12, atol=0)
    assert len(set(alone.tolist())) == 4
