"""Which parameters matter: importance, interval, chance level, and the effects. `python -m analysis.sensitivity`.

Writes under RESULTS/analysis: sensitivity.png and .pdf, sensitivity.csv (importances), sensitivity_effects.csv (the
points) and sensitivity_curves.csv (the smoothed lines). Valued on the search's tuning targets: it explains the search,
it makes no claim about new images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd

from analysis.command import run_command
from analysis.effects import effect_curve, effect_points
from analysis.figures import save, style
from analysis.importance import distinguishable, importances, searched_trials
from analysis.load import Results
from analysis.sensitivity_figure import NUM_EFFECTS, sensitivity_figure

SEED = 0


def write_sensitivity(results: Results) -> pd.DataFrame:
    """The table of `importances`, after writing figure and CSVs to `results.path / "analysis"`."""
    trials = searched_trials(results)
    table = importances(trials, seed=SEED)
    leading = table.dropna(subset=["importance"]).head(NUM_EFFECTS)
    if leading.empty:
        raise ValueError(
            "importance needs a parameter that six trials have with differing values, this search has none; "
            "continue the study with more trials"
        )
    points = effect_points(trials, leading["parameter"].tolist())
    curves = pd.concat(
        effect_curve(points[points["parameter"] == row["parameter"]], log=bool(row["log"])).assign(
            parameter=row["parameter"]
        )
        for _, row in leading.iterrows()
    )
    folder = results.path / "analysis"
    folder.mkdir(exist_ok=True)
    table.drop(columns=["log", "choice"]).to_csv(folder / "sensitivity.csv", index=False)
    points.to_csv(folder / "sensitivity_effects.csv", index=False)
    curves[["parameter", "value", "improvement", "low", "high", "num_trials"]].to_csv(
        folder / "sensitivity_curves.csv", index=False
    )
    with style():
        save(sensitivity_figure(table, points, curves, unit=results.metric.unit), folder / "sensitivity")
    return table


def _lines(results: Results) -> list[str]:
    table = write_sensitivity(results)
    lines = [f"{'parameter':24} importance  95 % interval  chance  trials"]
    for _, row in table.iterrows():
        if pd.isna(row["importance"]):
            lines.append(f"{row['parameter']:24} too few trials or one value only            {row['num_trials']:6d}")
            continue
        verdict = "" if distinguishable(row) else "  cannot be told apart from no effect"
        lines.append(
            f"{row['parameter']:24} {row['importance']:10.2f}  {row['low']:5.2f} to {row['high']:4.2f}  "
            f"{row['null_95']:6.2f}  {row['num_trials']:6d}{verdict}"
        )
    return [*lines, f"figure: {results.path / 'analysis' / 'sensitivity.png'}"]


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of `python -m analysis.sensitivity RESULTS`."""
    return run_command(argv, name="sensitivity", description="Which searched parameters drive leakage.", action=_lines)


if __name__ == "__main__":
    sys.exit(main())
