"""What every search takes and gives: a loss of images, and where a stage ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gifd_ops.generators.protocol import Features

Loss = Callable[[Tensor], Tensor]  # images [rows, 3, h, w] -> [rows]
LossOf = Callable[[Tensor], Loss]  # the loss of some of the rows, by their places [n] int64


@dataclass(frozen=True, kw_only=True)
class StageEnd:
    """Where a stage ends, row by row. `features` is what the next stage starts from, None after a search of pixels.

    A row that diverged is NaN throughout, and a stage that starts from it takes no step.
    """

    features: Features | None
    images: Tensor  # [rows, 3, h, w] in [0, 1]
    trace: Tensor  # [rows, steps], the loss before each update, or of each candidate of an evolution; NaN once stopped
    steps_taken: Tensor  # [rows] int64, each of one gradient evaluation
    feature_radius: Tensor | None = None  # [rows], absolute
    latent_radius: Tensor | None = None
    noise_radius: Tensor | None = None
    feature_moved_l1: Tensor | None = None
