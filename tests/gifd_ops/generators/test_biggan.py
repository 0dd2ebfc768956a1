from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gifd_ops.attack import run_attack
from gifd_ops.batches import BatchGenerator, seeds_of_images
from gifd_ops.config import AttackConfig
from gifd_ops.generators.biggan import BigGanGenerator, build_biggan
from gifd_ops.generators.biggan_config import BigGanConfig
from gifd_ops.generators.protocol import Features, Generator, Searched
from gifd_ops.gradients import observe
from gifd_ops.stages import FeatureStage, Radius
from gifd_ops.victims import Victim

LAYERS = 4  # of the tiny generator: block, block, self-attention, block
LABELS = torch.tensor([4, 0, 9, 4])
SEEDS = (0, 1, 2, 3)


def a_start(generator: BigGanGenerator) -> Features:
    return generator.start(SEEDS, LABELS)


def test_it_is_a_generator(tiny_biggan: BigGanGenerator) -> None:
    generator: Generator = tiny_biggan
    assert generator.latent_shape == (1, 6)


@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_stopping_at_a_layer_does_not_change_the_image(tiny_biggan: BigGanGenerator, layer: int) -> None:
    start = a_start(tiny_biggan)
    expected = (tiny_biggan.network(start.latent[:, 0], LABELS) + 1) / 2
    stopped = tiny_biggan.advance(start, to=layer)
    assert stopped.layer == layer
    assert (stopped.hidden is None) == (layer == 0)
    torch.testing.assert_close(tiny_biggan.render(stopped), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("between", range(LAYERS))
def test_stopping_twice_is_stopping_once(tiny_biggan: BigGanGenerator, between: int) -> None:
    start = a_start(tiny_biggan)
    once = tiny_biggan.advance(start, to=LAYERS)
    twice = tiny_biggan.advance(tiny_biggan.advance(start, to=between), to=LAYERS)
    torch.testing.assert_close(twice.hidden, once.hidden, rtol=1e-12, atol=1e-12)
    assert torch.equal(twice.latent, start.latent)
    assert torch.equal(twice.condition, start.condition)


def test_a_layer_behind_is_refused(tiny_biggan: BigGanGenerator) -> None:
    with pytest.raises(AssertionError, match="at layer 2 cannot go back to 1"):
        tiny_biggan.advance(tiny_biggan.advance(a_start(tiny_biggan), to=2), to=1)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_row_alone_is_the_row_in_a_batch(tiny_biggan: BigGanGenerator, layer: int) -> None:
    batch = tiny_biggan.advance(a_start(tiny_biggan), to=layer)
    images = tiny_biggan.render(batch)
    for row in range(4):
        torch.testing.assert_close(
            tiny_biggan.render(batch.select(slice(row, row + 1)))[0], images[row], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("layer", range(LAYERS))
def test_images_of_a_batch_have_their_own_class_and_are_as_alone(tiny_biggan: BigGanGenerator, layer: int) -> None:
    generator, labels = BatchGenerator(tiny_biggan, 2), LABELS.view(2, 2)
    images = generator.render(generator.advance(generator.start([0, 1], labels), to=layer))
    alone = tiny_biggan.start(seeds_of_images(1, 2), labels[1])
    torch.testing.assert_close(
        images[1], tiny_biggan.render(tiny_biggan.advance(alone, to=layer)), rtol=1e-12, atol=1e-12
    )


def test_a_start_depends_on_its_own_seed_and_label_only(tiny_biggan: BigGanGenerator) -> None:
    torch.manual_seed(0)
    together = tiny_biggan.start([5, 6, 2**62 + 1], torch.tensor([1, 2, 3]))
    alone = tiny_biggan.start([6], torch.tensor([2]))
    assert torch.equal(together.latent[1:2], alone.latent)
    assert torch.equal(together.condition[1:2], alone.condition)
    assert not bool((together.latent[0] == together.latent[1]).any())


def test_both_precisions_draw_the_same_start(make_biggan: Callable[..., BigGanGenerator]) -> None:
    double, single = a_start(make_biggan()), a_start(make_biggan(dtype=torch.float32))
    assert (double.latent.dtype, single.latent.dtype) == (torch.float64, torch.float32)
    assert torch.equal(double.latent.float(), single.latent)
    assert torch.equal(double.condition.float(), single.condition)


def test_both_precisions_show_the_same_image(make_biggan: Callable[..., BigGanGenerator]) -> None:
    double, single = make_biggan(), make_biggan(dtype=torch.float32)
    images = single.render(a_start(single))
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.double(), double.render(a_start(double)), rtol=0, atol=1e-5)


def test_initial_latents_are_standard_normal_and_not_truncated(tiny_biggan: BigGanGenerator) -> None:
    latent = tiny_biggan.start(range(4000), torch.zeros(4000, dtype=torch.int64)).latent
    assert latent.shape == (4000, 1, 6)
    probabilities = torch.special.ndtr(latent.flatten().sort().values)
    steps = torch.arange(1, len(probabilities) + 1) / len(probabilities)
    assert float((probabilities - steps).abs().max()) < 1.63 / len(probabilities) ** 0.5  # Kolmogorov-Smirnov, 1 %
    assert float(latent.abs().max()) > 3


def test_the_label_changes_the_image_of_its_own_row_only(tiny_biggan: BigGanGenerator) -> None:
    images = tiny_biggan.render(a_start(tiny_biggan))
    changed = tiny_biggan.render(tiny_biggan.start(SEEDS, torch.tensor([4, 7, 9, 4])))
    moved = (changed - images).abs().amax(dim=(1, 2, 3))
    assert float(moved[1]) > 0.05
    torch.testing.assert_close(changed[[0, 2, 3]], images[[0, 2, 3]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", range(1, LAYERS))
@pytest.mark.parametrize("part", ["latent", "condition"])
def test_latents_and_labels_go_on_to_condition_the_layers_above(
    tiny_biggan: BigGanGenerator, part: str, layer: int
) -> None:
    # the hidden features being the same; the last layer is a block
    stopped = tiny_biggan.advance(a_start(tiny_biggan), to=layer)
    changed = replace(stopped, **{part: getattr(stopped, part).flip(0)})
    assert float((tiny_biggan.render(changed) - tiny_biggan.render(stopped)).abs().max()) > 1e-3


def test_placing_changes_the_latents_and_nothing_else(tiny_biggan: BigGanGenerator) -> None:
    start, other = a_start(tiny_biggan), tiny_biggan.start([7, 8, 9, 10], LABELS)
    placed = tiny_biggan.place(start, other.latent)
    assert torch.equal(placed.latent, other.latent)
    assert torch.equal(placed.condition, start.condition)
    assert torch.equal(tiny_biggan.render(placed), tiny_biggan.render(other))
    with pytest.raises(AssertionError):
        tiny_biggan.place(tiny_biggan.advance(start, to=1), other.latent)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_stage_0_searches_the_latents_and_later_stages_the_features(tiny_biggan: BigGanGenerator, layer: int) -> None:
    assert tiny_biggan.searched(layer) == Searched(hidden=layer > 0, latent=layer == 0, noises=())
    features = tiny_biggan.advance(a_start(tiny_biggan), to=layer)
    assert (features.skip, features.noises) == (None, ())
    name = "latent" if layer == 0 else "hidden"
    variable = getattr(features, name).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tiny_biggan.render(replace(features, **{name: variable})).sum(), variable)
    assert bool((gradient.flatten(1).abs().amax(dim=1) > 0).all())


@pytest.mark.parametrize("layer", range(LAYERS))
def test_the_shape_counts_what_is_searched(tiny_biggan: BigGanGenerator, layer: int) -> None:
    features = tiny_biggan.advance(a_start(tiny_biggan), to=layer).select(slice(1))
    shape = tiny_biggan.shape
    assert shape.num_layers == LAYERS
    assert shape.feature_scalars[layer] == (0 if features.hidden is None else features.hidden.numel())
    assert shape.latent_scalars == features.latent.numel()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "a label for each of its rows, got None; give labels 0 to 9"),
        (torch.tensor([3]), r"one label per seed: 2 seeds, got labels of shape \[1\]"),
        (torch.tensor([3, 10]), r"0 to 9, got \[10\]; attack a victim of the same classes"),
        (torch.tensor([-1, 10]), r"0 to 9, got \[-1, 10\]"),
    ],
)
def test_a_start_without_a_class_is_refused(tiny_biggan: BigGanGenerator, labels: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_biggan.start([0, 1], labels)


@pytest.mark.parametrize("size_px", [8, 6])
def test_images_are_averaged_over_areas(make_biggan: Callable[..., BigGanGenerator], size_px: int) -> None:
    native, small = make_biggan(), make_biggan(size_px=size_px)
    start = a_start(native)
    found, whole = small.render(start), native.render(start)
    assert found.shape == (4, 3, size_px, size_px)
    for down, right in [(0, 0), (2, 5)]:
        top, left = 16 * down // size_px, 16 * right // size_px
        bottom, end = -(-16 * (down + 1) // size_px), -(-16 * (right + 1) // size_px)
        area = whole[:, :, top:bottom, left:end].mean(dim=(2, 3))
        torch.testing.assert_close(found[:, :, down, right], area, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size_px", [0, 17, 32])
def test_images_are_not_enlarged(make_biggan: Callable[..., BigGanGenerator], size_px: int) -> None:
    with pytest.raises(ValueError, match=f"size_px must be 1 to 16, got {size_px}"):
        make_biggan(size_px=size_px)


def test_the_weights_are_frozen(tiny_biggan: BigGanGenerator) -> None:
    assert not any(parameter.requires_grad for parameter in tiny_biggan.network.parameters())
    assert not tiny_biggan.network.training
    assert not tiny_biggan.render(a_start(tiny_biggan)).requires_grad


def test_an_unfrozen_copy_follows_its_own_weights(tiny_biggan: BigGanGenerator) -> None:
    start = a_start(tiny_biggan)
    before = tiny_biggan.render(start)
    own, weights = tiny_biggan.unfrozen()
    images = own.render(start)
    torch.testing.assert_close(images, before, rtol=0, atol=0)
    for weight, gradient in zip(weights, torch.autograd.grad(images.square().sum(), weights), strict=True):
        assert float(gradient.abs().max()) > 0
        with torch.no_grad():
            weight -= 0.01 * gradient
    assert float((own.render(start) - before).detach().abs().max()) > 1e-3
    assert torch.equal(tiny_biggan.render(start), before)
    test_the_weights_are_frozen(tiny_biggan)


def test_an_untrained_generator_depends_on_its_seed_and_leaves_the_global_state(biggan_config: BigGanConfig) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    generators = [build_biggan(biggan_config, size_px=16, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    image, same, different = (generator.render(a_start(generator)) for generator in generators)
    assert torch.equal(image, same)
    assert not torch.equal(image, different)


@pytest.mark.parametrize("seed", range(4))
def test_an_untrained_generator_makes_varied_pictures(biggan_config: BigGanConfig, seed: int) -> None:
    generator = build_biggan(biggan_config, size_px=16, seed=seed)
    images = generator.render(generator.start(range(64), torch.zeros(64, dtype=torch.int64)))
    classes = generator.render(generator.start([0] * 10, torch.arange(10)))
    assert float(images.std(dim=0).mean()) > 0.05  # seeds differ
    assert float(images.std(dim=(2, 3)).mean()) > 0.05  # pixels differ
    assert float(classes.std(dim=0).mean()) > 0.05  # classes differ
    assert float(((images < 0.01) | (images > 0.99)).float().mean()) < 0.05  # tanh is not saturated


@dataclass(frozen=True)
class Watched:
    """A generator that writes down what it renders: the layer and the latents' rows."""

    generator: BigGanGenerator
    seen: list[tuple[int, Tensor]] = field(default_factory=list)

    def render(self, features: Features) -> Tensor:
        self.seen.append((features.layer, features.latent.detach().clone()))
        return self.generator.render(features)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)

    def latents(self, layers: Sequence[int]) -> Tensor:
        """The different rows rendered at some layers."""
        return torch.cat([latent for layer, latent in self.seen if layer in layers]).unique(dim=0)


def stage(layer: int, *, steps: int, lr: float = 0.1, feature_radius: Radius | None = None) -> FeatureStage:
    return FeatureStage(
        layer=layer, steps=steps, lr=lr, feature_radius=feature_radius, latent_radius=None, noise_radius=None
    )


def test_an_attack_lowers_the_matching_loss_stage_by_stage_and_leaves_the_latents_of_stage_0(
    biggan_config: BigGanConfig, tiny_biggan: BigGanGenerator, lenet: Victim
) -> None:
    other = build_biggan(biggan_config, size_px=16, seed=7, dtype=torch.float64)
    labels, restarts = torch.tensor([4, 0, 9]), 2
    observation = observe(lenet, other.render(other.start([21, 22, 23], labels)), labels)

    def attack(*stages: FeatureStage) -> tuple[Tensor, Watched]:
        watched = Watched(tiny_biggan)
        told = AttackConfig(stages=stages, restarts=restarts, tv_weight=0.0, l2_weight=0.0)
        return run_attack(observation, watched, lenet, told, seeds=[11, 22, 33]).best.matching_loss, watched

    # all layers, self-attention (2) among them
    later = [stage(layer, steps=15, feature_radius=Radius(value=0.2, relative=True)) for layer in range(1, LAYERS)]
    standing, _ = attack(stage(0, steps=1, lr=1e-12))
    latents_only, _ = attack(stage(0, steps=15))
    whole, watched = attack(stage(0, steps=15), *later)
    assert bool((latents_only < standing).all())
    assert bool((whole < 0.9 * latents_only).all())
    rows = len(labels) * restarts
    assert len(watched.latents([0])) > rows
    assert len(watched.latents(range(1, LAYERS))) == rows
