"""Search of the generator's weights, latents held (GIAS, Jeon et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.quirks import MENDED
from gifd_ops.searches.descent import Descent, Opened, descend, learning_rates
from gifd_ops.searches.search import Loss, StageEnd
from gifd_ops.searches.stopping import blanked, finite_rows
from gifd_ops.stages import WeightStage


def search_weights(
    start: Features,
    generator: Generator,
    loss_of: Callable[[slice], Loss],
    stage: WeightStage,
    *,
    patience: int = 0,
) -> StageEnd:
    """Adam on a copy of the generator for every row, one row after another.

    loss_of: the loss of a slice of rows. Rows whose weights differ share no work: run as one batch they would become
    grouped convolutions, which cost more than the rows alone.
    """
    begin = finite_rows(start)
    ends = []
    for row in range(start.num_rows):
        one = slice(row, row + 1)
        ends.append(_search_row(start.select(one), begin[one], generator, loss_of(one), stage, patience))
    images = torch.cat([image for image, _ in ends])
    whole = torch.cat([found.whole for _, found in ends])
    return StageEnd(
        features=start,
        images=blanked(images, keep=whole),
        trace=torch.cat([found.trace for _, found in ends]),
        steps_taken=torch.cat([found.steps_taken for _, found in ends]),
    )


def _search_row(
    start: Features, begin: Tensor, generator: Generator, loss: Loss, stage: WeightStage, patience: int
) -> tuple[Tensor, Descent]:
    """The image [1, 3, h, w] of one row, and how it was found."""
    own, weights = generator.unfrozen()

    def look() -> tuple[Tensor, Tensor]:
        images = own.render(start)
        return loss(images), images

    opened = Opened(variables=weights, look=look, after_update=lambda: None)
    rates = [learning_rates(stage.lr, stage.steps, stage.decay, MENDED)]
    found = descend(opened, begin=begin, rates=rates, signed=False, patience=patience)
    with torch.no_grad():
        return own.render(start).clamp(0, 1), found
