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

from gifd_ops.layer_rows import layer_rows
from gifd_ops.plain_rows import plain_rows
from gifd_ops.victims import Victim


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything the attacker sees: the gradient shared for each private image, and the shapes. No image.

    gradients: one tensor [targets, *parameter shape] per victim parameter, in the order of `victim.parameters()`.
    image_shape: (3, h, w), which the victim's input tells. labels: [targets] int64 where the threat model grants them,
    else None. statistics: per batch normalization the mean and variance [targets, channels] of what entered it, where
    the client shares them (a strong assumption of Yin et al., CVPR 2021), else None.
    """

    gradients: tuple[Tensor, ...]
    image_shape: tuple[int, int, int]
    labels: Tensor | None = None
    statistics: tuple[tuple[Tensor, Tensor], ...] | None = None

    @property
    def num_targets(self) -> int:
        return self.gradients[0].shape[0]


@dataclass(frozen=True)
class LayerPass:
    """What went into a layer and what came back to its output, row by row."""

    layer: nn.Module
    entering: Tensor
    leaving: Tensor  # gradient of the row's cross-entropy with respect to the layer's output


def observe(
    victim: Victim, images: Tensor, labels: Tensor, *, grant_labels: bool = False, share_statistics: bool = False
) -> Observation:
    """What the server sees when each image [n, 3, h, w] in [0, 1] is a client's batch of one."""
    statistics: list[tuple[Tensor, Tensor]] | None = None
    if share_statistics:
        passes = backward_rows(victim, images, labels, differentiable=False)
        gradients, statistics = parameter_gradients(passes), batch_statistics(passes)
    else:
        gradients = victim_gradients(victim, images, labels, differentiable=False)
    _, channels, height, width = images.shape
    return Observation(
        gradients=tuple(gradient.detach() for gradient in gradients),
        image_shape=(channels, height, width),
        labels=labels if grant_labels else None,
        statistics=None if statistics is None else tuple((mean.detach(), var.detach()) for mean, var in statistics),
    )


def victim_gradients(victim: Victim, images: Tensor, labels: Tensor, *, differentiable: bool) -> tuple[Tensor, ...]:
    """Gradient of each row's cross-entropy for every parameter: tensors [rows, *parameter shape].

    A victim with parameters in other layers than Conv2d, Linear or BatchNorm2d takes a slower way. Raises ValueError
    for BatchNorm2d in training mode, layers used twice, and activations that overwrite their input.
    """
    if not has_layer_rows(victim):
        return plain_rows(victim, images, labels, differentiable=differentiable)
    return parameter_gradients(backward_rows(victim, images, labels, differentiable=differentiable))


def backward_rows(victim: Victim, images: Tensor, labels: Tensor, *, differentiable: bool) -> list[LayerPass]:
    """One pass forward and back through the victim, all rows at once.

    Raises ValueError as `victim_gradients` does, and for a victim that `has_layer_rows` does not cover.
    """
    layers = _parametric_layers(victim)
    entered: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if layer in entered:
            raise ValueError(f"per-row gradients need every layer used once; the victim uses {layer} again")
        entered[layer] = (arguments[0], output)

    if not images.requires_grad:
        images = images.detach().requires_grad_()  # so that the outputs have gradients at all
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        logits = victim(images)
    finally:
        for hook in hooks:
            hook.remove()
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    outputs = [entered[layer][1] for layer in layers]
    leaving = torch.autograd.grad(loss, outputs, create_graph=differentiable)
    entering = [entered[layer][0] if differentiable else entered[layer][0].detach() for layer in layers]
    return [LayerPass(*one) for one in zip(layers, entering, leaving, strict=True)]


def parameter_gradients(passes: list[LayerPass]) -> tuple[Tensor, ...]:
    """The rows' gradients [rows, *parameter shape], in the order of the victim's parameters."""
    return tuple(
        gradient for one in passes for gradient in layer_rows(one.layer, one.entering, one.leaving).gradients()
    )


def batch_statistics(passes: list[LayerPass]) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance [rows, channels] of what enters each batch normalization."""
    inputs = [one.entering for one in passes if isinstance(one.layer, nn.BatchNorm2d)]
    return [(entering.mean(dim=(2, 3)), entering.var(dim=(2, 3), unbiased=False)) for entering in inputs]


def tensors_of_layers(victim: Victim, first: int, end: int) -> tuple[int, ...]:
    """Places, among the victim's parameters, of those of its layers `first` to `end` (excluded).

    Raises ValueError if the victim has fewer layers with parameters.
    """
    counts = [len(list(layer.parameters(recurse=False))) for layer in _with_parameters(victim)]
    if end > len(counts):
        raise ValueError(
            f"the victim has {len(counts)} layers with parameters, so {first}:{end} cannot be matched; use 0 <= first "
            f"< end <= {len(counts)}"
        )
    return tuple(range(sum(counts[:first]), sum(counts[:end])))


def has_layer_rows(victim: nn.Module) -> bool:
    """Whether the kinds of all layers with parameters are known, so that a row's gradients are products."""
    return all(map(_is_supported, _with_parameters(victim)))


def _with_parameters(victim: nn.Module) -> list[nn.Module]:
    """The layers with parameters of their own, in the order of `victim.parameters()`."""
    return [module for module in victim.modules() if next(module.parameters(recurse=False), None) is not None]


def _parametric_layers(victim: Victim) -> list[nn.Module]:
    """The layers with parameters, in the order of `victim.parameters()`; ValueError where rows would be wrong."""
    for module in victim.modules():
        if getattr(module, "inplace", False):
            raise ValueError(f"per-row gradients need layers that keep their input; build {module} with inplace=False")
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or module.running_var is None):
            raise ValueError(f"rows mix in {module}; put the victim in eval mode, with running statistics")
    layers = _with_parameters(victim)
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
