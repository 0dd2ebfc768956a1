"""Search a recorded pool again and again: `python -m study.replay TABLE`.

Which sampler, and which rule that stops trials early, would have found what, at which cost? The table (`study.record`
writes it) answers every question, so this takes minutes and no attack is run. Every repeat draws anew which targets
steer, in which order, and which are held out to judge what was chosen; all samplers and rules share its draw. What was
chosen is shown on the targets that steered, where it is too good but a search can be told from another (all choose on
the same ones), and on those held out, where it is what it is worth.

Compute is counted in gradient evaluations and given as a share of what `random` without racing spends on --configs
configs. Intervals are over repeats (95 %, bootstrap): they tell the luck of samplers and splits, not that of another
pool or of other images.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gifd_ops.seeds import derive_seed
from study.choices import check_name
from study.replay.curves import Curves, compute_to_reach, mean_with_interval
from study.replay.pool import Pool
from study.replay.proposers import SAMPLERS
from study.replay.stopping import RULES
from study.replay.walk import Split, Step, walk
from study.search.racing import interim_looks

Arm = tuple[str, str]  # sampler, racing
Found = dict[Arm, Curves]

BASELINE: Arm = ("random", "off")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What is replayed: everything that a repeat needs beside its number."""

    table: Path
    metric: str | None  # None: that of the table's plan
    steering: tuple[str, ...]  # domains; none: those of the plan
    configs: int
    judging: int  # held-out targets per domain
    per_block: int  # targets per domain and block
    error: float
    seed: int

    @property
    def pool(self) -> Pool:
        """The table, read once a process."""
        return _pool_of(self.table, self.metric, self.steering)

    def steps(self, arm: Arm, repeat: int) -> list[Step]:
        """One search, from its first step to its last."""
        seed = derive_seed(self.seed, "repeat", repeat)
        split = Split.draw(self.pool, judging=self.judging, per_block=self.per_block, seed=derive_seed(seed, "split"))
        sampler, racing = arm
        return list(
            walk(
                self.pool, split, sampler=sampler, racing=racing, error=self.error, seed=seed,
                configs=self.configs, evaluations=self.evaluations(split),
            )
        )  # fmt: skip

    def evaluations(self, split: Split) -> int:
        """What all configs and the published recipe cost without racing, on average over the pool."""
        return round(float(self.pool.evaluations.mean()) * split.num_targets * (self.configs + 1))


@cache
def _pool_of(table: Path, metric: str | None, steering: tuple[str, ...]) -> Pool:
    return Pool.read(table, metric=metric, steering=steering)


def main(arguments: list[str] | None = None) -> int:
    """Replay all arms, print what came of them. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        replay, arms = _read(options)
    except (ValueError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    split = Split.draw(replay.pool, judging=replay.judging, per_block=replay.per_block, seed=0)
    print_heading(replay.pool, split, repeats=options.repeats, racing="on" in [rule for _, rule in arms])
    walks = dict(zip(arms, _run(replay, arms, options.repeats, options.max_concurrent), strict=True))
    evaluations = replay.evaluations(split)
    gains, qualities = (
        {arm: Curves.of(walks[arm], measure, configs=replay.configs, evaluations=evaluations) for arm in arms}
        for measure in (lambda step: step.gain, lambda step: step.quality)
    )
    print_arms(gains, qualities, configs=replay.configs)
    print_racing(gains, qualities)
    if options.output is not None:
        write_steps(walks, options.output)
    return 0


def print_heading(pool: Pool, split: Split, *, repeats: int, racing: bool) -> None:
    """The pool, how its targets are used, and at how many of them a race looks."""
    pairs = sum(int(pool.steered[block].sum()) for block in split.blocks)
    print(
        f"{len(pool.params)} configs on {len(pool.domains)} targets, {repeats} repeats; {split.num_targets} targets "
        f"run in {len(split.blocks)} blocks and {len(split.judging)} judge, of which those of "
        f"{', '.join(pool.steering)} count"
    )
    if racing:
        looks = interim_looks(pairs, looks=len(split.blocks))
        shown = f"at {', '.join(map(str, looks))} of {pairs} pairs" if looks else f"never: {pairs} pairs are too few"
        print(f"a race looks {shown}")
    print()


def print_arms(gains: Found, qualities: Found, *, configs: int) -> None:
    """A line an arm: what it found after as many configs, its compute, and the compute to catch up with random."""
    print(f"{'':21}after {configs} configs: improvement, dB{'':24}compute until random's final improvement")
    print(f"{'sampler':14}racing {'on targets that steered':24}{'on those that judge':24}compute  {'steered':22}judge")
    for arm in gains:
        found = "".join(f"{_interval(mean_with_interval(of[arm].final)):24}" for of in (gains, qualities))
        until = "".join(f"{_until(compute_to_reach(of[arm], of[BASELINE])):22}" for of in (gains, qualities))
        print(f"{arm[0]:14}{arm[1]:7}{found}{gains[arm].spent.mean():7.2f}  {until.rstrip()}")


def print_racing(gains: Found, qualities: Found) -> None:
    """What a rule changes, of the same sampler in the same repeats."""
    raced = [(sampler, racing) for sampler, racing in gains if racing != "off" and (sampler, "off") in gains]
    if raced:
        print("\nagainst the same sampler without racing: change after as many configs, dB, and its compute")
    for sampler, racing in raced:
        changes = [of[sampler, racing].final - of[sampler, "off"].final for of in (gains, qualities)]
        shown = "".join(f"{_interval(mean_with_interval(change)):24}" for change in changes)
        share = gains[sampler, racing].spent.mean() / gains[sampler, "off"].spent.mean()
        print(f"{sampler:14}{racing:7}{shown}{share:7.2f}")


def write_steps(walks: dict[Arm, list[list[Step]]], path: Path) -> None:
    """Every step of every walk, as Parquet or, by its name, CSV."""
    rows = [
        {"sampler": sampler, "racing": racing, "repeat": repeat} | asdict(step)
        for (sampler, racing), of_arm in walks.items()
        for repeat, steps in enumerate(of_arm)
        for step in steps
    ]
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    print(f"\n{path}: {len(rows)} steps")


def _run(replay: Replay, arms: list[Arm], repeats: int, max_concurrent: int) -> Iterator[list[list[Step]]]:
    """The walks of every arm, in order."""
    tasks = [(arm, repeat) for arm in arms for repeat in range(repeats)]
    of_arms, of_repeats = zip(*tasks, strict=True)
    if max_concurrent == 1:
        yield from _in_groups(map(replay.steps, of_arms, of_repeats), repeats)
        return
    with ProcessPoolExecutor(max_concurrent, mp_context=multiprocessing.get_context("spawn")) as workers:
        yield from _in_groups(workers.map(replay.steps, of_arms, of_repeats), repeats)


def _in_groups(walks: Iterable[list[Step]], size: int) -> Iterator[list[list[Step]]]:
    group: list[list[Step]] = []
    for steps in walks:
        group.append(steps)
        if len(group) == size:
            yield group
            group = []


def _read(options: argparse.Namespace) -> tuple[Replay, list[Arm]]:
    for name, least in (("repeats", 2), ("configs", 1), ("per_block", 1), ("max_concurrent", 1), ("seed", 0)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} must be {least} or more, got {getattr(options, name)}")
    if not 0 < options.error <= 0.5:
        raise ValueError(f"--error must be above 0 and at most 0.5, got {options.error}")
    if options.output is not None and options.output.suffix not in (".csv", ".parquet"):
        raise ValueError(f"--output needs a name that ends in .csv or .parquet, got {options.output}")
    samplers = [check_name("sampler", name.strip(), SAMPLERS) for name in options.samplers.split(",")]
    racing = [check_name("racing", name.strip(), RULES) for name in options.racing.split(",")]
    steering = tuple(name.strip() for name in options.steering.split(",")) if options.steering else ()
    pool = _pool_of(options.table, options.metric, steering)
    per_domain = min(pool.domains.count(domain) for domain in pool.domains)
    replay = Replay(
        table=options.table, metric=options.metric, steering=steering, configs=options.configs,
        judging=per_domain // 4 if options.judging is None else options.judging, per_block=options.per_block,
        error=options.error, seed=options.seed,
    )  # fmt: skip
    Split.draw(pool, judging=replay.judging, per_block=replay.per_block, seed=0)  # raises what is wrong with it
    available = pool.origins.count("random")
    if options.configs > available:
        raise ValueError(f"--configs must be at most the {available} random configs of the pool, got {options.configs}")
    arms = [(sampler, rule) for sampler in samplers for rule in racing]
    return replay, [BASELINE, *(arm for arm in dict.fromkeys(arms) if arm != BASELINE)]


def _interval(mean_and_ends: tuple[float, float, float]) -> str:
    mean, low, high = mean_and_ends
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _until(share_and_ends: tuple[float, tuple[float, float]]) -> str:
    share, low, high = (f"{x:.2f}" if math.isfinite(x) else "never" for x in (share_and_ends[0], *share_and_ends[1]))
    return f"{share} [{low}, {high}]"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path, help="a Parquet file that study.record wrote")
    parser.add_argument("--samplers", default="random,tpe", help=f"of {', '.join(SAMPLERS)} (%(default)s)")
    parser.add_argument("--racing", default="off,on", help=f"of {', '.join(RULES)} (%(default)s)")
    parser.add_argument("--repeats", type=int, default=50, metavar="N", help="of every sampler and rule (%(default)s)")
    parser.add_argument("--configs", type=int, default=100, metavar="N", help="that a search tries (%(default)s)")
    parser.add_argument("--judging", type=int, metavar="N", help="targets held out, per domain (a quarter)")
    parser.add_argument(
        "--per-block", type=int, default=1, metavar="N", help="targets of a block, per domain (%(default)s)"
    )
    parser.add_argument("--error", type=float, default=0.10, help="of racing: equals it may stop (%(default)s)")
    parser.add_argument("--steering", metavar="LIST", help="domains that count (those that steer the table's study)")
    parser.add_argument("--metric", help="a metric of the table (that of its plan)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    parser.add_argument(
        "--max-concurrent", type=int, default=os.cpu_count() or 1, metavar="N", help="searches at once (%(default)s)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="every step, as .parquet or .csv")
    return parser
