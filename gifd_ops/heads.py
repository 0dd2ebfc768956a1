"""A victim's last linear layer, which gives the logits, and what enters it."""

from __future__ import annotations

from torch import Tensor, nn

from gifd_ops.victims import Victim


def has_linear_head(victim: Victim) -> bool:
    """Whether the last layer with parameters is linear."""
    return isinstance(_last(victim), nn.Linear)


def linear_head(victim: Victim) -> tuple[int, nn.Linear]:
    """Place, among the victim's parameters, of the weight of the linear layer that gives the logits; and that layer.

    Raises ValueError if the last layer with parameters is none.
    """
    last = _last(victim)
    if not isinstance(last, nn.Linear):
        raise ValueError(
            f"soteria, and labels read off the gradient, need a victim whose last layer is linear, got {last}; choose "
            "another defense, and grant the labels"
        )
    return next(place for place, each in enumerate(victim.parameters()) if each is last.weight), last


def head_features(victim: Victim, images: Tensor) -> Tensor:
    """What enters the last linear layer for images [n, 3, h, w], [n, features]; ValueError as in `linear_head`."""
    _, head = linear_head(victim)
    entered: list[Tensor] = []
    hook = head.register_forward_hook(lambda layer, arguments, output: entered.append(arguments[0]))
    try:
        victim(images)
    finally:
        hook.remove()
    return entered[-1]


def _last(victim: Victim) -> nn.Module:
    return [module for module in victim.modules() if next(module.parameters(recurse=False), None) is not None][-1]
