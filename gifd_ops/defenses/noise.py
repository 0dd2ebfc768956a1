"""Gaussian noise on the shared gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gifd_ops.defenses.config import Noise
from gifd_ops.defenses.norms import absolute, gradient_norms, num_entries, scale

Gradients = tuple[Tensor, ...]


def add_noise(gradients: Sequence[Tensor], defense: Noise, *, seeds: Sequence[int]) -> Gradients:
    """Gradients [targets, ...] with independent Gaussian noise on every entry; one seed per target."""
    return with_noise(gradients, noise_stds(gradients, defense), seeds=seeds)


def noise_stds(gradients: Sequence[Tensor], defense: Noise) -> Tensor:
    """The std [targets] of the noise on gradients as they are before it."""
    stds = absolute(defense.std, gradient_norms(gradients))
    return stds / num_entries(gradients) ** 0.5 if defense.std.relative else stds


def with_noise(gradients: Sequence[Tensor], stds: Tensor, *, seeds: Sequence[int]) -> Gradients:
    """Gradients [targets, ...] plus noise of std [targets], drawn from a target's seed tensor by tensor."""
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    noisy = []
    for gradient in gradients:
        drawn = torch.stack([torch.randn(gradient.shape[1:], generator=stream) for stream in streams])
        noisy.append(gradient + scale(drawn.to(gradient), stds))
    return tuple(noisy)
