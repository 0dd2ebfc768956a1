"""What an attacker does about a defense, the same by plain autograd and by the short way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from gifd_ops.attack import run_attacks
from gifd_ops.config import AttackConfig
from gifd_ops.defenses.answers import above_the_noise, treatment
from gifd_ops.defenses.config import Answer, answer_to, read_defense
from gifd_ops.defenses.defend import defend
from gifd_ops.defenses.norms import gradient_norms
from gifd_ops.first_order import matching_loss, matching_value, value_and_slope
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe, victim_gradients
from gifd_ops.layer_rows import GhostConvRows, layer_rows
from gifd_ops.matching import MATCHINGS, CosineMatching, GradientMatching
from gifd_ops.objective import Objective
from gifd_ops.stages import PixelStage
from gifd_ops.victims import Victim
from gifd_ops.weighted_rows import WeightedRows

TARGETS, RESTARTS = 2, 2
LABELS = torch.tensor([2, 7])
DEFENSES = ["noise=0.5r", "clipping=0.5r", "clipping=3", "sparsification=90", "soteria=50", "dp=2,0.001"]


def pictures(seed: int, rows: int = TARGETS) -> Tensor:
    return torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen(victim: Victim, text: str) -> Observation:
    told = {"victim": victim, "images": pictures(0), "labels": LABELS, "seeds": [1, 2]}
    return defend(observe(victim, pictures(0), LABELS), read_defense(text), **told)


def matching(victim: Victim, text: str, how: str, distance: str = "cosine", strength: float = 1.0) -> GradientMatching:
    observation = seen(victim, text)
    told = treatment(observation.gradients, Answer(defense=read_defense(text), how=how, strength=strength))
    return MATCHINGS[distance](victim, observation, LABELS, restarts=RESTARTS, treatment=told)


@pytest.mark.parametrize(("how", "strength"), [("knows", 1.0), ("knows", 0.4), ("estimates", 1.0), ("repeats", 1.0)])
@pytest.mark.parametrize("distance", MATCHINGS)
@pytest.mark.parametrize("text", DEFENSES)
@pytest.mark.parametrize("name", ["lenet"])
def test_value_and_slope_are_those_of_plain_autograd(
    name: str, text: str, distance: str, how: str, strength: float, make_victim: Callable[..., Victim]
) -> None:
    match = matching(make_victim(name), text, how, distance, strength)
    images = pictures(3, TARGETS * RESTARTS).requires_grad_()
    distances = match(images)
    (expected,) = torch.autograd.grad(distances.sum(), images)
    found = matching_loss(images, match)
    (slope,) = torch.autograd.grad(found.sum(), images)
    torch.testing.assert_close(found.detach(), distances.detach(), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(matching_value(images, match), distances.detach(), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-8 * float(expected.abs().max()))
    assert float(expected.abs().amax(dim=(1, 2, 3)).min()) > 0


@pytest.mark.parametrize("text", DEFENSES)
@pytest.mark.parametrize("how", ["knows", "estimates"])
def test_some_of_the_rows_are_as_far_as_in_all(text: str, how: str, lenet: Victim) -> None:
    images = pictures(3, TARGETS * RESTARTS)
    whole = matching(lenet, text, how, "l2")
    for rows in ([0, 2], [1, 2, 3], [3]):
        part = whole.select(torch.tensor(rows))
        torch.testing.assert_close(matching_value(images[rows], part), matching_value(images, whole)[rows])


@pytest.mark.parametrize("text", ["sparsification=90", "soteria=50", "clipping=0.5r", "clipping=0.2"])
@pytest.mark.parametrize("distance", MATCHINGS)
@pytest.mark.parametrize("name", ["lenet", "resnet10_narrow"])
def test_who_answers_finds_the_private_image_at_distance_zero_and_who_ignores_does_not(
    name: str, text: str, distance: str, make_victim: Callable[..., Victim]
) -> None:
    victim = make_victim(name)
    truth = pictures(0).repeat_interleave(RESTARTS, dim=0)
    answered = matching_value(truth, matching(victim, text, "knows", distance))
    ignored = matching_value(truth, MATCHINGS[distance](victim, seen(victim, text), LABELS, restarts=RESTARTS))
    torch.testing.assert_close(answered, torch.zeros_like(answered), rtol=0, atol=1e-9)
    if distance == "cosine" and text.startswith("clipping"):
        torch.testing.assert_close(ignored, torch.zeros_like(ignored), rtol=0, atol=1e-12)  # void by construction
    else:
        assert float(ignored.min()) > 1e-6


def test_what_the_short_way_does_not_cover_takes_the_plain_one(lenet: Victim) -> None:
    assert matching(lenet, "clipping=3", "knows", "l2").needs_tape
    assert matching(lenet, "sparsification=90", "repeats").needs_tape
    for text in DEFENSES:
        assert not matching(lenet, text, "knows", "cosine").needs_tape


def test_only_what_is_weighted_is_formed(make_victim: Callable[..., Victim]) -> None:
    victim = make_victim("resnet18", dtype=torch.float32)
    observation = observe(victim, pictures(0).float(), LABELS)
    told = treatment(observation.gradients, answer_to(read_defense("soteria=10"), "knows"))
    match = CosineMatching(victim, observation, LABELS, restarts=1, treatment=told)
    assert [place for place, weights in enumerate(told.weights) if weights is not None] == [60]
    distances, _ = value_and_slope(pictures(1).float(), match)
    torch.testing.assert_close(distances, match(pictures(1).float(), differentiable=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Conv2d(64, 64, 3, padding=1), nn.Linear(40, 30)], ids=str)
def test_weighted_rows_are_rows_of_weighted_gradients(layer: nn.Module) -> None:
    layer, rows, targets = layer.double().requires_grad_(False), 4, 2
    shape = (rows, 40) if isinstance(layer, nn.Linear) else (rows, 64, 2, 2)
    entering = torch.rand(shape, dtype=torch.float64)
    inner = layer_rows(layer, entering, torch.randn_like(layer(entering)))
    assert isinstance(layer, nn.Linear) or isinstance(inner, GhostConvRows)
    plain = inner.gradients()
    weights = [torch.rand(targets, *gradient.shape[1:]).double() for gradient in plain]
    found = WeightedRows(inner, [weights[0], None]).gradients()
    torch.testing.assert_close(found[0], plain[0] * weights[0].repeat_interleave(2, dim=0))
    torch.testing.assert_close(found[1], plain[1])


def test_pruning_ones_own_gradient_is_what_was_done_to_the_shared_one(lenet: Victim) -> None:
    observation = seen(lenet, "sparsification=90")
    told = treatment(observation.gradients, answer_to(read_defense("sparsification=90"), "repeats"))
    own = told.own(victim_gradients(lenet, pictures(0), LABELS, differentiable=False))
    for a, b in zip(own, observation.gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_shrinking_brings_what_is_shared_nearer_to_the_gradient(lenet: Victim) -> None:
    clean, noisy = observe(lenet, pictures(0), LABELS).gradients, seen(lenet, "noise=1r").gradients
    shrunk = treatment(noisy, answer_to(read_defense("noise=1r"), "estimates")).weighted(noisy)
    before, after = (gradient_norms([a - b for a, b in zip(found, clean, strict=True)]) for found in (noisy, shrunk))
    assert bool((after < 0.9 * before).all())


def test_a_tensor_that_is_noise_alone_weighs_nothing_and_one_without_noise_all() -> None:
    stream = torch.Generator().manual_seed(0)
    loud, silent = 10 * torch.randn(2, 400, generator=stream), torch.zeros(2, 5000)
    noise = [0.1 * torch.randn(each.shape, generator=stream) for each in (loud, silent)]
    shared = [each + own for each, own in zip((loud, silent), noise, strict=True)]
    signal, none = above_the_noise(shared, torch.full((2,), 0.1))
    assert float(signal.min()) > 0.999
    assert float(none.max()) < 0.1
    untouched = above_the_noise(shared, torch.zeros(2))
    assert all(bool((each == 1).all()) for each in untouched)
    hopeless = above_the_noise(shared, torch.full((2,), 1e3))
    assert all(bool((each == 1).all()) for each in hopeless)


def of_pixels(answer: Answer | None, distance: str = "cosine", restarts: int = 1) -> AttackConfig:
    stage = PixelStage(steps=3, lr=0.1, signed=False)
    return AttackConfig(
        stages=(stage,), restarts=restarts, tv_weight=0.0, l2_weight=0.0, distance=distance, answer=answer
    )


def test_results_are_compared_in_full_however_far_the_search_goes_along(lenet: Victim) -> None:
    defense = read_defense("sparsification=90")
    images = pictures(3)
    objectives = [
        Objective(lenet, seen(lenet, "sparsification=90"), LABELS, of_pixels(answer_to(defense, "knows", strength=s)))
        for s in (0.0, 0.5, 1.0)
    ]
    scores = [objective.score(images) for objective in objectives]
    losses = [objective.evaluate(images) for objective in objectives]
    assert all(torch.equal(score, scores[0]) for score in scores)
    assert float((losses[0] - losses[1]).abs().min()) > 1e-6
    torch.testing.assert_close(losses[2], scores[2])
    ignoring = Objective(lenet, seen(lenet, "sparsification=90"), LABELS, of_pixels(None))
    torch.testing.assert_close(losses[0], ignoring.evaluate(images))


@pytest.mark.parametrize("text", DEFENSES)
@pytest.mark.parametrize("distance", MATCHINGS)
def test_a_target_is_attacked_alike_whatever_runs_beside_it(
    text: str, distance: str, lenet: Victim, tiny_generator: StyleGan2Generator
) -> None:
    config = of_pixels(answer_to(read_defense(text), "estimates"), distance, restarts=2)
    observation = seen(lenet, text)

    def images(some: Sequence[int]) -> Tensor:
        part = Observation(gradients=tuple(g[list(some)] for g in observation.gradients), image_shape=(3, 16, 16))
        (result,) = run_attacks(part, tiny_generator, lenet, [config], seeds=[[7, 8][place] for place in some])
        return result.stages[-1].images

    torch.testing.assert_close(images([0, 1])[1:], images([1]), rtol=1e-6, atol=1e-8)


def test_own_gradients_are_no_longer_than_the_bound(lenet: Victim) -> None:
    told = treatment(seen(lenet, "clipping=3").gradients, answer_to(read_defense("clipping=3"), "knows"))
    own = told.own(victim_gradients(lenet, pictures(5), LABELS, differentiable=False))
    assert bool((gradient_norms([each.contiguous() for each in own]) <= 3 * (1 + 1e-9)).all())
