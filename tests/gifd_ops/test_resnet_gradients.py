"""Blocks add their shortcut in place and the shortcut branches off: the gradients per row must not care."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.gradients import observe, victim_gradients
from gifd_ops.labels import infer_labels
from gifd_ops.portraits import draw
from gifd_ops.victims import Victim, build_victim

SIDE = 16


def a_resnet(name: str, dtype: torch.dtype) -> Victim:
    sizes = {"num_classes": 10, "size_px": SIDE, "pixel_mean": 0.5, "pixel_std": 0.25}
    return build_victim(name, seed=1, **sizes).to(dtype)


def a_batch() -> tuple[Tensor, Tensor]:
    images, labels = draw([13, 27], domain="photo", size_px=SIDE)
    return images.double(), labels


def plain_gradients(victim: Victim, image: Tensor, label: Tensor, *, create_graph: bool) -> tuple[Tensor, ...]:
    """What a client computes: one image, by autograd on the parameters."""
    loss = functional.cross_entropy(victim(image[None]), label[None])
    return torch.autograd.grad(loss, list(victim.parameters()), create_graph=create_graph)


@pytest.mark.parametrize("name", ["resnet18", "resnet18_imagenet"])
def test_rows_have_the_gradients_that_each_client_would_compute(name: str) -> None:
    victim, (images, labels) = a_resnet(name, torch.float64), a_batch()
    thawed = copy.deepcopy(victim).requires_grad_(True)
    gradients = victim_gradients(victim, images, labels, differentiable=False)
    assert [tuple(gradient.shape[1:]) for gradient in gradients] == [tuple(p.shape) for p in victim.parameters()]
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        for gradient, expected in zip(
            gradients, plain_gradients(thawed, image, label, create_graph=False), strict=True
        ):
            scale = float(expected.abs().max())
            assert scale > 0
            torch.testing.assert_close(gradient[row], expected, rtol=1e-9, atol=1e-10 * scale)


def test_a_match_of_gradients_is_differentiated_as_by_plain_double_backward() -> None:
    victim, (images, labels) = a_resnet("resnet18", torch.float64), a_batch()
    image, label = images[:1], labels[:1]
    shared = victim_gradients(victim, images[1:], labels[:1], differentiable=False)

    def cosine(gradients: tuple[Tensor, ...]) -> Tensor:
        a, b = (torch.cat([part.flatten() for part in parts]) for parts in (gradients, shared))
        return 1 - a @ b / (a.norm() * b.norm())

    leaf = image.clone().requires_grad_()
    (found,) = torch.autograd.grad(cosine(victim_gradients(victim, leaf, label, differentiable=True)), leaf)
    plain_leaf = image.clone().requires_grad_()
    thawed = copy.deepcopy(victim).requires_grad_(True)
    plain = plain_gradients(thawed, plain_leaf[0], label[0], create_graph=True)
    (expected,) = torch.autograd.grad(cosine(plain), plain_leaf)
    scale = float(expected.abs().max())
    assert scale > 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9 * scale)


@pytest.mark.parametrize("name", ["resnet18", "resnet18_imagenet"])
def test_labels_are_inferred_because_features_are_never_negative(name: str) -> None:
    victim = a_resnet(name, torch.float32)
    images, labels = draw([3, 14, 25, 36], domain="photo", size_px=SIDE)
    features: list[Tensor] = []
    hook = victim.get_submodule("layers.fc").register_forward_hook(lambda _, entering, __: features.append(entering[0]))
    inferred = infer_labels(observe(victim, images, labels))
    hook.remove()
    assert float(features[0].detach().min()) >= 0
    assert inferred.tolist() == labels.tolist() == [3, 4, 5, 6]
