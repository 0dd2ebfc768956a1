"""Per-row gradients of any victim at all, by functional autograd: for those whose layers `layer_rows.py` does not know.

Slower than products of what enters and leaves a layer, and each row holds a gradient and its graph; exact all the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from gifd_ops.frozen_layers import FrozenConv

Weights = dict[str, Tensor]
Loss = Callable[[Weights, Tensor, Tensor], Tensor]


def plain_rows(victim: nn.Module, images: Tensor, labels: Tensor, *, differentiable: bool) -> tuple[Tensor, ...]:
    """Gradient of each row's cross-entropy for every parameter: tensors [rows, *parameter shape].

    A row is an image [rows, 3, h, w], or a batch [rows, batch, 3, h, w], over which the cross-entropy is the mean. The
    victim is told of once, in a warning.
    """
    warnings.warn(
        f"{_name(victim)} has layers whose per-row gradients are not known as products, so it is attacked by plain "
        "autograd: slower, the same results",
        stacklevel=2,
    )
    names = [name for name, _ in victim.named_parameters()]
    weights = {name: parameter.detach() for name, parameter in victim.named_parameters()}

    def loss(parameters: Weights, image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(victim, parameters, (image.view(-1, *image.shape[-3:]),))
        return functional.cross_entropy(logits, label.view(-1))

    if any(isinstance(module, FrozenConv) for module in victim.modules()):  # its own derivative cannot be vectorized
        pairs = zip(images, labels, strict=True)
        rows = [_one_row(loss, weights, *pair, differentiable=differentiable) for pair in pairs]
        return tuple(torch.stack(parts) for parts in zip(*rows, strict=True))
    with torch.set_grad_enabled(differentiable):
        found = vmap(grad(loss), in_dims=(None, 0, 0))(weights, images, labels)
    return tuple(found[name] for name in names)


def _one_row(loss: Loss, weights: Weights, row: Tensor, label: Tensor, *, differentiable: bool) -> tuple[Tensor, ...]:
    """One row's gradient by plain autograd, with weights of its own that are not fixed."""
    thawed = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    with torch.enable_grad():
        return torch.autograd.grad(loss(thawed, row, label), list(thawed.values()), create_graph=differentiable)


def _name(victim: nn.Module) -> str:
    return type(getattr(victim, "layers", victim)).__name__
