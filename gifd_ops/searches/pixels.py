"""Search without a generator: pixels from noise (IG, Geiping et al., NeurIPS 2020; GI, Yin et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.batches import seeds_of_images
from gifd_ops.quirks import MENDED
from gifd_ops.searches.descent import Opened, descend, learning_rates
from gifd_ops.searches.search import Loss, LossOf, StageEnd
from gifd_ops.searches.stopping import blanked
from gifd_ops.stages import PixelStage
from gifd_ops.victims import Victim


def search_pixels(
    seeds: Sequence[int],
    image_shape: tuple[int, int, int],
    victim: Victim,
    loss: Loss,
    *stages: PixelStage,
    batch_size: int | None = None,
    patience: int = 0,
    loss_of: LossOf | None = None,
) -> StageEnd:
    """Adam on normalized pixels, begun at standard normal noise and clamped to the range of pixels at every update.

    stages: one for all rows, or for each its own, all signed or none. batch_size: images of a row, each begun at noise
    of its own; None for one without a dimension. loss_of: the loss of some of the rows; without it no row stops before
    all do.
    """
    place = next(victim.parameters())
    own = [seed for row in seeds for seed in seeds_of_images(row, batch_size or 1)]
    drawn = [torch.randn(image_shape, generator=torch.Generator().manual_seed(seed)) for seed in own]
    noise = torch.stack(drawn).to(place)
    if batch_size is not None:
        noise = noise.unflatten(0, (-1, batch_size))
    low, high = (victim.normalize(torch.full_like(noise[:1], value)) for value in (0.0, 1.0))

    def opened(pixels: Tensor, loss: Loss, *, whole: bool) -> Opened:
        """Pixels in the victim's units."""

        def look() -> tuple[Tensor, Tensor]:
            images = victim.denormalize(pixels)
            return loss(images), images

        @torch.no_grad()
        def confine() -> None:
            pixels.copy_(torch.minimum(torch.maximum(pixels, low), high))

        def part(rows: Tensor) -> Opened:
            assert loss_of is not None
            return opened(pixels.detach()[rows].requires_grad_(), loss_of(rows), whole=False)

        can_part = whole and loss_of is not None
        return Opened(variables=[pixels], look=look, after_update=confine, part=part if can_part else None)

    pixels = noise.clone().requires_grad_()
    rates = [learning_rates(stage.lr, stage.steps, stage.decay, MENDED) for stage in stages]
    begin = torch.ones(len(noise), dtype=torch.bool, device=noise.device)
    signed = stages[0].signed
    found = descend(opened(pixels, loss, whole=True), begin=begin, rates=rates, signed=signed, patience=patience)
    images = victim.denormalize(pixels.detach()).clamp(0, 1)
    return StageEnd(
        features=None,
        images=blanked(images, keep=found.whole),
        trace=found.trace,
        steps_taken=found.steps_taken,
    )
