"""Attacks on batches: a row is a batch of images, each of its own seed and balls, matched as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gifd_ops.attack import AttackResult, run_attack, run_attacks
from gifd_ops.batches import BatchGenerator, seeds_of_images
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe
from gifd_ops.objective import Objective
from gifd_ops.portraits import draw
from gifd_ops.protocols import SHARED_GRADIENT, ClientProtocol
from gifd_ops.quirks import Quirks
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import EvolutionStage, FeatureStage, PixelStage, Radius, WeightStage
from gifd_ops.victims import Victim

SEEDS = (11, 22)
BALL = Radius(value=0.05, relative=True)
FEDAVG = ClientProtocol(kind="fedavg", local_steps=2, local_lr=0.05)
PROTOCOLS = {
    "gradient": SHARED_GRADIENT,
    "fedavg": FEDAVG,
    "minibatches": replace(FEDAVG, local_batch_size=2),
    "train": ClientProtocol(victim_mode="train"),
}


def features(layer: int, *, steps: int = 5, lr: float = 0.1) -> FeatureStage:
    return FeatureStage(
        layer=layer,
        steps=steps,
        lr=lr,
        feature_radius=BALL,
        latent_radius=Radius(value=1.5, relative=False),
        noise_radius=BALL,
    )


def config(*stages: FeatureStage | WeightStage | PixelStage | EvolutionStage, restarts: int = 2) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=restarts, tv_weight=1e-3, l2_weight=1e-4)


EVOLUTION = EvolutionStage(steps=12, population=4, sigma=1.0, own_slots=False, full_covariance=False, kl_weight=0.01)
GIFD = config(features(0), features(1), features(2))
METHODS = {
    "gifd": GIFD,
    "latent": config(features(0)),
    "gias": config(features(0), WeightStage(steps=3, lr=1e-3)),
    "ggl": config(EVOLUTION),
    "evolved features": config(replace(EVOLUTION, own_slots=True), features(1)),
    "ig": config(PixelStage(steps=5, lr=0.1, signed=True)),
    "in turns": replace(GIFD, quirks=Quirks(share_restart_noises=True)),
    "patient": replace(GIFD, patience=2),
    "l2": replace(GIFD, distance="l2"),
}


def private(batch: int) -> tuple[Tensor, Tensor]:
    """Two clients' batches, [2, batch, 3, 16, 16] and [2, batch]."""
    images, labels = draw(range(14, 14 + 2 * batch), domain="photo", size_px=16)
    return images.double().unflatten(0, (2, batch)), labels.unflatten(0, (2, batch))


def seen(victim: Victim, batch: int, protocol: ClientProtocol = SHARED_GRADIENT) -> Observation:
    return observe(victim, *private(batch), protocol=protocol, grant_labels=True)


def only(observation: Observation, target: int) -> Observation:
    assert observation.labels is not None
    one = slice(target, target + 1)
    return replace(
        observation,
        gradients=tuple(gradient[one] for gradient in observation.gradients),
        labels=observation.labels[one],
    )


def check_same(together: AttackResult, alone: AttackResult, target: int) -> None:
    for fused, single in zip(together.stages, alone.stages, strict=True):
        for part in ("loss_trace", "matching_loss", "images"):
            found, expected = getattr(fused, part)[target], getattr(single, part)[0]
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("batch", [2, 4])
@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_batches_beside_others_is_the_row_alone(
    method: str, batch: int, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    observation = seen(lenet, batch)
    together = run_attack(observation, tiny_generator, lenet, METHODS[method], seeds=SEEDS)
    images = together.stages[-1].images
    assert images.shape == (2, 2, batch, 3, 16, 16)
    assert together.best.images.shape == (2, batch, 3, 16, 16)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    for target in range(2):
        alone = run_attack(
            only(observation, target), tiny_generator, lenet, METHODS[method], seeds=SEEDS[target : target + 1]
        )
        check_same(together, alone, target)


@pytest.mark.parametrize("protocol", ["fedavg", "minibatches", "train"])
def test_fused_configs_on_training_clients_are_the_configs_alone(
    protocol: str, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    observation = seen(lenet, 4, PROTOCOLS[protocol])
    configs = [config(features(0), features(1, steps=2)), config(features(0, lr=0.03, steps=3), features(1, steps=4))]
    for together, told in zip(
        run_attacks(observation, tiny_generator, lenet, configs, seeds=SEEDS), configs, strict=True
    ):
        for target in range(2):
            alone = run_attack(only(observation, target), tiny_generator, lenet, told, seeds=SEEDS[target : target + 1])
            check_same(together, alone, target)


@pytest.mark.parametrize("batch", [2, 4])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_attack_gets_nearer(protocol: str, batch: int, tiny_generator: StyleGan2Generator, lenet: Victim) -> None:
    told = AttackConfig(
        stages=(replace(features(0, steps=20), latent_radius=None),), restarts=1, tv_weight=0.0, l2_weight=0.0
    )
    result = run_attack(seen(lenet, batch, PROTOCOLS[protocol]), tiny_generator, lenet, told, seeds=SEEDS)
    trace = result.stages[0].loss_trace[:, 0]
    assert bool((trace[:, -1] < 0.8 * trace[:, 0]).all())


def test_pixels_of_a_batch_are_found(lenet: Victim, tiny_generator: StyleGan2Generator) -> None:
    images, _ = private(2)

    def error(steps: int) -> Tensor:
        stage = PixelStage(steps=steps, lr=0.1, signed=False)
        told = AttackConfig(stages=(stage,), restarts=1, tv_weight=0.0, l2_weight=0.0)
        found = run_attack(seen(lenet, 2), tiny_generator, lenet, told, seeds=SEEDS).best.images
        return (found - images).square().mean(dim=(2, 3, 4))

    begun, ended = error(1), error(300)
    assert bool((ended < begun).all())
    assert float(ended.mean()) < 0.6 * float(begun.mean())


def test_a_batch_of_one_is_the_single_image_to_the_bit(tiny_generator: StyleGan2Generator, lenet: Victim) -> None:
    images, labels = (each[:, 0] for each in private(1))
    for method in (METHODS[name] for name in ("gifd", "ggl", "ig")):
        single = run_attack(observe(lenet, images, labels), tiny_generator, lenet, method, seeds=SEEDS)
        batch = observe(lenet, images[:, None], labels[:, None])
        batched = run_attack(batch, tiny_generator, lenet, method, seeds=SEEDS)
        assert torch.equal(batched.labels[:, 0], single.labels)
        for one, other in zip(single.stages, batched.stages, strict=True):
            assert torch.equal(one.images, other.images[:, :, 0])
            assert torch.equal(one.loss_trace.nan_to_num(), other.loss_trace.nan_to_num())
            assert torch.equal(one.matching_loss, other.matching_loss)


def test_every_image_begins_with_its_own_latent_and_noises(tiny_generator: StyleGan2Generator) -> None:
    start = BatchGenerator(tiny_generator, 3).start([5, 6])
    for tensor in (start.latent, *start.noises):
        assert tensor.shape[:2] == (2, 3)
        assert len(tensor.flatten(2).flatten(0, 1).unique(dim=0)) == 6
    alone = tiny_generator.start(seeds_of_images(6, 3))
    assert torch.equal(start.latent[1], alone.latent)


def test_an_image_is_rendered_as_it_is_alone(tiny_generator: StyleGan2Generator) -> None:
    generator = BatchGenerator(tiny_generator, 3)
    start = generator.start([5, 6])
    images = generator.render(generator.advance(start, to=2))
    alone = tiny_generator.render(tiny_generator.start(seeds_of_images(5, 3)))
    torch.testing.assert_close(images[0], alone, rtol=1e-12, atol=1e-12)


def test_every_image_has_a_ball_of_its_own(tiny_generator: StyleGan2Generator, lenet: Victim) -> None:
    result = run_attack(seen(lenet, 3), tiny_generator, lenet, GIFD, seeds=SEEDS)
    stage = result.stages[1]
    assert stage.feature_radius is not None
    assert stage.feature_moved_l1 is not None
    assert stage.feature_radius.shape == stage.feature_moved_l1.shape == (2, 2, 3)
    assert len(stage.feature_radius.unique()) == 12
    assert bool((stage.feature_moved_l1 <= stage.feature_radius * (1 + 1e-9)).all())
    torch.testing.assert_close(stage.feature_moved_l1, stage.feature_radius, rtol=0.05, atol=0)  # they do hold back


def test_priors_of_a_batch_are_the_mean_over_its_images(lenet: Victim) -> None:
    observation, images = seen(lenet, 2), torch.rand(2, 2, 3, 16, 16, dtype=torch.float64)
    told = replace(GIFD, restarts=1)
    assert observation.labels is not None

    def priors(seen: Observation, labels: Tensor, images: Tensor) -> Tensor:
        objective = Objective(lenet, seen, labels, told)
        return objective(images) - objective.score(images)

    whole = priors(observation, observation.labels, images)
    for target in range(2):
        alone = observe(lenet, *(each[target] for each in private(2)))
        of_images = priors(alone, observation.labels[target], images[target])
        assert float(whole[target]) == pytest.approx(float(of_images.mean()), rel=1e-9)


def test_restarts_pull_at_the_images_in_their_own_place(lenet: Victim) -> None:
    observation, told = seen(lenet, 2), replace(GIFD, tv_weight=0.0, l2_weight=0.0, group_weight=1.0)
    assert observation.labels is not None
    objective = Objective(lenet, observation, observation.labels, told)
    same = torch.rand(2, 1, 2, 3, 16, 16, dtype=torch.float64).expand(-1, 2, -1, -1, -1, -1).flatten(0, 1)
    torch.testing.assert_close(objective(same), objective.score(same), rtol=1e-9, atol=1e-12)
    other = torch.stack([same[0], same[1].flip(0), same[2], same[3]])  # one restart has the images exchanged
    pull = objective(other) - objective.score(other)
    assert bool((pull[:2] > 1e-3).all())
    torch.testing.assert_close(pull[2:], torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)


@dataclass(frozen=True)
class OneBroken:
    """A generator that draws a latent without numbers from one seed."""

    generator: StyleGan2Generator
    broken: int

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        start = self.generator.start(seeds)
        latent = start.latent.clone()
        latent[[seed == self.broken for seed in seeds]] = torch.nan
        return replace(start, latent=latent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


def test_an_image_that_is_no_number_ends_its_row_and_no_other(
    tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    row = derive_seed(SEEDS[1], "restart", 0)
    generator = OneBroken(tiny_generator, seeds_of_images(row, 2)[1])
    result = run_attack(seen(lenet, 2), generator, lenet, GIFD, seeds=SEEDS)
    whole = run_attack(seen(lenet, 2), tiny_generator, lenet, GIFD, seeds=SEEDS)
    for stage, expected in zip(result.stages, whole.stages, strict=True):
        assert bool(stage.images[1, 0].isnan().all())
        assert stage.steps_taken.tolist() == [[5, 5], [0, 5]]
        others = torch.tensor([[True, True], [False, True]])
        torch.testing.assert_close(stage.images[others], expected.images[others], rtol=1e-9, atol=1e-9)


def test_a_coarser_simulation_is_chosen_by_the_whole_one(tiny_generator: StyleGan2Generator, lenet: Victim) -> None:
    observation = seen(lenet, 2, replace(FEDAVG, local_steps=4))
    told = replace(GIFD, simulated_steps=1)
    coarse = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS)
    assert observation.labels is not None
    objective = Objective(lenet, observation, observation.labels, replace(GIFD, restarts=1))
    best = coarse.best
    torch.testing.assert_close(objective.score(best.images), best.matching_loss, rtol=1e-9, atol=1e-12)
    whole = run_attack(observation, tiny_generator, lenet, GIFD, seeds=SEEDS)
    assert not torch.equal(whole.stages[0].loss_trace, coarse.stages[0].loss_trace)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_labels_of_a_batch_are_counted_and_sorted(
    protocol: str, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    images, _ = private(3)
    labels = torch.tensor([[7, 2, 7], [9, 0, 3]])
    told = PROTOCOLS[protocol]
    if told.local_batch_size is not None:
        told = replace(told, local_batch_size=None)
    observation = observe(lenet, images, labels, protocol=told)
    result = run_attack(observation, tiny_generator, lenet, config(features(0, steps=2)), seeds=SEEDS)
    assert result.labels.tolist() == [[2, 7, 7], [0, 3, 9]]
