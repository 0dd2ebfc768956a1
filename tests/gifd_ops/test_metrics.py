from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity as scikit_image_ssim
from torch import Tensor
from torch.nn import functional

from gifd_ops.metrics import check_range, mse, psnr_db, ssim, structural_similarity

METRICS = (mse, psnr_db, ssim)

seeds = st.integers(0, 2**31)
sides = st.integers(11, 20)
shares = st.floats(0, 1)


def pictures(seed: int, rows: int = 3, side: int = 24, width: int | None = None) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(rows, 3, side, width or side, generator=stream, dtype=torch.float64)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Images at any distance of their truth, also equal to it, of any sides and contrast."""
    seed, side, width = draw(seeds), draw(sides), draw(sides)
    truth = draw(shares) * pictures(seed, 2, side, width)
    return truth + draw(shares) * (pictures(seed + 1, 2, side, width) - truth), truth


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(pairs())
def test_metrics_are_symmetric(pair: tuple[Tensor, Tensor]) -> None:
    images, truth = pair
    for metric in METRICS:
        assert_same(metric(images, truth), metric(truth, images))


@given(pairs())
def test_nothing_is_nearer_than_the_truth_and_metrics_keep_their_range(pair: tuple[Tensor, Tensor]) -> None:
    images, truth = pair
    assert bool(((mse(images, truth) >= 0) & (mse(images, truth) <= 1)).all())
    assert bool((psnr_db(images, truth) >= 0).all())
    assert float(ssim(images, truth).abs().max()) <= 1 + 1e-9
    assert mse(truth, truth).tolist() == [0, 0]
    assert psnr_db(truth, truth).tolist() == [math.inf] * 2
    assert_same(ssim(truth, truth), torch.ones(2, dtype=torch.float64))


@given(pairs(), st.sampled_from([(2,), (3,), (2, 3)]))
def test_mirrored_images_score_the_same(pair: tuple[Tensor, Tensor], axes: tuple[int, ...]) -> None:
    images, truth = pair
    for metric in METRICS:
        assert_same(metric(images.flip(axes), truth.flip(axes)), metric(images, truth))


@given(pairs(), st.permutations([0, 1, 2]))
def test_transposed_images_and_exchanged_channels_score_the_same(pair: tuple[Tensor, Tensor], order: list[int]) -> None:
    images, truth = pair
    for metric in METRICS:
        assert_same(metric(images.mT[:, order], truth.mT[:, order]), metric(images, truth))


@given(seeds, sides, shares, shares)
def test_more_of_the_same_noise_is_never_nearer(seed: int, side: int, one: float, other: float) -> None:
    # noise weaker than the picture's contrast and mean: then luminance and structure fall in every window
    less, more = sorted((one, other))
    truth = 0.25 + 0.5 * pictures(seed, 2, side)
    noise = 0.2 * (pictures(seed + 1, 2, side) - 0.5)
    near, far = truth + less * noise, truth + more * noise
    assert bool((mse(near, truth) <= mse(far, truth)).all())
    assert bool((psnr_db(near, truth) >= psnr_db(far, truth)).all())
    assert bool((ssim(near, truth) >= ssim(far, truth) - 1e-12).all())


@given(pairs(), shares)
def test_mse_grows_with_the_square_of_the_deviation(pair: tuple[Tensor, Tensor], share: float) -> None:
    images, truth = pair
    assert_same(mse(truth + share * (images - truth), truth), share**2 * mse(images, truth))


@pytest.mark.parametrize(("offset", "decibels"), [(0.1, 20.0), (0.01, 40.0), (0.5, 6.0206), (1.0, 0.0)])
def test_psnr_of_a_constant_offset_is_known(offset: float, decibels: float) -> None:
    truth = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(
        psnr_db(truth + offset, truth), torch.full((2,), decibels, dtype=torch.float64), rtol=0, atol=1e-4
    )


def test_mse_is_the_mean_over_channels_and_pixels_of_each_row() -> None:
    images, truth = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    images[1, 2] = 0.6  # one channel of three
    torch.testing.assert_close(mse(images, truth), torch.tensor([0.0, 0.36 / 3]))


def test_metrics_judge_each_row_alone() -> None:
    images, truth = pictures(0), pictures(1)
    for metric in METRICS:
        together = metric(images, truth)
        alone = torch.cat([metric(images[row : row + 1], truth[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)


def test_identical_images_have_infinite_psnr_and_ssim_one() -> None:
    images = pictures(2)
    assert torch.equal(mse(images, images), torch.zeros(3, dtype=torch.float64))
    assert psnr_db(images, images).tolist() == [math.inf] * 3
    torch.testing.assert_close(ssim(images, images), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("blend", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(("side", "width"), [(11, 11), (24, 24), (32, 32), (17, 29)])
def test_ssim_agrees_with_scikit_image(blend: float, side: int, width: int) -> None:
    truth = pictures(3, side=side, width=width)
    images = blend * truth + (1 - blend) * pictures(4, side=side, width=width)
    # scikit-image also averages over the windows inside the image: it crops its map by half a window
    expected = [
        scikit_image_ssim(
            image.numpy(),
            true.numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=0,
        )
        for image, true in zip(images, truth, strict=True)
    ]
    torch.testing.assert_close(ssim(images, truth), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)


@settings(max_examples=20)
@given(pairs())
def test_a_window_over_the_border_finds_zeros(pair: tuple[Tensor, Tensor]) -> None:
    images, truth = (functional.pad(one, (5, 5, 5, 5)) for one in pair)
    assert_same(structural_similarity(*pair, padding_px=5), structural_similarity(images, truth, padding_px=0))


def test_leading_dimensions_broadcast() -> None:
    images, truth = pictures(5, rows=2), pictures(6, rows=3)
    every = structural_similarity(images[:, None], truth, padding_px=0)
    assert every.shape == (2, 3)
    for row in range(2):
        assert_same(every[row], ssim(images[row].expand_as(truth), truth))


def test_ssim_keeps_its_precision_on_single_precision_images() -> None:
    # flat images: the variances are differences of nearly equal numbers
    truth = (0.9 + 1e-3 * pictures(5)).float()
    images = (0.9 + 1e-3 * pictures(6)).float()
    exact = ssim(images.double(), truth.double())
    torch.testing.assert_close(ssim(images, truth).double(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("value", "shown"), [(-0.01, "-0.01"), (1.5, "1.5")])
def test_values_outside_the_range_are_refused_and_named(metric, value: float, shown: str) -> None:
    good, bad = pictures(7), pictures(7)
    bad[1, 0, 3, 3] = value
    with pytest.raises(ValueError, match=rf"\[0, 1\].*images.*{shown}"):
        metric(bad, good)
    with pytest.raises(ValueError, match=rf"\[0, 1\].*truth.*{shown}"):
        metric(good, bad)


def test_nan_is_outside_the_range() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\].*gallery from nan"):
        check_range("gallery", torch.tensor([0.5, math.nan]))


@pytest.mark.parametrize("metric", METRICS)
def test_images_of_two_shapes_are_refused(metric) -> None:
    with pytest.raises(ValueError, match=r"one shape.*\(3, 3, 24, 24\).*\(1, 3, 24, 24\)"):
        metric(pictures(0), pictures(0, rows=1))
    with pytest.raises(ValueError, match="one shape"):
        metric(pictures(0)[0], pictures(0)[0])


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="11 px"):
        ssim(pictures(0, side=10), pictures(0, side=10))
    with pytest.raises(ValueError, match=r"11 px.*\(24, 10\)"):
        ssim(pictures(0, width=10), pictures(0, width=10))
