from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gifd_ops.assignment import assign, in_private_order


def pictures(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@given(order=st.permutations(range(6)), seed=st.integers(0, 2**31), noise=st.floats(0, 0.05))
@settings(max_examples=50, deadline=None)
def test_a_permutation_is_found_again(order: list[int], seed: int, noise: float) -> None:
    private = pictures(seed, 1, 6)
    shuffled = private[:, order] + noise * torch.randn(private.shape, generator=torch.Generator().manual_seed(seed))
    places = assign(shuffled, private)
    assert [order[place] for place in places[0].tolist()] == list(range(6))
    assert torch.equal(in_private_order(private[:, order], private), private)


@given(seed=st.integers(0, 2**31), size=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_no_other_assignment_has_a_lesser_error(seed: int, size: int) -> None:
    private, found = pictures(seed, 1, size), pictures(seed + 1, 1, size)

    def error(places: tuple[int, ...]) -> float:
        return float((found[0, list(places)] - private[0]).square().mean())

    assert error(tuple(assign(found, private)[0].tolist())) == pytest.approx(
        min(map(error, itertools.permutations(range(size)))), rel=1e-5
    )


def test_every_reconstruction_is_taken_once_and_batches_are_assigned_alone() -> None:
    private, found = pictures(0, 3, 5), pictures(1, 3, 5)
    places = assign(found, private)
    assert places.sort(dim=1).values.tolist() == [list(range(5))] * 3
    for batch in range(3):
        assert torch.equal(assign(found[batch : batch + 1], private[batch : batch + 1])[0], places[batch])


def test_what_is_no_number_takes_nobodys_place() -> None:
    private = pictures(0, 1, 4)
    found = private[:, [2, 0, 3, 1]].clone()
    found[0, 1, 0, 0, 0] = torch.nan  # stood for the first image
    assert assign(found, private).tolist() == [[1, 3, 0, 2]]


def test_a_batch_of_one_is_assigned_to_itself() -> None:
    assert assign(torch.full((2, 1, 3, 4, 4), torch.nan), pictures(0, 2, 1)).tolist() == [[0], [0]]


@pytest.mark.parametrize("shape", [(1, 3, 3, 4, 4), (4, 3, 4, 4)])
def test_batches_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="compared as"):
        assign(torch.rand(shape), pictures(0, 1, 4))
