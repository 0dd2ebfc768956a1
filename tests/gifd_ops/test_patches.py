from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gifd_ops.patches import unfold


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "padding", "stride"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((5, 5), (1, 1), (2, 2), (2, 2)),
        ((3, 2), (2, 1), (2, 0), (1, 2)),
        ((1, 1), (1, 1), (0, 0), (2, 2)),
        ((7, 9), (1, 1), (0, 0), (1, 1)),  # one position
    ],
)
def test_patches_are_those_of_torch(
    kernel_size: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int], stride: tuple[int, int]
) -> None:
    images = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    for laid_out in (images, images.contiguous(memory_format=torch.channels_last), images[:, :, :, :].transpose(0, 1)):
        expected = functional.unfold(laid_out, kernel_size, dilation, padding, stride)
        assert torch.equal(unfold(laid_out, kernel_size, dilation, padding, stride), expected)
