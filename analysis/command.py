"""The command line that every analysis shares: one results folder in, sentences out, errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from analysis.load import Results, load_results


def run_command(
    argv: Sequence[str] | None, *, name: str, description: str, action: Callable[[Results], Sequence[str]]
) -> int:
    """The exit status of `python -m analysis.<name> RESULTS`: 0, or `analysis: <message>` on stderr.

    2: what was given cannot be analyzed. 1: the figures could not be written (a full disk); the ledger is untouched.

    `action` gets the loaded results and returns the lines to print.
    """
    parser = argparse.ArgumentParser(prog=f"python -m analysis.{name}", description=description)
    parser.add_argument("results", metavar="RESULTS", help="the results folder of a study, such as results/ood")
    arguments = parser.parse_args(argv)
    return report(name, lambda: analyze(load_results(arguments.results), action))


def analyze(results: Results, action: Callable[[Results], Sequence[str]]) -> list[str]:
    """The lines of an analysis, then the notes of reading the results."""
    return [*action(results), *notes_of(results)]


def notes_of(*studies: Results) -> list[str]:
    """What must be known of results that were read: a line a note."""
    return [f"note: {note}" for results in studies for note in results.notes]


def report(name: str, lines_of: Callable[[], Sequence[str]]) -> int:
    """Print the lines of an analysis; the exit status as in `run_command`."""
    try:
        lines = lines_of()
    except ValueError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"analysis: {name} could not be written ({error}); make room, then run it again", file=sys.stderr)
        return 1
    for line in lines:
        print(line)
    return 0
