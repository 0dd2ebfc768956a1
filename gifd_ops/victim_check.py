"""Whether a model can be attacked as it is: for a person's own victims, before a study begins."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.gradients import has_layer_rows, victim_gradients
from gifd_ops.labels import why_labels_hide
from gifd_ops.victims import Victim

CLOSE = 1e-3  # of a tensor's largest entry: single precision, in another order of sums


@dataclass(frozen=True, kw_only=True)
class VictimCheck:
    """What was found of a victim that can be attacked.

    hidden_labels: why labels cannot be inferred, None where they can. fast: whether gradients are taken layer by layer,
    not by plain autograd. apart: the largest relative difference of a row's gradient from the row's own autograd.
    """

    num_parameters: int
    hidden_labels: str | None
    fast: bool
    apart: float

    def __str__(self) -> str:
        labels = "labels are inferable" if self.hidden_labels is None else f"grant the labels: {self.hidden_labels}"
        return f"{self.num_parameters:,} parameters, {'fast' if self.fast else 'plain'} gradients; {labels}"


def check_victim(victim: Victim, *, image_shape: tuple[int, int, int], num_classes: int) -> VictimCheck:
    """Try a victim on images of noise.

    Raises ValueError where it does not give a logit per class, where a gradient or its slope in the image is not finite
    or zero, or where the gradient of a row is not that of the row alone (rows mix).
    """
    parameter = next(victim.parameters())
    images = torch.rand(3, *image_shape, generator=torch.Generator().manual_seed(0)).to(parameter)
    labels = torch.arange(3, device=images.device) % num_classes
    with torch.no_grad():
        logits = victim(images)
    if logits.shape != (3, num_classes):
        raise ValueError(
            f"a victim gives a logit per class, [3, {num_classes}] for three images, got {[*logits.shape]}; change its "
            "last layer, or the task"
        )
    images.requires_grad_()
    gradients = victim_gradients(victim, images, labels, differentiable=True)
    _check_finite(victim, gradients, images)
    apart = _apart(victim, images.detach(), labels, gradients)
    if apart > CLOSE:
        raise ValueError(
            f"a row's gradient is to be that of its image alone, but differs by {apart:.1e} (relative): rows mix, or a "
            "layer draws at random; put the victim in eval mode, without dropout and batch statistics"
        )
    hidden = why_labels_hide(victim, image_shape=image_shape, num_classes=num_classes)
    scalars = sum(parameter.numel() for parameter in victim.parameters())
    return VictimCheck(num_parameters=scalars, hidden_labels=hidden, fast=has_layer_rows(victim), apart=apart)


def _check_finite(victim: Victim, gradients: tuple[Tensor, ...], images: Tensor) -> None:
    names = [name for name, _ in victim.named_parameters()]
    broken = [name for name, each in zip(names, gradients, strict=True) if not bool(each.isfinite().all())]
    if broken:
        raise ValueError(
            f"gradients are to be finite, but not those of {', '.join(broken[:3])}; begin with other weights"
        )
    squares = sum(gradient.square().sum() for gradient in gradients)
    assert isinstance(squares, Tensor)
    (slope,) = torch.autograd.grad(squares, images, allow_unused=True) if squares.requires_grad else (None,)
    if slope is None or not bool(slope.isfinite().all()) or not bool(slope.any()):
        raise ValueError(
            "the gradient is to change with the image, smoothly, but its slope is zero or not finite; use activations "
            "with a derivative, and no fused attention"
        )


def _apart(victim: Victim, images: Tensor, labels: Tensor, gradients: tuple[Tensor, ...]) -> float:
    """The largest difference of any row's gradient from plain autograd on the row alone, relative to its tensor."""
    thawed = copy.deepcopy(victim).requires_grad_(True)
    largest = 0.0
    for row in range(len(images)):
        loss = functional.cross_entropy(thawed(images[row : row + 1]), labels[row : row + 1])
        alone = torch.autograd.grad(loss, list(thawed.parameters()), allow_unused=True)
        for found, expected in zip(gradients, alone, strict=True):
            own = found[row].detach()
            other = torch.zeros_like(own) if expected is None else expected
            largest = max(largest, float((own - other).abs().max() / other.abs().max().clamp(min=1e-12)))
    return largest
