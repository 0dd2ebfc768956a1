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

    Raises ValueError for a victim with parameters in other layers than Conv2d, Linear or BatchNorm2d in eval mode,
    with layers used twice, or with activations that overwrite their input.
    """
    layers = _parametric_layers(victim)
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if layer in seen:
            raise ValueError(f"per-row gradients need every layer used once; the victim uses {layer} again")
        seen[layer] = (arguments[0], output)

    if not images.requires_grad:
        images = images.detach().requires_grad_()  # so that the outputs have gradients at all
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        logits = victim(images)
    finally:
        for hook in hooks:
            hook.remove()
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    outputs = [seen[layer][1] for layer in layers]
    output_gradients = torch.autograd.grad(loss, outputs, create_graph=differentiable)
    gradients: list[Tensor] = []
    for layer, leaving in zip(layers, output_gradients, strict=True):
        gradients.extend(_parameter_gradients(layer, seen[layer][0], leaving))
    return tuple(gradients)


def _parametric_layers(victim: Victim) -> list[nn.Module]:
    """The layers with parameters, in the order of `victim.parameters()`; ValueError where rows would be wrong."""
    for module in victim.modules():
        if getattr(module, "inplace", False):
            raise ValueError(f"per-row gradients need layers that keep their input; build {module} with inplace=False")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or module.running_var is None):
            raise ValueError(f"rows mix in {module}; put the victim in eval mode, with running statistics")
    layers = [module for module in victim.modules() if next(module.parameters(recurse=False), None) is not None]
    for layer in layers:
        if not _is_supported(layer):
            raise ValueError(
                "per-row gradients are known for Linear, BatchNorm2d, and Conv2d with one group and zero padding given "
                f"in numbers; the victim has parameters in {layer}"
            )
    return layers


def _is_supported(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
    return isinstance(layer, nn.Linear | nn.BatchNorm2d)


def _parameter_gradients(layer: nn.Module, entering: Tensor, leaving: Tensor) -> list[Tensor]:
    """Weight and bias gradients per row, from the layer's input and its output gradient."""
    if isinstance(layer, nn.Linear):
        if entering.ndim != 2:
            raise ValueError(f"per-row gradients of {layer} need inputs [rows, features], got {tuple(entering.shape)}")
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
