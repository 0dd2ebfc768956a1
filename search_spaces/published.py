"""The published recipe of GIFD, scaled to any generator."""

from __future__ import annotations

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import FeatureStage, Radius
from search_spaces.curves import split_evenly

# The authors' settings for StyleGAN2 on FFHQ (gan-config of their repository, 1024 px network): per stage the radius
# of the feature ball and the scalars of that feature; one radius for latents and for each noise map.
FEATURE_RADII = (None, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 8000.0, 8000.0)
FEATURE_SCALARS = (0, 512 * 4**2, 512 * 8**2, 512 * 16**2, 512 * 32**2, 512 * 64**2, 256 * 128**2, 128 * 256**2)
LATENT_AND_NOISE_RADII = (1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 8000.0, 8000.0)
LATENT_SCALARS = 18 * 512
LR, TV_WEIGHT, L2_WEIGHT = 0.1, 1e-4, 1e-6


def published_scaled(shape: GeneratorShape, *, budget: int) -> AttackConfig:
    """One stage at every layer, an equal share of the budget each, lr 0.1, and the published l1 radii.

    A radius is scaled by the number of scalars: published radius / published scalars * scalars here. Noise maps of a
    layer are as large in every StyleGAN2, so their radius stays. The budget counts one evaluation per stage that
    scores its image. Raises ValueError where the budget is too small.
    """
    count = min(shape.num_layers, len(FEATURE_RADII))
    if budget < 2 * count:
        raise ValueError(f"the published recipe has {count} stages and needs a budget >= {2 * count}, got {budget}")
    stages = []
    for layer, evaluations in enumerate(split_evenly(budget, count)):
        feature = FEATURE_RADII[layer]
        ratio = shape.feature_scalars[layer] / FEATURE_SCALARS[layer] if feature is not None else 0.0
        latent = LATENT_AND_NOISE_RADII[layer] * shape.latent_scalars / LATENT_SCALARS
        stages.append(
            FeatureStage(
                layer=layer,
                steps=evaluations - 1,
                lr=LR,
                feature_radius=None if feature is None else Radius(value=feature * ratio, relative=False),
                latent_radius=Radius(value=latent, relative=False),
                noise_radius=Radius(value=LATENT_AND_NOISE_RADII[layer], relative=False),
            )
        )
    return AttackConfig(stages=tuple(stages), restarts=1, tv_weight=TV_WEIGHT, l2_weight=L2_WEIGHT)
