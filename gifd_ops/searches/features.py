"""A stage of GIFD: the features that enter one layer, with latents and noises, inside l1 balls (algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gifd_ops.generators.protocol import Features, Generator, Searched
from gifd_ops.projection import project_l1_ball
from gifd_ops.quirks import MENDED, Quirks
from gifd_ops.searches.descent import Opened, descend, learning_rates
from gifd_ops.searches.search import Loss, LossOf, StageEnd
from gifd_ops.searches.stopping import blanked, finite_rows
from gifd_ops.stages import FeatureStage, Radius


@torch.no_grad()
def enter_stage(features: Features, generator: Generator, stage: FeatureStage, quirks: Quirks) -> Features:
    """The features at the layer where a stage starts."""
    entered = generator.advance(features, to=stage.layer)
    return replace(entered, skip=None) if quirks.rgb_skip == "drop" else entered


def search_features(
    start: Features,
    generator: Generator,
    loss: Loss,
    *stages: FeatureStage,
    quirks: Quirks = MENDED,
    patience: int = 0,
    loss_of: LossOf | None = None,
) -> StageEnd:
    """Adam on the opened variables, each projected after every update on the l1 ball around its starting value.

    stages: one for all rows, or for each its own, alike in layer and noises. loss_of: the loss of some of the rows;
    without it no row stops before all do. Every image of a row has balls of its own. Radii are infinite for rows
    without a ball, None if there is none.
    """
    searched = generator.searched(stages[0].layer)
    if not stages[0].noises:
        searched = replace(searched, noises=())
    centers = _opened(start, searched)
    limits = zip(*(_limits(stage, searched) for stage in stages), strict=True)
    lead = 1 + len(start.batch)
    radii = [_radii(told, center, lead) for told, center in zip(limits, centers, strict=True)]
    balls = [
        Ball(center.clone().requires_grad_(), center, radius, lead)
        for center, radius in zip(centers, radii, strict=True)
    ]
    opened = _open_balls(balls, start, generator, searched, loss, spherical=quirks.spherical == "on", loss_of=loss_of)
    rates = [learning_rates(stage.lr, stage.steps, stage.decay, quirks) for stage in stages]
    found = descend(opened, begin=finite_rows(start), rates=rates, signed=False, patience=patience)
    ended = [blanked(ball.variable.detach(), keep=found.whole) for ball in balls]
    features = _replaced(start, searched, ended)
    images = found.images
    if images is None or quirks.stage_image == "after_update":
        with torch.no_grad():
            images = generator.render(features)
    by_kind = dict(zip(_names(searched), radii, strict=True))
    moved = (ended[0] - centers[0]).flatten(lead).abs().sum(dim=lead) if searched.hidden else None
    return StageEnd(
        features=features,
        images=blanked(images.clamp(0, 1), keep=found.whole),
        trace=found.trace,
        steps_taken=found.steps_taken,
        feature_radius=by_kind.get("hidden"),
        latent_radius=by_kind.get("latent"),
        noise_radius=by_kind.get(f"noise {searched.noises[0]}") if searched.noises else None,
        feature_moved_l1=moved,
    )


@dataclass(frozen=True)
class Ball:
    """A searched variable [rows, ...], and the l1 ball around its starting value that it may not leave.

    lead: dimensions before those of one ball's center: rows, or rows and images.
    """

    variable: Tensor
    center: Tensor
    radii: Tensor | None  # [rows], or [rows, images]; None: free
    lead: int = 1

    @torch.no_grad()
    def project(self) -> None:
        """Move the variable, in place, to the nearest point of the ball."""
        if self.radii is None:
            return
        deviations = (self.variable - self.center).flatten(self.lead).flatten(0, -2)
        projected = project_l1_ball(deviations, self.radii.flatten())
        if projected is not deviations:
            self.variable.copy_(self.center + projected.view_as(self.center))

    @torch.no_grad()
    def rescale(self) -> None:
        """Give every vector along the last dimensions its first length again (the authors' spherical optimizer)."""
        dims = tuple(range(self.lead + 1, self.variable.ndim))
        lengths = (self.variable.square().sum(dim=dims, keepdim=True) + 1e-9).sqrt()
        first = (self.center.square().sum(dim=dims, keepdim=True) + 1e-9).sqrt()
        self.variable.mul_(first / lengths)

    def select(self, rows: Tensor) -> Ball:
        """The balls of some rows, with a variable of their own."""
        radii = None if self.radii is None else self.radii[rows]
        return Ball(self.variable.detach()[rows].requires_grad_(), self.center[rows], radii, self.lead)


def _open_balls(
    balls: Sequence[Ball],
    start: Features,
    generator: Generator,
    searched: Searched,
    loss: Loss,
    *,
    spherical: bool,
    loss_of: LossOf | None,
) -> Opened:
    """The variables of balls, as a descent takes them."""
    variables = [ball.variable for ball in balls]
    spheres = balls[searched.hidden :] if spherical else []  # latents and noise maps, not features

    def look() -> tuple[Tensor, Tensor]:
        images = generator.render(_replaced(start, searched, variables))
        return loss(images), images

    def confine() -> None:
        for ball in spheres:
            ball.rescale()
        for ball in balls:
            ball.project()

    def part(rows: Tensor) -> Opened:
        assert loss_of is not None
        own = [ball.select(rows) for ball in balls]
        told = start.select(rows)
        return _open_balls(own, told, generator, searched, loss_of(rows), spherical=spherical, loss_of=None)

    return Opened(variables=variables, look=look, after_update=confine, part=None if loss_of is None else part)


def _names(searched: Searched) -> list[str]:
    """What a stage optimizes, in one order: features, latent, noise maps."""
    own = ["hidden"] * searched.hidden + ["latent"] * searched.latent
    return own + [f"noise {index}" for index in searched.noises]


def _opened(features: Features, searched: Searched) -> list[Tensor]:
    """The tensors of `_names`."""
    tensors = [features.noises[index] for index in searched.noises]
    if searched.latent:
        tensors.insert(0, features.latent)
    if searched.hidden:
        assert features.hidden is not None
        tensors.insert(0, features.hidden)
    return tensors


def _replaced(features: Features, searched: Searched, tensors: Sequence[Tensor]) -> Features:
    """The features with the tensors of `_names` exchanged."""
    remaining = iter(tensors)
    hidden = next(remaining) if searched.hidden else features.hidden
    latent = next(remaining) if searched.latent else features.latent
    noises = list(features.noises)
    for index in searched.noises:
        noises[index] = next(remaining)
    return replace(features, hidden=hidden, latent=latent, noises=tuple(noises))


def _limits(stage: FeatureStage, searched: Searched) -> list[Radius | None]:
    """The radius of every tensor of `_names`."""
    of = {"hidden": stage.feature_radius, "latent": stage.latent_radius}
    return [of.get(name, stage.noise_radius) for name in _names(searched)]


def _radii(told: Sequence[Radius | None], center: Tensor, lead: int) -> Tensor | None:
    """Absolute radii of the balls around `center`, of its first `lead` dimensions, as told for all rows or for each."""
    if not any(told):
        return None
    values = center.new_tensor([math.inf if radius is None else radius.value for radius in told])
    relative = torch.tensor([radius is not None and radius.relative for radius in told], device=center.device)
    values, relative = (each.view(-1, *(1,) * (lead - 1)) for each in (values, relative))
    return values * torch.where(relative, center.flatten(lead).abs().sum(dim=lead), 1.0)
