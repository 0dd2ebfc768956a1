"""Soteria (Sun et al., CVPR 2021): the features that give most away have no gradient in the last layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.defenses.config import Soteria
from gifd_ops.defenses.sparsification import kept
from gifd_ops.heads import head_features, linear_head
from gifd_ops.victims import Victim

ROWS_AT_ONCE = 64


def prune_features(
    gradients: Sequence[Tensor], defense: Soteria, *, victim: Victim, images: Tensor
) -> tuple[Tensor, ...]:
    """Gradients [targets, ...] in which the pruned features' columns of the last weight matrix are 0.

    images: the private ones [targets * batch, 3, h, w], equally many for each target in turn; scores of a batch are
    summed, as published. Raises ValueError for a victim whose logits do not come from a linear layer.
    """
    place, _ = linear_head(victim)
    scores = feature_scores(victim, images).unflatten(0, (len(gradients[0]), -1)).sum(dim=1)
    mask = kept(scores, defense.percent)  # [targets, features]
    return tuple(gradient * mask[:, None] if at == place else gradient for at, gradient in enumerate(gradients))


def feature_scores(victim: Victim, images: Tensor) -> Tensor:
    """|dr/dx| / |r| [n, features] of the features r that enter the last linear layer for images x [n, 3, h, w].

    A backward pass for each feature: slow, but done once for an observation. A feature that is 0 scores 0, as in the
    published code, so that features that say nothing are pruned first.
    """
    scores = []
    for image in images.detach():
        features, norms = head_features(victim, image[None]), []
        for some in torch.arange(features.shape[1], device=images.device).split(ROWS_AT_ONCE):
            copies = image.expand(len(some), *image.shape).clone().requires_grad_()
            chosen = head_features(victim, copies).gather(1, some[:, None]).sum()
            (slope,) = torch.autograd.grad(chosen, copies)
            norms.append(slope.flatten(1).norm(dim=1))
        scores.append(torch.cat(norms) / (features[0].detach().abs() + 1e-10))
    return torch.stack(scores)
