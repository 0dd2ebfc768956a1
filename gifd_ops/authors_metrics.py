"""SSIM and LPIPS as the published GIFD code computes them: for comparison with its published numbers, and only that.

That code feeds both with images normalized by the victim's mean and standard deviation (roughly -2 to 2), where SSIM's
constants are those of [0, 1] and LPIPS is due [-1, 1]. Its numbers are neither SSIM nor LPIPS, depend on the victim,
and do not compare with those of `gifd_ops.metrics` and `gifd_ops.perceptual`. Its PSNR and MSE are right. One thing is
not repeated: it leaves generated images unclamped for these two, whereas images here must be in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .metrics import SSIM_WINDOW_PX, check_images, structural_similarity
from .perceptual import Lpips


def ssim_normalized(images: Tensor, truth: Tensor, *, normalize: Callable[[Tensor], Tensor]) -> Tensor:
    """The published code's SSIM of images [n, 3, h, w] in [0, 1] -> [n]; for comparison with published numbers only.

    Both are normalized first. The window hangs over the border, where it finds zeros, which are the victim's mean
    color. The constants are those of data range 1. Images of any size will do. Raises ValueError as all metrics do.
    """
    check_images(images, truth)
    return structural_similarity(normalize(images), normalize(truth), padding_px=SSIM_WINDOW_PX // 2)


def lpips_normalized(lpips: Lpips, images: Tensor, truth: Tensor, *, normalize: Callable[[Tensor], Tensor]) -> Tensor:
    """The published code's LPIPS of images [n, 3, h, w] in [0, 1] -> [n]; for comparison with published numbers only.

    Normalized images go where LPIPS takes [-1, 1]. Raises ValueError as `Lpips` does.
    """
    check_images(images, truth)
    return lpips.compare_signed(normalize(images), normalize(truth))
