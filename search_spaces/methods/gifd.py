"""GIFD (Fang et al., ICCV 2023): layers, split of steps, learning rates, balls, priors, restarts."""

from __future__ import annotations

from gifd_ops.config import AttackConfig, GeneratorShape
from gifd_ops.stages import FeatureStage, Radius
from search_spaces.base import Ask, Method
from search_spaces.curves import apportion, even_restarts, geometric
from search_spaces.published import FEATURE_RADII, L2_WEIGHT, LR, TV_WEIGHT, published_scaled
from search_spaces.reach import Ranges

LEAST_EVALUATIONS = 2  # of a stage: one update, one to score its image
WORTHWHILE_EVALUATIONS = 15  # per layer and restart: with fewer a second start costs more than it finds


# The published recipe in the terms of a space, as far as it can be said there: a stage at every layer, alike in steps
# and learning rate, inside balls. The recipe itself has no parameters that a sampler could learn from.
PUBLISHED = {
    "end_layer": len(FEATURE_RADII),  # the last one
    **{f"search_layer_{layer}": 1 for layer in range(1, len(FEATURE_RADII))},
    "restarts": 1,
    "lr_first": LR,
    "lr_last": LR,
    "steps_tilt": 1.0,
    "balls": 1,
    "tv_weight": TV_WEIGHT,
}


def restart_options(shape: GeneratorShape, *, budget: int) -> tuple[int, ...]:
    """Numbers of restarts that divide the budget evenly and leave each restart enough of it for every layer."""
    return even_restarts(budget, enough=WORTHWHILE_EVALUATIONS * shape.num_layers)


def suggest(ask: Ask, shape: GeneratorShape, *, budget: int, ranges: Ranges) -> AttackConfig:
    """A config that spends exactly `budget` gradient evaluations per target.

    The first stage always searches the latent (layer 0). Learning rates and feature radii run geometrically from the
    first stage to the last; radii are relative to the l1 norm of what they hold. One choice decides whether there are
    balls at all: the widest radii bind nothing, so each variable can still be set free alone.
    """
    end_layer = ask.choice("end_layer", tuple(range(shape.num_layers)))
    layers = [0]
    for layer in range(1, end_layer):
        if ask.choice(f"search_layer_{layer}", (0, 1)):
            layers.append(layer)
    if end_layer > 0:
        layers.append(end_layer)
    restarts = ask.choice("restarts", restart_options(shape, budget=budget))

    lr_first = ask.real("lr_first", *ranges.lr_first, log=True)
    later = len(layers) > 1
    lr_last = ask.real("lr_last", *ranges.lr_last, log=True) if later else lr_first
    tilt = ask.real("steps_tilt", *ranges.steps_tilt, log=True) if later else 1.0
    evaluations = apportion(budget // restarts, geometric(1.0, tilt, len(layers)), least=LEAST_EVALUATIONS)

    feature_radii: list[Radius | None] = [None] * len(layers)
    latent_radius = noise_radius = None
    if ask.choice("balls", (0, 1)):
        latent_radius = relative(ask.real("latent_radius", *ranges.latent_radius, log=True))
        noise_radius = relative(ask.real("noise_radius", *ranges.noise_radius, log=True))
        if later:
            first = ask.real("feature_radius_first", *ranges.feature_radius, log=True)
            last = ask.real("feature_radius_last", *ranges.feature_radius, log=True) if len(layers) > 2 else first
            feature_radii = [None, *(relative(value) for value in geometric(first, last, len(layers) - 1))]

    stages = tuple(
        FeatureStage(
            layer=layer,
            steps=count - 1,
            lr=lr,
            feature_radius=feature_radius,
            latent_radius=latent_radius,
            noise_radius=noise_radius,
        )
        for layer, count, lr, feature_radius in zip(
            layers, evaluations, geometric(lr_first, lr_last, len(layers)), feature_radii, strict=True
        )
    )
    tv_weight = ask.real("tv_weight", *ranges.tv_weight, log=True)
    return AttackConfig(stages=stages, restarts=restarts, tv_weight=tv_weight, l2_weight=L2_WEIGHT)


def relative(value: float) -> Radius:
    """A radius in multiples of the l1 norm of what it holds."""
    return Radius(value=value, relative=True)


METHOD = Method(
    name="gifd",
    summary="GIFD: the features of one generator layer after another",
    suggest=suggest,
    published=published_scaled,
    begin=PUBLISHED,
    schedule=("end_layer", "search_layer_", "restarts"),
)
