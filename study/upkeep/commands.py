"""The command line `python -m study.ledger`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from study.lock import only_driver
from study.upkeep.check import check
from study.upkeep.compact import compact
from study.upkeep.merge import merge
from study.upkeep.migrate import migrate
from study.upkeep.swap import settle
from study.versions import read_values

DESCRIPTION = """\
Look after a results folder. All but `check` write, so no study may run on it meanwhile; killed anywhere, they leave
the old tables or the new ones.
"""
EXAMPLES = """\
examples:
  python -m study.ledger check results/ood                        # is everything there? changes nothing
  python -m study.ledger compact results/ood                      # few parts out of many
  python -m study.ledger merge results/ood elsewhere/ood          # add the trials of a study of the same plan
  python -m study.ledger rescore results/ood --metric ssim,lpips  # fill in scores from the stored images
  python -m study.ledger migrate results/ood                      # results of an earlier version
"""


def build_parser() -> argparse.ArgumentParser:
    """The commands."""
    parser = argparse.ArgumentParser(
        prog="python -m study.ledger", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    for name, says in (
        ("check", "read every part; hold blocks, trials, targets and Optuna's journal against one another"),
        ("compact", "pack finished trials: few parts out of many"),
        ("merge", "add the trials of other studies of the same plan"),
        ("rescore", "fill score columns from the stored 8-bit images"),
        ("migrate", "bring results of an earlier version to the present one"),
    ):
        command = commands.add_parser(name, help=says, description=says)
        command.add_argument("results", type=Path, metavar="RESULTS")
        if name == "merge":
            command.add_argument("others", type=Path, nargs="+", metavar="OTHER")
        if name == "rescore":
            command.add_argument("--metric", required=True, metavar="NAME[,NAME...]", help="columns to fill")
            command.add_argument("--replace", action="store_true", help="scores that are there too")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says. Returns 0, 1 if a check found something, 2 for what cannot be done."""
    options = build_parser().parse_args(arguments)
    results: Path = options.results
    try:
        read_values(results)  # a folder that is no study is left alone
        if options.command == "check":
            return _check(results)
        with only_driver(results):
            if (done := settle(results)) is not None:
                print(done)
            COMMANDS[options.command](options)
    except (ValueError, OSError) as error:
        print(f"ledger: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nledger: stopped; the same command does it again", file=sys.stderr)
        return 130
    return 0


def _check(results: Path) -> int:
    report = check(results)
    print("\n".join(report.looked_at))
    for finding in report.findings:
        print(finding)
    print(f"{len(report.findings)} findings" if report.findings else "all is well")
    return 1 if report.findings else 0


def _compact(options: argparse.Namespace) -> None:
    print(compact(options.results))


def _merge(options: argparse.Namespace) -> None:
    for other, taken in zip(options.others, merge(options.results, options.others), strict=True):
        print(f"{other}: {taken}")
    print("the next launch with the options of this study continues it, and chooses the finalists anew")


def _rescore(options: argparse.Namespace) -> None:
    from study.upkeep.rescore import rescore  # torch takes seconds to import

    names = [name.strip() for name in options.metric.split(",")]
    for name, column in rescore(options.results, names, replace=options.replace).items():
        difference = f", up to {column.largest_difference:.2g} from those of the stored images"
        kept = f"{column.replaced} replaced" if options.replace else f"{column.kept} kept"
        print(
            f"{name}: {column.filled} filled in, {kept}{difference if column.kept or column.replaced else ''}; "
            f"{column.no_image} rows have no image"
        )
    print("scores of stored images are those of images rounded to 8 bits; stages keep no images and none were scored")


def _migrate(options: argparse.Namespace) -> None:
    print(migrate(options.results))


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "compact": _compact,
    "merge": _merge,
    "rescore": _rescore,
    "migrate": _migrate,
}
