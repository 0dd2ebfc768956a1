"""The space for images out of the generator's distribution: free to leave its range late and far."""

from __future__ import annotations

from search_spaces.reach import Ranges, Reach

REACH = Reach(
    name="ood",
    summary="images out of the generator's distribution (art, cartoon, sketch), photo measured beside them",
    domains=None,
    ranges=Ranges(
        lr_first=(0.02, 0.4),
        lr_last=(0.002, 0.4),
        feature_radius=(0.1, 5.0),
        latent_radius=(0.2, 5.0),
        noise_radius=(0.05, 5.0),
        steps_tilt=(0.25, 8.0),
        tv_weight=(1e-5, 2e-1),
    ),
)
