from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import gifd_ops.attack
from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation
from gifd_ops.matching import CosineMatching
from gifd_ops.quirks import MENDED
from gifd_ops.searches.descent import learning_rates
from gifd_ops.searches.search import StageEnd
from gifd_ops.searches.weights import search_weights
from gifd_ops.stages import FeatureStage, WeightStage
from gifd_ops.victims import Victim

STAGE = WeightStage(steps=6, lr=0.01)
LATENT = FeatureStage(
    layer=0, steps=2, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None, noises=False, decay="steps"
)


@dataclass(frozen=True)
class Copied:
    """A generator whose copies are kept."""

    generator: StyleGan2Generator
    copies: list[StyleGan2Generator] = field(default_factory=list)

    def unfrozen(self) -> tuple[StyleGan2Generator, list[Tensor]]:
        own, weights = self.generator.unfrozen()
        self.copies.append(own)
        return own, weights

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


@pytest.fixture(scope="module")
def matching(observation: Observation, lenet: Victim, target_labels: Tensor) -> CosineMatching:
    return CosineMatching(lenet, observation, target_labels, restarts=2)


def a_start(generator: StyleGan2Generator, layer: int, seeds: tuple[int, ...] = (1, 2, 3, 4, 5, 6)) -> Features:
    return generator.advance(generator.start(seeds), to=layer)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_row_begins_with_the_generator_as_given_and_comes_nearer(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    start = a_start(tiny_generator, layer)
    end = search_weights(start, tiny_generator, matching.select, replace(STAGE, steps=10))
    before = matching(tiny_generator.render(start), differentiable=False)
    torch.testing.assert_close(end.trace[:, 0], before, rtol=1e-10, atol=1e-12)
    assert end.trace.shape == (6, 10)
    assert bool((matching(end.images, differentiable=False) < before).all())
    assert bool((end.trace[:, -1] < before).all())


def test_latents_noises_and_features_are_held(tiny_generator: StyleGan2Generator, matching: CosineMatching) -> None:
    start = a_start(tiny_generator, 1)
    kept = [tensor.clone() for tensor in (start.latent, start.hidden, start.skip, *start.noises) if tensor is not None]
    end = search_weights(start, tiny_generator, matching.select, STAGE)
    assert end.features is start
    after = [tensor for tensor in (start.latent, start.hidden, start.skip, *start.noises) if tensor is not None]
    assert all(torch.equal(a, b) for a, b in zip(kept, after, strict=True))
    assert (end.feature_radius, end.latent_radius, end.noise_radius, end.feature_moved_l1) == (None,) * 4


@pytest.mark.parametrize("layer", [0, 2])
def test_every_row_has_weights_of_its_own_and_those_it_does_not_use_stay(
    layer: int, tiny_generator: StyleGan2Generator, matching: CosineMatching
) -> None:
    copied = Copied(tiny_generator)
    start = a_start(tiny_generator, layer)
    end = search_weights(start, copied, matching.select, STAGE)
    first = tiny_generator.network.state_dict()
    own = [copy.network.state_dict() for copy in copied.copies]
    assert len(own) == 6
    for name, value in first.items():
        used = name.startswith("synthesis.") and name != "synthesis.fir"
        used &= layer == 0 or name.startswith(f"synthesis.blocks.{layer}.")
        for index, weights in enumerate(own):
            assert torch.equal(weights[name], value) != used, name
            if used:
                assert not any(torch.equal(weights[name], other[name]) for other in own[:index])
    # the images are those of the changed weights, after the last update
    for row, changed in enumerate(copied.copies):
        shown = changed.render(start.select(slice(row, row + 1))).detach().clamp(0, 1)
        assert torch.equal(end.images[row : row + 1], shown)


@pytest.mark.parametrize("decay", ["ramp", "steps"])
def test_the_rate_and_its_decay_are_the_stages_own(decay: str, tiny_generator: StyleGan2Generator) -> None:
    """Adam's steps are as long as the rate where the slope is even."""
    copied = Copied(tiny_generator)
    stage = replace(STAGE, decay=decay)
    brightness = lambda images: images.flatten(1).mean(dim=1)
    search_weights(a_start(tiny_generator, 0, seeds=(1,)), copied, lambda row: brightness, stage)
    last = f"synthesis.blocks.{tiny_generator.network.config.num_blocks - 1}.to_rgb.bias"
    moved = copied.copies[0].network.state_dict()[last] - tiny_generator.network.state_dict()[last]
    far = sum(learning_rates(stage.lr, stage.steps, stage.decay, MENDED))
    torch.testing.assert_close(moved, torch.full_like(moved, -far), rtol=1e-4, atol=0)


def test_the_image_is_in_range(tiny_generator: StyleGan2Generator) -> None:
    bright = lambda images: -images.flatten(1).mean(dim=1)
    end = search_weights(
        a_start(tiny_generator, 0, seeds=(1,)), tiny_generator, lambda row: bright, replace(STAGE, lr=1.0)
    )
    assert float(end.images.max()) == 1
    assert float(end.images.min()) >= 0


@pytest.mark.parametrize("layer", [1, 2])
def test_weights_follow_features_of_a_later_layer_where_they_ended(
    layer: int,
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    matching: CosineMatching,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = []

    def watched(start: Features, *rest: Any, **options: Any) -> StageEnd:
        starts.append(start)
        return search_weights(start, *rest, **options)

    monkeypatch.setattr(gifd_ops.attack, "search_weights", watched)
    stages = (LATENT, replace(LATENT, layer=layer), STAGE)
    told = AttackConfig(stages=stages, restarts=2, tv_weight=0.0, l2_weight=0.0)
    _, features, weights = run_attack(observation, tiny_generator, lenet, told, seeds=(7, 8, 9)).stages
    (start,) = starts
    assert start.layer == layer
    shown = tiny_generator.render(start)
    torch.testing.assert_close(shown.clamp(0, 1), features.images.flatten(0, 1), rtol=1e-12, atol=1e-12)
    losses = matching(shown, differentiable=False).view(3, 2)
    torch.testing.assert_close(weights.loss_trace[..., 0], losses, rtol=1e-10, atol=1e-12)
    assert bool((weights.matching_loss < features.matching_loss).all())


def test_restarts_that_run_one_after_another_cannot_pull_at_one_another() -> None:
    with pytest.raises(ValueError, match=r"group_weight must be 0 where restarts are searched one by one.*got 5\.0"):
        AttackConfig(stages=(STAGE,), restarts=2, tv_weight=0.0, l2_weight=0.0, group_weight=5.0)


def test_every_row_is_searched_by_its_own_loss(tiny_generator: StyleGan2Generator) -> None:
    """Row r is drawn to brightness r / 4."""
    asked = []

    def loss_of(row: slice) -> Callable[[Tensor], Tensor]:
        asked.append(row)
        wanted = torch.arange(4.0)[row] / 4
        return lambda images: (images.flatten(1).mean(dim=1) - wanted).square()

    start = a_start(tiny_generator, 0, seeds=(1, 1, 1, 1))
    end = search_weights(start, tiny_generator, loss_of, replace(STAGE, steps=30, lr=0.1))
    assert asked == [slice(row, row + 1) for row in range(4)]
    assert bool((end.images.flatten(1).mean(dim=1).diff() > 0.1).all())
