"""How often does a race stop a config that is as good as the incumbent, and how often one that is worse?

    python -m benchmarks.racing_error

Every repeat draws targets, a few finished configs, and newcomers whose true quality is that of the incumbent (the best
of the finished ones by what was measured) or 0.5, 1 and 2 dB below it. A newcomer walks through its blocks as in a
study until the race stops it. Shown are the shares that are stopped at any look, and beside them the share of equals
that a plain paired t-test against the incumbent stops, at the stated error at each look.

score(config, target) = difficulty(target) + quality(config) + noise(config, target); the noise has a standard
deviation of 1 dB. What is varied:

- finished: the number of finished configs that the incumbent is the best of;
- looks: blocks of a trial; a block has two targets in each of four domains;
- noise: normal; heavy (Student's t with 3 degrees of freedom); skewed (one target in ten lost by 3 dB); domains
  (half of the variance is how a config suits a domain, and domains differ in the spread of the rest); families (half of
  the variance is due to three traits that configs share, each liked by some targets);
- qualities of the finished: equal; spread (normal, 1 dB); half of them 1 dB worse.

Exit status 1 if a share of stopped equals exceeds the error by more than three of its standard errors.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gifd_ops.seeds import derive_seed
from study.search.racing import Race, t_statistic

Array = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int, int], Array]
DOMAINS, PER_DOMAIN = 4, 2  # of a block
TRAITS = 3  # that configs may share
DEFICITS_DB = (0.0, 0.5, 1.0, 2.0)
FIRST_LOOK = 8


def normal(stream: np.random.Generator, configs: int, targets: int) -> Array:
    return stream.standard_normal((configs, targets))


def heavy(stream: np.random.Generator, configs: int, targets: int) -> Array:
    return np.asarray(stream.standard_t(3, (configs, targets)) / np.sqrt(3))


def skewed(stream: np.random.Generator, configs: int, targets: int) -> Array:
    lost = stream.random((configs, targets)) < 0.1
    return np.asarray(np.sqrt(1 - 0.81) * stream.standard_normal((configs, targets)) - 3.0 * (lost - 0.1))


def domains(stream: np.random.Generator, configs: int, targets: int) -> Array:
    suits = stream.standard_normal((configs, DOMAINS))
    suits -= suits.mean(axis=1, keepdims=True)  # what a config is good at is no part of how good it is
    spread = np.array([0.4, 0.8, 1.2, 1.4]) / np.sqrt(1.05)
    domain = np.arange(targets) // PER_DOMAIN % DOMAINS
    own = suits[:, domain] / np.sqrt(1 - 1 / DOMAINS)
    return np.asarray(np.sqrt(0.5) * (own + stream.standard_normal((configs, targets)) * spread[domain]))


def families(stream: np.random.Generator, configs: int, targets: int) -> Array:
    traits = stream.standard_normal((configs, TRAITS)) @ stream.standard_normal((TRAITS, targets)) / np.sqrt(TRAITS)
    return np.asarray(np.sqrt(0.5) * (traits + stream.standard_normal((configs, targets))))


NOISES: dict[str, Noise] = {
    "normal": normal,
    "heavy": heavy,
    "skewed": skewed,
    "domains": domains,
    "families": families,
}
QUALITIES: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "equal": lambda stream, configs: np.zeros(configs),
    "spread": lambda stream, configs: stream.standard_normal(configs),
    "half": lambda stream, configs: np.where(np.arange(configs) % 2 == 0, 0.0, -1.0),
}


def stopped_shares(
    stream: np.random.Generator,
    *,
    noise: Noise,
    qualities: Callable[[np.random.Generator, int], Array],
    finished: int,
    looks: int,
    error: float,
    repeats: int,
) -> tuple[Array, float]:
    """The shares of newcomers stopped, by deficit, and the share of equals that a plain test stops."""
    block = DOMAINS * PER_DOMAIN
    targets, stopped, naive = block * looks, np.zeros(len(DEFICITS_DB)), 0
    for _ in range(repeats):
        difficulty = 3 * stream.standard_normal(targets)
        luck = difficulty + noise(stream, finished + len(DEFICITS_DB), targets)
        quality = qualities(stream, finished)
        scores = quality[:, None] + luck[:finished]
        race = Race(looks=looks, error=error, first_look=FIRST_LOOK)
        for trial, row in enumerate(scores):
            race.finish(trial, named(row))
        best = race.incumbent
        assert best is not None
        sizes = range(block, targets, block)
        newcomers = quality[best] - np.array(DEFICITS_DB)[:, None] + luck[finished:]
        stopped += [any(race.stops(named(row[:size])) for size in sizes) for row in newcomers]
        gaps = newcomers[0] - scores[best]
        naive += any(t_statistic(gaps[:size]) < plain_t(size, error) for size in sizes)
    return stopped / repeats, naive / repeats


def named(row: Array) -> dict[str, float]:
    return {str(target): float(score) for target, score in enumerate(row)}


@cache
def plain_t(pairs: int, error: float) -> float:
    from scipy.stats import t

    return float(t.ppf(error, pairs - 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--error", type=float, default=0.10, help="that the race may make (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=2000, help="newcomers a cell (default %(default)s)")
    parser.add_argument("--finished", default="1,4,12,50", help="comma separated (default %(default)s)")
    parser.add_argument("--looks", default="2,4,8", help="comma separated (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    arguments = parser.parse_args()
    finished_counts, look_counts = (
        [int(entry) for entry in text.split(",")] for text in (arguments.finished, arguments.looks)
    )
    allowed = arguments.error + 3 * np.sqrt(arguments.error * (1 - arguments.error) / arguments.repeats)
    print(
        f"error {arguments.error:g}, {arguments.repeats} repeats a cell; at most {allowed:.1%} of equals may be stopped"
    )
    worse = "  ".join(f"{-deficit:>5g} dB" for deficit in DEFICITS_DB[1:])
    print(f"qualities  noise    finished  looks   equal  {worse}   plain test, equal")
    largest = 0.0
    for qualities, noise, finished, looks in itertools.product(QUALITIES, NOISES, finished_counts, look_counts):
        cell = f"{qualities} {noise} {finished} {looks}"
        shares, naive = stopped_shares(
            np.random.default_rng(derive_seed(arguments.seed, cell)),
            noise=NOISES[noise],
            qualities=QUALITIES[qualities],
            finished=finished,
            looks=looks,
            error=arguments.error,
            repeats=arguments.repeats,
        )
        largest = max(largest, shares[0])
        power = "  ".join(f"{share:8.1%}" for share in shares[1:])
        print(f"{qualities:9}  {noise:8} {finished:7}  {looks:5}  {shares[0]:6.1%}  {power}   {naive:6.1%}", flush=True)
    print(f"largest share of equals stopped: {largest:.1%} (allowed with simulation error: {allowed:.1%})")
    return int(largest > allowed)


if __name__ == "__main__":
    sys.exit(main())
