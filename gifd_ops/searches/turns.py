"""The authors' way of restarts, which take turns at one set of noise maps (share_restart_noises)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.objective import Objective
from gifd_ops.searches.features import enter_stage, search_features
from gifd_ops.searches.search import StageEnd
from gifd_ops.stages import FeatureStage, Stage


def search_in_turns(
    start: Features, generator: Generator, objective: Objective, stage: FeatureStage, following: Stage | None
) -> StageEnd:
    """One restart of all targets after the other, each with the noise maps that the one before left behind.

    What follows sees the last restart's maps everywhere; but the features that a restart hands to the next stage are
    computed in its own turn. This is what the authors' code does (share_restart_noises), not what the paper says.
    """
    restarts, quirks = objective.config.restarts, objective.config.quirks
    noises = start.select(slice(0, None, restarts)).noises
    ends = []
    for restart in range(restarts):
        rows = slice(restart, None, restarts)
        own = replace(start.select(rows), noises=noises)
        own = enter_stage(own, generator, stage, quirks)
        loss = objective.select(rows)
        patience = objective.config.patience
        end = search_features(own, generator, loss, stage, quirks=quirks, patience=patience, loss_of=loss.select)
        assert end.features is not None
        noises = end.features.noises
        if isinstance(following, FeatureStage):
            end = replace(end, features=enter_stage(end.features, generator, following, quirks))
        ends.append(end)
    return _interleaved(ends, noises)


def _interleaved(ends: Sequence[StageEnd], noises: tuple[Tensor, ...]) -> StageEnd:
    """Rows in the order of all others again, target by target."""

    def together(parts: Sequence[Tensor | None]) -> Tensor | None:
        tensors = [part for part in parts if part is not None]
        return torch.stack(tensors, dim=1).flatten(0, 1) if tensors else None

    found = [end.features for end in ends if end.features is not None]
    latent, images, trace, steps_taken = (
        torch.stack(parts, dim=1).flatten(0, 1)
        for parts in (
            [features.latent for features in found],
            [end.images for end in ends],
            [end.trace for end in ends],
            [end.steps_taken for end in ends],
        )
    )
    return StageEnd(
        features=replace(
            found[0],
            hidden=together([features.hidden for features in found]),
            skip=together([features.skip for features in found]),
            condition=together([features.condition for features in found]),
            latent=latent,
            noises=tuple(noise.repeat_interleave(len(ends), dim=0) for noise in noises),
        ),
        images=images,
        trace=trace,
        steps_taken=steps_taken,
        feature_radius=together([end.feature_radius for end in ends]),
        latent_radius=together([end.latent_radius for end in ends]),
        noise_radius=together([end.noise_radius for end in ends]),
        feature_moved_l1=together([end.feature_moved_l1 for end in ends]),
    )
