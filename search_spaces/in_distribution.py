"""The space for images like those the generator was trained on: it stays near what its latents can say."""

from __future__ import annotations

from search_spaces.reach import Ranges, Reach

REACH = Reach(
    name="in_distribution",
    summary="images of the generator's own domain (photo)",
    domains=("photo",),
    ranges=Ranges(
        lr_first=(0.02, 0.4),
        lr_last=(0.002, 0.2),
        feature_radius=(0.05, 2.0),
        latent_radius=(0.2, 2.0),
        noise_radius=(0.05, 2.0),
        steps_tilt=(0.25, 2.0),
        tv_weight=(1e-5, 5e-2),
    ),
)
