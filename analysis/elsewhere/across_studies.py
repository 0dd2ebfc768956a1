"""Studies side by side: choices tuned on other images or in another space, and settings carried to another victim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.comparisons import holm
from analysis.elsewhere.comparable import carried, difference
from analysis.elsewhere.shared_settings import carry
from analysis.elsewhere.tested_transfer import numbers, p_value
from analysis.improvement import target_scores
from analysis.load import Results
from analysis.stats import mean_interval

TESTED, CARRIED = "tested", "carried"
COLUMNS = [
    "kind", "settings_from", "against", "valued_in", "quantity", "trial", "other_trial", "domain",
    "mean", "low", "high", "p_holm", "num_targets", "num_configs", "differs",
]  # fmt: skip


@dataclass(frozen=True)
class Across:
    """`table` in long form (`COLUMNS`), and sentences on what it cannot say."""

    table: pd.DataFrame
    notes: tuple[str, ...]


def compare_studies(studies: Sequence[Results], *, seed: int) -> Across:
    """The first study with every other one.

    Equal circumstances: the oracle's choices of both on the test targets they share (kind `tested`, quantity
    `difference`, positive where the first leaks more). Other circumstances (victim, generator, defence): the best of
    either in the other (kind `carried`, quantities `gain` over the published recipe, `own_gain` and `regret`).
    Holm's correction is over the domains of a comparison; "all" stands for itself. Raises ValueError if studies
    cannot be compared.
    """
    first, *others = studies
    names = _names(studies)
    rows: list[tuple[object, ...]] = []
    notes: list[str] = []
    for other in others:
        if not carried(first, other):
            found, said = _tested(first, other, names)
            rows += found
            notes += said
            continue
        for tuned, valued in ((first, other), (other, first)):
            try:
                rows += _carried(tuned, valued, names, notes, seed=seed)
            except ValueError as error:
                notes.append(str(error))
    if not rows:
        raise ValueError("; ".join(notes))
    return Across(pd.DataFrame(rows, columns=COLUMNS), tuple(notes))


def _names(studies: Sequence[Results]) -> dict[Path, str]:
    """What each study is called: its folder, or its whole path where two folders are called alike."""
    short = [study.path.resolve().name for study in studies]
    alike = len(set(short)) < len(short)
    return {study.path: str(study.path) if alike else name for study, name in zip(studies, short, strict=True)}


def _tested(first: Results, other: Results, names: dict[Path, str]) -> tuple[list[tuple[object, ...]], list[str]]:
    """The first's choice minus the other's, test target by test target; with their published recipes' largest gap."""
    trials = []
    for study in (first, other):
        if study.finalists is None or "oracle" not in study.finalists:
            raise ValueError(f"{study.path} has no tested choice yet; continue it to its end before it is compared")
        trials.append(study.finalists["oracle"])
    metric = first.metric
    scores = [_scores(study, trial) for study, trial in zip((first, other), trials, strict=True)]
    pairs = scores[0].merge(scores[1], on=["domain", "target_id"], suffixes=("", "_other"))
    if pairs.empty:
        raise ValueError(f"{first.path} and {other.path} share no scored test target; run them with equal options")
    change = metric.direction * (pairs["score"] - pairs["score_other"])
    estimates = {str(domain): mean_interval(part) for domain, part in change.groupby(pairs["domain"])}
    corrected = [*holm([p_value(estimate) for estimate in estimates.values()])]
    whole = mean_interval(change, pairs["domain"])
    rows = [
        (TESTED, names[first.path], names[other.path], "both", "difference", *trials, domain, *numbers(estimate), p,
         estimate.num_targets, None, difference(first, other))
        for (domain, estimate), p in zip(
            [*estimates.items(), ("all", whole)], [*corrected, p_value(whole)], strict=True)
    ]  # fmt: skip
    recipes = _scores(first, 0).merge(_scores(other, 0), on="target_id", suffixes=("", "_other"))
    gap = float(np.abs((recipes["score"] - recipes["score_other"]).to_numpy()).max(initial=0.0))
    notes = []
    if gap > 1e-3 * max(1.0, float(recipes["score"].abs().max())):
        notes.append(
            f"the published recipe differs by up to {gap:.2g} {metric.unit} between {names[first.path]} and "
            f"{names[other.path]} on the same targets: they are paired by image only, not by victim and start"
        )
    return rows, notes


def _scores(study: Results, trial: int) -> pd.DataFrame:
    rows = study.reconstructions(["trial", "domain", "target_id", study.metric.column], "test")
    return target_scores(rows[rows["trial"] == trial], study.metric)


def _carried(
    tuned: Results, valued: Results, names: dict[Path, str], notes: list[str], *, seed: int
) -> list[tuple[object, ...]]:
    found = carry(tuned, valued, seed=seed)
    here, there = names[valued.path], names[tuned.path]
    if not found.best:
        notes.append(
            f"the best settings of {there} were not run in {here}: the best of {found.num_shared} that both ran"
        )
    if found.crossed:
        notes.append(f"{there} and {here} attacked the same images: half of them choose, half value")
    own = holm(found.rows["p_value"].where(found.rows["domain"] != "all").to_numpy(dtype=np.float64))
    rows: list[tuple[object, ...]] = []
    for place, (_, row) in enumerate(found.rows.iterrows()):
        p = row["p_value"] if row["domain"] == "all" else own[place]
        quantities = (
            ("gain", row["gain"], row["gain_low"], row["gain_high"], np.nan),
            ("own_gain", row["own_gain"], np.nan, np.nan, np.nan),
            ("regret", row["regret"], row["low"], row["high"], p),
        )
        for quantity, *values in quantities:
            rows.append(
                (CARRIED, there, here, here, quantity, found.trial, found.trial_here, row["domain"], *values,
                 row["num_targets"], found.num_configs, difference(tuned, valued))
            )  # fmt: skip
    return rows
