"""An observation as it is shared under a defense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from gifd_ops.defenses.clipping import clip
from gifd_ops.defenses.config import (
    Clipping,
    Defense,
    DifferentialPrivacy,
    NoDefense,
    Noise,
    Soteria,
    Sparsification,
)
from gifd_ops.defenses.noise import add_noise
from gifd_ops.defenses.private_release import release
from gifd_ops.defenses.soteria import prune_features
from gifd_ops.defenses.sparsification import sparsify
from gifd_ops.gradients import Observation, victim_gradients
from gifd_ops.victims import Victim


def defend(
    observation: Observation,
    defense: Defense,
    *,
    seeds: Sequence[int],
    victim: Victim,
    images: Tensor,
    labels: Tensor,
) -> Observation:
    """What the server sees where the client defends itself.

    seeds: one per target, for what is drawn. images [targets, (batch,) 3, h, w] and labels [targets, (batch)]: the
    private ones, which a client has. Raises ValueError where the victim does not allow the defense.
    """
    gradients = observation.gradients
    match defense:
        case NoDefense():
            return observation
        case Noise():
            gradients = add_noise(gradients, defense, seeds=seeds)
        case Clipping():
            gradients = clip(gradients, defense)
        case Sparsification():
            gradients = sparsify(gradients, defense)
        case Soteria():
            gradients = prune_features(gradients, defense, victim=victim, images=images.flatten(0, -4))
        case DifferentialPrivacy():
            images, labels = images.flatten(0, -4), labels.flatten()
            batch = len(images) // observation.num_targets
            examples = gradients if batch == 1 else victim_gradients(victim, images, labels, differentiable=False)
            gradients = release(examples, defense, batch=batch, seeds=seeds)
    return replace(observation, gradients=tuple(gradient.detach() for gradient in gradients))
