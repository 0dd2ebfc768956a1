"""Where a search stands, and how that is said: in lines, or in a panel. The same words whoever knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.describe import brief_config
from study.plan import METRICS, StudyPlan

UNITS = {"psnr_db": "dB"}
MOST_SHOWN = 5  # trials of a front


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial so far by one objective."""

    objective: str
    trial: int
    params: Mapping[str, float]
    by_domain: Mapping[str, float]  # mean improvement in the plan's metric


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a search at one moment."""

    plan: StudyPlan
    done: int
    total: int | None  # None: nobody says, since no driver runs
    running: int
    workers: int | None
    outcomes: Mapping[str, int]
    published: Mapping[str, float]  # by domain, the recipe's score; empty before it is known
    best: tuple[Best, ...]  # one an objective
    metrics: tuple[str, ...]  # of the front's values
    front: Mapping[int, tuple[float, ...]]  # by trial, the improvements in `metrics`
    elapsed_seconds: float | None
    left_seconds: float | None

    def lines(self) -> list[str]:
        """All but the progress."""
        recipe = f"published recipe  {self._by_domain(self.published)}" if self.published else None
        found = [recipe, *self._best_lines(), self._front_line(), self.outcomes_line()]
        return [text for text in found if text is not None]

    def line(self) -> str:
        """All in one line."""
        texts = [self.progress() + self._gains(), self.outcomes_line(), self.times()]
        return "; ".join(text for text in texts if text)

    def panel(self) -> Table:
        """The live panel."""
        table, row = Table.grid(padding=(0, 1)), Table.grid(padding=(0, 1))
        total = max(1, self.total or self.done)
        busy = f"{self.running} running"
        if self.workers is not None:
            several = self.plan.configs_per_trial > 1  # then a worker runs more than one
            busy = f"{busy} on {self.workers} workers" if several else f"{self.running} of {self.workers} workers busy"
        row.add_row(
            Text(f" {self.progress()}"),
            ProgressBar(total=total, completed=self.done, width=32),
            Text(f"{busy}   {self.times()}"),
        )
        table.add_row(row)
        for text in self.lines():
            table.add_row(Text(" " + text))
        return table

    def progress(self) -> str:
        """How many trials are done, of how many."""
        return f"trial {self.done}" + (f"/{self.total}" if self.total is not None else "")

    def times(self) -> str:
        """Elapsed, and remaining by the pace of this run."""
        elapsed = "" if self.elapsed_seconds is None else f"{clock(self.elapsed_seconds)} elapsed"
        return elapsed if self.left_seconds is None else f"{elapsed}, about {clock(self.left_seconds)} left"

    def outcomes_line(self) -> str:
        """Trials by outcome."""
        words = {"diverged": "diverged", "stopped": "stopped early", "out_of_memory": "out of memory"}
        beside = [f"{self.outcomes[name]} {word}" for name, word in words.items() if self.outcomes.get(name)]
        ends = [f"{self.outcomes.get('ok', 0)} ok", *beside, f"{self.outcomes.get('error', 0)} failed"]
        return ", ".join(ends)

    def gain(self, best: Best) -> float | None:
        """The mean improvement over the published recipe on the domains that steer."""
        gains = [best.by_domain[domain] for domain in self.plan.steered_domains if domain in best.by_domain]
        return fmean(gains) if gains else None

    def _gains(self) -> str:
        words = ""
        for best in self.best:
            gain = 0.0 if best.trial == 0 else self.gain(best)
            if gain is not None:
                digits = 2 if self.plan.metric == "psnr_db" else 4
                against = f"{gain:+.{digits}f} {self._unit()} against the published recipe (trial {best.trial})"
                words += f", best{self._by(best)} {against}"
        return words

    def _best_lines(self) -> list[str]:
        found = []
        sign = 1 if METRICS[self.plan.metric] == "maximize" else -1
        for best in self.best if self.published else ():
            head = f"best so far{self._by(best)}".ljust(18)
            if best.trial == 0:
                found.append(f"{head}the published recipe")
                continue
            base = self.published
            values = {domain: base[domain] + sign * gain for domain, gain in best.by_domain.items() if domain in base}
            config = self.plan.configure(best.params, origin="search")
            found.append(f"{head}{self._by_domain(values)}    trial {best.trial}: {brief_config(config)}")
        return found

    def _front_line(self) -> str | None:
        """The front, best in the first metric first, if there is more than one metric."""
        if len(self.metrics) < 2 or not self.front:
            return None
        ranked = sorted(self.front, key=lambda trial: self.front[trial], reverse=True)
        shown = "; ".join(f"trial {trial} {_gains(self.front[trial])}" for trial in ranked[:MOST_SHOWN])
        more = f"; and {len(ranked) - MOST_SHOWN} more" if len(ranked) > MOST_SHOWN else ""
        return f"front             improvement in {', '.join(self.metrics)}: {shown}{more}"

    def _by(self, best: Best) -> str:
        return f" ({best.objective})" if len(self.best) > 1 else ""

    def _unit(self) -> str:
        return UNITS.get(self.plan.metric, self.plan.metric)

    def _by_domain(self, values: Mapping[str, float]) -> str:
        steered = [domain for domain in self.plan.steered_domains if domain in values]
        beside = [domain for domain in values if domain not in steered]
        digits = 1 if self.plan.metric == "psnr_db" else 3
        mean = f"{fmean(values[domain] for domain in steered):.{digits}f} {self._unit()}" if steered else ""
        shown = "  ".join(f"{domain} {values[domain]:.{digits}f}" for domain in steered)
        aside = "".join(f" | {domain} {values[domain]:.{digits}f}" for domain in beside)
        return f"{mean}   {shown}{aside}"


def time_left(*, elapsed_seconds: float, done: int, missing: int) -> float | None:
    """Seconds until `missing` more trials are done, by the pace of `done` ones; None before two are."""
    return elapsed_seconds / done * max(0, missing) if done >= 2 else None


def clock(seconds: float) -> str:
    """A duration as h:mm:ss, or m:ss under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _gains(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:+.3g}" for value in values)
