"""More evidence for a study that is there: `python -m study.evaluate RESULTS --protocol full`. See `--help`.

Runs what the protocol wants and the ledger lacks; the search itself is not continued. The same command continues.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from study.checks import check_address, check_checkpoint
from study.evaluation.protocol import add_protocol_options, read_protocol
from study.ledger import Ledger
from study.lock import only_driver
from study.option_values import find_pictures
from study.options import Launch
from study.run import run_command, run_study
from study.task.inputs import NAME as INPUTS
from study.task.inputs import Inputs
from study.versions import check_version, read_plan

EXAMPLES = """\
examples:
  python -m study.evaluate results/ood --protocol full         # candidates, test, controls, ablation, every attack
  python -m study.evaluate results/ood --ablation              # what each step from the recipe to tuned settings adds
  python -m study.evaluate results/ood --controls all          # how much of the score is the gradient
  python -m study.evaluate results/ood --methods ig,gias       # two other attacks, tuned alike
"""


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a study and say what was found. Returns the exit code."""
    return run_command("evaluate", arguments, lambda command: _evaluate(_parser().parse_args(arguments), command))


def _evaluate(options: argparse.Namespace, command: str) -> int:
    launch = _read(options)
    with only_driver(launch.results):
        return run_study(launch, Console(highlight=False, soft_wrap=True), command=command, search=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.evaluate", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("results", type=Path, metavar="RESULTS", help="the results folder of a study")
    add_protocol_options(parser)
    where = parser.add_argument_group("where")
    where.add_argument("--images", type=Path, metavar="FOLDER", help="your own pictures, if the study attacks them")
    where.add_argument("--address", default=os.environ.get("RAY_ADDRESS"), help="Ray cluster (RAY_ADDRESS, else local)")
    where.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: one per CPU)")
    where.add_argument("--block-timeout", type=float, metavar="SECONDS", help="as for study.launch")
    return parser


def _read(options: argparse.Namespace) -> Launch:
    """The study of the folder, to be evaluated. Raises ValueError: rule, value, remedy."""
    results: Path = options.results
    plan = read_plan(results)
    check_version(results)
    if plan.own_task is None and check_checkpoint(plan.task_info) != plan.checkpoint_sha256:
        raise ValueError(f"{results} was made with other generator weights than those installed here; install its own")
    find_pictures(options.images, plan)
    inputs = results / INPUTS  # of a task that is not built in, as the launch left it
    if plan.own_task is not None:
        Inputs.read(inputs)
    if options.address:
        check_address(options.address)
    for name, least in (("max_concurrent", 1), ("block_timeout", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be {least} or more, got {value}")
    trials = Ledger(results).trial_numbers("search")
    if 0 not in trials:
        raise ValueError(
            f"an evaluation begins with the published recipe's trial, {results} holds none yet; run the "
            "`python -m study.launch` command that began the study first"
        )
    return Launch(
        plan=plan,
        trials=len(trials),
        results=results,
        max_concurrent=options.max_concurrent,
        address=options.address or None,
        pictures_folder=options.images if plan.own_task is None else inputs,
        protocol=read_protocol(options, plan),
        block_timeout=options.block_timeout,
        notes=(),
        tensorboard=False,
        dry_run=False,
    )


if __name__ == "__main__":
    sys.exit(main())
