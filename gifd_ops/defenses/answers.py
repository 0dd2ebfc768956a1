"""What an attacker does to gradients in answer to a defense, before the shared one and its own are compared.

Four things suffice: factors on the shared gradient, weights on entries of both, a bound on the length of its own, and a
percentile below which it prunes its own. Factors and weights keep the fast way to a slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from gifd_ops.defenses.clipping import clip_to
from gifd_ops.defenses.config import Answer, Clipping, DifferentialPrivacy, Noise, Soteria, Sparsification, Strength
from gifd_ops.defenses.estimates import clip_bound, last_weight_place, noise_std, pruned_features, signal_norm
from gifd_ops.defenses.norms import gradient_norms, num_entries
from gifd_ops.defenses.sparsification import kept

Weights = tuple[Tensor | None, ...]  # one [targets, ...] a tensor, that broadcasts against it; None weighs all alike


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """An answer worked out for an observation.

    weights: of entries, on both gradients. factors: on the shared one alone. bounds [targets]: the attacker's own
    gradient is scaled down to it, which a cosine does not see. percent: the attacker prunes its own gradient below this
    percentile, tensor by tensor.
    """

    weights: Weights
    factors: Weights | None = None
    bounds: Tensor | None = None
    percent: float | None = None

    def weighted(self, shared: Sequence[Tensor]) -> list[Tensor]:
        """Shared gradients [targets, ...] as they are compared."""
        if self.factors is not None:
            shared = _weighted(shared, self.factors)
        return _weighted(shared, self.weights)

    def own(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The attacker's gradients [rows, ...] as they are compared; equally many rows for each target in turn."""
        treated = list(gradients)
        if self.bounds is not None:
            squares = [gradient.flatten(1).square().sum(dim=1) for gradient in treated]
            norms = torch.stack(squares).sum(dim=0).sqrt()
            treated = list(clip_to(treated, _of_rows(self.bounds, len(norms)), norms=norms))
        if self.percent is not None:
            treated = [gradient * kept(gradient, self.percent) for gradient in treated]
        pairs = zip(treated, self.weights, strict=True)
        return [g if w is None else g * _of_rows(w, len(g)) for g, w in pairs]

    def select(self, targets: Tensor) -> Self:
        """The same for some of the targets."""
        return replace(
            self,
            weights=_some(self.weights, targets),
            factors=None if self.factors is None else _some(self.factors, targets),
            bounds=None if self.bounds is None else self.bounds[targets],
        )


def treatment(
    gradients: Sequence[Tensor], answer: Answer, *, batch_size: int = 1, strength: float | None = None
) -> Treatment:
    """What the attacker does about shared gradients [targets, ...], means over `batch_size` images.

    strength: in place of the answer's own.
    """
    strength = answer.strength if strength is None else strength
    if answer.how == "repeats":
        return _repeated(gradients, answer)
    plain: Weights = (None,) * len(gradients)
    estimated = answer.how == "estimates"
    match answer.defense:
        case Sparsification():
            found: Weights = tuple(gradient != 0 for gradient in gradients)
            return Treatment(weights=_softened(found, strength))
        case Soteria():
            return Treatment(weights=_softened(_columns(gradients), strength))
        case Noise(std):
            stds = noise_std(gradients) if estimated else _told_stds(gradients, std)
            return Treatment(weights=plain, factors=_softened(above_the_noise(gradients, stds), strength))
        case Clipping(bound):
            told = clip_bound(gradients) if estimated or bound.relative else _like_norms(gradients, bound.value)
            return Treatment(weights=plain, bounds=told if strength > 0 else None)
        case DifferentialPrivacy(bound=limit, noise=noise):
            stds = noise_std(gradients) if estimated else _like_norms(gradients, noise * limit / batch_size)
            told = signal_norm(gradients, stds) if estimated else _like_norms(gradients, limit)
            factors = _softened(above_the_noise(gradients, stds), strength)
            return Treatment(weights=plain, factors=factors, bounds=told if strength > 0 else None)
    return Treatment(weights=plain)


def above_the_noise(gradients: Sequence[Tensor], stds: Tensor) -> Weights:
    """A factor for each tensor [targets, ...], by how much of its length is not noise of std [targets].

    The positive part of James and Stein's (1961), 1 - (n - 2) std^2 / |g|^2 for n entries: 0 for a tensor that is as
    short as noise alone. What is shared, times these, is nearer to the gradient than what is shared. Where all tensors
    of a target would be lost, all stay as they are.
    """
    weights = []
    for gradient in gradients:
        expected = max(gradient[0].numel() - 2, 0) * stds.square()
        weights.append((1 - expected / gradient.flatten(1).square().sum(dim=1)).nan_to_num(0.0).clamp(min=0))
    lost = torch.stack(weights).amax(dim=0) == 0
    shaped = zip(gradients, (torch.where(lost, 1.0, each) for each in weights), strict=True)
    return tuple(each.view(-1, *(1,) * (gradient.ndim - 1)) for gradient, each in shaped)


def _columns(gradients: Sequence[Tensor]) -> Weights:
    """All but the pruned columns of the last weight matrix."""
    place = last_weight_place(gradients)
    mask = ~pruned_features(gradients)[:, None]
    return tuple(mask if at == place else None for at in range(len(gradients)))


def _repeated(gradients: Sequence[Tensor], answer: Answer) -> Treatment:
    """What the authors' code does: the same again to its own gradient, and nothing about noise."""
    plain: Weights = (None,) * len(gradients)
    match answer.defense:
        case Sparsification(percent):
            return Treatment(weights=plain, percent=percent)
        case Soteria():
            return Treatment(weights=_columns(gradients))
        case Clipping(bound):
            return Treatment(weights=plain, bounds=_told_bounds(gradients, bound))
    return Treatment(weights=plain)


def _told_stds(gradients: Sequence[Tensor], std: Strength) -> Tensor:
    """Noise of a known strength [targets]; a relative one is taken from the length of what was shared."""
    if not std.relative:
        return _like_norms(gradients, std.value)
    # |g + noise|^2 is about |g|^2 (1 + value^2)
    entries = num_entries(gradients)
    return gradient_norms(gradients) * (std.value / math.sqrt((1 + std.value**2) * entries))


def _told_bounds(gradients: Sequence[Tensor], bound: Strength) -> Tensor:
    return clip_bound(gradients) if bound.relative else _like_norms(gradients, bound.value)


def _like_norms(gradients: Sequence[Tensor], value: float) -> Tensor:
    return gradients[0].new_full((len(gradients[0]),), value)


def _softened(weights: Weights, strength: float) -> Weights:
    """Weights that go only a part of the way from 1."""
    if strength == 1:
        return weights
    return tuple(None if each is None or strength == 0 else 1 - strength * (1 - 1.0 * each) for each in weights)


def _weighted(gradients: Sequence[Tensor], weights: Weights) -> list[Tensor]:
    return [g if w is None else g * w for g, w in zip(gradients, weights, strict=True)]


def _some(weights: Weights, targets: Tensor) -> Weights:
    return tuple(None if each is None else each[targets] for each in weights)


def _of_rows(values: Tensor, rows: int) -> Tensor:
    """Values [targets, ...] for each of the rows."""
    return values.repeat_interleave(rows // len(values), dim=0)
