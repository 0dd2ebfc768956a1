"""Which rows of a search go on: those that are numbers, and, where patience is asked for, those that get nearer."""

from __future__ import annotations

import torch
from torch import Tensor

from gifd_ops.generators.protocol import Features

LEAST_PROGRESS = 1e-3  # share by which a row's least loss must fall within the window of patience


def progressing(trace: Tensor, patience: int) -> Tensor:
    """Whether the least loss [rows, steps] of a row has fallen enough during its last `patience` steps: [rows].

    Enough is more than `LEAST_PROGRESS` of what it was before them. All rows are while there is no step before the
    window, and where patience is 0. What is not finite counts as the largest of losses.
    """
    if patience == 0 or trace.shape[1] <= patience:
        return torch.ones_like(trace[:, 0], dtype=torch.bool)
    losses = torch.where(trace.isfinite(), trace, torch.inf)
    before, within = losses[:, :-patience].amin(dim=1), losses[:, -patience:].amin(dim=1)
    needed = torch.where(before.isfinite(), before - LEAST_PROGRESS * before.abs(), torch.inf)
    return within < needed


def finite_rows(features: Features) -> Tensor:
    """Rows that hold numbers only, [rows]: the others diverged in an earlier stage and are not searched any more."""
    tensors = (features.hidden, features.skip, features.condition, features.latent, *features.noises)
    return torch.stack([each.flatten(1).isfinite().all(dim=1) for each in tensors if each is not None]).all(dim=0)


def blanked(values: Tensor, *, keep: Tensor) -> Tensor:
    """Values [rows, ...] with NaN in all rows but those to keep [rows]."""
    return torch.where(keep.view(-1, *(1,) * (values.ndim - 1)), values, torch.nan)
