from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gifd_ops.gradients import observe
from gifd_ops.matching import CosineMatching
from gifd_ops.victims import Victim

TARGETS = 3
LABELS = torch.tensor([2, 7, 2])


def pictures(seed: int, rows: int = TARGETS) -> torch.Tensor:
    return torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matching(victim: Victim, *, restarts: int = 1, scale: float = 1.0) -> CosineMatching:
    shared = observe(victim, pictures(0), LABELS)
    shared = replace(shared, gradients=tuple(scale * gradient for gradient in shared.gradients))
    return CosineMatching(victim, shared, LABELS, restarts=restarts)


@pytest.mark.parametrize("name", ["lenet", "convnet"])
def test_the_true_image_is_at_distance_zero_and_others_are_not(name: str, make_victim: Callable[..., Victim]) -> None:
    match = matching(make_victim(name))
    torch.testing.assert_close(
        match(pictures(0)).detach(), torch.zeros(TARGETS, dtype=torch.float64), rtol=0, atol=1e-12
    )
    assert float(match(pictures(1)).detach().min()) > 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 3))
def test_distances_lie_between_zero_and_two(lenet: Victim, seed: int, contrast: float) -> None:
    distances = matching(lenet)(contrast * (pictures(seed) - 0.5) + 0.5, differentiable=False)
    assert bool(((distances >= -1e-12) & (distances <= 2 + 1e-12)).all())


def test_the_opposite_gradient_is_at_distance_two(lenet: Victim) -> None:
    distances = matching(lenet, scale=-1.0)(pictures(0), differentiable=False)
    torch.testing.assert_close(distances, torch.full((TARGETS,), 2.0, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e6])
def test_the_size_of_the_shared_gradient_does_not_matter(lenet: Victim, scale: float) -> None:
    torch.testing.assert_close(
        matching(lenet, scale=scale)(pictures(1)), matching(lenet)(pictures(1)), rtol=1e-10, atol=1e-12
    )


def test_it_is_one_cosine_over_all_tensors_together(lenet: Victim) -> None:
    shared, own = (observe(lenet, pictures(seed), LABELS).gradients for seed in (0, 1))
    a, b = (torch.cat([gradient.flatten(1) for gradient in gradients], dim=1) for gradients in (shared, own))
    expected = 1 - torch.cosine_similarity(a, b, dim=1)
    torch.testing.assert_close(matching(lenet)(pictures(1), differentiable=False), expected, rtol=1e-10, atol=1e-12)


def test_each_target_is_matched_by_consecutive_rows(lenet: Victim) -> None:
    restarts = 4
    guesses = pictures(2, rows=TARGETS * restarts)
    together = matching(lenet, restarts=restarts)(guesses, differentiable=False)
    shared = observe(lenet, pictures(0), LABELS)
    for row, distance in enumerate(together):
        target = row // restarts
        own = replace(shared, gradients=tuple(gradient[target : target + 1] for gradient in shared.gradients))
        alone = CosineMatching(lenet, own, LABELS[target : target + 1], restarts=1)
        torch.testing.assert_close(alone(guesses[row : row + 1], differentiable=False)[0], distance, rtol=1e-10, atol=0)


def test_it_is_differentiable_in_the_images_only_when_asked(lenet: Victim) -> None:
    images = pictures(1).requires_grad_()
    (gradient,) = torch.autograd.grad(matching(lenet)(images).sum(), images)
    assert float(gradient.abs().amax(dim=(1, 2, 3)).min()) > 0
    # one small step against the gradient brings every row nearer
    nearer = images.detach() - 1e-3 * gradient / gradient.norm()
    assert bool((matching(lenet)(nearer) < matching(lenet)(images)).all())


@pytest.mark.parametrize(
    ("rows", "shared"), [([0, 1, 4, 5, 8, 9], 3), ([1, 2, 7], 3), ([4, 5, 6, 7], 1), ([0, 1, 5], 3)], ids=str
)
def test_some_of_the_rows_are_as_far_as_in_all_and_share_their_targets_gradient_where_equally_many_are_left(
    rows: list[int], shared: int, lenet: Victim
) -> None:
    whole, guesses = matching(lenet, restarts=4), pictures(2, rows=TARGETS * 4)
    part = whole.select(torch.tensor(rows))
    found = part(guesses[rows], differentiable=False)
    torch.testing.assert_close(found, whole(guesses, differentiable=False)[rows], rtol=1e-10, atol=0)
    assert {len(tensor) for tensor in part.shared} == {shared}
