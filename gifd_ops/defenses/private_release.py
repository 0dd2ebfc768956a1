"""One differentially private release: clip every example, add noise to the sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.defenses.clipping import clip_to
from gifd_ops.defenses.config import DifferentialPrivacy
from gifd_ops.defenses.noise import with_noise
from gifd_ops.defenses.norms import gradient_norms


def release(
    examples: Sequence[Tensor], defense: DifferentialPrivacy, *, batch: int, seeds: Sequence[int]
) -> tuple[Tensor, ...]:
    """Mean gradients [targets, ...] of examples' gradients [targets * batch, ...], `batch` for each target in turn.

    The clipped sum with its noise is what is released; a mean is that over the size of the batch, which is public.
    """
    norms = gradient_norms(examples)
    clipped = clip_to(examples, torch.full_like(norms, defense.bound), norms=norms)
    sums = [gradient.unflatten(0, (-1, batch)).sum(dim=1) for gradient in clipped]
    stds = torch.full_like(sums[0].flatten(1)[:, 0], defense.noise * defense.bound)
    return tuple(gradient / batch for gradient in with_noise(sums, stds, seeds=seeds))
