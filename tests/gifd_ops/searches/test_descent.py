from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gifd_ops.quirks import MENDED, REFERENCE
from gifd_ops.searches.descent import Descent, Opened, descend, learning_rates, ramp, tenths

RATES = (0.5, 0.1, 0.02)
Look = Callable[[], tuple[Tensor, Tensor]]


def start() -> Tensor:
    return torch.tensor([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0]], dtype=torch.float64, requires_grad=True)


def bowl(values: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """Squared lengths of rows, which are also shown as images."""
    return lambda: (values.square().sum(dim=1), values.clone()[:, :, None, None])


def nothing() -> None:
    pass


def go(
    variables: list[Tensor], look: Look, *, after_update: Callable[[], None] = nothing, signed: bool = False
) -> Descent:
    """A descent of three rows that stay together."""
    opened = Opened(variables=variables, look=look, after_update=after_update)
    return descend(opened, begin=torch.ones(3, dtype=torch.bool), rates=[RATES], signed=signed)


def adam(begin: Tensor, slopes: Callable[[Tensor], Tensor], rates: tuple[float, ...]) -> list[Tensor]:
    """The values before each update and after the last (Kingma and Ba, algorithm 1)."""
    values, first, second = [begin], torch.zeros_like(begin), torch.zeros_like(begin)
    for step, rate in enumerate(rates, start=1):
        slope = slopes(values[-1])
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
        values.append(values[-1] - rate * mean / (square.sqrt() + 1e-8))
    return values


@pytest.mark.parametrize("signed", [False, True])
def test_it_is_adam_once_per_rate_on_slopes_or_on_their_signs(signed: bool) -> None:
    values = start()
    found = go([values], bowl(values), signed=signed)
    trace, images = found.trace, found.images
    assert images is not None
    slopes = (lambda x: (2 * x).sign()) if signed else (lambda x: 2 * x)
    expected = adam(start().detach(), slopes, RATES)
    torch.testing.assert_close(values.detach(), expected[-1], rtol=1e-12, atol=1e-12)
    before = torch.stack([x.square().sum(dim=1) for x in expected[:-1]], dim=1)
    torch.testing.assert_close(trace, before, rtol=1e-12, atol=0)  # the loss before each update
    torch.testing.assert_close(images[:, :, 0, 0], expected[-2], rtol=1e-12, atol=0)  # before the last
    assert not trace.requires_grad
    assert not images.requires_grad


def test_signs_take_no_notice_of_how_steep_the_loss_is() -> None:
    ends = {}
    for signed in (False, True):
        for steepness in (1.0, 1e-9):
            values = start()
            look = lambda v=values, s=steepness: (s * v.square().sum(dim=1), v[:, :, None, None])
            go([values], look, signed=signed)
            ends[signed, steepness] = values.detach()
    assert torch.equal(ends[True, 1.0], ends[True, 1e-9])
    assert not torch.allclose(ends[False, 1.0], ends[False, 1e-9], rtol=1e-2)  # Adam's epsilon is no longer small


def test_what_follows_an_update_is_done_every_time_and_seen_by_the_next_look() -> None:
    values, seen = start(), []

    @torch.no_grad()
    def halve() -> None:
        seen.append(values.clone())
        values.mul_(0.5)

    trace = go([values], bowl(values), after_update=halve).trace
    assert len(seen) == len(RATES)
    for looked, left in zip(trace.T[1:], seen, strict=False):
        torch.testing.assert_close(looked, (0.5 * left).square().sum(dim=1))
    assert torch.equal(values.detach(), 0.5 * seen[-1])


def test_a_variable_that_the_loss_does_not_read_stays_where_it_is() -> None:
    values, idle = start(), start()
    go([idle, values], bowl(values), signed=True)
    assert torch.equal(idle, start())
    assert not torch.equal(values, start())


def test_a_row_that_is_not_a_number_leaves_the_others_alone() -> None:
    whole, broken = start(), start()
    with torch.no_grad():
        broken[1, 0] = math.nan
    trace, beside = go([whole], bowl(whole)).trace, go([broken], bowl(broken)).trace
    assert torch.equal(whole[[0, 2]], broken[[0, 2]])
    assert torch.equal(trace[[0, 2]], beside[[0, 2]])
    assert bool(beside[1].isnan().all())


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 24, 100])
def test_a_rate_in_tenths_begins_whole_and_never_rises(steps: int) -> None:
    factors = [tenths(step, steps) for step in range(steps)]
    assert factors[0] == 1
    assert all(after <= before for before, after in pairwise(factors))


@pytest.mark.parametrize(
    ("steps", "falls"),
    [(9, (3, 5, 7)), (80, (29, 49, 70)), (1000, (374, 624, 875)), (15000, (5624, 9374, 13134))],
)
def test_tenths_fall_at_the_published_milestones_near_three_five_and_seven_eighths(
    steps: int, falls: tuple[int, ...]
) -> None:
    factors = [tenths(step, steps) for step in range(steps)]
    assert tuple(step for step in range(1, steps) if factors[step] < factors[step - 1]) == falls
    assert [factors[step] for step in (0, *falls)] == pytest.approx([1, 0.1, 0.01, 0.001])
    # they are rounded down, from divisions by 2.667, 1.6 and 1.142
    assert [fall / steps for fall in falls] == pytest.approx([3 / 8, 5 / 8, 7 / 8], abs=1 / steps + 0.001)


@given(st.integers(1, 3000), st.floats(0, 1, exclude_max=True))
def test_the_ramp_that_begins_at_zero_is_the_published_one(steps: int, share: float) -> None:
    step = int(share * steps)
    t = step / steps
    published = (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.75))) * min(1, t / 0.05)
    assert ramp(step, steps, first_step="zero") == pytest.approx(published, rel=1e-9, abs=1e-15)
    assert ramp(0, steps, first_step="zero") == 0


def test_rates_are_the_learning_rate_by_the_stages_own_decay() -> None:
    steps, zero = 40, replace(MENDED, first_step="zero")
    assert learning_rates(0.3, steps, "ramp", MENDED) == [0.3 * ramp(step, steps) for step in range(steps)]
    assert learning_rates(0.3, steps, "ramp", zero) == [
        0.3 * ramp(step, steps, first_step="zero") for step in range(steps)
    ]
    expected = [0.3 * tenths(step, steps) for step in range(steps)]
    for quirks in (MENDED, REFERENCE):  # only a warm-up can begin at zero
        assert learning_rates(0.3, steps, "steps", quirks) == expected
