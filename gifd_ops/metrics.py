"""How near a reconstruction comes to the private image. All images are [n, 3, h, w] in [0, 1]; values are [n]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SSIM_WINDOW_PX = 11


def _check(images: Tensor, truth: Tensor) -> None:
    if images.shape != truth.shape or images.ndim != 4:
        raise ValueError(
            f"metrics compare images of one shape [n, 3, h, w], got {tuple(images.shape)} and {tuple(truth.shape)}"
        )
    for name, tensor in (("images", images), ("truth", truth)):
        low, high = float(tensor.min()), float(tensor.max())
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise ValueError(
                f"metrics take images in [0, 1], got {name} from {low:.3g} to {high:.3g}; "
                "clamp reconstructions, and undo the victim's normalization"
            )


def mse(images: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over channels and pixels."""
    _check(images, truth)
    return (images - truth).square().mean(dim=(1, 2, 3))


def psnr_db(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite where the images are equal."""
    return -10 * mse(images, truth).log10()


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004), 11x11 Gaussian window of sigma 1.5, data range 1.

    Mean over the windows that lie inside the image, then over channels. Raises ValueError under 11 pixels.
    """
    _check(images, truth)
    if min(images.shape[2:]) < SSIM_WINDOW_PX:
        raise ValueError(f"SSIM needs images of {SSIM_WINDOW_PX} px or more, got {tuple(images.shape[2:])}")
    place = torch.arange(SSIM_WINDOW_PX, device=images.device, dtype=torch.float64) - SSIM_WINDOW_PX // 2
    taps = torch.exp(-place.square() / (2 * 1.5**2))
    window = (torch.outer(taps, taps) / taps.sum() ** 2).expand(images.shape[1], 1, -1, -1)

    def local_mean(values: Tensor) -> Tensor:
        return functional.conv2d(values, window, groups=values.shape[1])

    x, y = images.double(), truth.double()
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3)).to(images.dtype)
