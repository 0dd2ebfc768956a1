"""Seconds and peak memory of a whole trial, by victim, each in a process of its own; no Ray needed.

    python -m benchmarks.trial                 # the published recipe, and a config drawn from the space
    python -m benchmarks.trial --trials 50     # memory of one worker after each of so many trials: is there a leak?

A trial is what a worker does for one config: block after block of targets attacked, scored, and committed to a ledger.
Seconds are of the machine as it is: compare them within one run only. Memory is that of the process (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from search_spaces.base import Draw
from study.bench import Bench
from study.job import Job, trial_row
from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.trial import run_block

MIB = 2**20
PHASE = "search"
WARM_UP = 10  # trials, until allocators and caches hold what they will hold


def plan_of(victim: str, *, budget: int, targets: int) -> StudyPlan:
    """The default study on a victim."""
    counts = ["--budget", str(budget), "--targets-per-domain", str(targets)]
    nowhere = Path(tempfile.gettempdir()) / "none"  # nothing is written there
    return read_options(["--space", "ood", "--victim", victim, *counts, "--results", str(nowhere)]).plan


def job_of(plan: StudyPlan, trial: int) -> Job:
    """Trial 0 is the published recipe, every other one is drawn from the space by its number."""
    if trial == 0:
        return Job(phase=PHASE, trial=0, attempt=1, origin="published", params={})
    ask = Draw(random.Random(f"trial {trial}"))
    plan.search_space.suggest(ask, plan.task_info.generator_shape, budget=plan.budget)
    return Job(phase=PHASE, trial=trial, attempt=1, origin="search", params=ask.params)


@contextmanager
def fresh_ledger() -> Iterator[Ledger]:
    """A ledger that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gifd-benchmark-") as folder:
        ledger = Ledger(Path(folder) / "results")
        ledger.create()
        yield ledger


def run_trial(bench: Bench, job: Job, ledger: Ledger) -> list[float]:
    """Seconds of every block."""
    ledger.write_trial(job.phase, job.trial, trial_row(bench.plan, job, outcome=None))
    seconds = []
    for block in range(bench.plan.num_blocks(job.phase)):
        begin = time.perf_counter()
        run_block(bench, job, block, ledger)
        seconds.append(time.perf_counter() - begin)
    return seconds


def resident_after_trials(plan: StudyPlan, *, trials: int) -> list[int]:
    """Bytes that this process holds after each of so many trials."""
    bench = Bench(plan, pictures_folder=None)
    held = []
    with fresh_ledger() as ledger:
        for trial in range(trials):
            run_trial(bench, job_of(plan, trial), ledger)
            held.append(resident_bytes())
    return held


def resident_bytes() -> int:
    """What this process holds of the machine's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_alone(plan: StudyPlan, trial: int) -> dict[str, object]:
    """One trial in this process."""
    begin = time.perf_counter()
    bench = Bench(plan, pictures_folder=None)
    bench.generator(PHASE)
    bench.blocks(PHASE)
    loaded, before = time.perf_counter() - begin, resident_bytes()
    with fresh_ledger() as ledger:
        seconds = run_trial(bench, job_of(plan, trial), ledger)
    gpu = torch.cuda.max_memory_allocated() if bench.device.type == "cuda" else None
    return {"loaded": loaded, "seconds": seconds, "before": before, "peak": peak_bytes(), "gpu": gpu}


def in_fresh_process(arguments: argparse.Namespace, victim: str, trial: int) -> dict[str, object]:
    """`measure_alone` in a process of its own."""
    options = {"victims": victim, "alone": trial, "budget": arguments.budget, "targets": arguments.targets}
    options["threads"] = arguments.threads
    told = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.trial", *told]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, object] = json.loads(done.stdout)
    return measured


def show_trials(arguments: argparse.Namespace) -> None:
    """A line for every victim and config."""
    print("victim             config      s to load   s per block   s per trial   peak MiB   above idle   GPU MiB")
    for victim in arguments.victims.split(","):
        for name, trial in (("published", 0), ("drawn", 1)):
            found = in_fresh_process(arguments, victim, trial)
            seconds, before, peak, gpu = (found[key] for key in ("seconds", "before", "peak", "gpu"))
            assert isinstance(seconds, list)
            assert isinstance(before, int)
            assert isinstance(peak, int)
            shown = "-" if gpu is None else f"{int(str(gpu)) / MIB:.0f}"
            print(
                f"{victim:18} {name:9} {found['loaded']:11.2f} {statistics.median(seconds):13.2f} {sum(seconds):13.2f} "
                f"{peak / MIB:10.0f} {(peak - before) / MIB:12.0f} {shown:>9}",
                flush=True,
            )


def show_leak(plan: StudyPlan, trials: int) -> None:
    """What a worker holds after warming up, and at the end."""
    held = resident_after_trials(plan, trials=trials)
    warm = held[min(WARM_UP, trials) - 1]
    for trial in sorted({0, min(WARM_UP, trials) - 1, *range(9, trials, 10), trials - 1}):
        print(f"{plan.victim}: after {trial + 1:3} trials {held[trial] / MIB:7.1f} MiB resident")
    print(f"{plan.victim}: {(held[-1] - warm) / MIB:+.1f} MiB since trial {min(WARM_UP, trials)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--victims", default="lenet,convnet,resnet18", help="comma separated (%(default)s)")
    parser.add_argument("--budget", type=int, default=120, help="evaluations per target (%(default)s)")
    parser.add_argument("--targets", type=int, default=4, help="per domain (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (%(default)s)")
    parser.add_argument("--trials", type=int, help="run so many in one process and show what it holds")
    parser.add_argument("--alone", type=int, metavar="TRIAL", help="measure one trial in this process, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plans = [
        plan_of(victim, budget=arguments.budget, targets=arguments.targets) for victim in arguments.victims.split(",")
    ]
    if arguments.alone is not None:
        print(json.dumps(measure_alone(plans[0], arguments.alone)))
        return
    print(f"torch {torch.__version__}, {arguments.threads} thread(s), budget {arguments.budget}, ", end="")
    print(f"{arguments.targets} targets per domain, default domains of --space ood")
    if arguments.trials is None:
        show_trials(arguments)
        return
    for plan in plans:
        show_leak(plan, arguments.trials)


if __name__ == "__main__":
    main()
