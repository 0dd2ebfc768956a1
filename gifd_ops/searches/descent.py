"""Adam on whatever a stage has opened: the loop that all searches by gradient share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gifd_ops.quirks import Quirks
from gifd_ops.stages import Decay

Look = Callable[[], tuple[Tensor, Tensor]]  # losses [rows] and images [rows, 3, h, w] of the variables as they are


def descend(
    variables: Sequence[Tensor], look: Look, *, rates: Sequence[float], after_update: Callable[[], None], signed: bool
) -> tuple[Tensor, Tensor]:
    """Update `variables`, in place, once per rate; returns the loss before each update and the last images seen.

    The trace is [rows, steps]; the images [rows, 3, h, w] precede the last update. signed: Adam sees signs only.
    """
    adam = torch.optim.Adam(variables, lr=rates[0], fused=True)
    trace, images = [], None
    for rate in rates:
        adam.param_groups[0]["lr"] = rate
        losses, images = look()
        gradients = torch.autograd.grad(losses.sum(), variables, allow_unused=True)
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.grad = gradient.sign() if signed and gradient is not None else gradient
        adam.step()
        after_update()
        trace.append(losses.detach())
    assert images is not None
    return torch.stack(trace, dim=1), images.detach()


def learning_rates(lr: float, steps: int, decay: Decay, quirks: Quirks) -> list[float]:
    """The learning rate of every update of a stage."""
    if decay == "steps":
        return [lr * tenths(step, steps) for step in range(steps)]
    return [lr * ramp(step, steps, first_step=quirks.first_step) for step in range(steps)]


def ramp(step: int, steps: int, *, first_step: str = "ramped") -> float:
    """Factor of the learning rate at a step: linear warm-up over 5 %, flat to 25 %, cosine decay to the end.

    The published ramp starts at zero and so wastes the first update of every stage (first_step="zero"); the mended
    warm-up counts from one.
    """
    counted = step if first_step == "zero" else step + 1
    warm_up = min(1.0, counted / (0.05 * steps))
    decay = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - step / steps) / 0.75))
    return warm_up * decay


def tenths(step: int, steps: int) -> float:
    """Factor of the learning rate that falls to a tenth at 3/8, 5/8 and 7/8 of the way (Geiping et al., 2020).

    The milestones are rounded as published; but the first update is whole, however few there are.
    """
    milestones = (steps // 2.667, steps // 1.6, steps // 1.142)
    return float(0.1 ** sum(step >= max(1, milestone) for milestone in milestones))
