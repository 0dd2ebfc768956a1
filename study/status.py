"""What a person sees while a study runs: a live panel in a terminal, plain lines when piped."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.describe import brief_config
from study.plan import METRICS, StudyPlan
from study.search import Search

UNITS = {"psnr_db": "dB"}
PLAIN_EVERY_SECONDS = 5.0


class SearchView:
    """Reads a running search and says where it stands. Only reads: it may be called from another thread."""

    def __init__(self, search: Search, *, workers: int) -> None:
        self.search, self.workers = search, workers
        self.began, self.done_before = time.monotonic(), search.finished

    @property
    def plan(self) -> StudyPlan:
        return self.search.plan

    def times(self) -> str:
        """Elapsed, and remaining by the pace of this run."""
        elapsed = time.monotonic() - self.began
        done = self.search.finished - self.done_before
        if done < 2:
            return f"{_clock(elapsed)} elapsed"
        left = elapsed / done * max(0, self.search.trials - self.search.finished)
        return f"{_clock(elapsed)} elapsed, about {_clock(left)} left"

    def outcomes(self) -> str:
        counts = Counter(self.search.outcomes.values())
        return f"{counts['ok']} ok, {counts['diverged']} diverged, {counts['error']} failed"

    def published(self) -> str | None:
        """The published recipe's score by domain."""
        values = self._published_by_domain()
        return None if not values else f"published recipe  {self._by_domain(values)}"

    def best(self) -> str | None:
        """The best trial so far, by domain, with what it does."""
        number = self.search.best()
        base = self._published_by_domain()
        if number is None or not base:
            return None
        if number == 0:
            return "best so far       the published recipe"
        sign = 1 if METRICS[self.plan.metric] == "maximize" else -1
        values = {domain: base[domain] + sign * gain for domain, gain in self.search.scores[number].items()}
        config = self.plan.configure(self.search.job_of(number)["params"], origin="search")
        return f"best so far       {self._by_domain(values)}    trial {number}: {brief_config(config)}"

    def line(self) -> str:
        """All in one line."""
        head = f"trial {self.search.finished}/{self.search.trials}"
        number = self.search.best()
        gain = None if number is None else self.search.improvement(number)
        digits = 2 if self.plan.metric == "psnr_db" else 4
        best = "" if gain is None else f", best {gain:+.{digits}f} {self._unit()} against the published recipe"
        best += "" if gain is None else f" (trial {number})"
        return f"{head}{best}; {self.outcomes()}; {self.times()}"

    def panel(self) -> Table:
        """The live panel."""
        table = Table.grid(padding=(0, 1))
        row = Table.grid(padding=(0, 1))
        total = max(1, self.search.trials)
        row.add_row(
            Text(f" trial {self.search.finished}/{total}"),
            ProgressBar(total=total, completed=self.search.finished, width=32),
            Text(f"{len(self.search.running)} of {self.workers} workers busy   {self.times()}"),
        )
        table.add_row(row)
        for text in (self.published(), self.best(), self.outcomes()):
            if text is not None:
                table.add_row(Text(" " + text))
        return table

    def _published_by_domain(self) -> dict[str, float]:
        published = self.search.published or {}
        domains = self.plan.domains
        values = {d: [value for target, value in published.items() if target.startswith(f"{d}-")] for d in domains}
        return {domain: fmean(found) for domain, found in values.items() if found}

    def _unit(self) -> str:
        return UNITS.get(self.plan.metric, self.plan.metric)

    def _by_domain(self, values: dict[str, float]) -> str:
        steered = [domain for domain in self.plan.steered_domains if domain in values]
        beside = [domain for domain in values if domain not in steered]
        digits = 1 if self.plan.metric == "psnr_db" else 3
        mean = f"{fmean(values[d] for d in steered):.{digits}f} {self._unit()}" if steered else ""
        shown = "  ".join(f"{domain} {values[domain]:.{digits}f}" for domain in steered)
        aside = "".join(f" | {domain} {values[domain]:.{digits}f}" for domain in beside)
        return f"{mean}   {shown}{aside}"


@contextmanager
def watch(view: SearchView, console: Console) -> Iterator[None]:
    """Show a search while the body runs, and once more at its end."""
    stop = threading.Event()
    if console.is_terminal:
        with Live(view.panel(), console=console, refresh_per_second=4) as live:
            thread = threading.Thread(target=_refresh, args=(view, live, stop), daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                live.update(view.panel())
        return
    thread = threading.Thread(target=_print_lines, args=(view, console, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for text in (view.published(), view.best(), view.line()):
            if text is not None:
                console.print(text, highlight=False, soft_wrap=True)


def _refresh(view: SearchView, live: Live, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        live.update(view.panel())


def _print_lines(view: SearchView, console: Console, stop: threading.Event) -> None:
    shown = -1
    while not stop.wait(PLAIN_EVERY_SECONDS):
        if view.search.finished != shown:
            shown = view.search.finished
            console.print(view.line(), highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
