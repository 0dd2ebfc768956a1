"""Search of the latent by CMA-ES: no gradient of the loss is needed (GGL, Li et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from cmaes import CMA, SepCMA
from torch import Tensor

from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.searches.search import Loss, StageEnd
from gifd_ops.stages import EvolutionStage

Floats = npt.NDArray[np.float64]
SEED_RANGE = 2**31  # of numpy's legacy streams, which cmaes draws from


def search_evolution(
    start: Features, generator: Generator, loss: Loss, stage: EvolutionStage, *, seeds: Sequence[int]
) -> StageEnd:
    """Every row evolves a population of its own around the mean of the latents' prior; the best latent seen is kept.

    All rows' i-th candidates are rendered and matched as one batch. The trace has one loss per candidate.
    """
    slots, width = generator.latent_shape
    shape = (slots if stage.own_slots else 1, width)
    strategies = [_strategy(stage, shape[0] * shape[1], seed) for seed in seeds]
    best_loss = start.latent.new_full((len(seeds),), torch.inf)
    best_z = start.latent.new_zeros(len(seeds), *shape)
    trace = []
    for begun in range(0, stage.steps, stage.population):
        size = min(stage.population, stage.steps - begun)
        asked = [[strategy.ask() for _ in range(size)] for strategy in strategies]
        found = []
        for candidates in zip(*asked, strict=True):
            z = torch.as_tensor(np.stack(candidates)).to(start.latent).view(-1, *shape)
            losses = loss(_render(generator, generator.place(start, z))) + stage.kl_weight * divergence(z)
            found.append(losses)
            better = losses < best_loss  # NaN is never better
            best_loss = torch.where(better, losses, best_loss)
            best_z = torch.where(better[:, None, None], z, best_z)
        trace.append(torch.stack(found, dim=1))
        if size == stage.population:
            _tell(strategies, asked, trace[-1])
    features = generator.place(start, best_z)
    images = _render(generator, features).clamp(0, 1)
    return StageEnd(features=features, images=images, trace=torch.cat(trace, dim=1))


@torch.no_grad()
def _render(generator: Generator, features: Features) -> Tensor:
    return generator.render(features)


def divergence(z: Tensor) -> Tensor:
    """GGL's divergence of latents [rows, slots, dim] from the standard normal, summed over slots: [rows].

    By the mean m and the variance v of a slot's numbers, as the authors of GIFD compute it: -1/2 (1 + log v - m^2 - v).
    """
    variance = z.var(dim=2, unbiased=False)
    return (-0.5 * (1 + (variance + 1e-10).log() - z.mean(dim=2).square() - variance)).sum(dim=1)


def _strategy(stage: EvolutionStage, size: int, seed: int) -> CMA | SepCMA:
    kind = CMA if stage.full_covariance else SepCMA
    return kind(mean=np.zeros(size), sigma=stage.sigma, population_size=stage.population, seed=seed % SEED_RANGE)


def _tell(strategies: Sequence[CMA | SepCMA], asked: Sequence[Sequence[Floats]], losses: Tensor) -> None:
    """Let every row's strategy learn from a generation; what is not a number counts as the worst."""
    told = torch.nan_to_num(losses, nan=torch.inf, posinf=torch.finfo(losses.dtype).max)
    for strategy, candidates, values in zip(strategies, asked, told.tolist(), strict=True):
        strategy.tell(list(zip(candidates, values, strict=True)))
