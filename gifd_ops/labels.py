"""What the shared gradient says about labels. Nothing here ever sees the truth.

All of it is read off the last linear layer. With p the softmax of an image and y its one-hot label, the gradient of its
logits is p - y: negative for its own class alone, and longest there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from gifd_ops.defenses.estimates import last_weight
from gifd_ops.gradients import Observation, observe
from gifd_ops.heads import has_linear_head, head_features, linear_head
from gifd_ops.victims import Victim


def infer_labels(observation: Observation, *, signed: bool = False) -> Tensor:
    """Class of each target's single image, [targets] int64.

    With cross-entropy and non-negative features only the true class has a negative sum in its row of the last weight
    matrix's gradient (Yin et al., CVPR 2021, section 3.1; used by the authors of GIFD): the least one is taken. signed:
    features of both signs cancel in a sum; then the longest row is taken, for the true class has the largest error of
    all (of two classes both are alike, and the bias decides). Cf. iDLG (Zhao et al., 2020), which compares signs.
    """
    weight = last_weight(observation.gradients)
    if not signed:
        return weight.sum(dim=2).argmin(dim=1)
    if weight.shape[1] == 2:
        return _bias(observation).argmin(dim=1)
    return weight.square().sum(dim=2).argmax(dim=1)


def signed_features(victim: Victim, image_shape: tuple[int, int, int]) -> bool:
    """Whether features of both signs enter the victim's last layer: that of images of noise, drawn from a fixed seed.

    False for a victim whose last layer is not linear, of which nothing is known.
    """
    if not has_linear_head(victim):
        return False
    parameter = next(victim.parameters())
    probes = torch.rand(4, *image_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return bool((head_features(victim, probes.to(parameter)) < 0).any())


def infer_counts(observation: Observation, victim: Victim, *, batch_size: int, method: str | None = None) -> Tensor:
    """How many images of each class are behind every target's mean gradient, [targets, classes] int64, by a method.

    They add up to `batch_size`. `distinct` (Yin et al., CVPR 2021) finds every class once at most. `llg` (Wainakh et
    al., PoPETs 2022) and `ilrg` (Ma et al., AAAI 2023) find repeated ones; ilrg needs a bias, and is the default where
    there is one. Raises ValueError for an unknown method, for more distinct labels than classes, and for a victim that
    does not tell.
    """
    if not has_linear_head(victim):
        raise ValueError("labels are inferred from a last linear layer, and this victim has none; grant them (given)")
    has_bias = linear_head(victim)[1].bias is not None
    method = method or ("ilrg" if has_bias else "llg")
    if method not in COUNTINGS:
        raise ValueError(f"labels are counted by {', '.join(COUNTINGS)}; got {method!r}")
    classes = last_weight(observation.gradients).shape[1]
    if method == "distinct" and batch_size > classes:
        raise ValueError(
            f"a batch has {classes} distinct labels at most, got a batch of {batch_size}; count by llg or ilrg"
        )
    if not has_bias and (method == "ilrg" or signed_features(victim, observation.image_shape)):
        raise ValueError(
            "this victim's last layer has no bias, which labels of signed features, and the method ilrg, are read off; "
            "count by llg where features are non-negative, or grant the labels (given)"
        )
    return COUNTINGS[method](observation, victim, batch_size)


def labels_of_counts(counts: Tensor) -> Tensor:
    """Labels [targets, batch] in order, of counts [targets, classes] that add up to the same batch."""
    classes = torch.arange(counts.shape[1], device=counts.device)
    return torch.stack([classes.repeat_interleave(own) for own in counts])


def why_labels_hide(victim: Victim, *, image_shape: tuple[int, int, int], num_classes: int) -> str | None:
    """None where the labels of single images can be inferred; else a sentence that says why not.

    It is tried: on images of noise, one for each class, without a defense.
    """
    if not has_linear_head(victim):
        return "labels are inferred from a last linear layer, and this victim has none"
    signed = signed_features(victim, image_shape)
    if signed and num_classes == 2 and linear_head(victim)[1].bias is None:
        return "with two classes, signed features and no bias, both classes leave the same trace"
    stream, labels = torch.Generator().manual_seed(1), torch.arange(num_classes)
    parameter = next(victim.parameters())
    images = torch.rand(num_classes, *image_shape, generator=stream).to(parameter)
    observation = observe(victim, images, labels.to(parameter.device))
    wrong = int((infer_labels(observation, signed=signed).cpu() != labels).sum())
    return f"{wrong} of {num_classes} labels of images of noise are inferred wrongly" if wrong else None


def _distinct(observation: Observation, victim: Victim, batch_size: int) -> Tensor:
    """The classes whose rows sum lowest, once each."""
    sums = _row_sums(observation, victim)
    lowest = sums.topk(batch_size, dim=1, largest=False).indices
    return torch.zeros_like(sums, dtype=torch.int64).scatter_(1, lowest, 1)


def _by_impact(observation: Observation, victim: Victim, batch_size: int) -> Tensor:
    """LLG: an image lowers its class's sum by an impact, told by the negative ones, which is taken back one by one.

    Wainakh et al. (2022), algorithm 1, with shared gradients alone (no offset by class).
    """
    sums = _row_sums(observation, victim)
    classes = sums.shape[1]
    impact = sums.clamp(max=0).sum(dim=1, keepdim=True) * (1 + 1 / classes) / batch_size  # [targets, 1], negative
    counts = torch.zeros_like(sums, dtype=torch.int64)
    for step in range(batch_size):
        first = (sums < 0) & (counts == 0) if step < classes else torch.zeros_like(sums, dtype=torch.bool)
        urgent = first.any(dim=1, keepdim=True)  # who is surely there comes before who may be there twice
        chosen = torch.where(urgent & ~first, torch.inf, sums).argmin(dim=1, keepdim=True)
        counts.scatter_add_(1, chosen, torch.ones_like(chosen))
        sums = sums.scatter_add(1, chosen, -impact)
    return counts


def _by_embeddings(observation: Observation, victim: Victim, batch_size: int) -> Tensor:
    """iLRG: a class's mean features are its weight gradient over its bias gradient; their softmax gives the counts.

    Ma et al. (2023), section 4: with P[k, j] the probability of class k at the features of class j, the counts n solve
    (P - 1) n = batch size * bias gradient, sum(n) = batch size, in the least squares sense.
    """
    weight, bias = last_weight(observation.gradients), _bias(observation)
    _, head = linear_head(victim)
    features = (weight / bias[:, :, None]).nan_to_num(0.0, posinf=0.0, neginf=0.0)
    logits = functional.linear(features, head.weight.detach(), head.bias.detach())  # [targets, class j, class k]
    left = logits.softmax(dim=2).transpose(1, 2) - torch.eye(bias.shape[1]).to(bias)
    left = torch.cat([left, torch.ones_like(left[:, :1])], dim=1).double()
    right = torch.cat([batch_size * bias, torch.full_like(bias[:, :1], batch_size)], dim=1).double()
    return _rounded(torch.linalg.lstsq(left, right[:, :, None]).solution[:, :, 0], batch_size)


COUNTINGS: dict[str, Callable[[Observation, Victim, int], Tensor]] = {
    "distinct": _distinct,
    "llg": _by_impact,
    "ilrg": _by_embeddings,
}


def _rounded(counts: Tensor, total: int) -> Tensor:
    """Counts [targets, classes] as whole numbers >= 0 that add up to `total`: largest remainders go up."""
    counts = counts.nan_to_num(0.0).clamp(min=0)
    counts = counts * (total / counts.sum(dim=1, keepdim=True).clamp(min=1e-12))
    whole = counts.floor()
    missing = (total - whole.sum(dim=1)).round().long()
    ranks = (counts - whole).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return whole.long() + (ranks < missing[:, None])


def _row_sums(observation: Observation, victim: Victim) -> Tensor:
    """A number [targets, classes] that each image lowers for its own class alone: row sums, or the bias gradient."""
    if signed_features(victim, observation.image_shape):
        return _bias(observation)
    return last_weight(observation.gradients).sum(dim=2)


def _bias(observation: Observation) -> Tensor:
    """Gradient [targets, classes] of the last layer's bias."""
    return observation.gradients[-1]
