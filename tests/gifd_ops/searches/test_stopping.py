"""Rows that diverge, or get no nearer, stop costing and leave the others as they would have been."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.searches.descent import Descent, Opened, descend
from gifd_ops.searches.stopping import LEAST_PROGRESS, blanked, finite_rows, progressing

RATES = tuple(0.3 / (1 + step) for step in range(12))
NEVER = 10**6


@dataclass
class Valleys:
    """Rows that descend to zero, from two numbers each. A row is NaN from its `last` look on, and flat by its `floor`.

    It counts every row's looks.
    """

    starts: Tensor  # [rows, 2]
    last: Sequence[int]
    floor: Sequence[float]
    looks: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.looks = torch.zeros(len(self.starts), dtype=torch.int64)

    def open(self, values: Tensor | None = None, rows: Tensor | None = None) -> Opened:
        numbers = self.starts.clone().requires_grad_() if values is None else values
        places = torch.arange(len(self.starts)) if rows is None else rows
        last, floor = (torch.tensor(told)[places] for told in (self.last, self.floor))

        def look() -> tuple[Tensor, Tensor]:
            over = self.looks[places] >= last
            self.looks[places] += 1
            losses = numbers.square().sum(dim=1).clamp(min=floor)
            return torch.where(over, torch.nan, losses), numbers.clone()[:, :, None, None]

        def part(some: Tensor) -> Opened:
            return self.open(numbers.detach()[some].requires_grad_(), some)

        return Opened(variables=[numbers], look=look, after_update=lambda: None, part=part if rows is None else None)

    def only(self, row: int) -> Valleys:
        return Valleys(self.starts[row : row + 1], self.last[row : row + 1], self.floor[row : row + 1])


def run(
    valleys: Valleys, *, patience: int = 0, steps: int = len(RATES), rates: Sequence[Sequence[float]] = ()
) -> tuple[Tensor, Descent]:
    opened = valleys.open()
    begin = torch.ones(len(valleys.starts), dtype=torch.bool)
    found = descend(opened, begin=begin, rates=rates or [RATES[:steps]], signed=False, patience=patience)
    return opened.variables[0].detach(), found


def same(first: Tensor | None, second: Tensor | None) -> None:
    assert first is not None
    assert second is not None
    torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12, equal_nan=True)


numbers = st.floats(-3, 3).filter(lambda value: abs(value) > 0.1)


@st.composite
def valleys(draw: st.DrawFn) -> Valleys:
    rows = draw(st.integers(1, 5))
    starts = torch.tensor([[draw(numbers), draw(numbers)] for _ in range(rows)], dtype=torch.float64)
    last = [draw(st.sampled_from([0, 1, 2, 5, 11, NEVER])) for _ in range(rows)]
    floor = [draw(st.sampled_from([0.0, 0.5, 4.0])) for _ in range(rows)]
    return Valleys(starts, last, floor)


@settings(deadline=None, max_examples=60)
@given(valleys(), st.sampled_from([0, 1, 3]))
def test_a_row_ends_the_same_whichever_rows_stop_beside_it(together: Valleys, patience: int) -> None:
    values, found = run(together, patience=patience)
    for row in range(len(values)):
        own, alone = run(together.only(row), patience=patience)
        same(values[row], own[0])
        same(found.trace[row], alone.trace[0])
        assert found.images is not None
        assert alone.images is not None
        same(found.images[row], alone.images[0])
        assert found.steps_taken[row] == alone.steps_taken[0]
        assert found.whole[row] == alone.whole[0]


@settings(deadline=None, max_examples=60)
@given(valleys(), st.sampled_from([0, 1, 3]))
def test_every_step_taken_is_one_look_and_a_row_that_has_stopped_is_not_looked_at(
    together: Valleys, patience: int
) -> None:
    _, found = run(together, patience=patience)
    assert torch.equal(together.looks, found.steps_taken)
    after = torch.arange(len(RATES)) >= found.steps_taken[:, None]
    assert bool(found.trace[after].isnan().all())
    for taken, last, whole in zip(found.steps_taken.tolist(), together.last, found.whole.tolist(), strict=True):
        assert whole == (taken <= last)
        assert taken <= last + 1
        if patience == 0:
            assert taken == min(last + 1, len(RATES))


@settings(deadline=None, max_examples=30)
@given(valleys(), st.sampled_from([0, 3]), st.data())
def test_rows_descend_at_rates_of_their_own_and_stop_when_these_are_used_up(
    together: Valleys, patience: int, data: st.DataObject
) -> None:
    own_rates = st.lists(st.sampled_from([1e-3, 0.1, 0.3, 1e200]), min_size=1, max_size=6)
    rates = [data.draw(own_rates) for _ in together.starts]
    values, found = run(together, patience=patience, rates=rates)
    assert torch.equal(together.looks, found.steps_taken)
    for row, own_rate in enumerate(rates):
        own, alone = run(together.only(row), patience=patience, rates=[own_rate])
        if alone.whole[0]:
            same(values[row], own[0])
        same(found.trace[row, : len(own_rate)], alone.trace[0])
        assert bool(found.trace[row, len(own_rate) :].isnan().all())
        assert found.images is not None
        same(found.images[row], None if alone.images is None else alone.images[0])
        assert found.steps_taken[row] == alone.steps_taken[0] <= len(own_rate)
        assert found.whole[row] == alone.whole[0]


@settings(deadline=None, max_examples=60)
@given(valleys(), st.sampled_from([1, 2, 5]))
def test_a_row_that_runs_out_of_patience_ends_as_a_search_of_fewer_steps(together: Valleys, patience: int) -> None:
    together = replace(together, last=[NEVER] * len(together.last))
    values, found = run(together, patience=patience)
    for row, taken in enumerate(found.steps_taken.tolist()):
        own, fewer = run(together.only(row), steps=taken)
        same(values[row], own[0])
        same(found.trace[row, :taken], fewer.trace[0])
        assert found.images is not None
        assert fewer.images is not None
        same(found.images[row], fewer.images[0])
        # and it is the first step after which the window held no progress
        losses = fewer.trace[0].tolist()
        stuck = [stop for stop in range(1, taken + 1) if not falls(losses[:stop], patience)]
        assert stuck == ([taken] if stuck else [])
        assert stuck or taken == len(RATES)


def falls(losses: list[float], patience: int) -> bool:
    if patience == 0 or len(losses) <= patience:
        return True
    before = min(losses[:-patience])
    return min(losses) < before - LEAST_PROGRESS * abs(before)


finite = st.floats(-10, 10, allow_nan=False)


@given(st.lists(finite, min_size=1, max_size=12), st.integers(0, 6))
def test_progress_is_what_the_best_loss_lost_within_the_window(losses: list[float], patience: int) -> None:
    trace = torch.tensor([losses], dtype=torch.float64)
    assert progressing(trace, patience).tolist() == [falls(losses, patience)]


def test_what_is_not_finite_is_no_progress_and_a_first_finite_loss_is() -> None:
    nan, inf = math.nan, math.inf
    trace = torch.tensor([[1.0, nan], [nan, 1.0], [inf, nan], [1.0, 0.5], [1.0, 1.0 - LEAST_PROGRESS / 2]])
    assert progressing(trace, 1).tolist() == [False, True, False, True, False]


def test_a_descent_ends_at_once_when_all_rows_have_stopped() -> None:
    three = Valleys(torch.ones(3, 2, dtype=torch.float64), last=[1, 4, 2], floor=[0.0] * 3)
    _, found = run(three)
    assert found.steps_taken.tolist() == [2, 5, 3]
    assert three.looks.tolist() == [2, 5, 3]


def test_rows_that_cannot_part_go_on_until_none_is_left() -> None:
    three = Valleys(torch.ones(3, 2, dtype=torch.float64), last=[1, 4, 2], floor=[0.0] * 3)
    opened = replace(three.open(), part=None)
    found = descend(opened, begin=torch.ones(3, dtype=torch.bool), rates=[RATES], signed=False)
    assert three.looks.tolist() == found.steps_taken.tolist() == [5, 5, 5]
    assert not bool(found.whole.any())


@pytest.mark.parametrize("begin", [(True, False, True), (False, False, False)])
def test_rows_that_are_not_to_begin_are_never_looked_at(begin: tuple[bool, ...]) -> None:
    three = Valleys(torch.ones(3, 2, dtype=torch.float64), last=[NEVER] * 3, floor=[0.0] * 3)
    opened = three.open()
    found = descend(opened, begin=torch.tensor(begin), rates=[RATES], signed=False)
    assert found.whole.tolist() == list(begin)
    assert three.looks.tolist() == [len(RATES) * one for one in begin]
    untouched = opened.variables[0].detach()[~torch.tensor(begin)]
    assert bool((untouched == 1).all())
    assert bool(found.trace[~torch.tensor(begin)].isnan().all())


def test_a_row_is_whole_if_all_that_it_is_made_of_are_numbers(tiny_generator: StyleGan2Generator) -> None:
    start = tiny_generator.advance(tiny_generator.start([1, 2, 3, 4, 5]), to=1)
    assert finite_rows(start).tolist() == [True] * 5
    broken = replace(start, latent=start.latent.clone(), noises=tuple(noise.clone() for noise in start.noises))
    assert start.hidden is not None
    broken = replace(broken, hidden=start.hidden.clone())
    broken.latent[0, 0, 0], broken.noises[-1][2, 0, 0, 0] = math.nan, math.inf
    assert broken.hidden is not None
    broken.hidden[4, 0, 0, 0] = math.nan
    assert finite_rows(broken).tolist() == [False, True, False, True, False]


def test_blanked_rows_are_no_numbers_and_the_others_are_as_they_were() -> None:
    values = torch.rand(3, 2, 2)
    found = blanked(values, keep=torch.tensor([True, False, True]))
    assert bool(found[1].isnan().all())
    assert torch.equal(found[[0, 2]], values[[0, 2]])
