"""The space for images like those the generator was trained on: it stays near what its latents can say."""

from __future__ import annotations

from gifd_ops.config import AttackConfig, GeneratorShape
from search_spaces.base import Ask, Space
from search_spaces.schedules import PUBLISHED, Ranges, suggest_schedule

RANGES = Ranges(
    lr_first=(0.02, 0.4),
    lr_last=(0.002, 0.2),
    feature_radius=(0.05, 2.0),
    latent_radius=(0.2, 2.0),
    noise_radius=(0.05, 2.0),
    steps_tilt=(0.25, 2.0),
    tv_weight=(1e-5, 5e-2),
)


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """A schedule for images of the generator's own domain."""
    return suggest_schedule(ask, shape, budget=budget, ranges=RANGES)


SPACE = Space(
    name="in_distribution",
    summary="images of the generator's own domain (photo)",
    suggest=suggest,
    domains=("photo",),
    begin=PUBLISHED,
)
