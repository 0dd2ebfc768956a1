"""Three targets for the tiny generator and LeNet; and losses that remember what they were shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from gifd_ops.gradients import Observation, observe
from gifd_ops.searches.search import Loss
from gifd_ops.victims import Victim


@dataclass(frozen=True)
class Seen:
    """A loss that keeps the images it is asked about and what it said."""

    loss: Loss
    images: list[Tensor] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor) -> Tensor:
        losses = self.loss(images)
        self.images.append(images.detach().clone())
        self.losses.append(losses.detach().clone())
        return losses


@pytest.fixture(scope="session")
def watch() -> Callable[[Loss], Seen]:
    return Seen


@pytest.fixture(scope="session")
def target_labels() -> Tensor:
    return torch.tensor([4, 0, 9])


@pytest.fixture(scope="session")
def target_images() -> Tensor:
    """Smooth color gradients, [3, 3, 16, 16] float64."""
    place = torch.linspace(0, 1, 16, dtype=torch.float64)
    slopes = torch.rand(3, 3, 2, 1, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return (slopes[:, :, 0] * place + slopes[:, :, 1] * place[:, None]) / 2


@pytest.fixture(scope="session")
def observation(lenet: Victim, target_images: Tensor, target_labels: Tensor) -> Observation:
    return observe(lenet, target_images, target_labels)
