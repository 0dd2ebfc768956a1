"""Racing on targets: whether a config that has seen some of its targets can be given up.

The decision is a one-sided paired t-test of the newcomer against those finished configs that may be the best one. It
may err in one way only: to stop a config that is truly as good as the incumbent, the finished config of best mean.
Three things would make a naive test of "newcomer against incumbent" do that far too often:

- *Optimism.* The incumbent is the best of many on these very targets, so its scores are too good: the best of m equals
  lies E[max of m normals] standard errors above its true mean (1.6 for twelve). The newcomer is therefore compared
  with the average of the *contenders*, the finished configs within two standard errors of the incumbent (paired, over
  all targets). Among equals the average of many is hardly optimistic, and less noisy than one, so the test is also more
  powerful; where one config is truly better than the others it is alone, and the test is the usual one. What optimism
  is left is part of the simulated null distribution below.
- *Looks.* The error is spent over all interim looks together. They share one nominal level, chosen so that the chance
  of a stop at any of them is `error`: as Pocock's boundaries (Biometrika 64, 1977), which stop earlier than those of
  O'Brien and Fleming, because what is not computed is what a race is for.
- *Few, odd pairs.* The statistic is divided by the standard deviation of its own differences, which contains how much
  configs differ in *which* targets they suit; heavy tails make it smaller, not larger. Never fewer than `first_look`
  pairs.

Critical values are quantiles of a simulated null distribution: m rivals and the newcomer, all equally good, their
scores apart by independent normal noise, contenders chosen by the rule above. Rivals are the finished configs within
four standard errors of the incumbent: what lies further behind had no chance to be chosen by luck. What comes of it
where the assumptions do not hold is measured by `benchmarks/racing_error.py`.

To race is Maron and Moore's idea (NIPS 1993), to compare on the same cases Moore and Lee's (ICML 1994) and Birattari's
(F-Race, GECCO 2002). There all configs run side by side; here the incumbent was chosen before the newcomer began.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

Scores = Mapping[str, float | None]  # by target, higher is better; None: the row diverged
Array = NDArray[np.float64]

CONTENDING = 2.0  # standard errors behind the incumbent
RIVALLING = 4.0  # equals, though hundreds, hardly ever lie further behind the best of them
DRAWS = 16_000  # of the null distribution; at a level of 2 % the quantile is known to 6 % of the level
CHUNK = 1_000  # of them at a time
MOST_RIVALS = 1024  # more are taken for as many


class Race:
    """Decides after each block of a running trial whether it is stopped. Holds the scores of all finished trials.

    Scores are those of the targets that steer the search, in any order. A trial with a diverged row cannot become the
    incumbent, as nowhere in a study, so a running one that has a diverged row is stopped at its first look. Without an
    incumbent nothing is stopped. The same calls give the same answers.
    """

    def __init__(self, *, looks: int, error: float = 0.10, first_look: int = 8) -> None:
        """looks: blocks of a whole trial; error: the chance, over all looks, to stop a config as good as the incumbent.

        Raises ValueError for fewer than one look, an error outside (0, 0.5], or a first look at fewer than two pairs.
        """
        if looks < 1:
            raise ValueError(f"a race needs looks >= 1, got {looks}; it is the number of blocks of a trial")
        if not 0 < error <= 0.5:
            raise ValueError(f"a race needs 0 < error <= 0.5, got {error}; 0.1 stops one in ten equally good configs")
        if first_look < 2:
            raise ValueError(f"a race needs first_look >= 2, got {first_look}; a spread takes two pairs, 8 are safer")
        self.looks, self.error, self.first_look = looks, error, first_look
        self.incumbent: int | None = None
        self._targets: dict[str, int] = {}  # column by target, as the first finished trial has them
        self._finished: dict[int, Array] = {}  # by trial, its scores on all targets
        self._contenders: Array | None = None  # their average; None where it must be taken anew
        self._rivals = 0

    def finish(self, trial: int, scores: Scores) -> None:
        """Take note of a trial that completed all blocks: it may be the new incumbent. Telling twice is harmless."""
        fine = {target: score for target, score in scores.items() if score is not None}
        if not fine or len(fine) < len(scores):
            return
        self._targets = self._targets or {target: column for column, target in enumerate(fine)}
        assert fine.keys() == self._targets.keys(), f"trial {trial} finished on other targets than those before it"
        own = self._finished[trial] = np.array([fine[target] for target in self._targets])
        self._contenders = None
        if self.incumbent is None or own.mean() > self._finished[self.incumbent].mean():
            self.incumbent = trial

    def stops(self, scores: Scores) -> bool:
        """Whether a running trial with these scores, all it has so far, should be stopped."""
        fine = [score for score in scores.values() if score is not None]
        if self.incumbent is None or not self.first_look <= len(scores) < len(self._targets):
            return False  # nothing to compare with, too early, or nothing left to save
        if len(fine) < len(scores):
            return True
        columns = [self._targets[target] for target in scores]
        behind = np.array(fine) - self._finished[self.incumbent][columns]
        gaps = np.array(fine) - self._reference()[columns]
        return bool(behind.mean() < 0 and t_statistic(gaps) < self._critical(len(gaps)))

    def _reference(self) -> Array:
        """The average of the contenders, [targets]; also counts the rivals."""
        if self._contenders is None:
            assert self.incumbent is not None
            finished = np.stack(list(self._finished.values()))
            gaps = finished - self._finished[self.incumbent]
            behind = -gaps.mean(axis=1)
            width = gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1])
            self._contenders = finished[behind <= CONTENDING * width].mean(axis=0)
            self._rivals = int((behind <= RIVALLING * width).sum())
        return self._contenders

    def _critical(self, pairs: int) -> float:
        of = len(self._targets)
        sizes = interim_looks(of, looks=self.looks, first_look=self.first_look)
        rivals = 1 << (min(self._rivals, MOST_RIVALS) - 1).bit_length()  # powers of two: few to simulate
        return critical_value(pairs, of=of, sizes=sizes or (pairs,), rivals=rivals, error=self.error)


def interim_looks(targets: int, *, looks: int, first_look: int = 8) -> tuple[int, ...]:
    """The numbers of pairs at which a race may stop a trial of so many targets; none if they are too few."""
    sizes = (round(targets * look / looks) for look in range(1, looks))
    return tuple(size for size in sizes if size >= first_look)


@cache
def critical_value(pairs: int, *, of: int, sizes: tuple[int, ...], rivals: int, error: float) -> float:
    """The t below which a newcomer with so many pairs is stopped; negative.

    sizes: the pairs of all interim looks; of: those of a whole trial; rivals: of how many equals the incumbent is taken
    to be the best. All looks share one nominal level, with which equals are stopped with probability `error` in all.
    """
    at_looks = _null_statistics(sizes, of=of, rivals=rivals)
    ranks = at_looks.argsort(axis=0).argsort(axis=0).min(axis=1)  # of every draw, its worst look
    level = (np.quantile(ranks, error) + 0.5) / len(ranks)
    column = at_looks[:, sizes.index(pairs)] if pairs in sizes else _null_statistics((pairs,), of=of, rivals=rivals)
    return min(float(np.quantile(column, level)), 0.0)


@cache
def _null_statistics(sizes: tuple[int, ...], *, of: int, rivals: int) -> Array:
    """Student's t of a newcomer as good as all finished configs, at each number of pairs: [draws, looks].

    The mean of a config's noise over all targets is independent of how the noise lies around that mean. So the means
    decide who contends, and the contenders' average lies around its own mean as one config does, 1 / sqrt(k) as far.
    """
    stream = np.random.default_rng([of, rivals, *sizes])
    chunks = []
    for draws in [CHUNK] * (DRAWS // CHUNK):  # memory stays small
        means = stream.standard_normal((draws, rivals), dtype=np.float32)  # in standard errors
        contends = means >= means.max(axis=1, keepdims=True) - CONTENDING * np.sqrt(2)
        count = contends.sum(axis=1, keepdims=True)
        mean = (means * contends).sum(axis=1, keepdims=True) / count / np.sqrt(of)
        around = stream.standard_normal((draws, of))
        around -= around.mean(axis=1, keepdims=True)
        gaps = stream.standard_normal((draws, of)) - (mean + around / np.sqrt(count))
        seen = (gaps[:, :size] for size in sizes)
        chunks.append([part.mean(axis=1) / (part.std(axis=1, ddof=1) / np.sqrt(part.shape[1])) for part in seen])
    return np.concatenate(chunks, axis=1).T


def t_statistic(gaps: Array) -> float:
    """Student's t of paired differences; without any spread their sign, times infinity."""
    mean, spread = float(gaps.mean()), float(gaps.std(ddof=1))
    if spread == 0:
        return float(np.sign(mean)) * np.inf if mean else 0.0
    return float(mean / (spread / np.sqrt(len(gaps))))
