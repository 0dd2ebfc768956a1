"""Every defense against every attacker's answer on the same targets: `python -m study.grid --space defended`.

One study for each combination, tuned alike, in a folder of its own under one root: the published recipe, the settings
that the search finds, and what an attacker may choose in answer. The same command continues what was interrupted.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from gifd_ops.defenses.config import ANSWERS, FORMS, read_defense
from study.checks import missing_metrics
from study.choices import check_name
from study.estimate import Estimate, Profile, estimate, measure, workers_of
from study.heading import heading
from study.options import Launch, read_unrehearsed
from study.parser import build_parser
from study.rehearsal import check_sharing
from study.run import CONTINUE, conduct_another, run_command

DEFENSES = (
    "none,noise=0.1r,noise=1r,clipping=0.5r,clipping=0.1r,sparsification=90,sparsification=99,soteria=50,soteria=90,"
    "dp=1,0.01,dp=1,0.1"
)
SMALL = ("--trials", "12", "--targets-per-domain", "2", "--test-targets-per-domain", "4")  # many studies, little each
EXAMPLES = """\
examples:
  python -m study.grid --space defended                                # all defenses x answers
  python -m study.grid --space defended --dry-run                      # what would run, and what it costs
  python -m study.grid --space defended --defenses none,noise=1r,dp=1,0.1 --answers knows,ignores --trials 30
  python -m study.grid --space batched --defenses none --batch-sizes 1,2,4 --targets-per-domain 4 --results results/b
  python -m study.grid --space defended --victims lenet,convnet --defenses sparsification=99
what else can be said is in python -m study.launch --help
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the studies one after another. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m study.grid", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--defenses", default=DEFENSES, metavar="LIST", help=f"of {', '.join(FORMS)} (two of each)")
    parser.add_argument(
        "--answers", default="knows,estimates,ignores", metavar="LIST", help=f"of {', '.join(ANSWERS)} (%(default)s)"
    )
    parser.add_argument("--victims", metavar="LIST", help="as --victim (lenet)")
    parser.add_argument("--batch-sizes", metavar="LIST", help="as --batch-size (1)")
    parser.add_argument("--results", type=Path, help="one folder, a folder a study in it (results/grid-SPACE)")
    return run_command("grid", arguments, lambda command: _run_or_print(*parser.parse_known_args(arguments), command))


def _run_or_print(ours: argparse.Namespace, passed_on: list[str], command: str) -> int:
    launches, console = read_grid(ours, [*SMALL, *passed_on]), Console(highlight=False, soft_wrap=True)
    if not launches[0].dry_run:
        return run_grid(launches, console, command=command)
    print_grid(launches, console)
    return 0


def read_grid(ours: argparse.Namespace, passed_on: list[str]) -> list[Launch]:
    """The studies of a grid, checked. Raises ValueError for whatever is wrong with any, before anything runs."""
    answers = [check_name("answer", name, ANSWERS) for name in _items(ours.answers)]
    defenses = [str(read_defense(text)) for text in split_defenses(ours.defenses)]
    launches: dict[str, Launch] = {}
    root: Path = ours.results or Path("results") / f"grid-{build_parser().parse_known_args(passed_on)[0].space}"
    for options in _combinations(defenses, answers, victims=_items(ours.victims), sizes=_items(ours.batch_sizes)):
        launch = read_unrehearsed([*passed_on, *options, "--results", str(root / "plan")])
        if launch.protocol.methods:
            raise ValueError("a grid tunes one attack; give --methods none with --protocol full, or study.compare")
        name = "-".join([launch.plan.victim.replace(":", ".")] * bool(ours.victims) + launch.plan.sharing.differences)
        launches[name or "none"] = replace(launch, results=root / (name or "none"))
    for launch in launches.values():
        launch.plan.check_continues(launch.results)
    check_sharing(list(launches.values()))
    return list(launches.values())


def split_defenses(text: str) -> list[str]:
    """The defenses of a comma list; the comma within `dp=C,S` is followed by a number, that between two by a name."""
    return [entry.strip() for entry in re.split(r",(?=\s*[A-Za-z])", text)]


def _combinations(
    defenses: Sequence[str], answers: Sequence[str], *, victims: Sequence[str], sizes: Sequence[str]
) -> Iterator[list[str]]:
    """The options of every study. Where there is no defense there is nothing to answer, so that is one study."""
    of_victims: list[list[str]] = [["--victim", victim] for victim in victims] or [[]]
    of_sizes: list[list[str]] = [["--batch-size", size] for size in sizes] or [[]]
    of_answers = [["--answer", answer] for answer in answers]
    for victim, size, defense in product(of_victims, of_sizes, defenses):
        for answer in [[]] if defense == "none" else of_answers:
            yield [*victim, *size, "--defense", defense, *answer]


def _items(text: str | None) -> list[str]:
    return [] if text is None else [entry.strip() for entry in text.split(",")]


def print_grid(launches: Sequence[Launch], console: Console) -> None:
    """What would run, and what it costs; nothing is written."""
    first = launches[0]
    workers = workers_of(first.address, max_concurrent=first.max_concurrent)
    profiles: dict[tuple[str, ...], Profile] = {}
    costs = []
    for launch in launches:
        kind = _kind_of_work(launch)
        if kind not in profiles:
            profiles[kind] = _measure(launch)
        cost = estimate(launch.plan, profiles[kind], trials=launch.trials, protocol=launch.protocol, workers=workers)
        console.print(f"{launch.results}: {cost}")
        costs.append(cost)
    together = Estimate(
        seconds=sum(cost.seconds for cost in costs),
        workers=workers,
        worker_bytes=max(cost.worker_bytes for cost in costs),
        gradient_evaluations=sum(cost.gradient_evaluations for cost in costs),
    )
    console.print(f"\n{len(launches)} studies of {first.trials} trials: {together}")


def _kind_of_work(launch: Launch) -> tuple[str, ...]:
    """What decides how long a study takes: strengths of one defense take the same time."""
    plan = launch.plan
    return (plan.victim, plan.sharing.defense.partition("=")[0], plan.sharing.answer, str(plan.sharing.batch_size))


def _measure(launch: Launch) -> Profile:
    with TemporaryDirectory() as folder:
        try:
            return measure(launch.plan, pictures_folder=launch.place_inputs(Path(folder)).pictures_folder)
        except RuntimeError as error:
            raise ValueError(f"what {launch.results} costs cannot be said: {error}") from error


def run_grid(launches: Sequence[Launch], console: Console, *, command: str) -> int:
    """Run the studies one after another on one cluster. Returns the exit code."""
    from study.farm.farm import cluster  # Ray takes seconds to import: not for --help

    first = launches[0]
    if missing := missing_metrics():
        console.print(f"{' and '.join(missing)} stay empty: weights are missing (see docs/results.md, LPIPS)\n")
    try:
        with cluster(first.address, max_concurrent=first.max_concurrent) as workers:
            for place, launch in enumerate(launches, start=1):
                console.print(f"\n== {launch.results.name} ({place} of {len(launches)} studies)\n")
                for line in heading(launch):
                    console.print(line)
                conduct_another(launch, console, workers=workers)
    except (RuntimeError, OSError) as error:
        print(f"study: {error}\nstudy: {CONTINUE}\n{command}", file=sys.stderr)
        return 1
    console.print(f"\nresults: {len(launches)} studies in {first.results.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
