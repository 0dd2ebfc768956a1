from __future__ import annotations

import math

import pytest
import torch
from skimage.metrics import structural_similarity

from gifd_ops.metrics import mse, psnr_db, ssim


def pictures(seed: int, rows: int = 3, side: int = 24) -> torch.Tensor:
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
    for metric in (mse, psnr_db, ssim):
        together = metric(images, truth)
        alone = torch.cat([metric(images[row : row + 1], truth[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)


def test_identical_images_have_infinite_psnr_and_ssim_one() -> None:
    images = pictures(2)
    assert torch.equal(mse(images, images), torch.zeros(3, dtype=torch.float64))
    assert psnr_db(images, images).tolist() == [math.inf] * 3
    torch.testing.assert_close(ssim(images, images), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("blend", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("side", [11, 24, 32])
def test_ssim_agrees_with_scikit_image(blend: float, side: int) -> None:
    truth = pictures(3, side=side)
    images = blend * truth + (1 - blend) * pictures(4, side=side)
    # scikit-image also averages over the windows inside the image: it crops its map by half a window
    expected = [
        structural_similarity(
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


def test_ssim_keeps_its_precision_on_single_precision_images() -> None:
    # flat images: the variances are differences of nearly equal numbers
    truth = (0.9 + 1e-3 * pictures(5)).float()
    images = (0.9 + 1e-3 * pictures(6)).float()
    exact = ssim(images.double(), truth.double())
    torch.testing.assert_close(ssim(images, truth).double(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("metric", [mse, psnr_db, ssim])
@pytest.mark.parametrize(("value", "shown"), [(-0.01, "-0.01"), (1.5, "1.5")])
def test_values_outside_the_range_are_refused_and_named(metric, value: float, shown: str) -> None:
    good, bad = pictures(7), pictures(7)
    bad[1, 0, 3, 3] = value
    with pytest.raises(ValueError, match=rf"\[0, 1\].*images.*{shown}"):
        metric(bad, good)
    with pytest.raises(ValueError, match=rf"\[0, 1\].*truth.*{shown}"):
        metric(good, bad)


@pytest.mark.parametrize("metric", [mse, psnr_db, ssim])
def test_images_of_two_shapes_are_refused(metric) -> None:
    with pytest.raises(ValueError, match=r"one shape.*\(3, 3, 24, 24\).*\(1, 3, 24, 24\)"):
        metric(pictures(0), pictures(0, rows=1))
    with pytest.raises(ValueError, match="one shape"):
        metric(pictures(0)[0], pictures(0)[0])


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="11 px"):
        ssim(pictures(0, side=10), pictures(0, side=10))
