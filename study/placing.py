"""What an attack found, private image by private image. Where a client shares a batch, nobody but the metrics can say
which reconstruction is which: each is given the place of the private image it is assigned to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gifd_ops.assignment import assign
from gifd_ops.result import Reconstruction


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A reconstruction for every private image, in the order of these.

    client [images]: the row of the attack that an image is of. place [images]: its place in the attacker's order of
    that batch; None where a client has a single image, and no tensor has a dimension for it.
    """

    reconstruction: Reconstruction
    client: Tensor
    place: Tensor | None

    def of_images(self, values: Tensor) -> Tensor:
        """Values [clients] of clients, or [clients, batch] of their images, as those of images, [images]."""
        return values[self.client] if self.place is None or values.ndim == 1 else values[self.client, self.place]

    def of_restart(self, values: Tensor) -> Tensor:
        """Values [clients, restarts, (batch)] of every image's own restart, [images]."""
        own = values[self.client, self.reconstruction.restart]
        return own if self.place is None or own.ndim == 1 else own[torch.arange(len(own)), self.place]


def placed(reconstruction: Reconstruction, truth: Tensor, *, batch_size: int) -> Placed:
    """The reconstruction in the order of the private images, truth [images, 3, h, w]: those of a batch together."""
    clients = torch.arange(len(reconstruction.matching_loss), device=truth.device)
    if batch_size == 1:
        return Placed(reconstruction=reconstruction, client=clients, place=None)
    place = assign(reconstruction.images, truth.unflatten(0, (-1, batch_size))).flatten()
    client = clients.repeat_interleave(batch_size)
    of_images = Reconstruction(
        images=reconstruction.images[client, place],
        matching_loss=reconstruction.matching_loss[client],
        stage=reconstruction.stage[client],
        restart=reconstruction.restart[client],
    )
    return Placed(reconstruction=of_images, client=client, place=place)
