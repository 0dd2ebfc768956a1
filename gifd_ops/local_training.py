"""What a client's local training comes to, as an attacker computes it from images of its own.

The attacker differentiates through the client's steps (Geiping et al., NeurIPS 2020, section 6; Dimitrov et al., TMLR
2022). From the second step on every row has weights of its own, so rows are mapped over, and no layer is fast any more.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from gifd_ops.protocols import ClientProtocol
from gifd_ops.victims import Victim


def local_updates(
    client: Victim, images: Tensor, labels: Tensor, protocol: ClientProtocol, *, differentiable: bool
) -> tuple[Tensor, ...]:
    """The mean gradients along the local steps of each row, tensors [rows, *parameter shape].

    client: of `as_client`. images: [rows, batch, 3, h, w] in [0, 1]. labels: [rows, batch] int64. The sum of gradients
    is the difference of weights over the rate, without the digits that a subtraction would lose.
    """
    start: dict[str, Tensor] = {name: weight.detach() for name, weight in client.named_parameters()}
    rate = 0.0 if protocol.local_lr is None else protocol.local_lr

    def loss(weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(client, weights, (images,)), labels)

    def train(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """The update of one client, images [batch, 3, h, w]."""
        weights, total = start, {name: torch.zeros_like(weight) for name, weight in start.items()}
        for places in protocol.steps(len(labels)):
            step = slice(places.start, places.stop)
            slopes = grad(loss)(weights, images[step], labels[step])
            total = {name: total[name] + slope for name, slope in slopes.items()}
            weights = {name: weight - rate * slopes[name] for name, weight in weights.items()}
        return tuple(total[name] / protocol.local_steps for name in start)

    with torch.set_grad_enabled(differentiable):
        updates: tuple[Tensor, ...] = vmap(train)(images, labels)
    return updates
