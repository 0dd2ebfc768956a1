from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gifd_ops.gradients import backward_rows, observe, victim_gradients
from gifd_ops.victims import Victim, build_victim

ROWS, SIDE, CLASSES = 4, 16, 5


def batchnorm_net() -> nn.Sequential:
    """Strides, paddings, a dilation, oblong kernels, no bias, and normalizations that have seen data."""
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.Conv2d(6, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, CLASSES, bias=False),
        nn.Sigmoid(),
        nn.Linear(CLASSES, CLASSES),
    )
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return layers


def victim_of(layers: nn.Sequential) -> Victim:
    return Victim(layers, pixel_mean=0.5, pixel_std=0.25).double()


def a_victim(name: str) -> Victim:
    if name != "batchnorm":
        sizes = {"num_classes": CLASSES, "size_px": SIDE, "pixel_mean": 0.5, "pixel_std": 0.25}
        return build_victim(name, seed=1, **sizes).double()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return victim_of(batchnorm_net())


def a_batch() -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(2)
    images = torch.rand(ROWS, 3, SIDE, SIDE, generator=stream, dtype=torch.float64)
    return images, torch.tensor([0, 4, 2, 2])


def plain_gradients(
    victim: Victim, images: Tensor, labels: Tensor, *, create_graph: bool = False
) -> list[list[Tensor]]:
    """What a client computes: one image at a time, by autograd on the parameters."""
    thawed = copy.deepcopy(victim).requires_grad_(True)
    rows = []
    for image, label in zip(images, labels, strict=True):
        loss = functional.cross_entropy(thawed(image[None]), label[None])
        rows.append(list(torch.autograd.grad(loss, list(thawed.parameters()), create_graph=create_graph)))
    return rows


@pytest.mark.parametrize("name", ["lenet", "convnet", "batchnorm"])
@pytest.mark.parametrize("differentiable", [False, True])
def test_rows_have_the_gradients_that_each_client_would_compute(name: str, differentiable: bool) -> None:
    victim, (images, labels) = a_victim(name), a_batch()
    gradients = victim_gradients(victim, images, labels, differentiable=differentiable)
    for row, expected in enumerate(plain_gradients(victim, images, labels)):
        for gradient, reference in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient[row].detach(), reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["lenet", "convnet", "batchnorm"])
def test_gradients_come_in_the_order_of_the_parameters(name: str) -> None:
    victim, (images, labels) = a_victim(name), a_batch()
    shapes = [tuple(gradient.shape) for gradient in victim_gradients(victim, images, labels, differentiable=False)]
    assert shapes == [(ROWS, *parameter.shape) for parameter in victim.parameters()]


@pytest.mark.parametrize("name", ["lenet", "convnet", "batchnorm"])
def test_a_cosine_of_gradients_is_differentiated_as_by_plain_double_backward(name: str) -> None:
    victim, (images, labels) = a_victim(name), a_batch()
    shared = plain_gradients(victim, images.flip(0), labels)

    def cosine(first: list[Tensor], second: list[Tensor]) -> Tensor:
        a, b = (torch.cat([part.flatten() for part in parts]) for parts in (first, second))
        return 1 - a @ b / (a.norm() * b.norm())

    leaf = images.clone().requires_grad_()
    fused = victim_gradients(victim, leaf, labels, differentiable=True)
    cost = sum(cosine([gradient[row] for gradient in fused], shared[row]) for row in range(ROWS))
    (found,) = torch.autograd.grad(cost, leaf)

    plain_leaf = images.clone().requires_grad_()
    plain = plain_gradients(victim, plain_leaf, labels, create_graph=True)
    (expected,) = torch.autograd.grad(sum(cosine(plain[row], shared[row]) for row in range(ROWS)), plain_leaf)
    assert float(expected.abs().max()) > 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_a_row_has_the_same_gradient_whatever_is_beside_it() -> None:
    victim, (images, labels) = a_victim("batchnorm"), a_batch()
    together = victim_gradients(victim, images, labels, differentiable=False)
    alone = victim_gradients(victim, images[2:3], labels[2:3], differentiable=False)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[2:3], b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layers",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)),
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, groups=3)),
        nn.Sequential(nn.ConvTranspose2d(3, 4, 3)),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.PReLU()),
        nn.Sequential(nn.Conv2d(3, 16, 19, padding=9), nn.GroupNorm(2, 16)),
    ],
    ids=["GroupNorm", "grouped", "ConvTranspose2d", "PReLU", "beside a frozen convolution"],
)
@pytest.mark.parametrize("differentiable", [False, True])
def test_parameters_in_layers_without_a_rule_take_the_plain_way(layers: nn.Sequential, differentiable: bool) -> None:
    images, labels = a_batch()
    layers = copy.deepcopy(layers)
    width = layers(images.float()).flatten(1).shape[1]
    victim = victim_of(nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, CLASSES)))
    with pytest.warns(UserWarning, match="Sequential has layers .* plain autograd"):
        gradients = victim_gradients(victim, images, labels, differentiable=differentiable)
    for row, expected in enumerate(plain_gradients(victim, images, labels)):
        for gradient, reference in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient[row].detach(), reference, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match=r"per-row gradients are known for "):
        backward_rows(victim, images, labels, differentiable=False)


def test_batch_normalization_in_train_mode_is_refused_because_rows_would_mix() -> None:
    victim, (images, labels) = a_victim("batchnorm"), a_batch()
    with pytest.raises(ValueError, match="eval mode"):
        victim_gradients(victim.train(), images, labels, differentiable=False)


def test_no_hook_stays_behind() -> None:
    victim, (images, labels) = a_victim("batchnorm"), a_batch()
    victim_gradients(victim, images, labels, differentiable=True)
    with pytest.raises(RuntimeError):
        victim_gradients(victim, images[:, :2], labels, differentiable=True)
    assert not any(module._forward_hooks for module in victim.modules())


def test_an_observation_holds_one_gradient_per_target_and_no_graph() -> None:
    victim, (images, labels) = a_victim("lenet"), a_batch()
    observation = observe(victim, images, labels)
    assert observation.num_targets == ROWS
    assert not any(gradient.requires_grad for gradient in observation.gradients)
    assert not images.requires_grad
    expected = plain_gradients(victim, images, labels)
    for index, gradient in enumerate(observation.gradients):
        torch.testing.assert_close(gradient, torch.stack([row[index] for row in expected]), rtol=1e-10, atol=1e-12)


class _LaterFirst(nn.Module):
    """Runs its layers in another order than it lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images).sigmoid()).sigmoid()


@pytest.mark.parametrize(
    "layers",
    [
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)),
        nn.Sequential(_LaterFirst()),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding="same"), nn.ReLU()),
    ],
    ids=["in place", "order", "reflect", "same"],
)
def test_a_victim_is_answered_rightly_or_refused(layers: nn.Sequential) -> None:
    images, labels = a_batch()
    victim = victim_of(nn.Sequential(*layers, nn.Flatten(), nn.Linear(3 * SIDE * SIDE, CLASSES)))
    try:
        gradients = victim_gradients(victim, images, labels, differentiable=False)
    except ValueError:
        return
    for row, expected in enumerate(plain_gradients(victim, images, labels)):
        for gradient, reference in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient[row].detach(), reference, rtol=1e-9, atol=1e-9)
