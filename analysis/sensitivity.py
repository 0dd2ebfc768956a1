"""Which parameters matter, how much, and how sure that is. `python -m analysis.sensitivity RESULTS`.

Writes under RESULTS/analysis the figures sensitivity, sensitivity_surrogate (where a surrogate has skill) and ablation
(where the path was run), each as PNG and PDF with its caption and the CSV of its numbers. All but the ablation is
valued on the search's tuning targets: it explains the search, it makes no claim about new images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pandas as pd

from analysis.ablation import ablation, ablation_lines
from analysis.ablation_figure import ablation_caption, ablation_figure
from analysis.command import run_command
from analysis.figures import publish, style
from analysis.load import Results
from analysis.parameters.by_part import importances_by_domain, importances_by_objective
from analysis.parameters.claims import Claims, claim_lines, surrogate_claims
from analysis.parameters.effects import effect_curves, effect_points
from analysis.parameters.fanova import fanova_importances
from analysis.parameters.importance import distinguishable, importances
from analysis.parameters.searched import MATCHING_LOSS, SearchedTrials, searched_trials, steered, trials_everywhere
from analysis.parameters.survivors import beside_random, random_importances, random_verdict
from analysis.sensitivity_figure import leading_parameters, sensitivity_caption, sensitivity_figure
from analysis.surrogate_figure import surrogate_caption, surrogate_figure

SEED = 0
FIGURE, SURROGATE, ABLATION = "sensitivity", "sensitivity_surrogate", "ablation"
PARTIAL, PAIRS, TUNABILITY = "sensitivity_partial_dependence", "sensitivity_interactions", "sensitivity_tunability"


def write_sensitivity(results: Results) -> pd.DataFrame:
    """The table of `importances` with all that stands beside it, after writing figures and CSVs.

    Raises ValueError where no parameter can have an importance.
    """
    everywhere = trials_everywhere(results)
    return _write(everywhere, steered(everywhere, results), results)[0]


def _write(everywhere: SearchedTrials, trials: SearchedTrials, results: Results) -> tuple[pd.DataFrame, list[str]]:
    """The table, and what the surrogate says in lines."""
    folder = results.path / "analysis"
    with ThreadPoolExecutor(max_workers=1) as beside:  # forests let other threads run
        claimed = beside.submit(_claims, trials, results.metric.unit)
        table = importances(trials, seed=SEED)
        if table["importance"].isna().all():
            raise ValueError(
                "importance needs a parameter that six trials have with differing values, this search has none; "
                "continue the study with more trials"
            )
        by_domain = importances_by_domain(everywhere, seed=SEED)
        scores = {results.metric.column: trials, MATCHING_LOSS.column: _by_matching_loss(results)}
        by_objective = importances_by_objective(
            {name: part for name, part in scores.items() if part is not None}, seed=SEED
        )  # fmt: skip
        claims, lines = claimed.result()
    table = _beside(table, trials, claims)
    leading = leading_parameters(table)
    points = effect_points(trials, leading["parameter"].tolist())
    curves = effect_curves(points, logarithmic=leading.loc[leading["log"], "parameter"].tolist())
    with style():
        publish(
            sensitivity_figure(table, by_domain, by_objective, points, curves, unit=results.metric.unit),
            folder / FIGURE,
            caption=sensitivity_caption(trials, results.metric.unit),
            tables={
                "sensitivity": table.drop(columns=["log", "choice"]),
                "sensitivity_by_domain": by_domain,
                "sensitivity_by_objective": by_objective,
                "sensitivity_effects": points,
                "sensitivity_curves": curves,
            },
            drawn_by=sensitivity_figure,
        )
    _write_surrogate(claims, trials, results)
    return table, lines


def _beside(table: pd.DataFrame, trials: SearchedTrials, claims: Claims | None) -> pd.DataFrame:
    """`table` with what the trials at random, fANOVA and the surrogate say beside it."""
    table = beside_random(table, random_importances(trials, seed=SEED))
    table = table.assign(fanova=table["parameter"].map(fanova_importances(trials, seed=SEED)))
    columns = {
        "loss": "permutation",
        "low": "permutation_low",
        "high": "permutation_high",
        "p_holm": "permutation_p_holm",
    }
    if claims is None or claims.permutation is None:
        return table.reindex(columns=[*table.columns, *columns.values()])
    beside = claims.permutation.rename(columns=columns)[["parameter", *columns.values()]]
    return table.merge(beside, on="parameter", how="left")


def _by_matching_loss(results: Results) -> SearchedTrials | None:
    """The trials valued by what an attacker sees; None where too few have it."""
    try:
        return searched_trials(results, metric=MATCHING_LOSS)
    except ValueError:
        return None


def _claims(trials: SearchedTrials, unit: str) -> tuple[Claims | None, list[str]]:
    try:
        claims = surrogate_claims(trials, seed=SEED)
    except ValueError as error:
        return None, [f"nothing is claimed of interactions and tunability: {error}"]
    return claims, claim_lines(claims, unit)


def _write_surrogate(claims: Claims | None, trials: SearchedTrials, results: Results) -> None:
    """Skill and, where there is any, what it allows; what an earlier run claimed goes where there is none."""
    folder, unit = results.path / "analysis", results.metric.unit
    skill = pd.DataFrame([] if claims is None else [asdict(claims.skill)])
    if claims is None or claims.dependence is None or claims.pairs is None:
        for name in (SURROGATE, PARTIAL, PAIRS, TUNABILITY):
            for ending in (".png", ".pdf", ".md", ".csv"):
                folder.joinpath(name + ending).unlink(missing_ok=True)
        skill.to_csv(folder / "sensitivity_skill.csv", index=False)
        return
    tables = {"sensitivity_skill": skill, PARTIAL: claims.dependence, PAIRS: claims.pairs}
    if claims.tunable is not None:
        tables[TUNABILITY] = claims.tunable
    with style():
        publish(
            surrogate_figure(claims, trials, unit=unit),
            folder / SURROGATE,
            caption=surrogate_caption(claims, trials, unit),
            tables=tables,
            drawn_by=surrogate_figure,
        )


def _importance_lines(results: Results) -> list[str]:
    everywhere = trials_everywhere(results)
    trials = steered(everywhere, results)
    table, said = _write(everywhere, trials, results)
    lines = [f"{'parameter':24} importance  95 % interval  chance  trials"]
    for _, row in table.iterrows():
        if pd.isna(row["importance"]):
            lines.append(f"{row['parameter']:24} too few trials or one value only            {row['num_trials']:6d}")
            continue
        verdict = "cannot be told apart from no effect"
        if distinguishable(row):
            verdict = random_verdict(row, int(trials.at_random.sum()))
        lines.append(
            f"{row['parameter']:24} {row['importance']:10.2f}  {row['low']:5.2f} to {row['high']:4.2f}  "
            f"{row['null_95']:6.2f}  {row['num_trials']:6d}  {verdict}"
        )
    return [*lines, *said, f"figure: {results.path / 'analysis' / FIGURE}.png"]


def _path_lines(results: Results) -> list[str]:
    table, unit = ablation(results), results.metric.unit
    if table.empty:
        raise ValueError(
            "the path from the published recipe to the tuned choice has not been run; "
            f"run: python -m study.evaluate {results.path} --ablation"
        )
    with style():
        publish(
            ablation_figure(table, unit=unit),
            results.path / "analysis" / ABLATION,
            caption=ablation_caption(table, unit),
            tables={ABLATION: table},
            drawn_by=ablation_figure,
        )
    return ablation_lines(table, unit)


def lines(results: Results) -> list[str]:
    """What can be said; what cannot is named. Raises ValueError where nothing can."""
    lines, missing = [], []
    for part in (_importance_lines, _path_lines):
        try:
            lines += part(results)
        except ValueError as error:
            missing.append(str(error))
    if not lines:
        raise ValueError("; and ".join(missing))
    return [*lines, *(f"not said: {reason}" for reason in missing)]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.sensitivity RESULTS`."""
    return run_command(argv, name="sensitivity", description="Which searched parameters drive leakage.", action=lines)


if __name__ == "__main__":
    sys.exit(main())
