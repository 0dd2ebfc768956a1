"""What the farm costs: time per trial against a raw Tuner, the driver's memory, the time to restart.

    python -m benchmarks.farm                                  # overhead per trial, two workers, minutes
    python -m benchmarks.farm --rounds 0 --many 10000          # memory and restart of a study of 10,000 trials

The attack is left out (`benchmarks/trivial.py`): a trial writes its ledger parts and nothing else. The raw Tuner runs
the very same trainable on the same number of jobs, handed to it as a grid: no search, no source, no supervision. Time
per trial is taken between trials, from the parts' own times, so that no start of workers is in it; the two are run in
turn, round by round, and compared within a round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import ray
from ray import tune

from benchmarks.trivial import TrivialTrainable
from study.farm.farm import cluster, run_jobs
from study.job import Job
from study.ledger import Ledger
from study.options import read_options
from study.plan import SAMPLERS, StudyPlan
from study.search.search import Search

WARM_UP = 20  # trials that are not timed: workers start
ARGUMENTS = ["--space", "ood", "--domains", "photo,sketch", "--targets-per-domain", "1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300, help="of each run that is timed (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of runs in turn (default %(default)s)")
    parser.add_argument("--samplers", default="random,tpe", help=f"of {', '.join(SAMPLERS)} (default %(default)s)")
    parser.add_argument("--many", type=int, default=0, help="trials of the study whose memory is measured (none)")
    parser.add_argument("--workers", type=int, default=2, help="(default %(default)s)")
    arguments = parser.parse_args()
    plan = read_options([*ARGUMENTS, "--results", "results/none"]).plan
    samplers = arguments.samplers.split(",")
    with cluster(None, max_concurrent=arguments.workers) as workers:
        if arguments.rounds:
            compare(plan, samplers, trials=arguments.trials, rounds=arguments.rounds, workers=workers)
        if arguments.many:
            grow(replace(plan, sampler=samplers[0]), trials=arguments.many, workers=workers)


def compare(plan: StudyPlan, samplers: list[str], *, trials: int, rounds: int, workers: int) -> None:
    """Print milliseconds per trial of a raw Tuner and of ours, with every sampler, and their ratio within a round."""
    times: dict[str, list[float]] = {name: [] for name in ("raw Tuner", *samplers)}
    for _ in range(rounds):
        for name, values in times.items():
            with tempfile.TemporaryDirectory() as folder:
                ledger = _new_ledger(Path(folder))
                _wait_for_cpus(workers)
                if name == "raw Tuner":
                    run_raw(plan, ledger, trials=trials, workers=workers)
                else:
                    run_ours(replace(plan, sampler=name), ledger, trials=trials, workers=workers)
                values.append(_milliseconds_per_trial(ledger))
    print(f"{trials} trials, {workers} workers, {rounds} rounds      ms per trial: median, least, most   against raw")
    for name, values in times.items():
        ratio = statistics.median(ours / raw for ours, raw in zip(values, times["raw Tuner"], strict=True))
        print(f"{name:34} {statistics.median(values):8.1f} {min(values):8.1f} {max(values):8.1f}      {ratio:.2f}x")


def grow(plan: StudyPlan, *, trials: int, workers: int) -> None:
    """Print the driver's memory while a study grows, then how long its restart takes until the first trial runs."""
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        ledger = _new_ledger(Path(folder))
        begin = time.monotonic()
        run_ours(plan, ledger, trials=trials, workers=workers)
        seconds = time.monotonic() - begin
        print(f"{trials} trials in {seconds:.0f} s; driver's memory: {watch.peak / 1e6:.0f} MB at most")
        begin, before = time.time(), len(ledger.trial_numbers("search"))
        run_ours(plan, Ledger(ledger.results), trials=trials + workers, workers=workers)
        first = ledger.results / "trials" / f"search-{before:05d}.parquet"
        print(f"restart until the first trial is done: {first.stat().st_mtime - begin:.1f} s")


def run_ours(plan: StudyPlan, ledger: Ledger, *, trials: int, workers: int) -> None:
    """A search through the farm."""
    search = Search(plan, ledger, trials=trials)
    run_jobs(search, plan, ledger, pictures_folder=None, max_concurrent=workers, trainable=TrivialTrainable)
    assert search.finished == trials


def run_raw(plan: StudyPlan, ledger: Ledger, *, trials: int, workers: int) -> None:
    """The same work on a Tuner as Ray ships it."""
    jobs = [Job(phase="search", trial=trial, attempt=1, origin="published", params={}) for trial in range(trials)]
    space = {
        "jobs": tune.grid_search([[job.to_json()] for job in jobs]),
        "plan": plan.to_json(),
        "results": str(ledger.results),
        "pictures_folder": None,
        "block_timeout": 60.0,
        "max_rows": None,
        "too_large": None,
    }
    with tempfile.TemporaryDirectory() as scratch:
        tune.Tuner(
            tune.with_resources(TrivialTrainable, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(max_concurrent_trials=workers, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=scratch, verbose=0),
        ).fit()


class Watch:
    """The largest memory of this process, looked at four times a second."""

    def __enter__(self) -> Watch:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.25):
            self.peak = max(self.peak, process.memory_info().rss)


def _new_ledger(folder: Path) -> Ledger:
    ledger = Ledger(folder)
    ledger.create()
    return ledger


def _wait_for_cpus(count: int) -> None:
    """Wait for the workers of the run before to be gone: else all trials may go to one worker."""
    while ray.available_resources().get("CPU", 0) < count:
        time.sleep(0.1)


def _milliseconds_per_trial(ledger: Ledger) -> float:
    ends = sorted(path.stat().st_mtime for path in (ledger.results / "trials").glob("search-*.parquet"))
    return (ends[-1] - ends[WARM_UP]) / (len(ends) - WARM_UP - 1) * 1000


if __name__ == "__main__":
    main()
