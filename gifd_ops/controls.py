"""Controls: what an attack gets from something else than the image's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from gifd_ops.gradients import Observation


def noise_gradient(observation: Observation, *, seeds: Sequence[int]) -> Observation:
    """The observation with noise in place of every gradient, of the same l2 norm tensor by tensor.

    seeds: one per target. Nothing of the private image is left but these norms (and what the threat model grants).
    """
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    drawn = []
    for gradient in observation.gradients:
        noise = torch.stack([torch.randn(gradient.shape[1:], generator=stream) for stream in streams]).to(gradient)
        lengths = gradient.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
        drawn.append(noise * lengths.view(-1, *(1,) * (gradient.ndim - 1)))
    return replace(observation, gradients=tuple(drawn))
