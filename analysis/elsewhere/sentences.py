"""What `analysis.generalization` prints: a sentence a question, no stronger than its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.elsewhere.across_studies import CARRIED, TESTED, Across
from analysis.elsewhere.robust import MEAN, WORST
from analysis.elsewhere.tables import PICTURES, SCORES, Searched
from analysis.stats import rounded

_OF = {PICTURES: "the distance of their pictures", SCORES: "the distance of their scores under the published recipe"}


def interval(mean: float, low: float, high: float, unit: str) -> str:
    """`2.4 dB (1.7 to 3.1)`."""
    digits = 1 if unit == "dB" else 3
    bounds = "no interval" if np.isnan(low) else f"{rounded(low, digits)} to {rounded(high, digits)}"
    return f"{rounded(mean, digits)} {unit} ({bounds})"


def improvement_lines(table: pd.DataFrame, unit: str) -> list[str]:
    """A line per choice and domain; both choices in one where they are the same trial."""
    lines = []
    for trial, mine in table.groupby("trial", sort=False):
        by = " and ".join(mine["choice"].unique())
        lines.append(f"on test images, trial {trial} (chosen by {by}) against the published recipe, 95 % intervals:")
        for _, row in mine.drop_duplicates("domain").iterrows():
            estimate = interval(row["mean"], row["low"], row["high"], unit)
            lines.append(f"  {row['domain']:10} {estimate}, {row['num_targets']} targets")
    return lines


def transfer_line(table: pd.DataFrame, unit: str, *, where: str) -> str:
    """How many regrets between domains can be told from zero, and the largest."""
    between = table[(table["tuned_on"] != table["valued_on"]) & table["regret"].notna()]
    told = int((between["p_holm"] <= 0.05).sum())
    largest = between.sort_values("regret").iloc[-1]
    estimate = interval(largest["regret"], largest["low"], largest["high"], unit)
    verdict = f"{told} of {len(between)}" if told else f"none of {len(between)}"
    known = "" if between["low"].notna().any() else " (there are no intervals)"
    return (
        f"settings tuned on another domain ({where}): {verdict} regrets can be told from zero (Holm){known}; "
        f"largest: tuned on {largest['tuned_on']}, valued on {largest['valued_on']}, {estimate}"
    )


def searched_lines(found: Searched, unit: str) -> list[str]:
    """The answers of the search's rows."""
    lines = [transfer_line(found.transfer_table, unit, where="tuning images, crossed"), _left_out(found.left_out, unit)]
    lines += [_robust(found.robust, unit), *_agreement(found.agreement)]
    lines += [_distance(name, found) for name in found.tests]
    return [*lines, *found.notes]


def study_lines(across: Across, unit: str) -> list[str]:
    """A line per domain of a comparison on test targets, and per domain of settings carried elsewhere."""
    lines = []
    for (kind, source, against), mine in across.table.groupby(["kind", "settings_from", "against"], sort=False):
        differs = mine["differs"].iloc[0]
        if kind == TESTED:
            lines.append(f"{source} minus {against} on shared test images ({differs}):")
            for _, row in mine.iterrows():
                told = "" if row["p_holm"] <= 0.05 else ", cannot be told apart"
                estimate = interval(row["mean"], row["low"], row["high"], unit)
                lines.append(f"  {row['domain']:10} {estimate}, {row['num_targets']} targets{told}")
        if kind == CARRIED:
            among = f"its own best is one of {mine['num_configs'].iloc[0]:.0f} configs"
            lines.append(f"the best of {source} in {against} ({differs}; {among}):")
            wide = mine.set_index(["domain", "quantity"])
            for domain in mine["domain"].unique():
                gain, regret = (wide.loc[(domain, name)] for name in ("gain", "regret"))
                told = "" if regret["p_holm"] <= 0.05 else ", cannot be told apart"
                gained = interval(gain["mean"], gain["low"], gain["high"], unit)
                lost = interval(regret["mean"], regret["low"], regret["high"], unit)
                lines.append(f"  {domain:10} gains {gained}, gives up {lost} against its own best{told}")
    return [*lines, *across.notes]


def _left_out(table: pd.DataFrame, unit: str) -> str:
    mean = table.iloc[-1]
    count = f"mean of {len(table) - 1} domains"
    if mean["high"] < 0:
        estimate = interval(-mean["regret"], -mean["high"], -mean["low"], unit)
        return (
            f"settings chosen without a domain, from more targets, gain {estimate} on it over its own choice, {count}"
        )
    told = "" if mean["low"] > 0 else ", which cannot be told from nothing"
    estimate = interval(mean["regret"], mean["low"], mean["high"], unit)
    return f"settings chosen without a domain give up {estimate} on it, {count}{told}"


def _robust(table: pd.DataFrame, unit: str) -> str:
    mine, means = (table[table["choice"] == choice] for choice in (WORST, MEAN))
    worst, dearest = mine[mine["worst"]].iloc[0], mine.sort_values("regret").iloc[-1]
    gain = interval(worst["gain"], worst["gain_low"], worst["gain_high"], unit)
    regret = interval(dearest["regret"], dearest["low"], dearest["high"], unit)
    other = means[means["worst"]].iloc[0]
    instead = interval(other["gain"], other["gain_low"], other["gain_high"], unit)
    return (
        f"one config for all domains, chosen by its worst: its worst is {worst['domain']}, {gain} over the published "
        f"recipe; it costs most on {dearest['domain']}, {regret}; by all tuning targets it is trial {worst['trial']}; "
        f"chosen by the mean of domains instead, its worst is {other['domain']}, {instead}"
    )


def _agreement(table: pd.DataFrame) -> list[str]:
    lines = []
    for configs, mine in table.groupby("configs"):
        which = f"{mine['num_configs'].iloc[0]} {'random ' if configs == 'random' else ''}configs"
        line = f"rank correlation of {which} between domains {_range(mine['correlation'])}"
        known = mine.dropna(subset=["corrected"])
        if known.empty:
            lines.append(f"{line}; within a domain too little repeats to say what is noise in that")
            continue
        apart = int((known["corrected_high"] < 1).sum())
        verdict = f"{apart or 'none'} of {len(known)} pairs can be told from 1, where only noise differs"
        lines.append(f"{line}, corrected for noise {_range(known['corrected'])}: {verdict}")
    return lines


def _range(values: pd.Series[float]) -> str:
    low, high = rounded(float(values.min()), 2), rounded(float(values.max()), 2)
    return low if low == high else f"{low} to {high}"


def _distance(name: str, found: Searched) -> str:
    test = found.tests[name]
    return (
        f"regret between domains against {_OF[name]}: rank correlation {rounded(test.correlation, 2)}, "
        f"p = {rounded(test.p_value, 2)} (exact, never under {rounded(test.least_p_value, 2)}): "
        f"{test.num_pairs} pairs cannot show much"
    )
