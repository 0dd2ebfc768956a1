"""A study under fire: its driver and its workers are killed with -9 at random moments, then everything is counted.

    python -m benchmarks.chaos                                           # 300 trials, 5 driver and 20 worker kills
    python -m benchmarks.chaos --trials 24 --driver-kills 2 --worker-kills 4

The study is real: real attacks of a tiny budget, real Ray, Optuna and Parquet, started by the command a person would
use, and by the same command again after each kill of the driver. Kills are spread over the trials at random. A worker
is killed at once, or in the moment that is worst for the ledger: between the writes of a block (its `stages` are there,
its `reconstructions` are not) or between its last write and its report. Exits with 0 only if nothing was lost, doubled,
torn or left running.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import psutil
import pyarrow.parquet as pq
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.ledger import Ledger
from study.options import read_options
from study.plan import StudyPlan
from study.schema import TABLES

SMALL = ["--space", "ood", "--domains", "photo,sketch", "--targets-per-domain", "5", "--test-targets-per-domain", "1",
         "--budget", "8", "--gallery", "0"]  # fmt: skip
MOMENTS = ("at once", "between writes", "before the report")
PATIENCE = 20.0  # seconds to wait for a moment
MOST_STOPS = 10  # by itself
STALLED = 300.0  # seconds without a trial after which the study is held to be stuck


@dataclass(frozen=True)
class Kill:
    """A kill that is due once so many trials are complete."""

    after: int
    victim: str  # driver or worker
    moment: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300, help="(default %(default)s)")
    parser.add_argument("--driver-kills", type=int, default=5, help="(default %(default)s)")
    parser.add_argument("--worker-kills", type=int, default=20, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of who is killed when (default %(default)s)")
    parser.add_argument("--results", type=Path, help="keep the study here (a temporary folder)")
    arguments = parser.parse_args()
    stream = random.Random(arguments.seed)
    kills = plan_kills(stream, trials=arguments.trials, drivers=arguments.driver_kills, workers=arguments.worker_kills)
    with tempfile.TemporaryDirectory() as folder:
        results = arguments.results or Path(folder) / "study"
        command = [*SMALL, "--trials", str(arguments.trials), "--results", str(results)]
        plan = read_options(command).plan
        done = Siege(command, Ledger(results), stream).run(kills)
        faults = count_faults(plan, results, trials=arguments.trials)
    print(f"killed: {', '.join(f'{count} {what}' for what, count in sorted(done.items()))}")
    print(", ".join(f"{count} {fault}" for fault, count in faults.items()))
    return 0 if faults["complete"] == arguments.trials and sum(faults.values()) == arguments.trials else 1


def plan_kills(stream: random.Random, *, trials: int, drivers: int, workers: int) -> list[Kill]:
    """Kills in the order of their time, at least one trial before the end."""
    victims = ["driver"] * drivers + ["worker"] * workers
    moments = [MOMENTS[place % len(MOMENTS)] for place in range(len(victims))]
    stream.shuffle(moments)
    kills = [
        Kill(stream.randrange(trials - 1), victim, moment) for victim, moment in zip(victims, moments, strict=True)
    ]
    return sorted(kills, key=lambda kill: kill.after)


class Siege:
    """Runs the study, kills what is to be killed, and starts it again until it ends by itself."""

    def __init__(self, command: list[str], ledger: Ledger, stream: random.Random) -> None:
        self.command, self.ledger, self.stream = command, ledger, stream
        self.done: Counter[str] = Counter()

    def run(self, kills: list[Kill]) -> Counter[str]:
        """Every kill, then the study's end; how many there were of each kind."""
        self._start()
        for kill in kills:
            self._until(lambda due=kill.after: self._complete() > due)  # type: ignore[misc]
            if kill.victim == "driver":
                self._await(kill.moment)
                self.driver.kill()
                self.driver.wait()
                self.done[f"driver {kill.moment}"] += 1
                self._start()
            else:
                self._until(lambda: bool(workers_of(self.driver)))
                self._kill_worker(kill.moment)
        self._until(lambda: self.driver.poll() == 0)
        return self.done

    def _start(self) -> None:
        restore = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.driver = subprocess.Popen(
            [sys.executable, "-m", "study.launch", *self.command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=restore,
        )

    def _until(self, condition: Callable[[], bool]) -> None:
        """Wait, and start the study again where it stopped by itself because too much was killed."""
        complete, since = self._complete(), time.monotonic()
        while not condition():
            if self.driver.poll() not in (None, 0):
                self._note_stop()
                self._start()
            if self._complete() > complete:
                complete, since = self._complete(), time.monotonic()
            if time.monotonic() - since > STALLED:
                self.driver.kill()
                raise SystemExit(f"nothing was finished for {STALLED:.0f} s, at {complete} trials")
            time.sleep(0.05)

    def _note_stop(self) -> None:
        assert self.driver.stderr is not None
        said = self.driver.stderr.read().decode(errors="replace").strip().splitlines()
        print(f"the study stopped with {self.driver.returncode}: {' | '.join(said[-3:])}", flush=True)
        self.done["stops by itself"] += 1
        if self.done["stops by itself"] > MOST_STOPS:
            raise SystemExit("the study stops again and again")

    def _complete(self) -> int:
        """Trials with a part of their own, about: a cheap count."""
        return len(list((self.ledger.results / "trials").glob("search-*.parquet")))

    def _kill_worker(self, moment: str) -> None:
        seen = self._await(moment)
        found = workers_of(self.driver)
        if found:
            self.stream.choice(found).kill()
            self.done[f"worker {moment}{'' if seen else ' (missed: at once)'}"] += 1

    def _await(self, moment: str) -> bool:
        """Wait for the moment; False if it did not come."""
        if moment == "at once":
            time.sleep(self.stream.uniform(0, 2))
            return True
        before = self._parts("reconstructions")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.driver.poll() is None:
            committed = self._parts("reconstructions")
            if committed - before if moment == "before the report" else self._parts("stages") - committed:
                return True
        return False

    def _parts(self, table: str) -> set[str]:
        return {path.name for path in (self.ledger.results / table).glob("search-*.parquet")}


def workers_of(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a driver that run trials."""
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
        return [child for child in children if "Trainable" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def count_faults(plan: StudyPlan, results: Path, *, trials: int) -> dict[str, int]:
    """Complete trials, and everything that must not be."""
    ledger, blocks = Ledger(results), plan.num_blocks("search")
    rows = {trial: ledger.rows("search", trial, blocks=blocks) for trial in range(trials)}
    complete = [trial for trial in rows if ledger.is_complete("search", trial, blocks=blocks)]
    per_trial = plan.targets_of("search") * len(plan.domains)
    doubled = [trial for trial, found in rows.items() if len({row["target_id"] for row in found}) < len(found)]
    short = [trial for trial in complete if len(rows[trial]) < per_trial]
    unsaid = [trial for trial in complete if (ledger.trial_row("search", trial) or {}).get("outcome") is None]
    states = _optuna_states(results)
    return {
        "complete": len(complete),
        "lost": trials - len(complete) + len(short),
        "doubled": len(doubled),
        "unknown trials": len(ledger.trial_numbers("search") - set(range(trials))),
        "without outcome": len(unsaid),
        "running in Optuna": states["RUNNING"] + states["WAITING"],
        "missing in Optuna": trials - sum(states.values()),
        "torn parts": _torn(results),
    }


def _optuna_states(results: Path) -> Counter[str]:
    storage = JournalStorage(JournalFileBackend(str(results / "optuna.journal")))
    studies = optuna.get_all_study_summaries(storage)
    found = [optuna.load_study(study_name=study.study_name, storage=storage) for study in studies]
    return Counter(trial.state.name for study in found for trial in study.trials)


def _torn(results: Path) -> int:
    """Parts that cannot be read, half-written files, and parts of blocks that were never committed."""
    torn = len(list(results.glob("*/.*.partial")))
    for table in TABLES:
        for path in (results / table).glob("[!.]*.parquet"):
            try:
                pq.read_table(path, partitioning=None)
            except (OSError, ValueError):
                torn += 1
            mark = results / "reconstructions" / path.name
            torn += table in ("stages", "images") and path.name.startswith("search-") and not mark.exists()
    return torn


if __name__ == "__main__":
    sys.exit(main())
