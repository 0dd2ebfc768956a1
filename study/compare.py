"""Every attack on the same targets at the same budget: `python -m study.compare --space ood`.

Runs one study a method, tuned alike, its finalists under the controls too, then puts them side by side. The same
command continues what was interrupted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from search_spaces.registry import METHODS
from study.choices import check_name
from study.options import read_options
from study.parser import build_parser

EXAMPLES = """\
examples:
  python -m study.compare --space ood                                        # all methods, all controls
  python -m study.compare --space ood --methods gifd,ig --trials 60 --results results/gifd-ig
  python -m study.compare --space ood --victim convnet --controls none
what else can be said is in python -m study.launch --help
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the studies one after another, then compare. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m study.compare", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--methods", default="all", help=f"comma separated, of {', '.join(METHODS)} (%(default)s)")
    parser.add_argument("--controls", default="all", help="for the finalists: a list, all or none (%(default)s)")
    parser.add_argument("--results", type=Path, help="one folder, a folder a method in it (results/methods-SPACE)")
    ours, passed_on = parser.parse_known_args(arguments)
    try:
        methods = list(METHODS) if ours.methods == "all" else [name.strip() for name in ours.methods.split(",")]
        results = ours.results or Path("results") / f"methods-{build_parser().parse_known_args(passed_on)[0].space}"
        commands = {}
        for method in methods:
            check_name("method", method, METHODS)
            own = ["--method", method, "--controls", ours.controls, "--results", str(results / method)]
            commands[method] = [*passed_on, *own]
            dry_run = read_options(commands[method]).dry_run  # what is wrong is said before anything runs
    except (ValueError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    for method, command in commands.items():
        print(f"\n== {method}: {METHODS[method].summary}", flush=True)
        status = subprocess.run([sys.executable, "-m", "study.launch", *command]).returncode
        if status != 0:
            print(f"study: {method} ended early; the same command continues", file=sys.stderr)
            return status
    if dry_run:
        return 0
    print("\n== side by side", flush=True)
    folders = [str(results / method) for method in methods]
    return subprocess.run([sys.executable, "-m", "analysis.methods", *folders]).returncode


if __name__ == "__main__":
    sys.exit(main())
