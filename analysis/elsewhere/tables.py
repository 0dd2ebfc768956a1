"""What the rows of a study say of other images: every table of `analysis.generalization`, none written yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.crossing import cross
from analysis.elsewhere.agreement import rank_agreement
from analysis.elsewhere.distance import picture_distances, score_distances
from analysis.elsewhere.leave_one_out import left_out_rules, left_out_table
from analysis.elsewhere.mantel import Mantel, mantel
from analysis.elsewhere.robust import chosen_from_all, robust_rules, robust_table
from analysis.elsewhere.tested_transfer import adjusted
from analysis.load import Results
from analysis.transfer import NUM_SPLITS, Transfer, transfer_of, transfer_table, worth_of
from analysis.valued import Valued, valued_configs

PICTURES, SCORES = "picture", "score"  # what a distance between domains is measured by


@dataclass(frozen=True)
class Searched:
    """What the search's rows say, choices crossed.

    `tests`: how regret goes with each distance that could be had; `notes`: sentences on what could not.
    """

    transfer: Transfer
    transfer_table: pd.DataFrame
    left_out: pd.DataFrame
    robust: pd.DataFrame
    agreement: pd.DataFrame
    distance: pd.DataFrame
    tests: dict[str, Mantel]
    notes: tuple[str, ...]


def searched(results: Results, *, seed: int) -> Searched:
    """All tables of the search. Raises ValueError with under two complete configs, domains, or targets in a domain."""
    configs = valued_configs(results)
    crossings = cross(configs.domains, num_splits=NUM_SPLITS, seed=seed)
    robust = robust_rules(crossings.domains)
    worth = worth_of(configs.values, crossings, [*left_out_rules(crossings.domains), *robust])
    transfer = transfer_of(worth, num_configs=len(configs.values))
    trials = chosen_from_all(configs.values, worth, robust, [int(trial) for trial in configs.trials])
    distance, tests, notes = _distance(results, configs, transfer)
    if min(crossings.counts) < 3:
        notes = ["a domain has two tuning targets: nothing of the search has an interval; tune with more", *notes]
    agreement = _agreement(configs)
    if agreement.empty:
        notes = [*notes, f"no rank correlation: {len(configs.values)} complete configs, it needs 8"]
    return Searched(
        transfer, adjusted(transfer_table(transfer)), left_out_table(worth), robust_table(worth, trials=trials),
        agreement, distance, tests, tuple(notes),
    )  # fmt: skip


def _agreement(configs: Valued) -> pd.DataFrame:
    """Rank correlations over all configs, and over those drawn at random: a search crowds where all domains gain."""
    tables = [
        rank_agreement(configs.values[which], configs.domains).assign(configs=name)
        for name, which in (("all", np.ones(len(configs.values), dtype=np.bool_)), ("random", configs.drawn))
    ]
    return pd.concat([table for table in tables if not table.empty] or tables[:1], ignore_index=True)


def _distance(
    results: Results, configs: Valued, transfer: Transfer
) -> tuple[pd.DataFrame, dict[str, Mantel], list[str]]:
    """One row per pair of domains: distances and the mean regret of both directions; the tests; what is missing."""
    tables = {SCORES: score_distances(configs.published, configs.domains, transfer.domains)}
    notes = []
    pictures = picture_distances(results.targets(), transfer.domains)
    if pictures is None:
        notes.append("no distance between pictures: the study keeps no private images of two targets per domain")
    else:
        tables[PICTURES] = pictures
    regret = (transfer.regret + transfer.regret.T) / 2
    one, other = np.triu_indices(len(transfer.domains), 1)
    names = np.array(transfer.domains)
    frame = pd.DataFrame({"domain": names[one], "other": names[other]})
    frame["picture_distance"] = np.nan if pictures is None else pictures[one, other]
    frame["score_distance"] = tables[SCORES][one, other]
    frame["mean_regret"] = regret[one, other]
    tests = {name: test for name, table in tables.items() if (test := mantel(table, regret)) is not None}
    for name in (PICTURES, SCORES):
        test = tests.get(name)
        frame[f"{name}_correlation"] = np.nan if test is None else test.correlation
        frame[f"{name}_p_value"] = np.nan if test is None else test.p_value
    return frame, tests, notes
