"""Search without a generator: pixels from noise (IG, Geiping et al., NeurIPS 2020; GI, Yin et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.quirks import MENDED
from gifd_ops.searches.descent import descend, learning_rates
from gifd_ops.searches.search import Loss, StageEnd
from gifd_ops.stages import PixelStage
from gifd_ops.victims import Victim


def search_pixels(
    seeds: Sequence[int], image_shape: tuple[int, int, int], victim: Victim, loss: Loss, stage: PixelStage
) -> StageEnd:
    """Adam on normalized pixels, begun at standard normal noise and clamped to the range of pixels at every update."""
    place = next(victim.parameters())
    drawn = [torch.randn(image_shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    noise = torch.stack(drawn).to(place)
    pixels = noise.clone().requires_grad_()  # in the victim's units
    low, high = (victim.normalize(torch.full_like(noise[:1], value)) for value in (0.0, 1.0))

    def look() -> tuple[Tensor, Tensor]:
        images = victim.denormalize(pixels)
        return loss(images), images

    @torch.no_grad()
    def confine() -> None:
        pixels.copy_(torch.minimum(torch.maximum(pixels, low), high))

    rates = learning_rates(stage.lr, stage.steps, stage.decay, MENDED)
    trace, _ = descend([pixels], look, rates=rates, after_update=confine, signed=stage.signed)
    return StageEnd(features=None, images=victim.denormalize(pixels.detach()).clamp(0, 1), trace=trace)
