from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gifd_ops.attack import AttackResult, run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, batch_statistics, observe, tensors_of_layers, victim_gradients
from gifd_ops.matching import CosineMatching, SquaredMatching
from gifd_ops.objective import Objective
from gifd_ops.priors import group_distance, l2_norm, statistics_distance, total_variation
from gifd_ops.stages import FeatureStage, PixelStage
from gifd_ops.victims import Victim

TARGETS, RESTARTS = 3, 2
LABELS = torch.tensor([2, 7, 4])
SEEDS = (11, 22, 33)
PIXELS = PixelStage(steps=6, lr=0.1, signed=False)
PLAIN = AttackConfig(stages=(PIXELS,), restarts=RESTARTS, tv_weight=0.0, l2_weight=0.0)


def pictures(seed: int, rows: int) -> Tensor:
    return torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TRUTH, GUESSES = pictures(0, TARGETS), pictures(1, TARGETS * RESTARTS)


def own_labels() -> Tensor:
    return LABELS.repeat_interleave(RESTARTS)


@pytest.fixture(scope="module")
def normalized_victim() -> Victim:
    """Two normalizations with running statistics that are not the batch's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.Sigmoid(),
            nn.Conv2d(4, 5, 3, stride=2, padding=1),
            nn.BatchNorm2d(5),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(80, 10),
        )
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2.0)
    return Victim(layers, pixel_mean=0.5, pixel_std=0.25).double()


@pytest.fixture(scope="module")
def shared(lenet: Victim) -> Observation:
    return observe(lenet, TRUTH, LABELS)


@pytest.fixture(scope="module")
def with_statistics(normalized_victim: Victim) -> Observation:
    return observe(normalized_victim, TRUTH, LABELS, share_statistics=True)


def loss_of(victim: Victim, observation: Observation, config: AttackConfig, images: Tensor = GUESSES) -> Tensor:
    return Objective(victim, observation, LABELS, config).evaluate(images)


def slopes(objective: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(objective(leaf).sum(), leaf)[0]


# distances


def test_the_squared_distance_is_the_sum_of_squares_over_the_number_of_tensors(
    lenet: Victim, shared: Observation
) -> None:
    own = victim_gradients(lenet, GUESSES, own_labels(), differentiable=False)
    squares = torch.zeros(TARGETS * RESTARTS).double()
    for gradient, true in zip(own, shared.gradients, strict=True):
        for row in range(len(squares)):
            squares[row] += (gradient[row] - true[row // RESTARTS]).square().sum()
    expected = squares / len(list(lenet.parameters()))
    torch.testing.assert_close(
        loss_of(lenet, shared, replace(PLAIN, distance="l2")), expected.detach(), rtol=1e-10, atol=0
    )


def test_the_cosine_distance_is_that_of_all_tensors_together(lenet: Victim, shared: Observation) -> None:
    expected = CosineMatching(lenet, shared, LABELS, restarts=RESTARTS)(GUESSES, differentiable=False)
    torch.testing.assert_close(loss_of(lenet, shared, PLAIN), expected.detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_the_true_image_is_at_no_distance_and_an_update_leads_there(
    distance: str, lenet: Victim, shared: Observation
) -> None:
    objective = Objective(lenet, shared, LABELS, replace(PLAIN, restarts=1, distance=distance))
    assert float(objective.evaluate(TRUTH).abs().max()) < 1e-12
    begun = TRUTH + 0.05 * (pictures(5, TARGETS) - 0.5)
    slope = slopes(objective, begun)
    nearer = begun - 1e-3 * slope / slope.flatten(1).norm(dim=1)[:, None, None, None]
    assert bool((objective.evaluate(nearer) < objective.evaluate(begun)).all())


@pytest.mark.parametrize("distance", ["cosine", "l2"])
@pytest.mark.parametrize(("first", "end"), [(0, 1), (1, 3), (3, 4), (0, 4)])
def test_matched_layers_restrict_the_loss_but_not_the_score(
    distance: str, first: int, end: int, lenet: Victim, shared: Observation
) -> None:
    config = replace(PLAIN, distance=distance, matched_layers=(first, end))
    objective = Objective(lenet, shared, LABELS, config)
    places = range(2 * first, 2 * end)  # every layer of LeNet has a weight and a bias
    own = victim_gradients(lenet, GUESSES, own_labels(), differentiable=False)
    a = torch.cat([own[place].detach().flatten(1) for place in places], dim=1)
    b = torch.cat([shared.gradients[place].flatten(1) for place in places], dim=1).repeat_interleave(RESTARTS, dim=0)
    expected = 1 - torch.cosine_similarity(a, b) if distance == "cosine" else (a - b).square().sum(dim=1) / len(places)
    torch.testing.assert_close(objective.evaluate(GUESSES), expected, rtol=1e-9, atol=1e-12)
    everything = CosineMatching(lenet, shared, LABELS, restarts=RESTARTS)(GUESSES, differentiable=False)
    torch.testing.assert_close(objective.score(GUESSES), everything.detach(), rtol=1e-12, atol=0)


def test_layers_are_counted_with_all_of_their_parameters(normalized_victim: Victim) -> None:
    # a convolution without bias, a normalization, a convolution, a normalization, a linear layer
    assert [tensors_of_layers(normalized_victim, layer, layer + 1) for layer in range(5)] == [
        (0,),
        (1, 2),
        (3, 4),
        (5, 6),
        (7, 8),
    ]
    assert tensors_of_layers(normalized_victim, 1, 4) == (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("layers", [(0, 5), (4, 5), (3, 9)])
def test_layers_that_the_victim_has_not_are_refused(
    layers: tuple[int, int], lenet: Victim, shared: Observation, tiny_generator: StyleGan2Generator
) -> None:
    told = replace(PLAIN, matched_layers=layers)
    rule = rf"4 layers with parameters, so {layers[0]}:{layers[1]} cannot be matched; use 0 <= first < end <= 4"
    with pytest.raises(ValueError, match=rule):
        Objective(lenet, shared, LABELS, told)
    with pytest.raises(ValueError, match=rule):
        run_attack(shared, tiny_generator, lenet, told, seeds=SEEDS)


@pytest.mark.parametrize("kind", [CosineMatching, SquaredMatching])
@pytest.mark.parametrize("layers", [None, (1, 3)])
def test_rows_that_are_selected_keep_their_target_and_label(
    kind: type[CosineMatching], layers: tuple[int, int] | None, lenet: Victim, shared: Observation
) -> None:
    matching = kind(lenet, shared, LABELS, restarts=RESTARTS, layers=layers)
    whole = matching(GUESSES, differentiable=False)
    for rows in (slice(3, 4), slice(1, None, RESTARTS), torch.tensor([5, 0])):
        part = matching.select(rows)(GUESSES[rows], differentiable=False)
        torch.testing.assert_close(part, whole[rows], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(matching(GUESSES, differentiable=False), whole)  # selecting changes nothing


# priors


def test_priors_are_added_with_their_weights_on_images_as_the_victim_sees_them(
    lenet: Victim, shared: Observation
) -> None:
    config = replace(PLAIN, tv_weight=0.3, l2_weight=0.7, group_weight=0.2)
    seen = (GUESSES - 0.5) / 0.25
    own = 0.3 * total_variation(seen) + 0.7 * l2_norm(seen) + 0.2 * group_distance(seen, RESTARTS)
    torch.testing.assert_close(loss_of(lenet, shared, config), loss_of(lenet, shared, PLAIN) + own, rtol=1e-10, atol=0)
    objective = Objective(lenet, shared, LABELS, config)
    torch.testing.assert_close(objective.score(GUESSES), Objective(lenet, shared, LABELS, PLAIN).score(GUESSES))
    torch.testing.assert_close(objective(GUESSES).detach(), objective.evaluate(GUESSES), rtol=1e-12, atol=0)


def test_the_group_distance_is_to_the_mean_of_a_targets_restarts() -> None:
    distance = group_distance(GUESSES, RESTARTS)
    for target in range(TARGETS):
        group = GUESSES[RESTARTS * target : RESTARTS * (target + 1)]
        expected = (group - group.mean(dim=0)).flatten(1).norm(dim=1) / 16**2
        torch.testing.assert_close(distance[RESTARTS * target : RESTARTS * (target + 1)], expected, rtol=1e-6, atol=0)
    assert float(group_distance(TRUTH[:1].expand(4, -1, -1, -1), 4).max()) < 1e-7


def test_the_group_pulls_each_restart_straight_to_the_mean_and_stays_finite_where_they_agree() -> None:
    slope = slopes(lambda images: group_distance(images, 3), GUESSES)
    grouped = GUESSES.unflatten(0, (-1, 3))
    away = (grouped - grouped.mean(dim=1, keepdim=True)).flatten(0, 1)
    expected = away / away.flatten(1).norm(dim=1)[:, None, None, None] / 16**2  # the mean is held constant
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-12)
    agreed = TRUTH.repeat_interleave(RESTARTS, dim=0)
    assert bool((slopes(lambda images: group_distance(images, RESTARTS), agreed) == 0).all())


def spread(result: AttackResult) -> Tensor:
    """Distance between a target's restarts."""
    images = result.stages[-1].images
    return (images[:, 0] - images[:, 1]).flatten(1).norm(dim=1)


@pytest.mark.parametrize(
    "stage",
    [
        PIXELS,
        FeatureStage(layer=0, steps=6, lr=0.1, feature_radius=None, latent_radius=None, noise_radius=None),
    ],
    ids=["pixels", "features"],
)
def test_the_group_brings_restarts_together_and_does_nothing_to_one_alone(
    stage: PixelStage | FeatureStage, lenet: Victim, shared: Observation, tiny_generator: StyleGan2Generator
) -> None:
    def attack(group_weight: float, restarts: int) -> AttackResult:
        told = replace(PLAIN, stages=(stage,), restarts=restarts, group_weight=group_weight)
        return run_attack(shared, tiny_generator, lenet, told, seeds=SEEDS)

    assert bool((spread(attack(100.0, 2)) < 0.9 * spread(attack(0.0, 2))).all())
    alone, free = attack(100.0, 1), attack(0.0, 1)
    assert torch.equal(alone.stages[0].images, free.stages[0].images)
    assert torch.equal(alone.stages[0].loss_trace, free.stages[0].loss_trace)


# batch statistics


def test_statistics_are_those_of_what_enters_each_normalization(
    normalized_victim: Victim, with_statistics: Observation
) -> None:
    assert with_statistics.statistics is not None
    conv1, norm1, act1, conv2 = list(normalized_victim.layers)[:4]
    first = conv1(normalized_victim.normalize(TRUTH))
    for found, entering in zip(with_statistics.statistics, (first, conv2(act1(norm1(first)))), strict=True):
        mean, variance = found
        torch.testing.assert_close(mean, entering.mean(dim=(2, 3)), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(variance, entering.var(dim=(2, 3), correction=0), rtol=1e-12, atol=1e-12)
        assert not mean.requires_grad
        assert not variance.requires_grad


def test_they_are_shared_only_when_asked(normalized_victim: Victim) -> None:
    assert observe(normalized_victim, TRUTH, LABELS).statistics is None


def test_statistics_of_the_true_image_are_at_no_distance_and_those_of_others_add_their_share(
    normalized_victim: Victim, with_statistics: Observation
) -> None:
    weighted = replace(PLAIN, statistics_weight=0.4)
    alone = replace(weighted, restarts=1)
    assert float(loss_of(normalized_victim, with_statistics, alone, TRUTH).abs().max()) < 1e-12
    assert with_statistics.statistics is not None
    expected = torch.zeros(TARGETS * RESTARTS).double()
    own = observe(normalized_victim, GUESSES, own_labels(), share_statistics=True).statistics
    assert own is not None
    for factor, (mean, variance), (true_mean, true_variance) in zip(
        (10, 1), own, with_statistics.statistics, strict=True
    ):
        for row in range(len(expected)):
            target = row // RESTARTS
            expected[row] += factor * (mean[row] - true_mean[target]).norm()
            expected[row] += factor * (variance[row] - true_variance[target]).norm()
    found = loss_of(normalized_victim, with_statistics, weighted) - loss_of(normalized_victim, with_statistics, PLAIN)
    torch.testing.assert_close(found, 0.4 * expected, rtol=1e-9, atol=1e-12)


def test_statistics_have_a_slope_that_leads_to_the_true_ones(
    normalized_victim: Victim, with_statistics: Observation
) -> None:
    told = replace(PLAIN, restarts=1, statistics_weight=1e6)  # beside which the gradients weigh nothing
    objective = Objective(normalized_victim, with_statistics, LABELS, told)
    begun = TRUTH + 0.2 * (pictures(5, TARGETS) - 0.5)
    slope = slopes(objective, begun)
    nearer = begun - 1e-3 * slope / slope.flatten(1).norm(dim=1)[:, None, None, None]
    assert bool((objective.evaluate(nearer) < objective.evaluate(begun)).all())
    assert bool(slopes(objective, TRUTH).isfinite().all())


def test_the_first_normalization_counts_ten_times() -> None:
    zeros, ones = torch.zeros(2, 4), torch.ones(2, 4)
    distance = lambda first, second: statistics_distance([(zeros, first), (second, zeros)], [(zeros, zeros)] * 2)
    assert distance(ones, zeros).tolist() == [20.0, 20.0]
    assert distance(zeros, ones).tolist() == [2.0, 2.0]
    assert distance(ones, ones).tolist() == [22.0, 22.0]


@pytest.mark.parametrize("share", [False, True])
def test_statistics_that_nobody_shares_are_refused(share: bool, lenet: Victim, normalized_victim: Victim) -> None:
    """Whether the client keeps them, or the victim has none."""
    victim = lenet if share else normalized_victim
    seen = observe(victim, TRUTH, LABELS, share_statistics=share)
    told = replace(PLAIN, statistics_weight=0.1)
    with pytest.raises(
        ValueError, match=r"statistics_weight > 0 needs batch statistics that the client shares.*share_"
    ):
        Objective(victim, seen, LABELS, told)
    Objective(victim, seen, LABELS, replace(told, statistics_weight=0.0))


def test_statistics_that_are_shared_bring_a_search_nearer_to_them(
    normalized_victim: Victim, with_statistics: Observation, tiny_generator: StyleGan2Generator
) -> None:
    def distance(weight: float) -> Tensor:
        told = replace(PLAIN, statistics_weight=weight, restarts=1)
        images = run_attack(with_statistics, tiny_generator, normalized_victim, told, seeds=SEEDS).best.images
        own = observe(normalized_victim, images, LABELS, share_statistics=True).statistics
        assert own is not None
        assert with_statistics.statistics is not None
        return statistics_distance(own, with_statistics.statistics)

    assert bool((distance(10.0) < distance(0.0)).all())


# rows


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_selected_rows_have_the_loss_they_had_but_for_the_pull_of_other_restarts(
    distance: str, normalized_victim: Victim, with_statistics: Observation
) -> None:
    told = replace(PLAIN, distance=distance, tv_weight=0.3, l2_weight=0.2, statistics_weight=0.1, matched_layers=(1, 4))
    objective = Objective(normalized_victim, with_statistics, LABELS, told)
    pulled = Objective(normalized_victim, with_statistics, LABELS, replace(told, group_weight=5.0))
    whole, score = objective.evaluate(GUESSES), objective.score(GUESSES)
    for rows in (slice(3, 4), slice(1, None, RESTARTS)):
        torch.testing.assert_close(pulled.select(rows).evaluate(GUESSES[rows]), whole[rows], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(pulled.select(rows).score(GUESSES[rows]), score[rows], rtol=1e-10, atol=1e-12)
    assert bool((pulled.evaluate(GUESSES) > whole + 1e-3).all())  # selecting changes nothing


def test_losses_are_differentiated_only_when_asked(lenet: Victim, shared: Observation) -> None:
    objective = Objective(lenet, shared, LABELS, replace(PLAIN, tv_weight=0.1, group_weight=0.1))
    leaf = GUESSES.clone().requires_grad_()
    assert objective(leaf).requires_grad
    assert not objective.evaluate(leaf).requires_grad
    assert not objective.score(leaf).requires_grad
    plain = Objective(lenet, shared, LABELS, replace(PLAIN, tv_weight=0.1, l2_weight=0.1))
    step = torch.zeros_like(GUESSES)
    step[4, 1, 7, 9] = 1e-6
    numeric = (plain.evaluate(GUESSES + step) - plain.evaluate(GUESSES - step))[4] / 2e-6
    assert float(slopes(plain, GUESSES)[4, 1, 7, 9]) == pytest.approx(float(numeric), rel=1e-5)


def test_batch_statistics_of_a_victim_without_normalization_are_none(lenet: Victim, shared: Observation) -> None:
    assert batch_statistics([]) == []
    assert observe(lenet, TRUTH, LABELS, share_statistics=True).statistics == ()
