"""What each defense does to a gradient, and what it never does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gifd_ops.defenses.config import DifferentialPrivacy, read_defense
from gifd_ops.defenses.defend import defend
from gifd_ops.defenses.norms import gradient_norms, num_entries
from gifd_ops.defenses.private_release import release
from gifd_ops.defenses.soteria import feature_scores
from gifd_ops.defenses.sparsification import percentile
from gifd_ops.gradients import Observation, observe
from gifd_ops.victims import Victim

TARGETS = 3
LABELS = torch.tensor([2, 7, 2])
SEEDS = [5, 6, 7]


def pictures(seed: int = 0, rows: int = TARGETS) -> Tensor:
    return torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shared(victim: Victim, text: str, seeds: list[int] = SEEDS) -> Observation:
    observation = observe(victim, pictures(), LABELS)
    told = {"victim": victim, "images": pictures(), "labels": LABELS}
    return defend(observation, read_defense(text), seeds=seeds, **told)


def apart(first: Observation, second: Observation) -> list[Tensor]:
    return [a - b for a, b in zip(first.gradients, second.gradients, strict=True)]


@pytest.mark.parametrize(
    "text", ["none", "noise=0", "noise=0r", "clipping=1e9", "clipping=1r", "sparsification=0", "soteria=0", "dp=1e9,0"]
)
def test_no_strength_is_no_defense(text: str, lenet: Victim) -> None:
    difference = apart(shared(lenet, text), observe(lenet, pictures(), LABELS))
    assert max(float(each.abs().max()) for each in difference) < 1e-14


@pytest.mark.parametrize("std", ["0.01", "0.3"])
def test_noise_has_the_std_that_was_asked_for_in_every_tensor(std: str, lenet: Victim) -> None:
    drawn = apart(shared(lenet, f"noise={std}"), observe(lenet, pictures(), LABELS))
    for noise in drawn:
        count = noise[0].numel()
        assert noise.flatten(1).std(dim=1).allclose(torch.tensor(float(std)).double(), rtol=5 / (2 * count) ** 0.5)
        assert bool((noise.flatten(1).mean(dim=1).abs() < 5 * float(std) / count**0.5).all())


def test_relative_noise_is_as_long_as_a_multiple_of_the_gradient(lenet: Victim) -> None:
    clean = observe(lenet, pictures(), LABELS)
    drawn = gradient_norms(apart(shared(lenet, "noise=0.5r"), clean))
    tolerance = 5 / (2 * num_entries(clean.gradients)) ** 0.5
    torch.testing.assert_close(drawn, 0.5 * gradient_norms(clean.gradients), rtol=tolerance, atol=0)


def test_a_targets_noise_depends_on_its_seed_alone(lenet: Victim) -> None:
    first, again = shared(lenet, "noise=1"), shared(lenet, "noise=1", [9, 6, 9])
    for a, b in zip(first.gradients, again.gradients, strict=True):
        assert torch.equal(a[1], b[1])
        assert not torch.equal(a[0], b[0])


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_a_clipped_gradient_keeps_its_direction_and_is_never_longer_than_the_bound(lenet: Victim, bound: float) -> None:
    clean, clipped = observe(lenet, pictures(), LABELS), shared(lenet, f"clipping={bound!r}")
    norms = gradient_norms(clean.gradients)
    torch.testing.assert_close(gradient_norms(clipped.gradients), norms.clamp(max=bound), rtol=1e-10, atol=0)
    for a, b in zip(clean.gradients, clipped.gradients, strict=True):
        factor = (norms.clamp(max=bound) / norms).view(-1, *(1,) * (a.ndim - 1))
        torch.testing.assert_close(b, a * factor, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("percent", [20.0, 90.0, 99.0])
def test_sparsification_keeps_the_largest_of_every_tensor(percent: float, lenet: Victim) -> None:
    clean, sparse = observe(lenet, pictures(), LABELS), shared(lenet, f"sparsification={percent}")
    for before, after in zip(clean.gradients, sparse.gradients, strict=True):
        for row, pruned in zip(before.flatten(1), after.flatten(1), strict=True):
            kept = pruned != 0
            assert torch.equal(pruned[kept], row[kept])
            assert abs(100 * float((~kept).double().mean()) - percent) <= 100 / len(row)
            assert float(row[~kept].abs().max()) <= float(row[kept].abs().min())


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0, 100))
def test_a_percentile_is_numpys(values: list[float], percent: float) -> None:
    found = float(percentile(torch.tensor(values, dtype=torch.float64), percent))
    assert found == pytest.approx(float(np.percentile(values, percent)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("percent", [10.0, 50.0])
@pytest.mark.parametrize("name", ["lenet", "resnet10_narrow"])
def test_soteria_prunes_whole_features_of_the_last_layer_and_nothing_else(
    name: str, percent: float, make_victim: Callable[..., Victim]
) -> None:
    victim = make_victim(name)
    clean, pruned = observe(victim, pictures(), LABELS), shared(victim, f"soteria={percent}")
    before, after = clean.gradients[-2], pruned.gradients[-2]
    gone = (after == 0).all(dim=1) & ~(before == 0).all(dim=1)
    scores = feature_scores(victim, pictures())
    for row in range(TARGETS):
        assert torch.equal(after[row][:, ~gone[row]], before[row][:, ~gone[row]])
        zero = (after[row] == 0).all(dim=0)
        assert float(zero.double().mean()) >= percent / 100 - 1 / len(zero)
        assert float(scores[row][zero].max()) <= float(scores[row][~zero].min())
    others = [difference for place, difference in enumerate(apart(pruned, clean)) if place != len(clean.gradients) - 2]
    assert not any(difference.any() for difference in others)


def test_a_feature_scores_by_how_far_it_moves_with_the_image_for_its_size(lenet: Victim) -> None:
    """The published criterion, |dr/dx| / |r|, against the Jacobian."""
    image = pictures(rows=1)
    body, head = lenet.layers[:-1], lenet.layers[-1]
    features = lambda x: body(lenet.normalize(x))[0]
    jacobian = torch.autograd.functional.jacobian(features, image).flatten(1)
    expected = jacobian.norm(dim=1) / features(image).abs()
    assert len(expected) == head.in_features
    torch.testing.assert_close(feature_scores(lenet, image)[0], expected, rtol=1e-6, atol=0)  # 1e-10 is added to |r|


def test_soteria_is_refused_without_a_linear_head() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 10, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    victim = Victim(layers, pixel_mean=0.5, pixel_std=0.25).double()
    with pytest.raises(ValueError, match=r"soteria, .* need a victim whose last layer is linear, got Conv2d"):
        shared(victim, "soteria=10")


def test_a_private_release_moves_by_its_bound_at_most_when_an_example_leaves() -> None:
    """The sensitivity on which epsilon rests, on the very code that releases."""
    stream = torch.Generator().manual_seed(0)
    examples = [100 * torch.randn(4, 5, 6, generator=stream), 100 * torch.randn(4, 3, generator=stream)]
    defense = DifferentialPrivacy(bound=2.0, noise=0.0)
    whole = release(examples, defense, batch=4, seeds=[0])
    without = release([each[:3] for each in examples], defense, batch=3, seeds=[0])
    moved = [4 * a - 3 * b for a, b in zip(whole, without, strict=True)]  # sums, not means
    assert float(gradient_norms(moved)) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_private_release_has_noise_of_the_bound_times_the_multiplier_on_the_sum(batch: int) -> None:
    examples = [torch.randn(2 * batch, 40, 50, generator=torch.Generator().manual_seed(0))]
    told = {"batch": batch, "seeds": [1, 2]}
    (noisy,) = release(examples, DifferentialPrivacy(bound=3.0, noise=0.7), **told)
    (plain,) = release(examples, DifferentialPrivacy(bound=3.0, noise=0.0), **told)
    stds = batch * (noisy - plain).flatten(1).std(dim=1)
    torch.testing.assert_close(stds, torch.full((2,), 2.1), rtol=5 / 4000**0.5, atol=0)


def test_every_example_of_a_batch_is_clipped_for_itself(lenet: Victim) -> None:
    """One example that is far longer than the others moves the release no more than they do."""
    images, labels = pictures(rows=4).unflatten(0, (2, 2)), torch.tensor([[2, 7], [1, 1]])
    examples = observe(lenet, images.flatten(0, 1), labels.flatten())
    means = tuple(gradient.unflatten(0, (2, 2)).mean(dim=1) for gradient in examples.gradients)
    observation = Observation(gradients=means, image_shape=(3, 16, 16))
    bound = float(gradient_norms(examples.gradients).min()) / 2
    told = {"seeds": [0, 1], "victim": lenet, "images": images, "labels": labels}
    found = defend(observation, DifferentialPrivacy(bound=bound, noise=0.0), **told)
    units = [each / gradient_norms(examples.gradients).view(-1, *(1,) * (each.ndim - 1)) for each in examples.gradients]
    for gradient, unit in zip(found.gradients, units, strict=True):
        torch.testing.assert_close(gradient, bound * unit.unflatten(0, (2, 2)).mean(dim=1), rtol=1e-9, atol=1e-12)
