from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gifd_ops.identification import Distance, mse_distance, rank_in_gallery, ssim_distance
from gifd_ops.metrics import mse, ssim

SIDE_PX = 12
DISTANCES: dict[str, tuple[Distance, Callable[[Tensor, Tensor], Tensor]]] = {
    "mse": (mse_distance, mse),
    "ssim": (ssim_distance, lambda images, truth: 1 - ssim(images, truth)),
}

seeds = st.integers(0, 2**31)
distances = st.sampled_from([mse_distance, ssim_distance])


def pictures(seed: int, rows: int, side: int = SIDE_PX) -> Tensor:
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(seed))


def gray(*levels: float) -> Tensor:
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, SIDE_PX, SIDE_PX)


@pytest.mark.parametrize(
    ("gallery", "rank"),
    [
        ((0.9, 0.1), 1),
        ((0.9, 0.5, 0.1), 2),  # one is nearer
        ((0.5, 0.45, 0.9), 3),
        ((0.4,), 2),  # equal to the truth
        ((0.6,), 2),  # as near, on the other side
        ((0.6, 0.4, 0.4, 0.0), 4),
    ],
)
def test_the_rank_is_one_more_than_the_images_at_least_as_near(gallery: tuple[float, ...], rank: int) -> None:
    ranks = rank_in_gallery(gray(0.5), gray(0.4), gray(*gallery), mse_distance)
    assert ranks.dtype == torch.int64
    assert ranks.tolist() == [rank]


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_of_all_pairs_are_those_of_the_metric(name: str) -> None:
    distance, of_pairs = DISTANCES[name]
    images, others = pictures(0, 3).double(), pictures(1, 5).double()
    found = distance(images, others)
    assert found.shape == (3, 5)
    for row in range(3):
        torch.testing.assert_close(found[row], of_pairs(images[row].expand_as(others), others), rtol=1e-9, atol=1e-12)


def test_a_large_gallery_is_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images, others = pictures(0, 5), pictures(1, 4)
    whole = ssim_distance(images, others)
    monkeypatch.setattr("gifd_ops.identification.PRODUCTS_AT_ONCE", 2 * others.numel())
    torch.testing.assert_close(ssim_distance(images, others), whole, rtol=0, atol=1e-12)
    monkeypatch.setattr("gifd_ops.identification.PRODUCTS_AT_ONCE", 1)
    torch.testing.assert_close(ssim_distance(images, others), whole, rtol=0, atol=1e-12)


@settings(max_examples=40)
@given(seeds, st.integers(1, 4), st.integers(1, 6), distances)
def test_ranks_go_from_first_to_last(seed: int, rows: int, others: int, distance: Distance) -> None:
    ranks = rank_in_gallery(pictures(seed, rows), pictures(seed + 1, rows), pictures(seed + 2, others), distance)
    assert ranks.shape == (rows,)
    assert bool(((ranks >= 1) & (ranks <= others + 1)).all())


@settings(max_examples=40)
@given(seeds, st.integers(1, 6), distances)
def test_the_truth_itself_is_first(seed: int, others: int, distance: Distance) -> None:
    truth = pictures(seed, 3)
    assert rank_in_gallery(truth, truth, pictures(seed + 1, others), distance).tolist() == [1, 1, 1]


@settings(max_examples=40)
@given(seeds, st.integers(0, 3), st.integers(1, 3), distances, st.booleans())
def test_each_copy_of_the_truth_costs_a_rank(
    seed: int, others: int, copies: int, distance: Distance, exact: bool
) -> None:
    truth = pictures(seed, 1)
    images = truth if exact else (truth + 1e-3 * pictures(seed + 1, 1)).clamp(max=1)
    gallery = torch.cat([pictures(seed + 2, others), truth.expand(copies, -1, -1, -1)])
    assert rank_in_gallery(images, truth, gallery, distance).tolist() == [1 + copies]


@settings(max_examples=40)
@given(seeds, st.integers(1, 4), st.integers(1, 4), distances)
def test_farther_images_leave_the_rank_and_nearer_ones_worsen_it(
    seed: int, others: int, added: int, distance: Distance
) -> None:
    images, gallery = pictures(seed, 1), pictures(seed + 1, others)
    truth = 0.5 * images + 0.5 * pictures(seed + 2, 1)
    rank = rank_in_gallery(images, truth, gallery, distance)
    farther = 1 - images.expand(added, -1, -1, -1)  # the negative: no correlation is worse
    assert torch.equal(rank_in_gallery(images, truth, torch.cat([gallery, farther]), distance), rank)
    nearer = images.expand(added, -1, -1, -1)
    assert torch.equal(rank_in_gallery(images, truth, torch.cat([nearer, gallery]), distance), rank + added)


@settings(max_examples=40)
@given(seeds, st.permutations(range(5)), distances)
def test_the_order_of_the_gallery_does_not_matter(seed: int, order: list[int], distance: Distance) -> None:
    images, truth, gallery = pictures(seed, 3), pictures(seed + 1, 3), pictures(seed + 2, 5)
    assert torch.equal(
        rank_in_gallery(images, truth, gallery[order], distance), rank_in_gallery(images, truth, gallery, distance)
    )


@pytest.mark.parametrize("name", DISTANCES)
def test_a_gallery_for_all_rows_is_that_gallery_for_each(name: str) -> None:
    distance, _ = DISTANCES[name]
    images, truth, gallery = pictures(0, 4), pictures(1, 4), pictures(2, 9)
    ranks = rank_in_gallery(images, truth, gallery, distance)
    assert len(set(ranks.tolist())) > 1
    assert torch.equal(rank_in_gallery(images, truth, gallery[None], distance), ranks)
    assert torch.equal(rank_in_gallery(images, truth, gallery.expand(4, -1, -1, -1, -1), distance), ranks)


def test_each_row_has_its_own_gallery() -> None:
    images, truth = gray(0.5, 0.5), gray(0.6, 0.6)
    gallery = torch.stack([gray(0.5, 0.9), gray(0.1, 0.9)])
    assert rank_in_gallery(images, truth, gallery, mse_distance).tolist() == [2, 1]


@pytest.mark.parametrize("shape", [(0, 3, SIDE_PX, SIDE_PX), (2, 0, 3, SIDE_PX, SIDE_PX)])
def test_an_empty_gallery_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="gallery of 1 image or more, got 0"):
        rank_in_gallery(pictures(0, 2), pictures(1, 2), torch.zeros(shape), mse_distance)


@pytest.mark.parametrize(
    "shape", [(3, SIDE_PX, SIDE_PX), (4, 3, SIDE_PX, 8), (3, 5, 3, SIDE_PX, SIDE_PX), (1, 1, 5, 3, SIDE_PX, SIDE_PX)]
)
def test_a_gallery_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"gallery for images \(2, 3, 12, 12\).*got \("):
        rank_in_gallery(pictures(0, 2), pictures(1, 2), torch.zeros(shape), mse_distance)


def test_values_outside_the_range_are_refused_and_named() -> None:
    good = pictures(0, 2)
    for name, arguments in {
        "images": (2 * good, good, good),
        "truth": (good, 2 * good, good),
        "gallery": (good, good, 2 * good),
    }.items():
        with pytest.raises(ValueError, match=rf"\[0, 1\], got {name}"):
            rank_in_gallery(*arguments, mse_distance)


def test_ssim_distance_refuses_images_smaller_than_its_window() -> None:
    small = pictures(0, 2, side=10)
    with pytest.raises(ValueError, match="11 px"):
        rank_in_gallery(small, small, small, ssim_distance)
