from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from gifd_ops.tasks import VICTIM_LAYERS
from gifd_ops.victims import VICTIMS, Victim, build_victim

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(name: str, seed: int = 0, **changes: float | Sequence[float]) -> Victim:
    sizes = {"num_classes": 7, "size_px": 16, "pixel_mean": 0.5, "pixel_std": 0.25, **changes}
    return build_victim(name, seed=seed, **sizes)


@pytest.mark.parametrize("name", VICTIMS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    first = build(name, seed=3)
    torch.rand(5)
    again, other = build(name, seed=3), build(name, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    pairs = zip(first.named_parameters(), other.parameters(), strict=True)
    same = [name for (name, a), b in pairs if torch.equal(a, b)]
    assert all(len(first.get_parameter(name).unique()) == 1 for name in same)  # normalizations scale by 1, shift by 0


def test_building_leaves_the_global_random_state_as_it_was() -> None:
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    build("lenet", seed=9)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("name", VICTIMS)
@pytest.mark.parametrize("size_px", [16, 64])
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
    pixels = torch.tensor([0.3, 0.5]).expand(1, 3, 1, 2)
    torch.testing.assert_close(shifted.normalize(pixels), torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2))


def test_each_channel_may_have_its_own_normalization() -> None:
    victim = build("convnet", pixel_mean=IMAGENET_MEAN, pixel_std=IMAGENET_STD)
    images = torch.rand(2, 3, 16, 16)
    for channel, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        torch.testing.assert_close(victim.normalize(images)[:, channel], (images[:, channel] - mean) / std)


def test_one_number_says_the_same_as_three() -> None:
    images = torch.rand(2, 3, 16, 16)
    one, three = build("lenet", pixel_mean=0.5, pixel_std=2), build("lenet", pixel_mean=[0.5] * 3, pixel_std=[2] * 3)
    assert torch.equal(one(images), three(images))


def test_the_normalization_moves_with_the_parameters_and_is_no_weight() -> None:
    victim = build("convnet", pixel_mean=IMAGENET_MEAN, pixel_std=IMAGENET_STD).double()
    assert victim.normalize(torch.rand(2, 3, 16, 16, dtype=torch.float64)).dtype == torch.float64
    assert victim.pixel_mean.dtype == victim.pixel_std.dtype == torch.float64
    assert not any("pixel" in name for name in victim.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_mean": (0.5, 0.5)}, r"pixel_mean is one number or three, one per channel, got 2"),
        ({"pixel_std": (1.0, 1.0, 1.0, 1.0)}, r"pixel_std is one number or three, one per channel, got 4"),
        ({"pixel_std": 0.0}, r"pixel_std > 0 in every channel, got 0.0"),
        ({"pixel_std": (0.2, -0.2, 0.2)}, r"pixel_std > 0 in every channel, got \(0.2, -0.2, 0.2\)"),
    ],
)
def test_a_normalization_that_is_none_is_refused(changes: dict[str, float | Sequence[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("convnet", **changes)


def test_any_module_with_weights_may_be_a_victim() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(24, 4), nn.Linear(24, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            left, right = images.chunk(2, dim=3)
            return torch.cat([self.left(left.flatten(1)), self.right(right.flatten(1))], dim=1)

    victim = Victim(Halves().train(), pixel_mean=0.5, pixel_std=0.25)
    assert victim(torch.rand(2, 3, 4, 4)).shape == (2, 7)
    assert not victim.layers.training
    assert not any(parameter.requires_grad for parameter in victim.parameters())


def test_a_victim_without_parameters_is_refused_because_it_shares_nothing() -> None:
    with pytest.raises(ValueError, match=r"a victim without parameters shares no gradient, and Flatten has none; give"):
        Victim(nn.Flatten(), pixel_mean=0.5, pixel_std=0.25)


def test_an_unknown_victim_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"lenet, convnet, .*vit, or your own as module:function; got 'vgg'"):
        build("vgg")


def own_victim(num_classes: int, size_px: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size_px**2, 8), nn.ReLU(inplace=True), nn.Linear(8, num_classes))


def no_victim(num_classes: int, size_px: int) -> int:
    return num_classes


def test_a_persons_own_victim_is_made_by_its_function() -> None:
    victim = build(f"{__name__}:own_victim", seed=3)
    assert victim(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    again = build(f"{__name__}:own_victim", seed=3)
    assert all(torch.equal(a, b) for a, b in zip(victim.parameters(), again.parameters(), strict=True))
    assert not any(getattr(module, "inplace", False) for module in victim.modules())


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("not_a_module:f", r"victim not_a_module:f cannot be imported .*No module"),
        (f"{__name__}:absent", r"needs a function absent"),
        (f"{__name__}:no_victim", r"must return a torch.nn.Module, got int"),
    ],
)
def test_a_function_that_makes_no_victim_is_refused(name: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        build(name)


def test_the_layers_of_every_victim_are_counted_where_no_torch_is() -> None:
    found = {
        name: sum(any(True for _ in m.parameters(recurse=False)) for m in build(name).modules()) for name in VICTIMS
    }
    assert found == VICTIM_LAYERS
