"""What is said of a study: by its own driver, and by somebody who has only its folder."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from study.job import trial_row
from study.ledger import Ledger
from study.lock import only_driver
from study.plan import StudyPlan
from study.search.both import BothSearches
from study.search.search import Search
from study.status import main
from study.upkeep.compact import compact
from study.watch.history import History
from study.watch.live import SearchView, watch
from study.watch.standing import Standing, time_left
from tests.study.rows import commit

FIELDS = ("done", "outcomes", "published", "best", "front", "metrics")


def falling(trial: int) -> float:
    """A matching loss that is lower from trial to trial."""
    return 1 / (1 + trial)


def run(
    search: Search | BothSearches,
    plan: StudyPlan,
    ledger: Ledger,
    *,
    fails: int | None = None,
    loss: Callable[[int], float] = falling,
) -> None:
    """Play the workers; the PSNR of a trial is ten plus a hundred times its first learning rate."""
    plan.save(ledger.results)
    while (job := search.next_job()) is not None:
        psnr_db = None if job.trial == fails else 10 + 100 * job.params.get("lr_first", 0.0)
        commit(plan, ledger, job, psnr_db=psnr_db, matching_loss=loss(job.trial))
        outcome = "ok" if psnr_db is not None else "diverged"
        ledger.write_trial(job.phase, job.trial, trial_row(plan, job, outcome=outcome))
        search.finish(job)


def known(standing: Standing) -> dict[str, object]:
    return {name: getattr(standing, name) for name in FIELDS}


@pytest.mark.parametrize("metrics", [(), ("ssim", "seconds")])
def test_the_folder_tells_what_the_driver_knows(plan: StudyPlan, ledger: Ledger, metrics: tuple[str, ...]) -> None:
    plan = replace(plan, other_metrics=metrics)
    search = Search(plan, ledger, trials=6)
    run(search, plan, ledger, fails=3)
    by_driver = SearchView(search, workers=2).standing()
    by_folder = History(ledger.results).standing()
    assert known(by_folder) == known(by_driver)
    assert by_folder.lines() == by_driver.lines()
    assert by_folder.outcomes == {"ok": 5, "diverged": 1}
    compact(ledger.results)
    assert known(History(ledger.results).standing()) == known(by_driver)


def test_a_front_is_shown_where_there_are_several_metrics(plan: StudyPlan, ledger: Ledger) -> None:
    plan = replace(plan, other_metrics=("matching_loss",))
    run(Search(plan, ledger, trials=6), plan, ledger, loss=lambda trial: 0.1 + trial)
    standing = History(ledger.results).standing()
    assert standing.metrics == ("psnr_db", "matching_loss")
    assert len(standing.front) > 1
    (line,) = [line for line in standing.lines() if line.startswith("front")]
    assert all(f"trial {trial} " in line for trial in standing.front)


def test_two_searches_have_a_best_each(plan: StudyPlan, ledger: Ledger) -> None:
    plan = replace(plan, objective="both")
    searches = BothSearches(plan, ledger, trials=30)
    run(searches, plan, ledger)
    by_driver, by_folder = SearchView(searches, workers=1).standing(), History(ledger.results).standing()
    assert [best.objective for best in by_folder.best] == ["oracle", "observable"]
    assert by_folder.best == by_driver.best
    assert by_folder.best[0].trial != by_folder.best[1].trial
    assert "best so far (observable)" in "\n".join(by_folder.lines())


def test_trials_that_end_later_are_added(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=2), plan, ledger)
    history = History(ledger.results)
    assert [ended.trial for ended in history.read()] == [0, 1]
    assert history.read() == []
    run(Search(plan, ledger, trials=4), plan, ledger)
    assert [ended.trial for ended in history.read()] == [2, 3]
    assert known(history.standing()) == known(History(ledger.results).standing())


def test_the_pace_is_that_of_the_driver_that_runs(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=3), plan, ledger)
    history = History(ledger.results)
    idle = history.standing()
    assert (idle.total, idle.elapsed_seconds, idle.left_seconds, idle.running) == (None, None, None, 0)
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    with only_driver(ledger.results, trials=9):
        begun = history.standing()
        assert (begun.total, begun.left_seconds) == (9, None)
        run(Search(plan, ledger, trials=6), plan, ledger)
        later = history.standing()
        assert later.left_seconds == pytest.approx(later.elapsed_seconds, rel=0.01)  # three of nine, three to go
        assert "trial 6/9" in later.line()


def test_no_time_is_foretold_from_one_trial() -> None:
    assert time_left(elapsed_seconds=10, done=1, missing=5) is None
    assert time_left(elapsed_seconds=10, done=2, missing=5) == 25
    assert time_left(elapsed_seconds=10, done=2, missing=-1) == 0


def test_status_says_once_how_it_stands(plan: StudyPlan, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    run(Search(plan, ledger, trials=3), plan, ledger)
    assert main([str(ledger.results)]) == 0
    out = capsys.readouterr().out
    assert "trial 3 " in out
    assert "published recipe" in out
    assert "no driver runs" in out


def test_status_needs_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no plan.json, so it is no study" in capsys.readouterr().err


def test_following_ends_with_the_driver(plan: StudyPlan, ledger: Ledger) -> None:
    run(Search(plan, ledger, trials=2), plan, ledger)
    with only_driver(ledger.results, trials=4):
        command = [sys.executable, "-m", "study.status", str(ledger.results), "--follow"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert "trial 2/4" in process.stdout.readline()
        assert process.poll() is None
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "no driver runs" in out


def test_a_driver_piped_says_at_the_end_how_it_stands(plan: StudyPlan, ledger: Ledger) -> None:
    search = Search(plan, ledger, trials=3)
    console = Console(width=200, file=io.StringIO())
    with watch(SearchView(search, workers=1), console):
        run(search, plan, ledger)
    assert "trial 3/3, best +" in console.file.getvalue()  # type: ignore[attr-defined]


def test_status_imports_neither_torch_nor_ray_nor_optuna() -> None:
    code = (
        "import sys; from study.status import main; main(['nowhere']);"
        "assert not {'torch', 'ray', 'optuna'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
