"""From the published recipe to the tuned choice, one step at a time, every step run on the same test targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.comparisons import holm
from analysis.improvement import improvement_matrix, paired_improvement
from analysis.load import Results
from analysis.stats import Estimate, mean_interval
from study.schema import TABLES

PHASE = "ablation"
COLUMNS = [
    "domains", "step", "changed", "gain", "gain_low", "gain_high", "p_holm",
    "total", "total_low", "total_high", "num_targets",
]  # fmt: skip


def ablation(results: Results) -> pd.DataFrame:
    """One row per (domains, step) of the path, step 0 the published recipe: COLUMNS; the metric's unit.

    gain: mean paired difference to the step before on the targets that both have a score for; total: to step 0.
    Intervals are t over targets, stratified by domain (`mean_interval`); p_holm is corrected over the steps of the
    path. Domains that steered the search stand together, each other one alone. A step has the gain that it has in this
    order: where parameters interact, another order divides the total otherwise. Empty without a phase `ablation`.
    """
    columns = ["phase", "trial", "domain", "target_id", results.metric.column]
    rows = results.reconstructions(columns, PHASE)
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    changed = _changes(results)
    steered = [domain for domain in results.steered_domains if domain in set(rows["domain"])]
    others = [[str(domain)] for domain in sorted(set(rows["domain"]) - set(steered))]
    tables = []
    for domains in ([steered] if steered else []) + others:
        path = _path(rows[rows["domain"].isin(domains)], results)
        if not path.empty:
            tables.append(path.assign(domains=", ".join(domains), changed=path["step"].map(changed).fillna("")))
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def _path(rows: pd.DataFrame, results: Results) -> pd.DataFrame:
    improvements = paired_improvement(rows, metric=results.metric)
    if improvements.empty:
        return improvements
    values, steps, domains = improvement_matrix(improvements)
    table = []
    for place, step in enumerate(steps):
        before = values[place - 1] if place and steps[place - 1] == step - 1 else np.full(domains.size, np.nan)
        table.append((step, *_numbers(values[place] - before, domains), *_numbers(values[place], domains)))
    names = ["step"]
    for kind in ("gain", "total"):
        names += [kind, f"{kind}_low", f"{kind}_high", f"{kind}_p", f"{kind}_targets"]
    path = pd.DataFrame(table, columns=names)
    path.loc[path["step"] == 0, [name for name in names if name.startswith("gain")]] = np.nan
    counted = path["gain_targets"].where(path["gain"].notna(), path["total_targets"]).astype(int)
    return path.assign(p_holm=holm(path["gain_p"].to_numpy(dtype=np.float64)), num_targets=counted)


def _numbers(values: Any, domains: Any) -> tuple[float, float, float, float, int]:
    known = np.isfinite(values)
    if not known.any():
        return np.nan, np.nan, np.nan, np.nan, 0
    found = mean_interval(values[known], domains[known])
    bounds = (np.nan if number is None else number for number in (found.low, found.high, found.p_value))
    low, high, p_value = bounds
    return found.mean, low, high, p_value, found.num_targets


def _changes(results: Results) -> dict[int, str]:
    """What each step changed, in words, by its number."""
    trials = results.trials()
    path = trials[trials["phase"] == PHASE].sort_values("trial").set_index("trial")
    parameters = path[[name for name in path.columns if name not in TABLES["trials"].names]]
    words = {}
    for number, after in zip(parameters.index.tolist(), (row for _, row in parameters.iterrows()), strict=True):
        if number == 0 or number - 1 not in parameters.index:
            words[number] = "published recipe" if number == 0 else "?"
            continue
        words[number] = change(_present(parameters.loc[number - 1]), _present(after))
    return words


def _present(parameters: pd.Series[float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in parameters.dropna().items()}


def change(before: dict[str, float], after: dict[str, float]) -> str:
    """The parameters that differ, in words: `lr_last 0.1 -> 0.003, balls 1 -> 0 (without latent_radius)`."""
    if not before:
        return "into the space"
    moved = [f"{name} {before[name]:.3g} -> {after[name]:.3g}" for name in after if _differs(name, before, after)]
    came = _few([f"{name} {after[name]:.3g}" for name in sorted(after.keys() - before.keys())])
    gone = _few(sorted(before.keys() - after.keys()))
    words = ", ".join(moved) or ("with " + ", ".join(came) if came else "")
    if moved and came:
        words += f" (with {', '.join(came)})"
    if gone:
        words += f" (without {', '.join(gone)})" if words else f"without {', '.join(gone)}"
    return words or "nothing"


def _few(names: list[str]) -> list[str]:
    """One or two names as they are, more of them as a number."""
    return names if len(names) <= 2 else [f"{len(names)} parameters that depend on it"]


def _differs(name: str, before: dict[str, float], after: dict[str, float]) -> bool:
    return name in before and not np.isclose(before[name], after[name], rtol=1e-9, atol=0)


def claimed(row: pd.Series[Any]) -> bool:
    """Whether the step did something: its corrected p-value is at most 0.05."""
    return bool(row["p_holm"] <= 0.05)


def ablation_lines(table: pd.DataFrame, unit: str) -> list[str]:
    """The path in words, a line a step."""
    lines = []
    for domains, path in table.groupby("domains", sort=False):
        last = path.iloc[-1]
        lines.append(f"published recipe -> tuned choice on {domains}, every step run ({last['num_targets']} targets):")
        for _, row in path[path["step"] > 0].iterrows():
            if pd.isna(row["gain"]):
                lines.append(f"  {row['step']:2d}  {row['changed']}: no target has a score here and in the step before")
                continue
            verdict = "" if claimed(row) else "  cannot be told apart from no effect"
            lines.append(f"  {row['step']:2d}  {row['changed']}: {_estimate(row, 'gain').brief(unit)}{verdict}")
        lines.append(f"      together: {_estimate(last, 'total').brief(unit)}")
    return lines


def _estimate(row: pd.Series[Any], kind: str) -> Estimate:
    low, high = (None if pd.isna(row[f"{kind}_{end}"]) else float(row[f"{kind}_{end}"]) for end in ("low", "high"))
    return Estimate(float(row[kind]), low, high, int(row["num_targets"]))
