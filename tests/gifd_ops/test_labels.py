from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from gifd_ops.attack import run_attack
from gifd_ops.config import AttackConfig
from gifd_ops.generators.stylegan2 import StyleGan2Generator
from gifd_ops.gradients import Observation, observe
from gifd_ops.labels import (
    COUNTINGS,
    infer_counts,
    infer_labels,
    labels_of_counts,
    signed_features,
    why_labels_hide,
)
from gifd_ops.portraits import DOMAINS, draw
from gifd_ops.stages import PixelStage
from gifd_ops.victims import Victim


@pytest.mark.parametrize("name", ["lenet", "convnet"])
def test_labels_of_portraits_are_inferred_for_any_victim(name: str, make_victim: Callable[..., Victim]) -> None:
    images, labels = (torch.cat(parts) for parts in zip(*(draw(range(10), domain=d) for d in DOMAINS), strict=True))
    for seed in range(8):
        victim = make_victim(name, seed=seed, size_px=32, dtype=torch.float32)
        shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
        assert torch.equal(infer_labels(observe(victim, images, labels)), labels)
        # the label is the client's word and need not be what the image shows
        assert torch.equal(infer_labels(observe(victim, images, shuffled)), shuffled)


@st.composite
def last_layers(draw_value: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, classes, width = (draw_value(st.integers(low, high)) for low, high in ((1, 4), (2, 8), (1, 6)))
    reals = lambda low, high, *shape: torch.tensor(
        draw_value(st.lists(st.floats(low, high), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])),
        dtype=torch.float64,
    ).view(shape)
    features = reals(0, 10, rows, width)
    features[:, 0] += 0.1  # some feature is alive
    labels = draw_value(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    return features, reals(-8, 8, rows, classes), torch.tensor(labels)


@given(last_layers())
def test_any_non_negative_features_give_the_label_away(
    layer: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    features, logits, labels = layer
    error = logits.softmax(dim=1) - functional.one_hot(labels, logits.shape[1])
    weight = error[:, :, None] * features[:, None, :]
    before = torch.full((len(labels), 3), -1e3, dtype=torch.float64)  # other layers say nothing of the label
    assert torch.equal(infer_labels(Observation(gradients=(before, weight, error), image_shape=(3, 16, 16))), labels)


def test_labels_are_read_off_signed_features_too(make_victim: Callable[..., Victim]) -> None:
    images, labels = draw(range(10), domain="photo")
    for seed in range(3):
        victim = make_victim("vit", seed=seed, size_px=32, dtype=torch.float32)
        shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
        assert signed_features(victim, (3, 32, 32))
        assert torch.equal(infer_labels(observe(victim, images, shuffled), signed=True), shuffled)


def test_an_attack_infers_the_labels_of_a_victim_with_signed_features(
    make_victim: Callable[..., Victim], tiny_generator: StyleGan2Generator
) -> None:
    victim, labels = make_victim("vit"), torch.tensor([3, 0, 9])
    observation = observe(victim, torch.rand(3, 3, 16, 16, dtype=torch.float64), labels)
    stage = PixelStage(steps=1, lr=0.1, signed=False)
    config = AttackConfig(stages=(stage,), restarts=1, tv_weight=0.0, l2_weight=0.0)
    result = run_attack(observation, tiny_generator, victim, config, seeds=[0, 1, 2])
    assert torch.equal(result.labels, labels)
    assert bool(result.stages[0].matching_loss.isfinite().all())


@given(last_layers(), st.floats(-20, 20))
def test_signed_features_give_the_label_away_as_well(
    layer: tuple[torch.Tensor, torch.Tensor, torch.Tensor], shift: float
) -> None:
    features, logits, labels = layer
    features[:, 0] = shift + 0.01
    error = (logits.softmax(dim=1) - functional.one_hot(labels, logits.shape[1])).clamp(-1, 1)
    weight = error[:, :, None] * features[:, None, :]
    observation = Observation(gradients=(weight, error), image_shape=(3, 16, 16))
    two_alike = error.abs().topk(2, dim=1).values.diff(dim=1).abs() < 1e-9  # the others have no probability at all
    if not bool(two_alike.any()) or logits.shape[1] == 2:
        assert torch.equal(infer_labels(observation, signed=True), labels)


def of_batches(victim: Victim, labels: torch.Tensor) -> Observation:
    """Mean gradients of batches of portraits with these labels [targets, batch]."""
    images, _ = draw(range(labels.numel()), domain="photo", size_px=32)
    each = observe(victim, images, labels.flatten())
    return replace(each, gradients=tuple(g.unflatten(0, tuple(labels.shape)).mean(dim=1) for g in each.gradients))


def counts_of(labels: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(labels, 10).sum(dim=1)


REPEATED = torch.tensor([[3, 3, 3, 8], [0, 1, 2, 9], [5, 5, 0, 0]])


@pytest.mark.parametrize("name", ["convnet", "resnet10_narrow", "vit"])
def test_repeated_labels_are_counted_exactly_on_victims_of_even_temper(
    name: str, make_victim: Callable[..., Victim]
) -> None:
    victim = make_victim(name, size_px=32, dtype=torch.float32)
    counts = infer_counts(of_batches(victim, REPEATED), victim, batch_size=4)
    assert torch.equal(counts, counts_of(REPEATED))
    assert torch.equal(labels_of_counts(counts), REPEATED.sort(dim=1).values)


@pytest.mark.parametrize("method", COUNTINGS)
@pytest.mark.parametrize("name", ["lenet", "convnet"])
def test_a_batch_of_one_is_a_single_label(name: str, method: str, make_victim: Callable[..., Victim]) -> None:
    victim = make_victim(name, size_px=32, dtype=torch.float32)
    observation = of_batches(victim, torch.arange(10)[:, None])
    counts = infer_counts(observation, victim, batch_size=1, method=method)
    assert torch.equal(counts, torch.eye(10, dtype=torch.int64))
    assert torch.equal(counts.argmax(dim=1), infer_labels(observation))


@pytest.mark.parametrize("method", COUNTINGS)
@given(seed=st.integers(0, 1000), batch_size=st.integers(1, 10))
def test_counts_add_up_to_the_batch_whatever_is_shared(method: str, seed: int, batch_size: int) -> None:
    victim = Victim(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 10)), pixel_mean=0.0, pixel_std=1.0)
    stream = torch.Generator().manual_seed(seed)
    noise = tuple(torch.randn(3, *parameter.shape, generator=stream) for parameter in victim.parameters())
    observation = Observation(gradients=noise, image_shape=(3, 4, 4))
    counts = infer_counts(observation, victim, batch_size=batch_size, method=method)
    assert counts.shape == (3, 10)
    assert counts.dtype == torch.int64
    assert int(counts.min()) >= 0
    assert counts.sum(dim=1).tolist() == [batch_size] * 3
    if method == "distinct":
        assert int(counts.max()) == 1


def test_what_cannot_be_counted_is_refused(make_victim: Callable[..., Victim]) -> None:
    victim = make_victim("lenet", size_px=32, dtype=torch.float32)
    observation = of_batches(victim, REPEATED)
    with pytest.raises(ValueError, match=r"distinct labels at most, got a batch of 11; count by llg or ilrg"):
        infer_counts(observation, victim, batch_size=11, method="distinct")
    with pytest.raises(ValueError, match=r"counted by distinct, llg, ilrg; got 'guess'"):
        infer_counts(observation, victim, batch_size=4, method="guess")
    blind = Victim(
        torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(3072, 10), torch.nn.Tanh(), torch.nn.Linear(10, 10, bias=False)
        ),
        pixel_mean=0.5,
        pixel_std=0.25,
    )
    with pytest.raises(ValueError, match=r"has no bias, which labels of signed features"):
        infer_counts(of_batches(blind, REPEATED), blind, batch_size=4)
    headless = Victim(
        torch.nn.Sequential(torch.nn.Conv2d(3, 10, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()),
        pixel_mean=0.5,
        pixel_std=0.25,
    )
    with pytest.raises(ValueError, match=r"this victim has none; grant them"):
        infer_counts(of_batches(headless, REPEATED), headless, batch_size=4)
    assert why_labels_hide(headless, image_shape=(3, 32, 32), num_classes=10) is not None
    assert why_labels_hide(blind, image_shape=(3, 32, 32), num_classes=10) is None


def test_llg_takes_back_what_each_image_added() -> None:
    """Of images that are alike but for their labels the counts are those of the negative sums."""
    victim = Victim(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 10)), pixel_mean=0.0, pixel_std=1.0)
    torch.nn.init.zeros_(victim.layers[1].weight)
    torch.nn.init.zeros_(victim.layers[1].bias)
    labels = torch.tensor([[1, 1, 1, 4, 4, 9], [0, 0, 0, 0, 0, 0]])
    error = 0.1 - functional.one_hot(labels, 10).double().mean(dim=1)
    observation = Observation(gradients=(error[:, :, None].expand(2, 10, 48), error), image_shape=(3, 4, 4))
    for method in ("llg", "ilrg"):
        counts = infer_counts(observation, victim.double(), batch_size=6, method=method)
        assert torch.equal(counts, counts_of(labels))
