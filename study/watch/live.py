"""What a person sees while a study runs: a live panel in a terminal, plain lines when piped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live

from study.background import every
from study.watch.standing import Best, Standing, time_left

if TYPE_CHECKING:
    from study.search.both import BothSearches
    from study.search.search import Search

PANEL_EVERY_SECONDS = 0.5
PLAIN_EVERY_SECONDS = 5.0


class View(Protocol):
    """Somebody who knows where a search stands. May be asked from another thread."""

    def standing(self) -> Standing:
        """Where the search stands now."""


class SearchView:
    """Reads a running search, or both of them where two share a study."""

    def __init__(self, search: Search | BothSearches, *, workers: int) -> None:
        from study.search.search import Search  # imports Optuna, which whoever has a search has imported

        self.search, self.workers = search, workers
        self.searches = (search,) if isinstance(search, Search) else (search.oracle, search.observable)
        self.began, self.done_before = time.monotonic(), search.finished

    def standing(self) -> Standing:
        search, elapsed = self.search, time.monotonic() - self.began
        outcomes = list(search.outcomes.values())
        left = time_left(
            elapsed_seconds=elapsed, done=len(outcomes) - self.done_before, missing=search.trials - len(outcomes)
        )
        return Standing(
            plan=search.plan,
            done=len(outcomes),
            total=search.trials,
            running=len(search.running),
            workers=self.workers,
            outcomes=Counter(outcomes),
            published=by_domain(search.published or {}, search.plan.domains),
            best=tuple(best for best in map(self._best, self.searches) if best is not None),
            metrics=search.metrics,
            front=dict(search.front.values),
            elapsed_seconds=elapsed,
            left_seconds=left,
        )

    def _best(self, search: Search) -> Best | None:
        trial = search.best()
        if trial is None or (trial != 0 and trial not in search.scores):
            return None
        params, gains = search.job_of(trial)["params"], search.scores.get(trial, {})
        return Best(objective=search.objective, trial=trial, params=params, by_domain=gains)


def by_domain(scores: dict[str, float], domains: Sequence[str]) -> dict[str, float]:
    """The mean of scores by target, in each domain: a target's name begins with its domain's."""
    found = {d: [value for target, value in scores.items() if target.startswith(f"{d}-")] for d in domains}
    return {domain: fmean(values) for domain, values in found.items() if values}


@contextmanager
def watch(view: View, console: Console) -> Iterator[None]:
    """Show a search while the body runs, and once more at its end."""
    if console.is_terminal:
        with Live(view.standing().panel(), console=console, refresh_per_second=4) as live:
            try:
                with every(PANEL_EVERY_SECONDS, lambda: live.update(view.standing().panel())):
                    yield
            finally:
                live.update(view.standing().panel())
        return
    lines = _Lines(view, console)
    try:
        with every(PLAIN_EVERY_SECONDS, lines.print_news):
            yield
    finally:
        standing = view.standing()
        for text in (*standing.lines()[:-1], standing.line()):
            console.print(text, highlight=False, soft_wrap=True)


class _Lines:
    """Where a search stands in plain lines, one whenever more trials are done."""

    def __init__(self, view: View, console: Console) -> None:
        self.view, self.console, self.shown = view, console, -1

    def print_news(self) -> None:
        standing = self.view.standing()
        if standing.done != self.shown:
            self.shown = standing.done
            self.console.print(standing.line(), highlight=False, soft_wrap=True)
