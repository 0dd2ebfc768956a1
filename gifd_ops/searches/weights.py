"""Search of the generator's weights, latents held (GIAS, Jeon et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.quirks import MENDED
from gifd_ops.searches.descent import descend, learning_rates
from gifd_ops.searches.search import Loss, StageEnd
from gifd_ops.stages import WeightStage


def search_weights(
    start: Features, generator: Generator, loss_of: Callable[[slice], Loss], stage: WeightStage
) -> StageEnd:
    """Adam on a copy of the generator for every row, one row after another.

    loss_of: the loss of a slice of rows. Rows whose weights differ share no work: run as one batch they would become
    grouped convolutions, which cost more than the rows alone.
    """
    rows = [slice(row, row + 1) for row in range(start.num_rows)]
    ends = [_search_row(start.select(row), generator, loss_of(row), stage) for row in rows]
    return StageEnd(
        features=start, images=torch.cat([image for image, _ in ends]), trace=torch.cat([trace for _, trace in ends])
    )


def _search_row(start: Features, generator: Generator, loss: Loss, stage: WeightStage) -> tuple[Tensor, Tensor]:
    """The image [1, 3, h, w] and the trace [1, steps] of one row."""
    own, weights = generator.unfrozen()

    def look() -> tuple[Tensor, Tensor]:
        images = own.render(start)
        return loss(images), images

    rates = learning_rates(stage.lr, stage.steps, stage.decay, MENDED)
    trace, _ = descend(weights, look, rates=rates, after_update=lambda: None, signed=False)
    with torch.no_grad():
        return own.render(start).clamp(0, 1), trace
