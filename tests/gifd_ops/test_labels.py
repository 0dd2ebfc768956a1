from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from gifd_ops.gradients import Observation, observe
from gifd_ops.labels import infer_labels
from gifd_ops.portraits import DOMAINS, draw
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
