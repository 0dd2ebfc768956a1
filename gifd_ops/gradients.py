"""The victim's gradient, row by row, and what a server sees of it.

All rows go through the victim as one batch. Rows do not mix, so one backward pass gives every layer's output gradient
per row; a row's weight gradient is the product of that and the layer's input. No weight is ever copied per row, and
everything can be differentiated again. Where a client shares the gradient of a batch, a row is so many images, and the
product runs over them too; where it trains before it shares, see `local_training.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.clients import OwnNorm, as_client
from gifd_ops.layer_rows import LayerRows, layer_rows
from gifd_ops.local_training import local_updates
from gifd_ops.plain_rows import plain_rows
from gifd_ops.protocols import SHARED_GRADIENT, ClientProtocol
from gifd_ops.victims import Victim


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything the attacker sees: what is shared for each target, how it was made, and the shapes. No image.

    gradients: one tensor [targets, *parameter shape] per victim parameter, in the order of `victim.parameters()`; under
    fedavg the mean gradient along the client's steps. image_shape: (3, h, w), which the victim's input tells.
    batch_size: images behind each gradient, where a target is a batch; None where it is one image, and nothing has a
    dimension for it. labels: int64, [targets] or [targets, batch], where the threat model grants them, else None.
    statistics: per batch normalization the mean and variance [targets, channels] of what entered it, where the client
    shares them (a strong assumption of Yin et al., CVPR 2021), else None.
    """

    gradients: tuple[Tensor, ...]
    image_shape: tuple[int, int, int]
    labels: Tensor | None = None
    statistics: tuple[tuple[Tensor, Tensor], ...] | None = None
    batch_size: int | None = None
    protocol: ClientProtocol = SHARED_GRADIENT

    @property
    def num_targets(self) -> int:
        return self.gradients[0].shape[0]


@dataclass(frozen=True)
class LayerPass:
    """What went into a layer and what came back to its output, row by row."""

    layer: nn.Module
    entering: Tensor
    leaving: Tensor  # gradient of the row's cross-entropy with respect to the layer's output
    images: int = 1  # of a row, one after another in `entering` and `leaving`

    @property
    def rows(self) -> LayerRows:
        """What the layer contributes to every row's gradient."""
        return layer_rows(self.layer, self.entering, self.leaving, self.images)

    def detached(self) -> LayerPass:
        """The same without its history."""
        return replace(self, entering=self.entering.detach(), leaving=self.leaving.detach())


def observe(
    victim: Victim,
    images: Tensor,
    labels: Tensor,
    *,
    protocol: ClientProtocol = SHARED_GRADIENT,
    grant_labels: bool = False,
    share_statistics: bool = False,
) -> Observation:
    """What the server sees of clients, each with one image [n, 3, h, w] in [0, 1] or with a batch [n, batch, 3, h, w].

    labels: int64, [n] or [n, batch]. Raises ValueError where shapes or the batch do not fit, or where statistics are to
    be shared by clients that train: theirs are of several passes.
    """
    batch_size = _checked_batch(images, labels)
    if share_statistics and protocol.trains:
        raise ValueError(
            f"batch statistics are those of one pass, and these clients make {protocol.local_steps} local steps; share "
            "none, or use one step"
        )
    client = as_client(victim, protocol, batch_size or 1)
    statistics: list[tuple[Tensor, Tensor]] | None = None
    if share_statistics:
        passes = backward_rows(client, images, labels, differentiable=False)
        gradients, statistics = parameter_gradients(passes), batch_statistics(passes)
    else:
        gradients = shared_gradients(client, images, labels, protocol, differentiable=False)
    channels, height, width = images.shape[-3:]
    return Observation(
        gradients=tuple(gradient.detach() for gradient in gradients),
        image_shape=(channels, height, width),
        labels=labels if grant_labels else None,
        statistics=None if statistics is None else tuple((mean.detach(), var.detach()) for mean, var in statistics),
        batch_size=batch_size,
        protocol=protocol,
    )


def _checked_batch(images: Tensor, labels: Tensor) -> int | None:
    """Images of a batch, None where every client has one image without a dimension for it."""
    if images.ndim not in (4, 5) or labels.shape != images.shape[:-3]:
        raise ValueError(
            "clients have images [n, 3, h, w] with labels [n], or [n, batch, 3, h, w] with [n, batch]; got images "
            f"{[*images.shape]} and labels {[*labels.shape]}"
        )
    return images.shape[1] if images.ndim == 5 else None


def shared_gradients(
    client: Victim, images: Tensor, labels: Tensor, protocol: ClientProtocol, *, differentiable: bool
) -> tuple[Tensor, ...]:
    """What clients of a protocol share: tensors [rows, *parameter shape]. client: of `as_client`.

    Raises what `victim_gradients` raises, where nothing is trained.
    """
    if not protocol.trains:
        return victim_gradients(client, images, labels, differentiable=differentiable)
    rows = len(images)
    batches, of_images = images.reshape(rows, -1, *images.shape[-3:]), labels.reshape(rows, -1)
    return local_updates(client, batches, of_images, protocol, differentiable=differentiable)


def victim_gradients(victim: Victim, images: Tensor, labels: Tensor, *, differentiable: bool) -> tuple[Tensor, ...]:
    """Gradient of each row's cross-entropy for every parameter: tensors [rows, *parameter shape].

    A row is an image [rows, 3, h, w], or a batch [rows, batch, 3, h, w], over which the cross-entropy is the mean. A
    victim with parameters in other layers than Conv2d, Linear or BatchNorm2d takes a slower way. Raises ValueError for
    BatchNorm2d in training mode, layers used twice, and activations that overwrite their input.
    """
    if not has_layer_rows(victim):
        return plain_rows(victim, images, labels, differentiable=differentiable)
    return parameter_gradients(backward_rows(victim, images, labels, differentiable=differentiable))


def backward_rows(victim: Victim, images: Tensor, labels: Tensor, *, differentiable: bool) -> list[LayerPass]:
    """One pass forward and back through the victim, all rows at once.

    Raises ValueError as `victim_gradients` does, and for a victim that `has_layer_rows` does not cover.
    """
    per_row = labels[0].numel()
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
        logits = victim(images.flatten(0, -4))
    finally:
        for hook in hooks:
            hook.remove()
    loss = functional.cross_entropy(logits, labels.flatten(), reduction="sum")
    if per_row > 1:
        loss = loss / per_row
    outputs = [entered[layer][1] for layer in layers]
    leaving = torch.autograd.grad(loss, outputs, create_graph=differentiable)
    entering = [entered[layer][0] if differentiable else entered[layer][0].detach() for layer in layers]
    return [LayerPass(*one, per_row) for one in zip(layers, entering, leaving, strict=True)]


def parameter_gradients(passes: list[LayerPass]) -> tuple[Tensor, ...]:
    """The rows' gradients [rows, *parameter shape], in the order of the victim's parameters."""
    return tuple(gradient for one in passes for gradient in one.rows.gradients())


def batch_statistics(passes: list[LayerPass]) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance [rows, channels] of what enters each batch normalization."""
    norms = [one for one in passes if isinstance(one.layer, nn.BatchNorm2d)]
    inputs = [one.entering.unflatten(0, (-1, one.images)) for one in norms]
    return [(entering.mean(dim=(1, 3, 4)), entering.var(dim=(1, 3, 4), unbiased=False)) for entering in inputs]


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
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, OwnNorm)
        if is_norm and (module.training or module.running_var is None):
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
