"""What do the analyses claim where the truth is known? On planted ledgers, and on ledgers without any effect.

    python -m benchmarks.planted_claims                       # 20 ledgers of each kind, four minutes of one core

A ledger has 60 trials on 8 targets in each of four domains (`benchmarks/planted_ledger.py`). Shown is, per kind
of claim, how many ledgers have at least one: without effects every claim is false. Shown is too how often an interval
holds the truth, of five times as many. One ledger in twenty may err by chance in every line that promises 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from analysis.comparisons import holm
from analysis.crossfit import cross_fit
from analysis.findings import findings
from analysis.generalization import SEED, tested_improvement
from analysis.load import Results, load_results
from analysis.parameters.claims import surrogate_claims
from analysis.parameters.importance import distinguishable, importances
from analysis.parameters.searched import searched_trials
from analysis.stats import mean_interval
from analysis.transfer import transfer_regret, transfer_table
from analysis.valued import valued_configs
from benchmarks.planted_ledger import write_ledger
from benchmarks.planted_rows import Ledger
from gifd_ops.seeds import derive_seed

Truth = Mapping[str, Mapping[str, Mapping[str, float]]]
Ask = Callable[[Results, Truth], dict[str, bool]]

KINDS = ("null", "planted")
TRIALS, TARGETS, STAGES, LEVEL = 60, 8, 4, 0.05
PARAMETERS = ("lr_first", "lr_last", "steps_tilt", "feature_radius_last", "tv_weight", "end_layer")


def claims(results: Results, _truth: Truth) -> dict[str, bool]:
    """Which claims the analyses make, one entry per kind."""
    found = {"findings: tuned settings differ from the recipe": _first_finding(results)}
    tested = tested_improvement(results)
    assert results.finalists is not None
    chosen = tested[tested["trial"] == results.finalists["oracle"]]
    p_values = [mean_interval(part["improvement"]).p_value for _, part in chosen.groupby("domain")]
    found["test: the choice gains or loses in some domain (Holm)"] = bool((holm(p_values) <= LEVEL).any())
    configs = valued_configs(results)
    worth = cross_fit(configs.values, configs.domains, seed=SEED).estimate
    found["search: the best config gains (cross-fitted)"] = worth.distinguishable and worth.mean > 0
    table = transfer_table(transfer_regret(configs.values, configs.domains, seed=SEED))
    pairs = table[table["tuned_on"] != table["valued_on"]]
    found["search: some domain's settings give something up elsewhere (Holm)"] = bool(
        (holm(pairs["p_value"]) <= LEVEL).any()
    )
    trials = searched_trials(results)
    rows = [row for _, row in importances(trials, seed=SEED).iterrows()]
    told = [row["parameter"] for row in rows if distinguishable(row)]
    found["search: some parameter is important (PED-ANOVA)"] = bool(told)
    found |= {f"search: {name} is important": name in told for name in PARAMETERS}
    surrogate = surrogate_claims(trials, seed=SEED)
    named = surrogate.permutation
    found["search: a surrogate shows skill"] = surrogate.skill.shown
    found["search: the surrogate needs some parameter (Holm)"] = named is not None and bool(
        (named["p_holm"] <= LEVEL).any()
    )
    return found


def intervals(results: Results, truth: Truth) -> dict[str, bool]:
    """Whether what was planted lies in the interval of it."""
    tested = tested_improvement(results)
    assert results.finalists is not None
    held = {}
    for choice in ("oracle", "observable"):
        mine = tested[tested["trial"] == results.finalists[choice]]
        estimate = mean_interval(mine["improvement"], mine["domain"])
        true_gain = float(np.mean(list(truth["finalists_db"][choice].values())))
        held[f"test: gain of the {choice} choice"] = (
            estimate.low is not None and estimate.high is not None and estimate.low <= true_gain <= estimate.high
        )
    return held


def _first_finding(results: Results) -> bool:
    estimate = findings(results)[0].estimate
    return estimate is not None and estimate.distinguishable


@contextmanager
def planted(kind: str, *, repetition: int, seed: int) -> Iterator[tuple[Results, Truth]]:
    """One ledger, while it lasts."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(
            trials=TRIALS,
            targets_per_domain=TARGETS,
            stages=STAGES,
            null=kind == "null",
            seed=derive_seed(seed, kind, repetition),
        )
        write_ledger(Path(folder), ledger)
        yield load_results(folder), json.loads((Path(folder) / "truth.json").read_text())


def count(kind: str, *, ledgers: int, seed: int, ask: Ask) -> Counter[str]:
    """In how many ledgers of a kind the answers are yes."""
    counted: Counter[str] = Counter()
    for repetition in range(ledgers):
        with planted(kind, repetition=repetition, seed=seed) as (results, truth):
            counted.update({name: int(said) for name, said in ask(results, truth).items()})
    return counted


def show(title: str, ask: Ask, *, ledgers: int, seed: int) -> None:
    """Print the answers on ledgers without effects, and on planted ones."""
    null, with_effects = (count(kind, ledgers=ledgers, seed=seed, ask=ask) for kind in KINDS)
    print(f"| {title}, of {ledgers} ledgers | without effects | planted |\n|---|---|---|")
    for name in null:
        print(f"| {name} | {null[name]} | {with_effects[name]} |", flush=True)
    print()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ledgers", type=int, default=20, help="of each kind (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.ledgers < 1:
        parser.error(f"--ledgers is 1 at least, got {arguments.ledgers}")
    print(f"{TRIALS} trials, {TARGETS} targets in each of four domains; seed {arguments.seed}\n")
    show("claimed", claims, ledgers=arguments.ledgers, seed=arguments.seed)
    show("the interval holds the truth", intervals, ledgers=5 * arguments.ledgers, seed=arguments.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
