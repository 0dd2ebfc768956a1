from __future__ import annotations

import math
from pathlib import Path

import pytest
from synthetic_ledger import Ledger, write_ledger

from analysis import findings, generalization, pictures, sensitivity
from analysis.load import load_results


def test_parameters_become_columns_and_absence_stays_absent(tmp_path: Path) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(num_trials=10)))
    trials = results.trials()
    assert len(trials) == 10 + 3
    published = trials[trials["trial"] == 0].iloc[0]
    assert math.isnan(published["lr_io"])
    parameters = results.parameters()
    assert list(parameters.index) == list(range(1, 10))
    assert parameters["lr_io"].notna().all()
    assert parameters["lr_layer_2"].isna().any()


def test_only_the_asked_columns_and_phase_are_read(tmp_path: Path) -> None:
    results = load_results(write_ledger(tmp_path, Ledger(num_trials=10)))
    rows = results.reconstructions(["phase", "psnr_db"], "test")
    assert list(rows.columns) == ["phase", "psnr_db"]
    assert set(rows["phase"]) == {"test"}
    assert len(rows) == 3 * 32


def test_an_unfinished_study_has_no_finalists(tmp_path: Path) -> None:
    assert load_results(write_ledger(tmp_path, Ledger(finalists=None))).finalists is None


@pytest.mark.parametrize("module", [sensitivity, generalization, findings, pictures])
def test_a_folder_that_holds_no_study_ends_in_one_sentence(
    module: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main([str(tmp_path / "nowhere")]) == 2  # type: ignore[attr-defined]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("analysis: a results folder holds plan.json")
    assert captured.err.count("\n") == 1


def test_a_study_without_a_finished_block_says_how_to_continue(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ValueError, match=r"at least one finished block.*again to continue"):
        load_results(tmp_path)
