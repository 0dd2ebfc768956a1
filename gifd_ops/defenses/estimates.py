"""How strong a defense is, read off the shared gradient alone. docs/defenses.md says how far each can be trusted.

All take an observation's gradients [targets, ...] and give one estimate a target.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.defenses.norms import gradient_norms, num_entries

ROUNDING = 1e-5  # of a tensor's root mean square: what single precision leaves of sums that are 0
FEWEST = 50  # entries of a tensor that tells a percentage


def noise_std(gradients: Sequence[Tensor]) -> Tensor:
    """Std [targets] of the noise on every entry; 0 where there is none to be seen.

    Of a softmax with cross-entropy the gradients of all logits sum to 0, and so do the last weight matrix's over the
    classes, feature by feature, for a batch of any size. What they sum to is noise: as many samples as features.
    """
    last = last_weight(gradients)  # [targets, classes, features]
    sums = [last.sum(dim=1)]
    if gradients[-1].ndim == 2:
        sums.append(gradients[-1].sum(dim=1, keepdim=True))
    stds = torch.cat(sums, dim=1).square().mean(dim=1).sqrt() / last.shape[1] ** 0.5
    return torch.where(stds > ROUNDING * last.flatten(1).square().mean(dim=1).sqrt(), stds, 0.0)


def signal_norm(gradients: Sequence[Tensor], stds: Tensor) -> Tensor:
    """Norm [targets] of the gradient under noise of std [targets]; 0 where the noise is all there is."""
    squares = gradient_norms(gradients).square() - num_entries(gradients) * stds.square()
    return squares.clamp(min=0).sqrt()


def clip_bound(gradients: Sequence[Tensor]) -> Tensor:
    """The bound [targets] that a gradient was clipped to: its own norm, exact if it was longer, else too small.

    Whether it was longer, one gradient does not tell; `same_norm` does where there are several.
    """
    return gradient_norms(gradients)


def same_norm(gradients: Sequence[Tensor], *, tolerance: float = 1e-4) -> Tensor:
    """Which gradients [targets] are as long as the longest, and not alone in that: those were clipped."""
    norms = gradient_norms(gradients)
    longest = norms >= norms.max() * (1 - tolerance)
    return longest & (longest.sum() > 1)


def pruned_percent(gradients: Sequence[Tensor]) -> Tensor:
    """Percent [targets] of every tensor that was pruned: the least share of zeros among tensors large enough to tell.

    Some tensors have zeros of their own (features that are off), hence the least.
    """
    telling = [gradient for gradient in gradients if gradient[0].numel() >= FEWEST]
    shares = [(gradient == 0).flatten(1).double().mean(dim=1) for gradient in telling]
    return 100 * torch.stack(shares).amin(dim=0)


def pruned_features(gradients: Sequence[Tensor]) -> Tensor:
    """Which features [targets, features] have no gradient in the last weight matrix, in any class.

    A feature that is off has none either; it scores least by Soteria's criterion, so it was pruned too, if any was.
    """
    return (last_weight(gradients) == 0).all(dim=1)


def last_weight(gradients: Sequence[Tensor]) -> Tensor:
    """Gradient [targets, classes, features] of the last linear layer's weights."""
    return gradients[last_weight_place(gradients)]


def last_weight_place(gradients: Sequence[Tensor]) -> int:
    """Its place among the gradients."""
    return max(place for place, gradient in enumerate(gradients) if gradient.ndim == 3)
