"""One search through a recorded pool: a sampler proposes, the table answers, a rule may stop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from gifd_ops.seeds import derive_seed
from study.replay.pool import Pool
from study.replay.proposers import BEGUN, proposer_of
from study.replay.stopping import Rule, rule_of

Columns = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Which targets steer a search, block by block, and which judge what it chose."""

    blocks: tuple[Columns, ...]  # each holds equally many targets of every domain
    judging: Columns

    @classmethod
    def draw(cls, pool: Pool, *, judging: int, per_block: int, seed: int) -> Split:
        """A random split: `judging` targets of every domain are held out, the rest come in a random order.

        Raises ValueError if a domain has too few targets to fill the blocks evenly.
        """
        stream = np.random.default_rng(seed)
        domains = list(dict.fromkeys(pool.domains))
        columns = [stream.permutation(np.flatnonzero(np.array(pool.domains) == domain)) for domain in domains]
        steering = min(map(len, columns)) - judging
        if judging < 1 or per_block < 1 or steering < per_block or steering % per_block:
            raise ValueError(
                f"of {steering + judging} targets per domain, some must judge and the others fill blocks of "
                f"{per_block}; got {judging} that judge"
            )
        held_out = np.concatenate([own[:judging] for own in columns])
        starts = range(judging, judging + steering, per_block)
        blocks = [np.concatenate([own[start : start + per_block] for own in columns]) for start in starts]
        return cls(tuple(blocks), held_out)

    @property
    def num_targets(self) -> int:
        """Targets that steer."""
        return sum(map(len, self.blocks))


@dataclass(frozen=True)
class Step:
    """Where a search stands after a config."""

    evaluations: int  # gradient evaluations so far, the published recipe's among them
    configs: int  # tried, without the published recipe
    chosen: int  # the config that it would answer
    gain: float  # the chosen one's improvement over the published recipe on the targets that steered
    quality: float  # the same on those that judge


def walk(
    pool: Pool, split: Split, *, sampler: str, racing: str, error: float, seed: int, configs: int, evaluations: int
) -> Iterator[Step]:
    """Search until so many configs are tried *and* so many gradient evaluations are spent, or all are tried.

    The first step is the published recipe alone. What is chosen is the config of best mean on all steering targets
    among those that ran on all of them.
    """
    proposer = proposer_of(sampler, pool, seed=derive_seed(seed, "sampler"))
    steers = pool.steered
    in_block = [int(steers[block].sum()) for block in split.blocks]
    rule = rule_of(racing, looks=len(split.blocks), targets_per_block=in_block[0], error=error)
    begun = sampler.startswith(BEGUN)
    untried = np.array([place for place, origin in enumerate(pool.origins) if origin == "random" or begun])
    untried = untried[untried > 0]
    config = spent = chosen = tried = 0
    best = -np.inf
    while True:
        scores, blocks, evaluated = _run(pool, split, config, rule if config and proposer.may_stop(config) else None)
        spent += evaluated
        complete = blocks == len(split.blocks)
        gain = _gain(pool, scores)
        if complete:
            rule.finish(config, _named(scores))
            if gain is not None and gain > best:
                chosen, best = config, gain
        if config:
            proposer.learn(config, gain, stopped_after=None if complete else blocks)
        yield Step(spent, tried, chosen, best, _quality(pool, split, chosen))
        if not len(untried) or (tried >= configs and spent >= evaluations):
            return
        config = proposer.propose(untried)
        untried = untried[untried != config]
        tried += 1


def _run(pool: Pool, split: Split, config: int, rule: Rule | None) -> tuple[dict[int, float | None], int, int]:
    """Look a config up block by block: its steering scores by target, the blocks it ran, its gradient evaluations."""
    scores: dict[int, float | None] = {}
    evaluated = 0
    for number, block in enumerate(split.blocks, start=1):
        evaluated += int(pool.evaluations[config, block].sum())
        for column in block[pool.steered[block]]:
            score = float(pool.scores[config, column])
            scores[int(column)] = None if np.isnan(score) else score
        if rule is not None and number < len(split.blocks) and rule.stops(_named(scores)):
            return scores, number, evaluated
    return scores, len(split.blocks), evaluated


def _named(scores: dict[int, float | None]) -> dict[str, float | None]:
    return {str(column): score for column, score in scores.items()}


def _gain(pool: Pool, scores: dict[int, float | None]) -> float | None:
    """Mean improvement over the published recipe; None if a row diverged."""
    gains = [score - float(pool.scores[0, column]) for column, score in scores.items() if score is not None]
    return fmean(gains) if gains and len(gains) == len(scores) else None


def _quality(pool: Pool, split: Split, config: int) -> float:
    """Mean improvement over the published recipe on held-out targets; a diverged row counts as the pool's worst."""
    columns = split.judging[pool.steered[split.judging]]
    worst = np.nanmin(pool.scores[:, columns], axis=0)
    judged = np.where(np.isnan(pool.scores[:, columns]), worst, pool.scores[:, columns])
    return float((judged[config] - judged[0]).mean())
