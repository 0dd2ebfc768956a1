from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.attack import AttackResult, StageResult, run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.protocol import Features
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe
from gifd_ops.matching import CosineMatching
from gifd_ops.metrics import psnr_db
from gifd_ops.portraits import draw
from gifd_ops.searches.descent import ramp
from gifd_ops.searches.features import search_features
from gifd_ops.searches.search import Loss
from gifd_ops.seeds import derive_seed
from gifd_ops.stages import FeatureStage, Radius
from gifd_ops.tasks import PORTRAITS
from gifd_ops.victims import Victim, build_victim

SEEDS = (11, 22, 33)
LABELS = torch.tensor([4, 0, 9])
NO_BALL = FeatureStage(layer=0, steps=6, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None)


def stage(
    layer: int, *, steps: int = 6, feature: float | None, latent: float | None, noise: float | None, relative: bool
) -> FeatureStage:
    radius = lambda value: None if value is None else Radius(value=value, relative=relative)
    return replace(
        NO_BALL,
        layer=layer,
        steps=steps,
        feature_radius=radius(feature),
        latent_radius=radius(latent),
        noise_radius=radius(noise),
    )


def config(*stages: FeatureStage, restarts: int = 2) -> AttackConfig:
    return AttackConfig(stages=stages, restarts=restarts, tv_weight=1e-3, l2_weight=1e-4)


WITHOUT = config(*(replace(NO_BALL, layer=layer) for layer in range(3)))
RELATIVE = config(*(stage(layer, feature=0.02, latent=0.05, noise=0.01, relative=True) for layer in range(3)))
ABSOLUTE = config(*(stage(layer, feature=2.0, latent=1.5, noise=0.5, relative=False) for layer in range(3)))
CONFIGS = {"no balls": WITHOUT, "relative balls": RELATIVE, "absolute balls": ABSOLUTE}


def true_images(dtype: torch.dtype = torch.float64) -> Tensor:
    return draw([14, 20, 39], domain="photo", size_px=16)[0].to(dtype)


@pytest.fixture(scope="module")
def observation(lenet: Victim) -> Observation:
    return observe(lenet, true_images(), LABELS)


@pytest.fixture(scope="module")
def results(observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim) -> dict[str, AttackResult]:
    return {name: run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS) for name, told in CONFIGS.items()}


def only(observation: Observation, target: int) -> Observation:
    return replace(observation, gradients=tuple(gradient[target : target + 1] for gradient in observation.gradients))


@dataclass(frozen=True)
class Watched:
    """A generator whose starts are seen and may be replaced by the start of one seed."""

    generator: StyleGan2Generator
    starts: list[tuple[list[int], Features]]
    one_seed: int | None = None

    def start(self, seeds: Sequence[int], labels: Tensor | None = None) -> Features:
        features = self.generator.start(seeds if self.one_seed is None else [self.one_seed] * len(seeds))
        self.starts.append((list(seeds), features))
        return features

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)


def row_alone(
    observation: Observation,
    generator: StyleGan2Generator,
    victim: Victim,
    told: AttackConfig,
    target: int,
    restart: int,
) -> AttackResult:
    """The attack of one row: one target, one restart, begun as that restart begins."""
    watched = Watched(generator, [], one_seed=derive_seed(SEEDS[target], "restart", restart))
    return run_attack(only(observation, target), watched, victim, replace(told, restarts=1), seeds=[SEEDS[target]])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_row_of_a_batch_is_the_row_alone(
    name: str,
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    results: dict[str, AttackResult],
) -> None:
    together = results[name]
    for target in range(len(SEEDS)):
        for restart in range(2):
            alone = row_alone(observation, tiny_generator, lenet, CONFIGS[name], target, restart)
            for fused, single in zip(together.stages, alone.stages, strict=True):
                for part in ("loss_trace", "matching_loss", "images"):
                    torch.testing.assert_close(
                        getattr(fused, part)[target, restart], getattr(single, part)[0, 0], rtol=1e-9, atol=1e-9
                    )


@pytest.mark.parametrize("name", ["relative balls", "absolute balls"])
def test_the_balls_of_these_tests_do_hold_something_back(name: str, results: dict[str, AttackResult]) -> None:
    for free, held in zip(results["no balls"].stages[1:], results[name].stages[1:], strict=True):
        assert free.feature_moved_l1 is not None
        assert held.feature_moved_l1 is not None
        assert held.feature_radius is not None
        assert bool((free.feature_moved_l1 > held.feature_radius).all())
        torch.testing.assert_close(held.feature_moved_l1, held.feature_radius, rtol=1e-3, atol=0)


def test_in_single_precision_a_row_follows_the_row_alone(
    make_generator: Callable[..., StyleGan2Generator], make_victim: Callable[..., Victim]
) -> None:
    generator, victim = make_generator(dtype=torch.float32), make_victim(dtype=torch.float32)
    seen = observe(victim, true_images(torch.float32), LABELS)
    told = config(stage(0, steps=20, feature=None, latent=0.2, noise=0.1, relative=True))
    together = run_attack(seen, generator, victim, told, seeds=SEEDS).stages[0].loss_trace
    for target in range(len(SEEDS)):
        for restart in range(2):
            alone = row_alone(seen, generator, victim, told, target, restart).stages[0].loss_trace
            torch.testing.assert_close(together[target, restart, :10], alone[0, 0, :10], rtol=1e-4, atol=0)


def test_the_same_seeds_give_the_same_result_to_the_bit(
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    results: dict[str, AttackResult],
) -> None:
    torch.manual_seed(99)  # the global state plays no part
    again = run_attack(observation, tiny_generator, lenet, RELATIVE, seeds=SEEDS)
    for first, second in zip(results["relative balls"].stages, again.stages, strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.loss_trace, second.loss_trace)
        assert torch.equal(first.matching_loss, second.matching_loss)


def test_other_seeds_give_another_result(
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    results: dict[str, AttackResult],
) -> None:
    changed = run_attack(observation, tiny_generator, lenet, RELATIVE, seeds=(11, 23, 33))
    same = changed.stages[-1].images == results["relative balls"].stages[-1].images
    assert bool(same[0].all())
    assert bool(same[2].all())
    assert not bool(same[1].all())


def test_labels_are_inferred(results: dict[str, AttackResult]) -> None:
    assert torch.equal(results["no balls"].labels, LABELS)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_kept_image_has_the_kept_score(
    name: str, observation: Observation, lenet: Victim, results: dict[str, AttackResult]
) -> None:
    result = results[name]
    matching = CosineMatching(lenet, observation, LABELS, restarts=1)
    for kept in (result.best, *(result.best_of_stage(index) for index in range(3))):
        torch.testing.assert_close(matching(kept.images, differentiable=False), kept.matching_loss, rtol=1e-12, atol=0)
        assert float(kept.images.min()) >= 0
        assert float(kept.images.max()) <= 1
        for target in range(len(SEEDS)):
            source = result.stages[int(kept.stage[target])]
            assert torch.equal(source.images[target, int(kept.restart[target])], kept.images[target])
            assert source.matching_loss[target, int(kept.restart[target])] == kept.matching_loss[target]
    scores = torch.stack([stage_result.matching_loss for stage_result in result.stages])
    assert torch.equal(result.best.matching_loss, scores.amin(dim=(0, 2)))


def made_up(scores: Sequence[Sequence[float]], tag: float) -> StageResult:
    """A stage of which every image shows its tag, target and restart."""
    losses = torch.tensor(scores)
    place = torch.arange(losses.numel()).view_as(losses)[..., None, None, None]
    return StageResult(
        stage=NO_BALL,
        images=(tag + place / 100).expand(-1, -1, 3, 2, 2),
        matching_loss=losses,
        loss_trace=losses[..., None],
        steps_taken=torch.ones_like(losses, dtype=torch.int64),
        feature_radius=None,
        latent_radius=None,
        noise_radius=None,
        feature_moved_l1=None,
    )


def test_the_best_is_chosen_over_stages_and_restarts_and_what_is_not_finite_never_wins() -> None:
    nan, inf = math.nan, math.inf
    first = made_up([[0.5, 0.2, 0.9], [nan, 0.8, 0.7], [nan, inf, nan]], tag=0.1)
    second = made_up([[0.3, 0.6, 0.4], [nan, nan, 0.6], [nan, nan, -inf]], tag=0.5)
    result = AttackResult(stages=(first, second), labels=torch.zeros(3), gradient_evaluations=torch.ones(3))
    assert result.best.stage[:2].tolist() == [0, 1]
    assert result.best.restart[:2].tolist() == [1, 2]
    assert result.best.matching_loss.tolist() == pytest.approx([0.2, 0.6, inf])
    assert result.best.images[:2, 0, 0, 0].tolist() == pytest.approx([0.11, 0.55])
    later = result.best_of_stage(1)
    assert later.stage.tolist() == [1, 1, 1]
    assert later.restart[:2].tolist() == [0, 2]
    assert later.images[:2, 0, 0, 0].tolist() == pytest.approx([0.50, 0.55])


def test_every_restart_of_every_target_begins_with_its_own_latents_and_noises(
    observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    watched = Watched(tiny_generator, [])
    run_attack(observation, watched, lenet, config(NO_BALL, restarts=3), seeds=SEEDS)
    ((seeds, start),) = watched.starts
    assert seeds == [derive_seed(seed, "restart", restart) for seed in SEEDS for restart in range(3)]
    for tensor in (start.latent, *start.noises):
        assert len(tensor.flatten(1).unique(dim=0)) == 9
    # and they do not follow one another: no value of a noise map is shared between rows
    assert len(start.noises[-1].unique()) == start.noises[-1].numel()


def search_stage(
    start: Features, generator: StyleGan2Generator, loss: Loss, told: FeatureStage
) -> tuple[Features, Tensor]:
    end = search_features(start, generator, loss, told)
    assert end.features is not None
    return end.features, end.trace


def a_start(generator: StyleGan2Generator, layer: int) -> Features:
    rows = [derive_seed(seed, "restart", restart) for seed in SEEDS for restart in range(2)]
    return generator.advance(generator.start(rows), to=layer)


@pytest.fixture(scope="module")
def loss(observation: Observation, lenet: Victim) -> Loss:
    return CosineMatching(lenet, observation, LABELS, restarts=2)


def moved(start: Tensor, end: Tensor) -> Tensor:
    return (end - start).flatten(1).abs().sum(dim=1)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_variables_end_inside_their_balls_and_would_not_without(
    layer: int, relative: bool, tiny_generator: StyleGan2Generator, loss: Loss
) -> None:
    start = a_start(tiny_generator, layer)
    told = stage(layer, feature=0.01, latent=0.02, noise=0.03, relative=relative)
    free, _ = search_stage(start, tiny_generator, loss, replace(NO_BALL, layer=layer))
    held, _ = search_stage(start, tiny_generator, loss, told)

    def check(place: str, radius: float, before: Tensor, freely: Tensor, after: Tensor) -> None:
        limit = radius * (before.flatten(1).abs().sum(dim=1) if relative else torch.ones(6, dtype=torch.float64))
        assert bool((moved(before, freely) > limit).all()), place
        assert bool((moved(before, after) <= limit * (1 + 1e-9) + 1e-12).all()), place
        assert bool((moved(before, after) > 0).all()), place

    check("latent", 0.02, start.latent, free.latent, held.latent)
    if layer > 0:
        assert start.hidden is not None
        assert free.hidden is not None
        assert held.hidden is not None
        check("feature", 0.01, start.hidden, free.hidden, held.hidden)
    for index in tiny_generator.searched(layer).noises:
        check(f"noise {index}", 0.03, start.noises[index], free.noises[index], held.noises[index])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_what_is_not_searched_does_not_move(layer: int, tiny_generator: StyleGan2Generator, loss: Loss) -> None:
    start = a_start(tiny_generator, layer)
    kept = (start.latent.clone(), *(noise.clone() for noise in start.noises))
    end, _ = search_stage(start, tiny_generator, loss, replace(NO_BALL, layer=layer))
    for index, (before, after) in enumerate(zip(start.noises, end.noises, strict=True)):
        assert torch.equal(before, after) == (index not in tiny_generator.searched(layer).noises)
    assert end.layer == layer
    assert (end.skip is None) == (start.skip is None)
    if start.skip is not None:
        assert torch.equal(end.skip, start.skip)
    # the start is a value: searching from it leaves it as it was
    assert all(torch.equal(a, b) for a, b in zip(kept, (start.latent, *start.noises), strict=True))


@pytest.mark.parametrize("next_layer", [1, 2])
def test_a_stage_begins_where_the_one_before_it_ended(
    next_layer: int, tiny_generator: StyleGan2Generator, loss: Loss
) -> None:
    end, _ = search_stage(a_start(tiny_generator, 0), tiny_generator, loss, NO_BALL)
    _, trace = search_stage(
        tiny_generator.advance(end, to=next_layer), tiny_generator, loss, replace(NO_BALL, layer=next_layer)
    )
    torch.testing.assert_close(trace[:, 0], loss(tiny_generator.render(end)).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layers", [(0, 1, 2), (0, 2), (1,)])
def test_an_attack_is_its_stages_one_after_another_and_shows_where_each_ended(
    layers: tuple[int, ...], observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim, loss: Loss
) -> None:
    stages = tuple(stage(layer, feature=0.02, latent=0.05, noise=None, relative=True) for layer in layers)
    told = AttackConfig(stages=stages, restarts=2, tv_weight=0.0, l2_weight=0.0)
    result = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS)
    features = a_start(tiny_generator, 0)
    for one, found in zip(stages, result.stages, strict=True):
        features, trace = search_stage(tiny_generator.advance(features, to=one.layer), tiny_generator, loss, one)
        images = tiny_generator.render(features).clamp(0, 1)
        torch.testing.assert_close(found.loss_trace.flatten(0, 1), trace, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found.images.flatten(0, 1), images, rtol=1e-9, atol=1e-9)


def test_the_trace_begins_with_the_loss_of_the_start_priors_included(
    observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    told = replace(config(NO_BALL), tv_weight=0.3, l2_weight=0.7)
    found = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS).stages[0].loss_trace[:, :, 0].flatten()
    images = tiny_generator.render(a_start(tiny_generator, 0))
    seen = (images - 0.5) / 0.25
    variation = seen.diff(dim=3).abs().mean(dim=(1, 2, 3)) + seen.diff(dim=2).abs().mean(dim=(1, 2, 3))
    norm = seen.flatten(1).norm(dim=1) / 16**2
    matching = CosineMatching(lenet, observation, LABELS, restarts=2)(images, differentiable=False)
    torch.testing.assert_close(found, matching + 0.3 * variation + 0.7 * norm, rtol=1e-10, atol=0)


def test_the_first_update_of_a_stage_is_not_wasted(tiny_generator: StyleGan2Generator, loss: Loss) -> None:
    start = a_start(tiny_generator, 0)
    end, _ = search_stage(start, tiny_generator, loss, replace(NO_BALL, steps=1))
    # Adam's first step is the learning rate wherever there is a gradient
    assert float((end.latent - start.latent).abs().median()) == pytest.approx(0.1, rel=1e-3)


def test_layers_may_be_skipped(observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim) -> None:
    told = config(replace(NO_BALL, layer=0), stage(2, feature=0.1, latent=None, noise=None, relative=True))
    result = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS)
    assert [one.stage.layer for one in result.stages] == [0, 2]
    first, second = result.stages
    assert (first.feature_moved_l1, first.feature_radius) == (None, None)
    assert second.feature_moved_l1 is not None
    assert second.feature_moved_l1.shape == (3, 2)
    late = run_attack(observation, tiny_generator, lenet, config(replace(NO_BALL, layer=2)), seeds=SEEDS)
    assert bool(late.stages[0].loss_trace.isfinite().all())


def test_radii_are_told_as_they_were_used(
    observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim, results: dict[str, AttackResult]
) -> None:
    start = a_start(tiny_generator, 0)
    first = results["relative balls"].stages[0]
    for found, share, center in (
        (first.latent_radius, 0.05, start.latent),
        (first.noise_radius, 0.01, start.noises[0]),
    ):
        assert found is not None
        expected = share * center.flatten(1).abs().sum(dim=1).view(3, 2)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for one in results["absolute balls"].stages[1:]:
        for found, value in ((one.feature_radius, 2.0), (one.latent_radius, 1.5), (one.noise_radius, 0.5)):
            assert torch.equal(found, torch.full((3, 2), value, dtype=torch.float64))
    for one in results["no balls"].stages:
        assert (one.feature_radius, one.latent_radius, one.noise_radius) == (None, None, None)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_target_that_is_not_a_number_leaves_the_others_alone(
    name: str,
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    results: dict[str, AttackResult],
) -> None:
    broken = replace(observation, gradients=tuple(gradient.clone() for gradient in observation.gradients))
    broken.gradients[0][1, 0, 0, 0, 0] = math.nan
    result = run_attack(broken, tiny_generator, lenet, CONFIGS[name], seeds=SEEDS)
    for whole, with_nan in zip(results[name].stages, result.stages, strict=True):
        assert bool(with_nan.loss_trace[1].isnan().all())
        for target in (0, 2):
            for part in ("loss_trace", "images", "matching_loss"):
                found, expected = getattr(with_nan, part)[target], getattr(whole, part)[target]
                torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert result.best.matching_loss[1] == math.inf
    assert bool(result.best.matching_loss[[0, 2]].isfinite().all())


@pytest.mark.parametrize("restarts", [1, 3])
def test_the_budget_is_the_number_of_victim_gradients_made(
    restarts: int,
    observation: Observation,
    tiny_generator: StyleGan2Generator,
    lenet: Victim,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = []
    original = functional.cross_entropy

    def counted(logits: Tensor, labels: Tensor, **options: str) -> Tensor:
        rows.append(len(logits))
        return original(logits, labels, **options)

    monkeypatch.setattr(functional, "cross_entropy", counted)
    told = config(replace(NO_BALL, steps=3), replace(NO_BALL, layer=2, steps=5), restarts=restarts)
    result = run_attack(observation, tiny_generator, lenet, told, seeds=SEEDS)
    assert sum(rows) == int(result.gradient_evaluations.sum())
    assert result.gradient_evaluations.tolist() == [told.gradient_evaluations] * len(SEEDS)
    assert told.gradient_evaluations == restarts * (4 + 6)


@pytest.mark.parametrize("seeds", [(), (1, 2), (1, 2, 3, 4)])
def test_one_seed_per_target_is_demanded(
    seeds: tuple[int, ...], observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    with pytest.raises(ValueError, match=f"one seed per target: 3 targets, {len(seeds)} seeds"):
        run_attack(observation, tiny_generator, lenet, WITHOUT, seeds=seeds)


def test_a_schedule_past_the_last_layer_is_refused(
    observation: Observation, tiny_generator: StyleGan2Generator, lenet: Victim
) -> None:
    with pytest.raises(ValueError, match=r"layer 3 needs a generator with more layers.*0 to 2"):
        run_attack(observation, tiny_generator, lenet, config(replace(NO_BALL, layer=3)), seeds=SEEDS)


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 100, 1000])
def test_the_ramp_rises_stays_and_decays_without_ever_being_zero(steps: int) -> None:
    factors = [ramp(step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    rise, flat = math.ceil(0.05 * steps), math.floor(0.25 * steps)
    assert factors[:rise] == sorted(factors[:rise])
    assert factors[rise:] == sorted(factors[rise:], reverse=True)
    assert factors[rise : flat + 1] == [1.0] * len(factors[rise : flat + 1])
    if steps >= 100:
        assert factors[0] == pytest.approx(1 / (0.05 * steps))
        assert factors[-1] < 1e-3
        assert factors[round(0.625 * steps)] == pytest.approx(0.5, abs=0.02)  # half of the way down


@pytest.mark.parametrize("name", ["lenet", "convnet"])
def test_the_attack_finds_more_of_a_portrait_than_the_generator_shows_by_chance(
    name: str, portraits_generator: StyleGan2Generator
) -> None:
    sizes = {"num_classes": PORTRAITS.num_classes, "size_px": PORTRAITS.size_px, "pixel_mean": 0.5, "pixel_std": 0.25}
    victim = build_victim(name, seed=0, **sizes)
    truth, labels = draw([3_000_001, 3_000_015, 3_000_028], domain="photo")
    stages = tuple(
        FeatureStage(
            layer=layer,
            steps=steps,
            lr=0.1,
            feature_radius=Radius(value=0.3, relative=True),
            latent_radius=None,
            noise_radius=None,
        )
        for layer, steps in ((0, 24), (1, 14))
    )
    told = AttackConfig(stages=stages, restarts=1, tv_weight=1e-3, l2_weight=1e-6)
    best = run_attack(observe(victim, truth, labels), portraits_generator, victim, told, seeds=SEEDS).best
    chance = portraits_generator.render(portraits_generator.start(range(24))).clamp(0, 1)
    by_chance = torch.stack([psnr_db(chance, image.expand_as(chance)).mean() for image in truth])
    assert float((psnr_db(best.images, truth) - by_chance).mean()) > 3
