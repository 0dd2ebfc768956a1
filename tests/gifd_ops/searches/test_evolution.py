from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gifd_ops.searches.evolution
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation
from gifd_ops.matching import CosineMatching
from gifd_ops.searches.evolution import divergence, search_evolution
from gifd_ops.searches.search import Loss, StageEnd
from gifd_ops.stages import EvolutionStage
from gifd_ops.victims import Victim

SEEDS = (1, 2, 3)
SLOTS, WIDTH = 3, 2
STAGE = EvolutionStage(steps=30, population=6, sigma=1.0, own_slots=True, full_covariance=False)


@dataclass(frozen=True)
class Mirror:
    """A generator whose image is its latent, [rows, 1, slots, dim]: what an evolution of numbers is seen through."""

    placed: list[Tensor] = field(default_factory=list)
    latent_shape: tuple[int, int] = (SLOTS, WIDTH)

    def start(self, seeds: Sequence[int]) -> Features:
        latent = torch.full((len(seeds), *self.latent_shape), 9.0, dtype=torch.float64)
        return Features(layer=0, hidden=None, skip=None, condition=None, latent=latent, noises=())

    def place(self, features: Features, z: Tensor) -> Features:
        self.placed.append(z.clone())
        return replace(features, latent=z.expand(-1, *self.latent_shape))

    def render(self, features: Features) -> Tensor:
        return features.latent[:, None]


def evolve(
    loss: Loss, stage: EvolutionStage = STAGE, *, seeds: Sequence[int] = SEEDS, mirror: Mirror | None = None
) -> StageEnd:
    mirror = Mirror() if mirror is None else mirror
    return search_evolution(mirror.start(seeds), mirror, loss, stage, seeds=seeds)  # type: ignore[arg-type]


def to_goals(images: Tensor) -> Tensor:
    """Squared distance of row r to r + 1/2 in every number."""
    goals = torch.arange(len(images), dtype=images.dtype)[:, None, None, None] + 0.5
    return (images - goals).square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_every_row_finds_its_own_minimum(full: bool, own: bool) -> None:
    stage = replace(STAGE, steps=600, population=10, full_covariance=full, own_slots=own)
    end = evolve(to_goals, stage)
    assert end.features is not None
    goals = torch.tensor([0.5, 1.5, 2.5])[:, None, None].expand(-1, SLOTS, WIDTH).double()
    torch.testing.assert_close(end.features.latent, goals, rtol=0, atol=0.02)
    assert bool((end.trace[:, -10:].amax(dim=1) < 0.01 * end.trace[:, :10].amin(dim=1)).all())


def test_the_best_candidate_seen_is_kept_although_later_ones_are_worse(watch: Callable[..., Any]) -> None:
    found = iter([0.5, 0.4, 0.9, *[0.7] * 8, 0.2, *[0.6] * 18])
    seen = watch(lambda images: torch.full((3,), next(found)).double())
    end = evolve(seen)
    assert end.features is not None
    assert torch.equal(end.features.latent, seen.images[11][:, 0])
    assert torch.equal(end.images, seen.images[11].clamp(0, 1))
    assert end.trace[0, :3].tolist() == pytest.approx([0.5, 0.4, 0.9])


def test_what_is_kept_has_the_least_loss_of_the_trace(
    observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim, target_labels: Tensor
) -> None:
    matching = CosineMatching(lenet, observation, target_labels, restarts=1)
    loss = lambda images: matching(images, differentiable=False)
    start = tiny_generator.start(SEEDS)
    end = search_evolution(start, tiny_generator, loss, STAGE, seeds=SEEDS)
    assert end.features is not None
    shown = tiny_generator.render(end.features)
    assert bool(shown.detach().min() < 0)
    torch.testing.assert_close(loss(shown), end.trace.amin(dim=1), rtol=1e-10, atol=0)
    torch.testing.assert_close(end.images, shown.clamp(0, 1), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(start.noises, end.features.noises, strict=True))
    assert end.features.layer == 0


def test_there_is_one_evaluation_per_step_and_a_generation_that_is_not_whole_is_looked_at_not_learned_from(
    watch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    class Watched(gifd_ops.searches.evolution.SepCMA):
        def tell(self, solutions: list[tuple[np.ndarray, float]]) -> None:
            told.append([value for _, value in solutions])
            super().tell(solutions)

    monkeypatch.setattr(gifd_ops.searches.evolution, "SepCMA", Watched)
    count = iter(range(100))
    seen = watch(lambda images: torch.tensor([-float(next(count))] * 3).double())  # ever better
    end = evolve(seen, replace(STAGE, steps=15))
    assert end.trace.shape == (3, 15)
    assert torch.equal(end.trace, torch.stack(seen.losses, dim=1))
    assert len(told) == 3 * 2
    assert [sorted(values, reverse=True) for values in told] == [
        [-float(step) for step in range(begun, begun + 6)] for begun in (0, 6) for _ in SEEDS
    ]
    assert end.features is not None
    assert torch.equal(end.features.latent, seen.images[14][:, 0])  # of the last, unfinished generation


def test_candidates_come_from_the_prior_that_sigma_widens() -> None:
    deviations = {}
    for sigma in (0.2, 1.0):
        mirror = Mirror(latent_shape=(10, 10))
        evolve(lambda images: images.sum(dim=(1, 2, 3)), replace(STAGE, steps=6, sigma=sigma), mirror=mirror)
        first = torch.stack(mirror.placed[:6])
        assert abs(float(first.mean())) < 0.1 * sigma
        deviations[sigma] = float(first.std())
    assert deviations == pytest.approx({0.2: 0.2, 1.0: 1.0}, rel=0.1)


@pytest.mark.parametrize("own", [False, True])
def test_slots_have_latents_of_their_own_or_share_one(own: bool) -> None:
    mirror = Mirror()
    end = evolve(to_goals, replace(STAGE, own_slots=own), mirror=mirror)
    assert {tuple(z.shape) for z in mirror.placed} == {(3, SLOTS if own else 1, WIDTH)}
    assert end.features is not None
    latent = end.features.latent
    assert latent.shape == (3, SLOTS, WIDTH)
    alike = [bool((row[0] == row).all()) for row in latent]
    assert alike == [not own] * 3


@pytest.mark.parametrize("own", [False, True])
def test_shared_and_own_slots_reach_the_generator_as_it_places_them(
    own: bool, tiny_generator: StyleGan2Generator
) -> None:
    """Slots that share z share the latent; the generator's own slots differ from the start."""
    loss = lambda images: images.mean(dim=(1, 2, 3))
    stage = replace(STAGE, own_slots=own)
    end = search_evolution(tiny_generator.start(SEEDS), tiny_generator, loss, stage, seeds=SEEDS)
    assert end.features is not None
    latent = end.features.latent
    assert latent.shape == (3, *tiny_generator.latent_shape)
    assert bool((latent == latent[:, :1]).all()) == (not own)


@pytest.mark.parametrize("full", [False, True])
def test_all_covariances_are_learned_or_the_variances_alone(full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in ("CMA", "SepCMA"):
        kind = getattr(gifd_ops.searches.evolution, name)
        monkeypatch.setattr(
            gifd_ops.searches.evolution, name, lambda name=name, kind=kind, **told: made.append(name) or kind(**told)
        )
    evolve(to_goals, replace(STAGE, full_covariance=full))
    assert made == ["CMA" if full else "SepCMA"] * 3


@pytest.mark.parametrize("full", [False, True])
def test_rows_draw_from_their_own_seeds_only_whoever_is_beside_them(full: bool) -> None:
    loss = lambda images: (images - 1).square().sum(dim=(1, 2, 3))
    stage = replace(STAGE, full_covariance=full)
    together = evolve(loss, stage)
    np.random.seed(5)  # the global state plays no part
    reordered = evolve(loss, stage, seeds=(3, 7, 1))
    assert torch.equal(together.trace[[2, 0]], reordered.trace[[0, 2]])
    assert torch.equal(together.images[[2, 0]], reordered.images[[0, 2]])
    assert not bool((together.trace[1] == reordered.trace[1]).any())


def test_seeds_of_any_size_are_told_apart() -> None:
    loss = lambda images: images.sum(dim=(1, 2, 3))
    trace = evolve(loss, seeds=(2**63 - 1, 2**63 - 2, 2**40)).trace
    assert len(trace.unique(dim=0)) == 3


@pytest.mark.parametrize("full", [False, True])
def test_what_is_not_a_number_is_never_kept_and_counts_as_the_worst(full: bool) -> None:
    """Every third candidate fails; the search goes where it would if it had been very bad."""

    def failing(worst: float) -> Loss:
        count = iter(range(1000))
        bad = lambda losses: torch.full_like(losses, worst) if next(count) % 3 == 0 else losses
        return lambda images: bad(to_goals(images))

    stage = replace(STAGE, steps=120, full_covariance=full)
    broken, bad = evolve(failing(math.nan), stage), evolve(failing(1e9), stage)
    assert torch.equal(broken.images, bad.images)
    assert bool(broken.trace[:, ::3].isnan().all())
    assert torch.equal(broken.trace[:, 1::3], bad.trace[:, 1::3])
    assert broken.features is not None
    assert float(to_goals(broken.features.latent[:, None]).max()) < float(broken.trace[:, 1:6:3].min())


@pytest.mark.parametrize("worst", [math.nan, math.inf])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_a_row_that_is_never_a_number_ends_as_none_and_leaves_the_others_alone(
    apart: bool, full: bool, worst: float
) -> None:
    shown, everyone = [], torch.arange(3)

    def broken(images: Tensor, rows: Tensor = everyone) -> Tensor:
        shown.append(len(images))
        losses = (images - (rows.view(-1, 1, 1, 1) + 0.5)).square().mean(dim=(1, 2, 3))
        return torch.where(rows == 1, worst, losses)

    loss_of = (lambda rows: lambda images: broken(images, rows)) if apart else None
    stage, mirror = replace(STAGE, full_covariance=full), Mirror()
    start = mirror.start(SEEDS)
    end = search_evolution(start, mirror, broken, stage, seeds=SEEDS, loss_of=loss_of)  # type: ignore[arg-type]
    whole = evolve(to_goals, stage)
    assert end.features is not None
    assert bool(end.features.latent[1].isnan().all())
    assert bool(end.images[1].isnan().all())
    assert torch.equal(end.trace[[0, 2]], whole.trace[[0, 2]])
    assert torch.equal(end.images[[0, 2]], whole.images[[0, 2]])
    first, later = STAGE.population, STAGE.steps - STAGE.population
    assert shown == ([3] * first + [2] * later if apart else [3] * STAGE.steps)
    assert end.steps_taken.tolist() == ([30, first, 30] if apart else [30, 30, 30])


@pytest.mark.parametrize("weight", [0.1, 30.0])
def test_the_divergence_is_added_to_every_loss_with_its_weight_and_steers(weight: float) -> None:
    """-1/2 (1 + log v - m^2 - v), with mean m and variance v of a slot's numbers, summed over slots."""
    mirror = Mirror()
    plain, weighted = evolve(to_goals), evolve(to_goals, replace(STAGE, kl_weight=weight), mirror=mirror)
    for step in range(STAGE.steps):
        z = mirror.placed[step].numpy()
        mean, variance = z.mean(axis=2), ((z - z.mean(axis=2, keepdims=True)) ** 2).mean(axis=2)
        expected = torch.from_numpy((-0.5 * (1 + np.log(variance + 1e-10) - mean**2 - variance)).sum(axis=1))
        loss = to_goals(mirror.placed[step][:, None])
        torch.testing.assert_close(weighted.trace[:, step], loss + weight * expected, rtol=1e-8, atol=1e-8)
        if step < STAGE.population:  # until it has learned
            torch.testing.assert_close(plain.trace[:, step], loss, rtol=1e-12, atol=0)
    assert weighted.features is not None
    kept = to_goals(weighted.features.latent[:, None]) + weight * divergence(weighted.features.latent)
    torch.testing.assert_close(kept, weighted.trace.amin(dim=1), rtol=1e-8, atol=1e-8)


def test_the_divergence_is_zero_for_standard_numbers_and_grows_with_mean_and_spread() -> None:
    standard = torch.tensor([[[-1.0, 1.0, 1.0, -1.0]]]).double()
    assert float(divergence(standard)) == pytest.approx(0, abs=1e-9)
    assert float(divergence(standard + 2)) == pytest.approx(2)  # m^2 / 2
    assert float(divergence(3 * standard)) == pytest.approx(-0.5 * (1 + math.log(9) - 9))
    assert float(divergence(torch.cat([standard + 2, standard + 4], dim=1))) == pytest.approx(2 + 8)
    assert float(divergence(torch.ones(1, 2, 2).double())) < 40  # no variance at all is not infinite


def test_nothing_is_differentiated(tiny_generator: StyleGan2Generator) -> None:
    def loss(images: Tensor) -> Tensor:
        assert not images.requires_grad
        return images.mean(dim=(1, 2, 3))

    start = tiny_generator.start(SEEDS)
    watched = replace(start, noises=tuple(noise.clone().requires_grad_() for noise in start.noises))
    end = search_evolution(watched, tiny_generator, loss, STAGE, seeds=SEEDS)
    assert not end.trace.requires_grad
    assert not end.images.requires_grad
