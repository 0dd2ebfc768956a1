"""The simulation of coverage, in the short: it runs, repeats itself, and notices an interval that is too narrow."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import SCORES, Line, interval_lines, main, recorded_gains

SMALL = {"repetitions": 40, "sizes": [4], "seed": 0}


@pytest.fixture(autouse=True)
def two_kinds_of_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are drawn alike, and drawing takes most of the time."""
    monkeypatch.setattr(coverage, "SCORES", {name: SCORES[name] for name in ("normal", "recorded")})


def test_the_tables_are_markdown_with_a_line_per_interval_and_kind_of_scores(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--repetitions", "20", "--sizes", "4"])
    lines = capsys.readouterr().out.splitlines()
    for what in ("mean", "interquartile mean", "probability of improvement", "smallest difference"):
        assert sum(line.startswith(f"| {what} |") for line in lines) == 2
    assert all(line.count("|") == 5 for line in lines if line.startswith("| mean |"))


def test_a_seed_fixes_every_number() -> None:
    assert list(interval_lines(**SMALL)) == list(interval_lines(**SMALL))
    assert list(interval_lines(**SMALL)) != list(interval_lines(**(SMALL | {"seed": 1})))


def test_an_interval_that_leaves_out_the_spread_of_small_samples_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_narrow(values: np.ndarray, domains: np.ndarray) -> coverage.Estimate:
        error = values.std() / values.size**0.5
        return coverage.Estimate(values.mean(), values.mean() - error, values.mean() + error, values.size)

    monkeypatch.setattr(coverage, "INTERVALS", {"mean": (too_narrow, lambda values: float(values.mean()))})
    assert all(line.misses() for line in interval_lines(repetitions=200, sizes=[4], seed=0))


@pytest.mark.parametrize(
    ("size", "share", "misses"), [(4, 0.92, False), (4, 0.89, True), (4, 0.99, False), (8, 0.92, True), (8, 0.98, True)]
)
def test_what_is_asked_depends_on_the_number_of_targets(size: int, share: float, misses: bool) -> None:
    assert Line(what="mean", scores="normal", shares={size: share}, repetitions=100_000).misses() is misses


def test_recorded_gains_are_those_of_four_domains_and_all_configs() -> None:
    gains = recorded_gains()
    assert [domain.shape[1] for domain in gains] == [4, 4, 4, 4]
    assert len({domain.shape[0] for domain in gains}) == 1
