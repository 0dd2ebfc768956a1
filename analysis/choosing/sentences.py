"""What `analysis.selection` says, no stronger than its intervals."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.choosing.agreement import BETWEEN, WITHIN
from analysis.choosing.criteria import OBSERVABLE, SHADOW
from analysis.stats import Estimate, rounded

_WORDS = {
    OBSERVABLE: "the config by matching loss",
    SHADOW: "the config that leaks most from images like those the generator was trained on, which an attacker has",
    "published": "the published recipe",
}
NO_RESTARTS = (
    "choosing among restarts cannot be judged: the ledger keeps of each stage the restart of least matching loss only"
)


def agreement_lines(table: pd.DataFrame) -> list[str]:
    """A line per kind of rank correlation."""
    lines = []
    for kind, words in ((WITHIN, "over configs on one target"), (BETWEEN, "of config means")):
        rows = table[(table["kind"] == kind) & (table["domain"] == "all")]
        for _, row in rows.iterrows():
            found = estimate(row, "rank_correlation")
            verdict = "" if found.distinguishable else _unsure(found)
            lines.append(
                f"rank correlation of matching loss and leakage {words} ({int(row['num_configs'])} configs, 1: they "
                f"choose alike): {found.describe('', decimals=2).replace('  ', ' ')}{verdict}"
            )
    return lines


def criteria_lines(table: pd.DataFrame, unit: str) -> list[str]:
    """A line per criterion, on the steered domains."""
    return [
        f"chosen on half of the tuning targets and valued on the other, {_WORDS[row['criterion']]} gives up "
        f"{_told(estimate(row, 'regret'), unit)} against the config that leaks most"
        for _, row in table[(table["domain"] == "steered") & table["criterion"].isin(list(_WORDS))].iterrows()
    ]


def price_lines(table: pd.DataFrame, unit: str) -> list[str]:
    """A line per choice of the finalists but the published recipe."""
    lines = []
    for _, row in table[(table["domain"] == "all") & table["criterion"].isin([OBSERVABLE, SHADOW])].iterrows():
        given_up = f"gives up {_told(estimate(row, 'regret'), unit)}"
        if row["same"]:
            given_up = "is the one chosen with the private images: nothing given up"
        lines.append(f"on test targets, {_WORDS[row['criterion']]} (trial {row['trial']}) {given_up}")
    return lines


def overfit_lines(table: pd.DataFrame, unit: str) -> list[str]:
    """A line per chosen trial and split of fresh targets."""
    lines = []
    for (trial, against), rows in table[table["domain"] == "all"].groupby(["trial", "against"], sort=False):
        more = _told(estimate(rows.iloc[0], "overfit"), unit)
        lines.append(
            f"{' and '.join(rows['criterion'])} choice (trial {trial}): its gain on the targets that chose it is "
            f"{more} above that on `{against}` targets"
        )
    return lines


def stage_lines(table: pd.DataFrame, unit: str) -> list[str]:
    """A line: what the kept stage gives up, of all configs and of the finalists."""
    parts = []
    for _, row in table[table["domain"] == "all"].iterrows():
        bounds = f" ({rounded(row['low'], 2)} to {rounded(row['high'], 2)})" if pd.notna(row["low"]) else ""
        parts.append(f"{row['settings']} {rounded(row['regret'], 2)} {unit}{bounds}")
    ceiling = "a ceiling, as the best of several is never worse"
    return [f"the stage of least matching loss against the one that leaked most ({ceiling}): {'; '.join(parts)}"]


def estimate(row: pd.Series[Any], name: str) -> Estimate:
    """The estimate in a row: column `name`, low and high."""
    known = pd.notna(row["low"])
    low, high = (float(row["low"]), float(row["high"])) if known else (None, None)
    return Estimate(float(row[name]), low, high, int(row["num_targets"]))


def _told(found: Estimate, unit: str) -> str:
    return found.describe(unit) + ("" if found.distinguishable else _unsure(found))


def _unsure(found: Estimate) -> str:
    return " [cannot be told from zero]" if found.low is not None else ""
