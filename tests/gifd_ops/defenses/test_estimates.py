"""Defenses read off the shared gradient alone, within the error that is stated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gifd_ops.defenses.config import read_defense
from gifd_ops.defenses.defend import defend
from gifd_ops.defenses.estimates import (
    clip_bound,
    noise_std,
    pruned_features,
    pruned_percent,
    same_norm,
    signal_norm,
)
from gifd_ops.defenses.norms import gradient_norms
from gifd_ops.gradients import Observation, observe
from gifd_ops.portraits import draw
from gifd_ops.victims import Victim

SMALL = ["lenet", "convnet", "resnet10_narrow", "vit"]
TARGETS = 4


def seen(victim: Victim, text: str) -> Observation:
    images, labels = draw(range(TARGETS), domain="photo", size_px=32)
    told = {"victim": victim, "images": images, "labels": labels, "seeds": range(TARGETS)}
    return defend(observe(victim, images, labels), read_defense(text), **told)


@pytest.fixture(params=SMALL)
def victim(request: pytest.FixtureRequest, make_victim: Callable[..., Victim]) -> Victim:
    return make_victim(request.param, size_px=32, dtype=torch.float32)


@pytest.mark.parametrize("std", [1e-4, 1e-2, 1.0])
def test_the_noise_scale_is_known_to_within_its_sampling_error(std: float, victim: Victim) -> None:
    gradients = seen(victim, f"noise={std}").gradients
    features = gradients[-2].shape[2]
    tolerance = 4 / (2 * features) ** 0.5
    torch.testing.assert_close(noise_std(gradients), torch.full((TARGETS,), std), rtol=tolerance, atol=0)


@pytest.mark.parametrize("text", ["none", "clipping=0.5r", "sparsification=0"])
def test_where_there_is_no_noise_none_is_seen(text: str, victim: Victim) -> None:
    assert torch.equal(noise_std(seen(victim, text).gradients), torch.zeros(TARGETS))


def test_the_gradients_length_is_known_under_noise(victim: Victim) -> None:
    clean, noisy = seen(victim, "none").gradients, seen(victim, "noise=0.5r").gradients
    torch.testing.assert_close(signal_norm(noisy, noise_std(noisy)), gradient_norms(clean), rtol=0.1, atol=0)


def test_a_bound_that_was_met_is_known(victim: Victim) -> None:
    norms = gradient_norms(seen(victim, "none").gradients)
    bound = float(norms.sort().values[1:3].mean())  # two of four are longer
    clipped = seen(victim, f"clipping={bound!r}").gradients
    longer = norms > bound
    torch.testing.assert_close(clip_bound(clipped)[longer], torch.full((2,), bound), rtol=1e-5, atol=0)
    assert torch.equal(same_norm(clipped), longer)
    assert not same_norm(seen(victim, "none").gradients).any()


@pytest.mark.parametrize("percent", [20.0, 90.0, 99.0])
def test_the_pruned_share_is_known(percent: float, victim: Victim) -> None:
    found = pruned_percent(seen(victim, f"sparsification={percent}").gradients)
    torch.testing.assert_close(found, torch.full_like(found, percent), rtol=0, atol=2.0)


@pytest.mark.parametrize("name", ["lenet", "resnet10_narrow"])
def test_pruned_features_are_seen(name: str, make_victim: Callable[..., Victim]) -> None:
    victim = make_victim(name, size_px=16, dtype=torch.float64)
    stream = torch.Generator().manual_seed(3)
    images, labels = torch.rand(2, 3, 16, 16, generator=stream).double(), torch.tensor([1, 2])
    clean = observe(victim, images, labels)
    told = {"victim": victim, "images": images, "labels": labels, "seeds": [0, 1]}
    found = pruned_features(defend(clean, read_defense("soteria=25"), **told).gradients)
    width = found.shape[1]
    own = pruned_features(clean.gradients)  # features that are off
    assert bool((found & own == own).all())
    torch.testing.assert_close(found.double().mean(dim=1), torch.full((2,), 0.25).double(), rtol=0, atol=1 / width)
