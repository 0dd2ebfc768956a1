"""Attacks side by side, published and tuned, with their controls. `python -m analysis.methods RESULTS RESULTS ...`.

Every number is of test targets. Methods that attacked the same targets are compared in pairs. Writes methods.csv and
the figure methods.png and .pdf with its caption.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.command import notes_of, report
from analysis.figures import publish, style
from analysis.improvement import target_scores
from analysis.load import Results, load_results
from analysis.methods_figure import methods_figure
from analysis.stats import Estimate, mean_interval, rounded

SETTINGS = ("published", "oracle", "observable")
REFERENCE = "gifd"  # the method that others are compared with, settings by settings
OUTSIDE, INSIDE = "out of distribution", "in distribution"
SHARED = ("task", "victim", "budget", "metric", "seed", "domains", "labels", "gallery")  # or no comparison is fair
_COLUMNS = [
    "method", "settings", "control", "place", "trial", "mean", "low", "high", "num_targets",
    "against_gifd", "against_low", "against_high", "rank_one", "rank_one_low", "rank_one_high", "gallery_size",
]  # fmt: skip


def check_comparable(studies: Sequence[Results]) -> None:
    """Raise ValueError unless the studies differ in their method only, and every method is there once."""
    first = studies[0]
    for study in studies[1:]:
        for name in SHARED:
            if study.plan.get(name) != first.plan.get(name):
                here, there = study.plan.get(name), first.plan.get(name)
                raise ValueError(
                    f"methods are compared on the same task at the same budget, but {name} is {there} in {first.path} "
                    f"and {here} in {study.path}; run them with equal options"
                )
    methods = [str(study.plan["method"]) for study in studies]
    doubled = sorted({method for method in methods if methods.count(method) > 1})
    if doubled:
        raise ValueError(f"each method is compared once, but {', '.join(doubled)} was given twice; leave one out")


def compare_methods(studies: Sequence[Results]) -> pd.DataFrame:
    """One row per (method, settings, control, place): mean score with its interval, paired difference to GIFD's.

    Score: the plan's metric, domains weighing alike. rank_one: share of targets that are the nearest of their gallery
    (Wilson's interval, targets of all domains alike). Diverged rows have no score and are left out; num_targets counts
    what is left. Rows whose runs are missing are missing.
    """
    check_comparable(studies)
    frames = {str(study.plan["method"]): _tested(study) for study in studies}
    rows = []
    for study in studies:
        method = str(study.plan["method"])
        for settings in SETTINGS:
            trial = (study.finalists or {}).get(settings)
            reference = _trial_of(studies, settings)
            for (control, place), part in frames[method].query("trial == @trial").groupby(["control", "place"]):
                scores = target_scores(part, study.metric)
                estimate = mean_interval(scores["score"], scores["domain"])
                against = _against(scores, frames, control, reference, study) if method != REFERENCE else None
                rank_one = _rank_one(part)
                rows.append(
                    (method, settings, control, place, trial, *_numbers(estimate), estimate.num_targets)
                    + (_numbers(against) if against is not None else (np.nan,) * 3)
                    + rank_one
                )  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _trial_of(studies: Sequence[Results], settings: str) -> int | None:
    """The trial by which the reference method chose its settings."""
    for study in studies:
        if study.plan["method"] == REFERENCE:
            return (study.finalists or {}).get(settings)
    return None


def _tested(study: Results) -> pd.DataFrame:
    """The study's rows on test targets, controls among them, with `place`: whether the generator knows the domain."""
    ranks = ["gallery_size", "rank_psnr_db"]
    columns = ["phase", "trial", "control", "domain", "target_id", study.metric.column, *ranks]
    rows = study.reconstructions(columns)
    rows = rows[rows["phase"].str.startswith("test")]
    outside = set(study.steered_domains)
    return rows.assign(place=np.where(rows["domain"].isin(list(outside)), OUTSIDE, INSIDE))


def _against(
    scores: pd.DataFrame, frames: Mapping[str, pd.DataFrame], control: object, trial: int | None, study: Results
) -> Estimate | None:
    """Mean difference to the reference method with the same way of settings, target by target; positive: leaks more."""
    if trial is None or REFERENCE not in frames:
        return None
    other = frames[REFERENCE].query("trial == @trial and control == @control")
    pairs = scores.merge(target_scores(other, study.metric), on=["domain", "target_id"], suffixes=("", "_reference"))
    if pairs.empty:
        return None
    return mean_interval(study.metric.direction * (pairs["score"] - pairs["score_reference"]), pairs["domain"])


def _rank_one(rows: pd.DataFrame) -> tuple[float, float, float, float]:
    """Share of rows whose private image is the nearest of its gallery, its interval, and the gallery's size."""
    ranked = rows.dropna(subset=["rank_psnr_db"])
    if ranked.empty:
        return (np.nan,) * 4
    first = int((ranked["rank_psnr_db"] == 1).sum())
    interval = stats.binomtest(first, len(ranked)).proportion_ci(0.95, method="wilson")
    return first / len(ranked), float(interval.low), float(interval.high), float(ranked["gallery_size"].median())


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    low = np.nan if estimate.low is None else estimate.low
    return estimate.mean, low, np.nan if estimate.high is None else estimate.high


def markdown(table: pd.DataFrame, unit: str) -> list[str]:
    """The table for a document: a line a method and settings, one column per control and place."""
    lines = []
    for place in (OUTSIDE, INSIDE):
        part = table[table["place"] == place]
        if part.empty:
            continue
        targets = sorted(set(part["num_targets"]))
        counted = str(targets[0]) if len(targets) == 1 else f"{targets[0]} to {targets[-1]}"
        controls = [name for name in dict.fromkeys(part["control"]) if name != "none"]
        head = ["method", "settings", f"score ({unit})", f"against {REFERENCE}, paired", "rank one", *controls]
        lines += [f"{place.capitalize()}, {counted} targets:", "", _line(head), _line(["---"] * len(head))]
        attacks = part[part["control"] == "none"]
        for row in attacks.to_dict("records"):
            same = part[(part["method"] == row["method"]) & (part["settings"] == row["settings"])]
            by_control = {entry["control"]: entry for entry in same.to_dict("records")}
            cells = [row["method"], row["settings"], _interval(row["mean"], row["low"], row["high"])]
            cells.append(_interval(row["against_gifd"], row["against_low"], row["against_high"]))
            cells.append(_interval(row["rank_one"], row["rank_one_low"], row["rank_one_high"], decimals=2))
            found = [by_control.get(name) for name in controls]
            cells += ["" if e is None else _interval(e["mean"], e["low"], e["high"]) for e in found]
            lines.append(_line(cells))
        lines.append("")
    return lines[:-1]


def caption(table: pd.DataFrame, study: Results) -> str:
    """What the figure shows, of how many, with which interval; the study tells what all of them share."""
    plan, score = study.plan, study.metric.column.split("_")[0].upper()
    shared = [
        f"{word} {plan[name]}"
        for name, word in (("task", "task"), ("victim", "victim"), ("budget", "budget"))
        if name in plan
    ]
    counts = []
    for place, part in table.groupby("place"):
        least, most = int(part["num_targets"].min()), int(part["num_targets"].max())
        counts.append(f"{most if least == most else f'{least} to {most}'} {place}")
    return (
        f"Leakage of {', '.join(dict.fromkeys(table['method']))} on test targets ({'; '.join(counts)}; a target whose "
        f"attack diverged is left out)"
        + (f", {', '.join(shared)}" if shared else "")
        + f". Points are means of {score} over targets, domains counting alike; bars are 95 % t intervals. "
        "Hollow: published settings; filled: settings tuned on other targets with the same budget, by the private "
        "images (oracle) or by matching loss (observable). Controls are attacked with the oracle's settings, on the "
        "same targets. The intervals are of means: differences between methods are paired, in `against_gifd`."
    )


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _interval(mean: float, low: float, high: float, *, decimals: int = 1) -> str:
    if np.isnan(mean):
        return ""
    bounds = "" if np.isnan(low) else f" ({rounded(low, decimals)} to {rounded(high, decimals)})"
    return f"{rounded(mean, decimals)}{bounds}"


def lines(paths: Sequence[str], output: Path | None) -> list[str]:
    """The tables in Markdown, after writing figure and CSV to `output`, or beside the studies."""
    studies = [load_results(path) for path in paths]
    table = compare_methods(studies)
    if table.empty:
        raise ValueError("methods are compared on test targets, and no study has run any; continue them to their end")
    folder = output or studies[0].path.resolve().parent / "analysis"
    unit = studies[0].metric.unit
    with style():
        publish(
            methods_figure(table, unit),
            folder / "methods",
            caption=caption(table, studies[0]),
            tables={"methods": table},
            drawn_by=methods_figure,
        )
    return [*markdown(table, unit), "", f"figure: {folder / 'methods.png'}", *notes_of(*studies)]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.methods RESULTS ...`."""
    parser = argparse.ArgumentParser(prog="python -m analysis.methods", description="Attacks side by side.")
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results folders, one a method")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where table and figure go (beside the studies)")
    arguments = parser.parse_args(argv)
    return report("methods", lambda: lines(arguments.results, arguments.output))


if __name__ == "__main__":
    sys.exit(main())
