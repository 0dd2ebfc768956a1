"""How near a reconstruction comes to the private image. All images are [n, 3, h, w] in [0, 1]; values are [n]."""

from __future__ import annotations

import torch
from torch import Tensor

SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5


def check_range(name: str, images: Tensor) -> None:
    """Raises ValueError, calling the images by `name`, unless all values lie in [0, 1]."""
    low, high = (float(bound) for bound in images.aminmax())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(
            f"metrics take images in [0, 1], got {name} from {low:.3g} to {high:.3g}; "
            "clamp reconstructions, and undo the victim's normalization"
        )


def check_images(images: Tensor, truth: Tensor) -> None:
    """Raises ValueError unless both are [n, 3, h, w] of one shape, with values in [0, 1]."""
    if images.shape != truth.shape or images.ndim != 4:
        raise ValueError(
            f"metrics compare images of one shape [n, 3, h, w], got {tuple(images.shape)} and {tuple(truth.shape)}"
        )
    check_range("images", images)
    check_range("truth", truth)


def mse(images: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error over channels and pixels."""
    check_images(images, truth)
    return (images - truth).square().mean(dim=(1, 2, 3))


def psnr_db(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite where the images are equal."""
    return -10 * mse(images, truth).log10()


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004), 11x11 Gaussian window of sigma 1.5, data range 1.

    Mean over the windows that lie inside the image, then over channels. Raises ValueError under 11 pixels.
    """
    check_images(images, truth)
    check_window_fits(images)
    return structural_similarity(images, truth, padding_px=0)


def check_window_fits(images: Tensor) -> None:
    """Raises ValueError if SSIM's window is larger than the images [..., h, w]."""
    if min(images.shape[-2:]) < SSIM_WINDOW_PX:
        raise ValueError(f"SSIM needs images of {SSIM_WINDOW_PX} px or more, got {tuple(images.shape[-2:])}")


def structural_similarity(x: Tensor, y: Tensor, *, padding_px: int) -> Tensor:
    """SSIM of any two stacks [..., 3, h, w] whose leading dimensions broadcast -> [...], with the constants of range 1.

    The window also visits places where it hangs over the border by `padding_px`, and finds zeros there. Values are
    taken as they are, of any range, and filtered in float64: a variance is a difference of nearly equal numbers.
    """
    dtype = x.dtype
    x, y = x.double(), y.double()
    down = _sliding_gaussian(x.shape[-2], padding_px=padding_px, device=x.device)
    across = _sliding_gaussian(x.shape[-1], padding_px=padding_px, device=x.device)

    def local_mean(values: Tensor) -> Tensor:
        return (values @ across.T).mT @ down.T  # [..., 3, places across, places down]

    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean(dim=(-3, -2, -1)).to(dtype)


def _sliding_gaussian(length: int, *, padding_px: int, device: torch.device) -> Tensor:
    """SSIM's window at every place along one axis, a row each: [places, length], float64.

    The window is the product of two such rows, so filtering is two matrix products, much cheaper than a convolution.
    """
    half = SSIM_WINDOW_PX // 2
    centers = torch.arange(half - padding_px, length - half + padding_px, device=device, dtype=torch.float64)
    distance = torch.arange(length, device=device, dtype=torch.float64) - centers[:, None]
    taps = torch.exp(-torch.arange(-half, half + 1, dtype=torch.float64).square() / (2 * SSIM_SIGMA_PX**2))
    weights = torch.exp(-distance.square() / (2 * SSIM_SIGMA_PX**2)) / float(taps.sum())
    return weights.where(distance.abs() <= half, 0.0)
