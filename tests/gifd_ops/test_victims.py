from __future__ import annotations

import pytest
import torch

from gifd_ops.victims import VICTIMS, build_victim


def build(name: str, seed: int = 0, **changes: float):
    sizes = {"num_classes": 7, "size_px": 16, "pixel_mean": 0.5, "pixel_std": 0.25, **changes}
    return build_victim(name, seed=seed, **sizes)


@pytest.mark.parametrize("name", VICTIMS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    first = build(name, seed=3)
    torch.rand(5)
    again, other = build(name, seed=3), build(name, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_building_leaves_the_global_random_state_as_it_was() -> None:
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    build("lenet", seed=9)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("name", VICTIMS)
@pytest.mark.parametrize("size_px", [16, 32, 64])
def test_every_size_gives_one_logit_per_class(name: str, size_px: int) -> None:
    victim = build(name, size_px=size_px)
    assert victim(torch.rand(2, 3, size_px, size_px)).shape == (2, 7)


@pytest.mark.parametrize("name", VICTIMS)
def test_victims_are_frozen_and_in_eval_mode(name: str) -> None:
    victim = build(name)
    assert not any(parameter.requires_grad for parameter in victim.parameters())
    assert not any(module.training for module in victim.modules())


def test_normalization_lives_inside() -> None:
    plain, shifted = build("convnet", pixel_mean=0.0, pixel_std=1.0), build("convnet", pixel_mean=0.3, pixel_std=0.2)
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(shifted(images), plain((images - 0.3) / 0.2))
    torch.testing.assert_close(shifted.normalize(torch.tensor([0.3, 0.5])), torch.tensor([0.0, 1.0]))
