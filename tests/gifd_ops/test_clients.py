"""What clients share is what a client that trains by the book shares."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gifd_ops.layer_rows
from gifd_ops.clients import OwnNorm, as_client
from gifd_ops.first_order import matching_loss, matching_value, value_and_slope
from gifd_ops.gradients import backward_rows, batch_statistics, observe, victim_gradients
from gifd_ops.layer_rows import (
    BatchedLinearRows,
    GhostConvRows,
    GhostLinearRows,
    OwnNormRows,
    PatchedConvRows,
    PlainConvRows,
)
from gifd_ops.matching import MATCHINGS, GradientMatching
from gifd_ops.protocols import SHARED_GRADIENT, ClientProtocol
from gifd_ops.victims import Victim

CLIENTS, BATCH = 3, 4
LABELS = torch.tensor([[2, 7, 2, 0], [1, 1, 1, 1], [9, 8, 3, 4]])
TRAIN = ClientProtocol(victim_mode="train")
FEDAVG = ClientProtocol(kind="fedavg", local_steps=3, local_lr=0.05)
MINIBATCHES = ClientProtocol(kind="fedavg", local_steps=4, local_lr=0.05, local_batch_size=3)  # 3, 1, 3, 1 images
PROTOCOLS = {
    "gradient": SHARED_GRADIENT,
    "train": TRAIN,
    "one step": replace(FEDAVG, local_steps=1),
    "fedavg": FEDAVG,
    "minibatches": MINIBATCHES,
    "fedavg train": replace(FEDAVG, victim_mode="train"),
    "minibatches train": replace(MINIBATCHES, victim_mode="train"),
}


def pictures(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(CLIENTS, BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def normed_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 48, 3, stride=2, padding=1),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1, bias=False),
        nn.BatchNorm2d(48),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(48, 32, 2),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


@pytest.fixture(scope="module")
def a_victim(make_victim: Callable[..., Victim]) -> Callable[[str], Victim]:
    """Victims whose normalizations, if any, have seen data; `normed` is small, and has convolutions of every form."""

    def make(name: str) -> Victim:
        stream = torch.Generator().manual_seed(3)
        if name == "normed":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                victim = Victim(normed_net(), pixel_mean=0.5, pixel_std=0.25).double()
        else:
            victim = make_victim(name)
        for module in victim.modules():
            if isinstance(module, nn.BatchNorm2d):
                for low, tensor in ((-0.5, module.running_mean), (0.5, module.running_var), (0.5, module.weight.data)):
                    assert tensor is not None
                    tensor.copy_(low + torch.rand(tensor.shape, generator=stream, dtype=tensor.dtype))
        return victim

    return make


def by_the_book(victim: Victim, images: Tensor, labels: Tensor, protocol: ClientProtocol) -> list[Tensor]:
    """The update of one client, images [batch, 3, h, w], by `torch.optim.SGD` on layers of torch's own."""
    own = copy.deepcopy(victim).requires_grad_(True)
    for parent in list(own.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                plain = nn.BatchNorm2d(layer.num_features, eps=layer.eps).to(layer.weight)
                plain.load_state_dict(layer.state_dict())
                setattr(parent, name, plain)
    own.train(protocol.victim_mode == "train")
    begun = [parameter.detach().clone() for parameter in own.parameters()]
    rate = protocol.local_lr or 1.0
    optimizer = torch.optim.SGD(own.parameters(), lr=rate)
    for places in protocol.steps(len(labels)):
        step = slice(places.start, places.stop)
        optimizer.zero_grad()
        functional.cross_entropy(own(images[step]), labels[step]).backward()
        optimizer.step()
    pairs = zip(begun, own.parameters(), strict=True)
    return [(before - after.detach()) / (rate * protocol.local_steps) for before, after in pairs]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["lenet", "convnet", "normed"])
def test_what_is_shared_is_the_update_of_a_client_that_trains_by_the_book(
    name: str, protocol: str, a_victim: Callable[[str], Victim]
) -> None:
    victim, images = a_victim(name), pictures(0)
    before = {key: value.clone() for key, value in victim.state_dict().items()}
    seen = observe(victim, images, LABELS, protocol=PROTOCOLS[protocol])
    for client in range(CLIENTS):
        expected = by_the_book(victim, images[client], LABELS[client], PROTOCOLS[protocol])
        for gradient, reference in zip(seen.gradients, expected, strict=True):
            largest = float(reference.abs().max())
            torch.testing.assert_close(gradient[client], reference, rtol=1e-9, atol=1e-9 * largest + 1e-13)
    assert all(torch.equal(before[key], value) for key, value in victim.state_dict().items())
    assert not any(gradient.requires_grad for gradient in seen.gradients)


@pytest.mark.parametrize("protocol", ["gradient", "train", "fedavg train"])
def test_a_resnet_shares_what_it_should_too(protocol: str, a_victim: Callable[[str], Victim]) -> None:
    victim, told = a_victim("resnet18"), PROTOCOLS[protocol]
    seen = observe(victim, pictures(0)[:1, :2], LABELS[:1, :2], protocol=told)
    for gradient, reference in zip(
        seen.gradients, by_the_book(victim, pictures(0)[0, :2], LABELS[0, :2], told), strict=True
    ):
        largest = float(reference.abs().max())
        torch.testing.assert_close(gradient[0], reference, rtol=1e-8, atol=1e-8 * largest + 1e-13)


def test_one_step_on_the_whole_batch_is_the_gradient(lenet: Victim) -> None:
    gradient = observe(lenet, pictures(0), LABELS).gradients
    one_step = observe(lenet, pictures(0), LABELS, protocol=PROTOCOLS["one step"]).gradients
    assert all(torch.equal(a, b) for a, b in zip(gradient, one_step, strict=True))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_batch_of_one_shares_what_a_single_image_does(protocol: str, a_victim: Callable[[str], Victim]) -> None:
    told = PROTOCOLS[protocol]
    if told.local_batch_size is not None:
        told = replace(told, local_batch_size=1)
    images, labels = pictures(0)[:, 0], LABELS[:, 0]
    for name in ("lenet", "normed"):
        alone = observe(a_victim(name), images, labels, protocol=told, grant_labels=True)
        batch = observe(a_victim(name), images[:, None], labels[:, None], protocol=told, grant_labels=True)
        assert (alone.batch_size, batch.batch_size) == (None, 1)
        assert all(torch.equal(a, b) for a, b in zip(alone.gradients, batch.gradients, strict=True))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_shares_the_same_whoever_is_beside_it(protocol: str, a_victim: Callable[[str], Victim]) -> None:
    victim = a_victim("normed")
    together = observe(victim, pictures(0), LABELS, protocol=PROTOCOLS[protocol])
    alone = observe(victim, pictures(0)[1:2], LABELS[1:2], protocol=PROTOCOLS[protocol])
    for a, b in zip(together.gradients, alone.gradients, strict=True):
        torch.testing.assert_close(a[1:2], b, rtol=1e-9, atol=1e-11 * float(b.abs().max()) + 1e-15)


def test_train_mode_shares_something_else_than_eval_mode(a_victim: Callable[[str], Victim]) -> None:
    victim = a_victim("normed")
    modes = [observe(victim, pictures(0), LABELS, protocol=told).gradients[0] for told in (SHARED_GRADIENT, TRAIN)]
    assert float((modes[0] - modes[1]).norm() / modes[0].norm()) > 0.1


def test_shared_statistics_are_those_of_the_batch(a_victim: Callable[[str], Victim]) -> None:
    victim = a_victim("normed")
    seen = observe(victim, pictures(0), LABELS, share_statistics=True)
    entered: list[Tensor] = []
    norm = next(module for module in victim.modules() if isinstance(module, nn.BatchNorm2d))
    hook = norm.register_forward_hook(lambda layer, arguments, output: entered.append(arguments[0]))
    victim(pictures(0)[1])
    hook.remove()
    assert seen.statistics is not None
    torch.testing.assert_close(seen.statistics[0][0][1], entered[0].mean(dim=(0, 2, 3)))
    torch.testing.assert_close(seen.statistics[0][1][1], entered[0].var(dim=(0, 2, 3), unbiased=False))


def matching(
    victim: Victim, distance: str, protocol: ClientProtocol, layers: tuple[int, int] | None = None
) -> GradientMatching:
    seen = observe(victim, pictures(0), LABELS, protocol=protocol)
    return MATCHINGS[distance](victim, seen, LABELS, restarts=1, layers=layers)


def by_autograd(match: GradientMatching, images: Tensor) -> tuple[Tensor, Tensor]:
    inputs = images.clone().requires_grad_()
    distances = match(inputs)
    (slope,) = torch.autograd.grad(distances.sum(), inputs)
    return distances.detach(), slope


def check_slope(match: GradientMatching) -> None:
    """The short way to value and slope against plain autograd."""
    images = pictures(1)
    distances, slope = value_and_slope(images, match)
    expected, expected_slope = by_autograd(match, images)
    torch.testing.assert_close(distances, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(matching_value(images, match), expected, rtol=1e-9, atol=1e-10)
    assert float(expected_slope.abs().amax(dim=(2, 3, 4)).min()) > 0
    norms = [each.flatten(1).norm(dim=1) for each in (slope - expected_slope, expected_slope)]
    assert float((norms[0] / norms[1]).max()) < 1e-9


@pytest.mark.parametrize("layers", [None, (1, 3)])
@pytest.mark.parametrize("distance", MATCHINGS)
@pytest.mark.parametrize("protocol", ["gradient", "train"])
@pytest.mark.parametrize("name", ["lenet", "convnet", "normed"])
def test_value_and_slope_of_a_batch_are_those_of_plain_autograd(
    name: str, protocol: str, distance: str, layers: tuple[int, int] | None, a_victim: Callable[[str], Victim]
) -> None:
    check_slope(matching(a_victim(name), distance, PROTOCOLS[protocol], layers))


@pytest.fixture(params=["patched", "plain"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(gifd_ops.layer_rows, "FEW_POSITIONS", 10_000 if request.param == "patched" else 0)
    monkeypatch.setattr(gifd_ops.layer_rows, "SMALL_PATCHES", 0)
    return str(request.param)


def test_every_kind_of_layer_folds_a_batch(kind: str, a_victim: Callable[[str], Victim]) -> None:
    kinds = set()
    for name, protocol in (("lenet", SHARED_GRADIENT), ("normed", TRAIN)):
        match = matching(a_victim(name), "cosine", protocol)
        passes = backward_rows(match.victim, pictures(0), LABELS, differentiable=False)
        kinds |= {type(one.rows) for one in passes}
        check_slope(match)
    expected = {"patched": {PatchedConvRows, GhostConvRows, GhostLinearRows}, "plain": {PlainConvRows}}[kind]
    assert expected | {OwnNormRows} <= kinds
    assert kinds & {GhostLinearRows, BatchedLinearRows}


@pytest.mark.parametrize("protocol", ["fedavg", "minibatches train"])
def test_the_slope_through_local_training_is_that_of_differences(
    protocol: str, a_victim: Callable[[str], Victim]
) -> None:
    match = matching(a_victim("lenet"), "cosine", PROTOCOLS[protocol])
    images, direction = pictures(1), torch.randn(CLIENTS, BATCH, 3, 16, 16, dtype=torch.float64)
    inputs = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(matching_loss(inputs, match).sum(), inputs)
    step = 1e-5
    ahead, behind = (matching_value(images + sign * step * direction, match) for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    torch.testing.assert_close((slope * direction).flatten(1).sum(dim=1), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("distance", MATCHINGS)
def test_the_private_batch_itself_is_at_no_distance(
    distance: str, protocol: str, a_victim: Callable[[str], Victim]
) -> None:
    match = matching(a_victim("convnet"), distance, PROTOCOLS[protocol])
    assert float(matching_value(pictures(0), match).abs().max()) < 1e-12
    assert float(matching_value(pictures(1), match).min()) > 1e-6


def test_fewer_simulated_steps_are_a_coarser_way(lenet: Victim) -> None:
    seen = observe(lenet, pictures(0), LABELS, protocol=FEDAVG)
    whole, coarse, one = (
        MATCHINGS["cosine"](lenet, seen, LABELS, restarts=1, simulated_steps=steps) for steps in (None, 2, 1)
    )
    gradient = victim_gradients(lenet, pictures(1), LABELS, differentiable=False)
    torch.testing.assert_close(matching_value(pictures(1), one), one.between(gradient), rtol=1e-9, atol=1e-12)
    at_truth = [float(matching_value(pictures(0), match).max()) for match in (whole, coarse, one)]
    assert at_truth[0] < 1e-12 < at_truth[1] < at_truth[2]


def test_train_mode_needs_more_than_one_value_per_channel() -> None:
    layers = [nn.Conv2d(3, 4, 16), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 10)]
    victim = Victim(nn.Sequential(*layers), pixel_mean=0.5, pixel_std=0.5).double()
    with pytest.raises(ValueError, match="more than one value per channel"):
        observe(victim, pictures(0)[:, :1], LABELS[:, :1], protocol=TRAIN)
    observe(victim, pictures(0), LABELS, protocol=TRAIN)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.Dropout2d(0.1)], ids=str)
def test_train_mode_refuses_layers_that_draw_at_random(layer: nn.Module) -> None:
    victim = Victim(nn.Sequential(layer, nn.Flatten(), nn.Linear(768, 10)), pixel_mean=0.5, pixel_std=0.5)
    with pytest.raises(ValueError, match="may not draw at random"):
        as_client(victim, TRAIN, 2)
    assert as_client(victim, SHARED_GRADIENT, 2) is victim


def test_a_client_computes_with_the_weights_of_the_victim(a_victim: Callable[[str], Victim]) -> None:
    victim = a_victim("normed")
    for protocol in PROTOCOLS.values():
        client = as_client(victim, protocol, BATCH)
        assert [id(parameter) for parameter in client.parameters()] == [id(each) for each in victim.parameters()]
    assert not any(isinstance(module, OwnNorm) for module in victim.modules())


@pytest.mark.parametrize(
    ("images", "labels"),
    [((2, 4, 3, 16, 16), (2,)), ((2, 3, 16, 16), (2, 1)), ((3, 16, 16), ()), ((2, 4, 3, 16, 16), (2, 3))],
)
def test_images_and_labels_that_do_not_belong_together_are_refused(
    images: tuple[int, ...], labels: tuple[int, ...], lenet: Victim
) -> None:
    with pytest.raises(ValueError, match="clients have images"):
        observe(lenet, torch.rand(images, dtype=torch.float64), torch.zeros(labels, dtype=torch.int64))


def test_clients_that_train_share_no_statistics(a_victim: Callable[[str], Victim]) -> None:
    with pytest.raises(ValueError, match="those of one pass, and these clients make 3 local steps"):
        observe(a_victim("normed"), pictures(0), LABELS, protocol=FEDAVG, share_statistics=True)


def test_statistics_have_a_row_per_client(a_victim: Callable[[str], Victim]) -> None:
    passes = backward_rows(a_victim("normed"), pictures(0), LABELS, differentiable=False)
    assert {len(mean) for mean, _ in batch_statistics(passes)} == {CLIENTS}
