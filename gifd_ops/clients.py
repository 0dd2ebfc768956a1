"""The victim as a client runs it: in eval mode, normalizing by its own batch, or with weights that change."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from gifd_ops.frozen_layers import FrozenConv, FrozenNorm, become
from gifd_ops.protocols import ClientProtocol
from gifd_ops.victims import Victim


class OwnNorm(nn.BatchNorm2d):
    """Batch normalization by the mean and variance of a row's own images; the running ones are left alone.

    images_per_row: so many consecutive images are a row's batch; None: all images are.
    """

    images_per_row: int | None = None

    def forward(self, entering: Tensor) -> Tensor:
        standardized, _ = standardize(entering, self.images_per_row or len(entering), self.eps)
        if not self.affine:
            return standardized
        return torch.addcmul(self.bias[:, None, None], standardized, self.weight[:, None, None])


def standardize(entering: Tensor, images: int, eps: float) -> tuple[Tensor, Tensor]:
    """(z - mean) / s of what enters a normalization [rows x images, c, h, w], and 1 / s [rows, 1, c, 1, 1].

    Mean and variance are those of a row's `images` consecutive images. Raises ValueError where that is one number.
    """
    grouped = entering.unflatten(0, (-1, images))
    if grouped[0, :, 0].numel() == 1:
        raise ValueError(
            "a victim in train mode needs more than one value per channel to normalize by, got 1 image of 1 x 1; use "
            "a larger batch, larger images, or eval mode"
        )
    mean = grouped.mean(dim=(1, 3, 4), keepdim=True)
    centered = grouped - mean
    inverse = torch.rsqrt(centered.square().mean(dim=(1, 3, 4), keepdim=True) + eps)
    return (centered * inverse).flatten(0, 1), inverse


def as_client(victim: Victim, protocol: ClientProtocol, batch_size: int) -> Victim:
    """The victim that a client of the protocol computes with, its weights and buffers shared with the given one.

    Where the weights change on the way, its layers are plain ones and all images that go in are one client's. Raises
    ValueError where the batch does not fit the protocol, or for train mode with layers that draw at random.
    """
    protocol.check_fits(batch_size)
    if protocol.victim_mode == "train":
        _check_trainable(victim)
    elif not protocol.trains:
        return victim
    held = [*victim.parameters(), *victim.buffers()]
    own = copy.deepcopy(victim, {id(tensor): tensor for tensor in held})
    for parent in list(own.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d) and protocol.victim_mode == "train":
                norm = become(OwnNorm, layer)
                norm.images_per_row = None if protocol.trains else batch_size
                setattr(parent, name, norm)
            elif protocol.trains and isinstance(layer, FrozenConv | FrozenNorm):
                setattr(parent, name, become(nn.Conv2d if isinstance(layer, FrozenConv) else nn.BatchNorm2d, layer))
    return own


def _check_trainable(victim: Victim) -> None:
    for module in victim.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise ValueError(
                f"a victim in train mode may not draw at random, as {module} does; set p=0 or use eval mode"
            )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, nn.BatchNorm2d):
            raise ValueError(f"train mode is known for BatchNorm2d, and the victim has {module}; use eval mode")
