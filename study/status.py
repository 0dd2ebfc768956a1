"""Where a study stands, from another terminal or machine: `python -m study.status RESULTS [--follow]`.

Reads the results folder only, and changes nothing. Time left goes by the pace of the driver that runs now.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from study.watch.history import History
from study.watch.live import PLAIN_EVERY_SECONDS

LIVE_EVERY_SECONDS = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Say where a study stands, once or until its driver is gone. Returns 0, or 2 for a folder that is no study."""
    parser = argparse.ArgumentParser(prog="python -m study.status", description=__doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("--follow", action="store_true", help="go on until the study is complete or its driver is gone")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        history = History(options.results)
        if options.follow:
            _follow(history, console)
        else:
            console.print(show(history))
    except (ValueError, OSError) as error:
        print(f"status: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def show(history: History) -> Group:
    """All that is known now."""
    panel = history.standing().panel()
    texts = [
        _finals(history.finals()),
        f"attacks took {history.attack_seconds / 3600:.2f} worker hours",
        _driver(history),
    ]
    return Group(panel, *(Text(" " + text) for text in texts if text))


def _follow(history: History, console: Console) -> None:
    if console.is_terminal:
        with Live(show(history), console=console, auto_refresh=False) as live:
            while history.holder() is not None:
                time.sleep(LIVE_EVERY_SECONDS)
                live.update(show(history), refresh=True)
        return
    shown = ""
    while history.holder() is not None:
        line = history.standing().line()
        if line.partition(";")[0] != shown.partition(";")[0]:
            console.print(line)
            shown = line
        time.sleep(PLAIN_EVERY_SECONDS)
    console.print(show(history))


def _finals(finals: dict[str, int]) -> str:
    return ", ".join(f"{count} finalists in phase {phase}" for phase, count in finals.items())


def _driver(history: History) -> str:
    holder = history.holder()
    return f"driver: {holder}" if holder else "no driver runs: the launch command that began it continues it"


if __name__ == "__main__":
    sys.exit(main())
