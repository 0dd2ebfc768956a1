from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_ledger import Ledger

from analysis.effects import effect_curve
from analysis.importance import searched_trials
from analysis.load import load_results
from analysis.sensitivity import main, write_sensitivity

Write = Callable[[Ledger], Path]


def test_figure_and_the_numbers_drawn_are_kept(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger())
    assert main([str(folder)]) == 0
    assert "lr_layer_2" in capsys.readouterr().out
    results = load_results(folder)
    table = write_sensitivity(results)
    assert (folder / "analysis" / "sensitivity.png").stat().st_size > 10_000
    kept = pd.read_csv(folder / "analysis" / "sensitivity.csv")
    assert list(kept.columns) == ["parameter", "importance", "low", "high", "null_95", "num_trials"]
    pd.testing.assert_frame_equal(kept, table.drop(columns=["log", "choice"]), check_dtype=False)
    points = pd.read_csv(folder / "analysis" / "sensitivity_effects.csv").query("parameter == 'lr_io'")
    trials = searched_trials(results)
    assert points["improvement"].tolist() == pytest.approx(trials.values().tolist())
    assert points["value"].tolist() == pytest.approx(trials.parameters["lr_io"].tolist())


def test_a_curve_bins_few_values_by_value_and_many_by_neighbours() -> None:
    few = pd.DataFrame({"value": [1.0, 1.0, 2.0, 2.0], "improvement": [0.0, 2.0, 5.0, 7.0]})
    curve = effect_curve(few, log=False)
    assert curve[["value", "improvement"]].values.tolist() == [[1.0, 1.0], [2.0, 6.0]]
    many = pd.DataFrame({"value": range(1, 25), "improvement": range(24)})
    assert effect_curve(many, log=True)["num_trials"].tolist() == [6, 6, 6, 6]
