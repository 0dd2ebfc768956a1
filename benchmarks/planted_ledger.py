"""A whole results folder with invented scores whose truth is known, of any size.

    python -m benchmarks.planted_ledger FOLDER --trials 10000 --targets-per-domain 25

is a million reconstructions and ten million stages, in ten seconds. The tables are those of a study
(`study/schema.py`), packed, without images: a search, the finalists on `select` and `test`, and the way from the
published recipe to the oracle's choice (`ablation`). What was planted (`benchmarks/planted_truth.py`) is in
`truth.json`, beside the true gain of every trial in every domain and the true regret between domains. A score is
hardness(target) + gain(config, domain) + noise(config, target); the matching loss follows gain and noise, less well;
it falls from stage to stage, so the last stage is the one that is kept. `--null`: every config is worth what the
recipe is, and every layer what the others are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.planted_rows import (
    BUDGET,
    DOMAINS,
    FIRST_IDS,
    Ledger,
    Rows,
    Scores,
    Targets,
    Trials,
    target_columns,
    write_table,
)
from benchmarks.planted_truth import Array
from gifd_ops.seeds import derive_seed
from study.packs import PACKED, Span
from study.schema import SCHEMA_VERSION

ROWS_PER_PACK = 25_000  # of reconstructions


def write_ledger(folder: Path, ledger: Ledger) -> dict[str, object]:
    """The truth, after writing it and the ledger to `folder`, which must not hold one."""
    if (folder / "plan.json").exists():
        raise ValueError(f"{folder} holds a study already; give a folder that is not there yet")
    folder.mkdir(parents=True, exist_ok=True)
    truth, stream = ledger.truth, np.random.default_rng(derive_seed(ledger.seed, "trials"))
    values, is_random = truth.draw(stream, ledger.trials, random_share=ledger.random_share)
    origins = ("published", *("random" if drawn else "search" for drawn in is_random[1:]))
    trials = Trials(numbers=np.arange(ledger.trials, dtype=np.int32), values=values, origins=origins)
    splits = {split: Targets.of(ledger, split) for split in FIRST_IDS}
    for split, targets in splits.items():
        write_table(folder / "targets" / f"{split}.parquet", "targets", target_columns(ledger, targets))
    finalists = choose(ledger, write_phase(folder, ledger, "search", splits["tune"], trials))
    last = trials.take(sorted(set(finalists.values())))
    for phase in ("select", "test"):
        write_phase(folder, ledger, phase, splits[phase], last)
    steps = ablation(trials.take([0, finalists["oracle"]]))
    write_phase(folder, ledger, "ablation", splits["test"], steps)
    described = truth.described() | _known(ledger, truth.improvement(values), finalists)
    (folder / "finalists.json").write_text(json.dumps(finalists))
    (folder / "truth.json").write_text(json.dumps(described))
    (folder / "plan.json").write_text(json.dumps(plan(ledger)))
    return described


def choose(ledger: Ledger, scores: Scores) -> dict[str, int]:
    """The finalists by what was measured, as a study chooses them."""
    gain = scores.psnr_db - scores.psnr_db[0]
    loss = scores.log_loss - scores.log_loss[0]
    steered = [ledger.domains.index(name) for name in ledger.steered]
    chosen = {
        "published": 0,
        "oracle": int(np.nanargmax(gain[:, steered].mean(axis=1))),
        "observable": int(np.nanargmin(loss[:, steered].mean(axis=1))),
    }
    by_domain = {f"oracle_{name}": int(np.nanargmax(gain[:, column])) for column, name in enumerate(ledger.domains)}
    return chosen | by_domain


def ablation(ends: Trials) -> Trials:
    """The way from the first of two trials to the second, one parameter at a time, `balls` with what hangs on it."""
    first, second = ends.values
    steps = [first]
    for column in range(first.size):
        step = steps[-1].copy()
        step[column] = second[column]
        lost = np.isnan(second) | np.isnan(first)
        if column == 0:
            step[lost] = second[lost]
        if not np.array_equal(step, steps[-1], equal_nan=True):
            steps.append(step)
    origins = ("published", *["search"] * (len(steps) - 1))
    return Trials(numbers=np.arange(len(steps), dtype=np.int32), values=np.array(steps), origins=origins)


def write_phase(folder: Path, ledger: Ledger, phase: str, targets: Targets, trials: Trials) -> Scores:
    """What was measured, after writing all rows of a phase, a pack of trials at a time."""
    per_pack = max(1, ROWS_PER_PACK // targets.number.size)
    parts = []
    for begin in range(0, trials.numbers.size, per_pack):
        pack = trials[begin : begin + per_pack]
        name = str(Span(phase=phase, first=int(pack.numbers[0]), last=int(pack.numbers[-1])))
        stream = np.random.default_rng(derive_seed(ledger.seed, "rows", name))
        rows = Rows.draw(ledger, phase, targets, pack, stream)
        for table, columns in rows.tables().items():
            write_table(folder / table / PACKED / f"{name}.parquet", table, columns)
        parts.append(rows.scores())
    return Scores(
        psnr_db=np.concatenate([part.psnr_db for part in parts]),
        log_loss=np.concatenate([part.log_loss for part in parts]),
    )


def _known(ledger: Ledger, improvement: Array, finalists: Mapping[str, int]) -> dict[str, object]:
    """What is true of the trials that were drawn: gains [dB], the best by domain, and the regret between domains."""
    best = improvement.argmax(axis=0)
    regret = improvement[best, np.arange(best.size)] - improvement[best]  # [tuned on, valued on]
    names = ledger.domains
    return {
        "seed": ledger.seed,
        "noise_db": ledger.noise_db,
        "improvement_db": dict(zip(names, np.round(improvement.T, 4).tolist(), strict=True)),
        "best": dict(zip(names, best.tolist(), strict=True)),
        "regret_db": {a: dict(zip(names, row, strict=True)) for a, row in zip(names, regret.tolist(), strict=True)},
        "finalists_db": {
            choice: dict(zip(names, improvement[trial].tolist(), strict=True)) for choice, trial in finalists.items()
        },
    }


def plan(ledger: Ledger) -> dict[str, object]:
    """What `plan.json` says of the study that might have written this."""
    return {
        "space": "ood", "method": "gifd", "task": "planted", "victim": "lenet", "control": "none",
        "labels": "inferred", "metric": "psnr_db", "other_metrics": [], "objective": "oracle", "sampler": "auto",
        "random_share": ledger.random_share, "gallery": 0, "authors_ranges": False, "budget": BUDGET,
        "seed": ledger.seed, "domains": list(ledger.domains), "steered_domains": list(ledger.steered),
        "targets_per_domain": ledger.targets_per_domain, "test_targets_per_domain": ledger.test_targets_per_domain,
        "fixed": [], "parameters": [parameter.described() for parameter in ledger.truth.parameters],
        "keep_targets": False, "pictures": None, "schema_version": SCHEMA_VERSION,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--trials", type=int, default=200, help="of the search (default %(default)s)")
    parser.add_argument("--targets-per-domain", type=int, default=4, help="that tune (default %(default)s)")
    parser.add_argument("--test-targets-per-domain", type=int, default=8, help="(default %(default)s)")
    parser.add_argument("--domains", default=",".join(DOMAINS), help="comma separated (default %(default)s)")
    parser.add_argument("--stages", type=int, default=10, help="of a trial, on average (default %(default)s)")
    parser.add_argument("--null", action="store_true", help="no config and no layer differs from another")
    parser.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        ledger = Ledger(
            trials=arguments.trials,
            targets_per_domain=arguments.targets_per_domain,
            test_targets_per_domain=arguments.test_targets_per_domain,
            domains=tuple(arguments.domains.split(",")),
            stages=arguments.stages,
            null=arguments.null,
            seed=arguments.seed,
        )
        write_ledger(arguments.folder, ledger)
    except ValueError as error:
        parser.error(str(error))
    print(f"{arguments.folder}: {ledger.trials} trials, {ledger.targets_per_domain} targets per domain; see truth.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
