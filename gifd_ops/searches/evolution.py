"""Search of the latent by CMA-ES: no gradient of the loss is needed (GGL, Li et al., CVPR 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from cmaes import CMA, SepCMA
from torch import Tensor

from gifd_ops.generators.protocol import Features, Generator
from gifd_ops.searches.search import Loss, LossOf, StageEnd
from gifd_ops.searches.stopping import progressing
from gifd_ops.stages import EvolutionStage

Floats = npt.NDArray[np.float64]
SEED_RANGE = 2**31  # of numpy's legacy streams, which cmaes draws from


def search_evolution(
    start: Features,
    generator: Generator,
    loss: Loss,
    stage: EvolutionStage,
    *,
    seeds: Sequence[int],
    patience: int = 0,
    loss_of: LossOf | None = None,
) -> StageEnd:
    """Every row evolves a population of its own around the mean of the latents' prior; the best latent seen is kept.

    All rows' i-th candidates are rendered and matched as one batch. A row stops after a generation none of whose losses
    is finite, or that ends `patience` candidates without progress. The trace has one loss per candidate. loss_of: the
    loss of some of the rows; without it no row stops before all do.
    """
    slots, width = generator.latent_shape
    shape = (*start.batch, slots if stage.own_slots else 1, width)  # a row's images evolve together
    strategies = [_strategy(stage, math.prod(shape), seed) for seed in seeds]
    rows = torch.arange(len(seeds), device=start.latent.device)
    own = start
    best_loss = start.latent.new_full((len(seeds),), torch.inf)
    best_z = start.latent.new_full((len(seeds), *shape), torch.nan)
    trace = start.latent.new_full((len(seeds), stage.steps), torch.nan)
    steps_taken = torch.zeros_like(rows)
    for begun in range(0, stage.steps, stage.population):
        end = min(begun + stage.population, stage.steps)
        asked = [[strategy.ask() for _ in range(begun, end)] for strategy in strategies]
        for step, candidates in enumerate(zip(*asked, strict=True), start=begun):
            z = torch.as_tensor(np.stack(candidates)).to(start.latent).view(-1, *shape)
            losses = loss(_render(generator, generator.place(own, z))) + stage.kl_weight * divergence(z)
            trace[rows, step] = losses
            better = losses < best_loss[rows]  # NaN is never better
            best_loss[rows] = torch.where(better, losses, best_loss[rows])
            best_z[rows] = torch.where(better.view(-1, *(1,) * len(shape)), z, best_z[rows])
        steps_taken[rows] = end
        generation = trace[rows, begun:end]
        if end - begun == stage.population:
            _tell(strategies, asked, generation)
        going = generation.isfinite().any(dim=1) & progressing(trace[rows, :end], patience)
        if not bool(going.any()):
            break
        if loss_of is not None and not bool(going.all()):
            strategies = [strategy for strategy, goes in zip(strategies, going.tolist(), strict=True) if goes]
            rows = rows[going]
            own, loss = start.select(rows), loss_of(rows)
    features = generator.place(start, best_z)
    images = _render(generator, features).clamp(0, 1)
    return StageEnd(features=features, images=images, trace=trace, steps_taken=steps_taken)


@torch.no_grad()
def _render(generator: Generator, features: Features) -> Tensor:
    return generator.render(features)


def divergence(z: Tensor) -> Tensor:
    """GGL's divergence of latents [rows, slots, dim] from the standard normal, summed over slots: [rows].

    By the mean m and the variance v of a slot's numbers, as the authors of GIFD compute it: -1/2 (1 + log v - m^2 - v).
    Of latents [rows, batch, slots, dim] it is the mean over the batch.
    """
    variance = z.var(dim=-1, unbiased=False)
    of_images = (-0.5 * (1 + (variance + 1e-10).log() - z.mean(dim=-1).square() - variance)).sum(dim=-1)
    return of_images if of_images.ndim == 1 else of_images.mean(dim=1)


def _strategy(stage: EvolutionStage, size: int, seed: int) -> CMA | SepCMA:
    kind = CMA if stage.full_covariance else SepCMA
    return kind(mean=np.zeros(size), sigma=stage.sigma, population_size=stage.population, seed=seed % SEED_RANGE)


def _tell(strategies: Sequence[CMA | SepCMA], asked: Sequence[Sequence[Floats]], losses: Tensor) -> None:
    """Let every row's strategy learn from a generation; what is not a number counts as the worst."""
    told = torch.nan_to_num(losses, nan=torch.inf, posinf=torch.finfo(losses.dtype).max)
    for strategy, candidates, values in zip(strategies, asked, told.tolist(), strict=True):
        strategy.tell(list(zip(candidates, values, strict=True)))
