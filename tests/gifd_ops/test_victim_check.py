from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gifd_ops.victim_check import check_victim
from gifd_ops.victims import VICTIMS, Victim

TOLD = {"image_shape": (3, 16, 16), "num_classes": 10}


def victim_of(*layers: nn.Module) -> Victim:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Victim(nn.Sequential(*layers), pixel_mean=0.5, pixel_std=0.25)


SMALL = ["lenet", "convnet", "resnet10_narrow", "vit"]
LARGE = [name for name in VICTIMS if name not in SMALL]


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_every_victim_of_ours_can_be_attacked_and_tells_its_labels(
    name: str, make_victim: Callable[..., Victim]
) -> None:
    found = check_victim(make_victim(name, dtype=torch.float32), **TOLD)
    assert found.hidden_labels is None
    assert found.fast == (name != "vit")
    assert found.apart < 1e-3
    assert "labels are inferable" in str(found)


def test_what_a_victim_does_not_tell_is_said() -> None:
    convolution = victim_of(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = check_victim(convolution, **TOLD)
    assert found.hidden_labels is not None
    assert "grant the labels: labels are inferred from a last linear layer" in str(found)
    blind = victim_of(nn.Flatten(), nn.Linear(768, 10), nn.Tanh(), nn.Linear(10, 2, bias=False))
    found = check_victim(blind, image_shape=(3, 16, 16), num_classes=2)
    assert found.hidden_labels == "with two classes, signed features and no bias, both classes leave the same trace"


class RowsMix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(768, 10)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        logits: Tensor = self.head(flat - flat.mean(dim=0))
        return logits


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ([nn.Flatten(), nn.Linear(768, 7)], r"logit per class, \[3, 10\] for three images, got \[3, 7\]"),
        ([RowsMix()], r"differs by .* rows mix"),
        ([nn.Flatten(), nn.Threshold(10.0, 0.0), nn.Linear(768, 10)], r"its slope is zero"),
    ],
    ids=["logits", "mixing", "flat"],
)
def test_what_cannot_be_attacked_is_refused(layers: list[nn.Module], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        check_victim(victim_of(*layers), **TOLD)


def test_weights_that_are_not_finite_are_refused() -> None:
    victim = victim_of(nn.Flatten(), nn.Linear(768, 10))
    victim.layers[1].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"gradients are to be finite, but not those of layers.1"):
        check_victim(victim, **TOLD)
