from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gifd_ops.authors_metrics import ssim_normalized
from gifd_ops.metrics import ssim


def normalize(images: Tensor) -> Tensor:
    return (images - 0.5) / 0.25


def pictures(seed: int, side: int = 24) -> Tensor:
    return torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def striped(side: int) -> tuple[Tensor, Tensor]:
    """A truth of stripes that differ by channel, and it half mixed with others: no random numbers."""
    channel, row, column = torch.meshgrid(torch.arange(3), torch.arange(side), torch.arange(side), indexing="ij")
    truth = ((7 * channel + 3 * row + 5 * column) % 11 / 10)[None]
    other = ((5 * channel + 2 * row + 3 * column) % 11 / 10)[None]
    return 0.5 * truth + 0.5 * other, truth


# What `ssim_batch` of the GIFD authors' inversefed/metrics.py gives for `normalize(striped(side))` in float32.
@pytest.mark.parametrize(("side", "published"), [(6, 0.3616183), (12, 0.4564452), (20, 0.4523035)])
def test_ssim_is_that_of_the_published_code(side: int, published: float) -> None:
    images, truth = striped(side)
    assert ssim_normalized(images, truth, normalize=normalize).item() == pytest.approx(published, rel=0, abs=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(1, 20))
def test_ssim_follows_its_formula_with_a_zero_padded_convolution(seed: int, share: float, side: int) -> None:
    truth = pictures(seed, side)
    images = truth + share * (pictures(seed + 1, side) - truth)
    taps = torch.exp(-torch.arange(-5, 6, dtype=torch.float64).square() / 4.5)
    window = (torch.outer(taps, taps) / taps.sum() ** 2).expand(3, 1, -1, -1)

    def mean(values: Tensor) -> Tensor:
        return functional.conv2d(values, window, padding=5, groups=3)

    x, y = normalize(images), normalize(truth)
    numerator = (2 * mean(x) * mean(y) + 1e-4) * (2 * (mean(x * y) - mean(x) * mean(y)) + 9e-4)
    denominator = (mean(x) ** 2 + mean(y) ** 2 + 1e-4) * (
        mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2 + 9e-4
    )
    expected = (numerator / denominator).mean(dim=(1, 2, 3))
    torch.testing.assert_close(ssim_normalized(images, truth, normalize=normalize), expected, rtol=0, atol=1e-9)


def test_it_is_one_for_equal_images_and_depends_on_the_victim() -> None:
    images, truth = pictures(0), pictures(1)
    torch.testing.assert_close(
        ssim_normalized(truth, truth, normalize=normalize), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-12
    )
    for_one_victim = ssim_normalized(images, truth, normalize=normalize)
    for_another = ssim_normalized(images, truth, normalize=lambda images: (images - 0.4) / 0.2)
    assert float((for_one_victim - for_another).abs().min()) > 1e-3
    assert float((for_one_victim - ssim(images, truth)).abs().min()) > 1e-3


def test_normalized_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\].*normalization"):
        ssim_normalized(normalize(pictures(0)), pictures(1), normalize=normalize)
