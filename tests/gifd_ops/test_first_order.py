"""The slope without a second-order tape is plain autograd's, for every victim and every kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import gifd_ops.layer_rows
from gifd_ops.first_order import matching_loss, matching_value, value_and_slope
from gifd_ops.gradients import backward_rows, observe
from gifd_ops.inner_products import inner_products
from gifd_ops.layer_rows import GhostConvRows, LayerRows, LinearRows, PatchedConvRows, PlainConvRows, layer_rows
from gifd_ops.matching import MATCHINGS, GradientMatching
from gifd_ops.victims import VICTIMS, Victim

ROWS = 3
LABELS = torch.tensor([2, 7, 2])


def pictures(seed: int, dtype: torch.dtype) -> Tensor:
    return torch.rand(ROWS, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def matching(
    victim: Victim, distance: str, dtype: torch.dtype, layers: tuple[int, int] | None = None
) -> GradientMatching:
    return MATCHINGS[distance](victim, observe(victim, pictures(0, dtype), LABELS), LABELS, restarts=1, layers=layers)


def by_autograd(match: GradientMatching, images: Tensor) -> tuple[Tensor, Tensor]:
    inputs = images.clone().requires_grad_()
    distances = match(inputs)
    (slope,) = torch.autograd.grad(distances.sum(), inputs)
    return distances.detach(), slope


def relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)).max())


@pytest.mark.parametrize(
    ("dtype", "loss_limit", "slope_limit"), [(torch.float64, 1e-9, 1e-9), (torch.float32, 1e-5, 1e-4)]
)
@pytest.mark.parametrize("layers", [None, (0, 2), (1, 3)])
@pytest.mark.parametrize("distance", MATCHINGS)
@pytest.mark.parametrize("name", [name for name in VICTIMS if name != "vit"])
def test_value_and_slope_are_those_of_plain_autograd(
    name: str,
    distance: str,
    layers: tuple[int, int] | None,
    dtype: torch.dtype,
    loss_limit: float,
    slope_limit: float,
    make_victim: Callable[..., Victim],
) -> None:
    match = matching(make_victim(name, dtype=dtype), distance, dtype, layers)
    images = pictures(1, dtype)
    distances, slope = value_and_slope(images, match)
    expected, expected_slope = by_autograd(match, images)
    torch.testing.assert_close(distances, expected, rtol=loss_limit, atol=loss_limit / 10)
    torch.testing.assert_close(matching_value(images, match), expected, rtol=loss_limit, atol=loss_limit / 10)
    assert relative(slope, expected_slope) < slope_limit
    assert float(expected_slope.abs().amax(dim=(1, 2, 3)).min()) > 0


@pytest.mark.parametrize("distance", MATCHINGS)
def test_a_victim_whose_layers_are_not_known_takes_plain_autograd(
    distance: str, make_victim: Callable[..., Victim]
) -> None:
    match = matching(make_victim("vit"), distance, torch.float64, (0, 2))
    images = pictures(1, torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(matching_loss(images, match).sum(), images)
    expected, expected_slope = by_autograd(match, images.detach())
    torch.testing.assert_close(matching_value(images, match), expected, rtol=1e-9, atol=1e-12)
    assert relative(slope, expected_slope) < 1e-9
    step = 1e-5 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = matching_value(images.detach() + step, match) - matching_value(images.detach() - step, match)
    torch.testing.assert_close(moved, 2 * (slope * step).flatten(1).sum(dim=1), rtol=1e-4, atol=1e-12)


def test_it_is_a_loss_like_any_other_to_what_comes_before(lenet: Victim) -> None:
    match = matching(lenet, "cosine", torch.float64)
    knob = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)

    def slope(loss: Callable[[Tensor], Tensor]) -> Tensor:
        images = (pictures(1, torch.float64) + knob[:, None, None, None] * pictures(2, torch.float64)).clamp(0, 1)
        (found,) = torch.autograd.grad((weights * loss(images)).sum(), knob)
        return found

    torch.testing.assert_close(slope(lambda images: matching_loss(images, match)), slope(match), rtol=1e-9, atol=1e-12)


def test_a_row_that_is_not_a_number_leaves_the_others_alone(lenet: Victim) -> None:
    match = matching(lenet, "cosine", torch.float64)
    images = pictures(1, torch.float64)
    whole, slope = value_and_slope(images, match)
    images[1, 0, 0, 0] = torch.nan
    broken, broken_slope = value_and_slope(images, match)
    assert bool(broken[1].isnan())
    assert torch.equal(broken[[0, 2]], whole[[0, 2]])
    assert torch.equal(broken_slope[[0, 2]], slope[[0, 2]])


def test_what_was_shared_is_left_as_it_was(lenet: Victim) -> None:
    for distance in MATCHINGS:
        match = matching(lenet, distance, torch.float64)
        before = [tensor.clone() for tensor in match.shared]
        first = value_and_slope(pictures(1, torch.float64), match)
        again = value_and_slope(pictures(1, torch.float64), match)
        assert all(torch.equal(a, b) for a, b in zip(before, match.shared, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


CONVOLUTIONS = [
    nn.Conv2d(3, 4, 3, padding=1),
    nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), bias=False),
    nn.Conv2d(3, 4, 5, stride=2, padding=2),
    nn.Conv2d(3, 4, 1, stride=2, bias=False),
]


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=str)
def test_patched_and_plain_convolutions_are_the_same(layer: nn.Conv2d) -> None:
    layer = layer.double().requires_grad_(False)
    entering = pictures(1, torch.float64)
    leaving = torch.randn_like(layer(entering))
    patched, plain = (kind(layer, entering, leaving) for kind in (PatchedConvRows, PlainConvRows))
    for a, b in zip(patched.gradients(), plain.gradients(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    directions = [torch.randn_like(gradient) for gradient in plain.gradients()]
    for a, b in zip(patched.pull_back(directions), plain.pull_back(directions), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "layer", [*CONVOLUTIONS, nn.Linear(5, 4), nn.Linear(5, 4, bias=False), nn.BatchNorm2d(3)], ids=str
)
@pytest.mark.parametrize("kind", ["patched", "plain"])
def test_pulling_back_is_the_slope_of_the_inner_product(
    layer: nn.Module, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gifd_ops.layer_rows, "FEW_POSITIONS", 10_000 if kind == "patched" else 0)
    monkeypatch.setattr(gifd_ops.layer_rows, "SMALL_PATCHES", 0)
    layer = layer.double().eval().requires_grad_(False)
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_var.uniform_(0.5, 2.0)
    flat = isinstance(layer, nn.Linear)
    entering = torch.rand(ROWS, 5, dtype=torch.float64) if flat else pictures(1, torch.float64)
    leaving = torch.randn_like(layer(entering)).requires_grad_()
    entering.requires_grad_()
    rows = layer_rows(layer, entering, leaving)
    gradients = rows.gradients()
    directions = [torch.randn_like(gradient) for gradient in gradients]
    inner = sum((g * v).sum() for g, v in zip(gradients, directions, strict=True))
    assert isinstance(inner, Tensor)
    expected = torch.autograd.grad(inner, (leaving, entering))
    found = layer_rows(layer, entering.detach(), leaving.detach()).pull_back(directions)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def in_the_shape_of(gradients: list[Tensor], targets: int) -> list[Tensor]:
    return [torch.randn(targets, *gradient.shape[1:], dtype=torch.float64) for gradient in gradients]


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, nn.Linear(5, 4), nn.Linear(5, 4, bias=False)], ids=str)
@pytest.mark.parametrize("targets", [1, 2, 4])
def test_ghosts_match_without_forming_gradients(layer: nn.Module, targets: int) -> None:
    layer, rows = layer.double().requires_grad_(False), 4
    entering = torch.rand(rows, 5) if isinstance(layer, nn.Linear) else torch.rand(rows, 3, 16, 16)
    entering = entering.double()
    leaving = torch.randn_like(layer(entering))
    ghost = (LinearRows if isinstance(layer, nn.Linear) else GhostConvRows)(layer, entering, leaving)
    gradients = ghost.gradients()
    shared = in_the_shape_of(gradients, targets)
    of_rows = [tensor.repeat_interleave(rows // targets, dim=0) for tensor in shared]
    inner, squares = ghost.products(shared)
    torch.testing.assert_close(inner, inner_products(gradients, of_rows), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(squares, inner_products(gradients, gradients), rtol=1e-10, atol=1e-12)
    own, other = torch.randn(rows).double(), torch.randn(rows).double()
    scaled = [
        own.view(-1, *(1,) * (g.ndim - 1)) * g + other.view(-1, *(1,) * (g.ndim - 1)) * s
        for g, s in zip(gradients, of_rows, strict=True)
    ]
    for found, expected in zip(ghost.slopes(own, other), ghost.pull_back(scaled), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def kinds(victim: Victim) -> list[type[LayerRows]]:
    passes = backward_rows(victim, pictures(0, torch.float32), LABELS, differentiable=False)
    return [type(layer_rows(one.layer, one.entering, one.leaving)) for one in passes]


def test_the_heaviest_layers_of_a_resnet_form_no_gradients(make_victim: Callable[..., Victim]) -> None:
    assert kinds(make_victim("resnet18", dtype=torch.float32)).count(GhostConvRows) == 10  # the last two stages
    assert GhostConvRows not in kinds(make_victim("lenet", dtype=torch.float32))


@pytest.mark.parametrize("distance", MATCHINGS)
def test_restarts_of_a_target_are_matched_with_what_it_shared(
    distance: str, make_victim: Callable[..., Victim]
) -> None:
    victim, restarts = make_victim("resnet18"), 2
    shared = observe(victim, pictures(0, torch.float64), LABELS)
    together = MATCHINGS[distance](victim, shared, LABELS, restarts=restarts)
    repeated = replace(shared, gradients=tuple(g.repeat_interleave(restarts, dim=0) for g in shared.gradients))
    apart = MATCHINGS[distance](victim, repeated, LABELS.repeat_interleave(restarts), restarts=1)
    images = torch.rand(ROWS * restarts, 3, 16, 16, dtype=torch.float64)
    for found, expected in zip(value_and_slope(images, together), value_and_slope(images, apart), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    some = torch.tensor([0, 3, 4])
    for found, expected in zip(
        value_and_slope(images[some], together.select(some)), value_and_slope(images, apart), strict=True
    ):
        torch.testing.assert_close(found, expected[some], rtol=1e-9, atol=1e-12)
