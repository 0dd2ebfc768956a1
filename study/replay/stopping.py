"""ASHA and median stopping for trials that run one after another: Ray's schedulers, restated for a replay.

Like `study.search.racing.Race` they are told a running trial's scores after each block and answer whether it is
stopped. Both look at its mean improvement over the published recipe on the targets so far; a trial with a diverged row
is stopped.
"""

from __future__ import annotations

from statistics import fmean, median
from typing import Protocol

from study.search.racing import Race, Scores

MEDIAN_LEAST = 3  # trials seen at a block before its median counts


class Rule(Protocol):
    """Whether running trials are stopped."""

    def stops(self, scores: Scores) -> bool:
        """Whether a running trial with these scores, all it has so far, should be stopped."""

    def finish(self, trial: int, scores: Scores) -> None:
        """Take note of a trial that completed all blocks; the published recipe, trial 0, comes first."""


class Never:
    """Every trial runs to its end."""

    def stops(self, scores: Scores) -> bool:
        return False

    def finish(self, trial: int, scores: Scores) -> None:
        """Nothing."""


class _AgainstEarlier:
    """Compares a trial's mean improvement with that of earlier trials on as many targets."""

    def __init__(self) -> None:
        self.published: Scores = {}
        self.earlier: dict[int, list[float]] = {}  # by the number of targets

    def stops(self, scores: Scores) -> bool:
        gains = [
            score - before
            for target, score in scores.items()
            if score is not None and (before := self.published.get(target)) is not None
        ]
        if len(scores) == len(self.published) or not self.published:
            return False
        if len(gains) < len(scores):
            return True
        earlier = self.earlier.setdefault(len(scores), [])
        gain = fmean(gains)
        falls_behind = self.falls_behind(gain, earlier)
        earlier.append(gain)
        return falls_behind

    def finish(self, trial: int, scores: Scores) -> None:
        if trial == 0:
            self.published = dict(scores)

    def falls_behind(self, gain: float, earlier: list[float]) -> bool:
        """Whether a trial with this improvement ends here."""
        raise NotImplementedError


class Asha(_AgainstEarlier):
    """Asynchronous successive halving (Li et al., MLSys 2020): who is among the better half at a rung goes on.

    A rung is a number of blocks that is a power of two; between rungs nothing is stopped.
    """

    def __init__(self, *, targets_per_block: int) -> None:
        super().__init__()
        self.targets_per_block = targets_per_block

    def stops(self, scores: Scores) -> bool:
        blocks = len(scores) // self.targets_per_block
        return blocks & (blocks - 1) == 0 and super().stops(scores)

    def falls_behind(self, gain: float, earlier: list[float]) -> bool:
        return bool(earlier) and gain < median(earlier)


class Median(_AgainstEarlier):
    """Median stopping (Golovin et al., KDD 2017): a trial below the median of the earlier ones ends."""

    def falls_behind(self, gain: float, earlier: list[float]) -> bool:
        return len(earlier) >= MEDIAN_LEAST and gain < median(earlier)


RULES = ("off", "on", "asha", "median")


def rule_of(name: str, *, looks: int, targets_per_block: int, error: float) -> Rule:
    """The rule of a name of `RULES`. looks: blocks of a whole trial; error: that of the race."""
    match name:
        case "on":
            return Race(looks=looks, error=error)
        case "asha":
            return Asha(targets_per_block=targets_per_block)
        case "median":
            return Median()
    return Never()
