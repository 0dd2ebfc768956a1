"""The victim's gradient, row by row, and what a server sees of it.

All rows go through the victim as one batch. In eval mode rows do not mix, so one backward pass gives every layer's
output gradient per row; a row's weight gradient is the product of that and the layer's input. No weight is ever
copied per row, and everything can be differentiated again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.victims import Victim


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything the attacker sees: the gradient shared for each private image, and the shapes. No image, no label.

    gradients: one tensor [targets, *parameter shape] per victim parameter, in the order of `victim.parameters()`.
    """

    gradients: tuple[Tensor, ...]

    @property
    def num_targets(self) -> int:
        return self.gradients[0].shape[0]


def observe(victim: Victim, images: Tensor, labels: Tensor) -> Observation:
    """What the server sees when each image [n, 3, h, w] in [0, 1] is a client's batch of one."""
    gradients = victim_gradients(victim, images, labels, differentiable=False)
    return Observation(gradients=tuple(gradient.detach() for gradient in gradients))


def victim_gradients(victim: Victim, images: Tensor, labels: Tensor, *, differentiable: bool) -> tuple[Tensor, ...]:
    """Gradient of each row's cross-entropy for every parameter: tensors [rows, *parameter shape].

    Raises ValueError for a victim with parameters in other layers than Conv2d, Linear or BatchNorm2d in eval mode.
    """
    layers = _parametric_layers(victim)
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def keep(_layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        inputs.append(arguments[0])
        outputs.append(output)

    if not images.requires_grad:
        images = images.detach().requires_grad_()  # so that the outputs have gradients at all
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        logits = victim(images)
    finally:
        for hook in hooks:
            hook.remove()
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    output_gradients = torch.autograd.grad(loss, outputs, create_graph=differentiable)
    gradients: list[Tensor] = []
    for layer, entering, leaving in zip(layers, inputs, output_gradients, strict=True):
        gradients.extend(_parameter_gradients(layer, entering, leaving))
    return tuple(gradients)


def _parametric_layers(victim: Victim) -> list[nn.Module]:
    layers = [module for module in victim.modules() if next(module.parameters(recurse=False), None) is not None]
    for layer in layers:
        supported = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
        if not supported and not (isinstance(layer, nn.BatchNorm2d) and not layer.training):
            raise ValueError(
                f"per-row gradients are known for Conv2d (one group), Linear and BatchNorm2d in eval mode; "
                f"the victim has parameters in {layer}"
            )
    return layers


def _parameter_gradients(layer: nn.Module, entering: Tensor, leaving: Tensor) -> list[Tensor]:
    """Weight and bias gradients per row, from the layer's input and its output gradient."""
    if isinstance(layer, nn.Linear):
        weight, bias = leaving[:, :, None] * entering[:, None, :], leaving
    elif isinstance(layer, nn.Conv2d):
        assert isinstance(layer.padding, tuple)
        patches = functional.unfold(entering, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        flat = leaving.flatten(2)
        weight = (flat @ patches.transpose(1, 2)).unflatten(2, layer.weight.shape[1:])
        bias = flat.sum(dim=2)
    else:
        assert isinstance(layer, nn.BatchNorm2d)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        scale = torch.rsqrt(layer.running_var + layer.eps)[:, None, None]
        standardized = (entering - layer.running_mean[:, None, None]) * scale
        weight, bias = (leaving * standardized).sum(dim=(2, 3)), leaving.sum(dim=(2, 3))
    return [weight] if layer.bias is None else [weight, bias]
