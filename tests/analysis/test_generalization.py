from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_ledger import Ledger

from analysis.elsewhere.sentences import searched_lines
from analysis.generalization import generalization, improvement_by_domain, main, write_generalization
from analysis.load import load_results
from analysis.stats import mean_interval

Write = Callable[[Ledger], Path]


def sketch_wants_the_opposite(params: Mapping[str, float], domain: str) -> float:
    distance = abs(params["warmup"] - (0.0 if domain == "sketch" else 0.3)) / 0.3
    return 4 * (1 - distance)


def test_figures_are_kept_with_their_captions_and_the_numbers_drawn(write: Write) -> None:
    results = load_results(write(Ledger(pictures=True)))
    found = write_generalization(results)
    assert found.searched is not None
    folder = results.path / "analysis"
    for name in ("generalization", "generalization_transfer", "generalization_choices"):
        assert {f"{name}.{ending}" for ending in ("png", "pdf", "md")} <= {file.name for file in folder.iterdir()}
    kept = {
        "improvement": found.improvement,
        "transfer": found.searched.transfer_table.assign(phase="search"),
        "lodo": found.searched.left_out,
        "robust": found.searched.robust,
        "rank_correlation": found.searched.agreement,
        "distance": found.searched.distance,
    }
    for name, table in kept.items():
        read = pd.read_csv(folder / f"generalization_{name}.csv")
        pd.testing.assert_frame_equal(read, table, check_dtype=False)
    assert "art 4, cartoon 4, photo 4, sketch 4" in (folder / "generalization_choices.md").read_text()
    assert found.searched.distance["picture_distance"].notna().all()


def test_a_row_is_the_paired_mean_of_its_test_targets(write: Write) -> None:
    results = load_results(write(Ledger()))
    rows = results.reconstructions(["trial", "domain", "target_id", "psnr_db"], "test")
    scores = rows[rows["domain"] == "art"].pivot(index="target_id", columns="trial", values="psnr_db")
    expected = mean_interval(scores[7] - scores[0])
    table = improvement_by_domain(results).set_index(["choice", "domain"])
    row = table.loc[("oracle", "art"), ["mean", "low", "high"]]
    assert row.tolist() == pytest.approx([expected.mean, expected.low, expected.high])
    assert table.loc[("oracle", "all"), "num_targets"] == 32


def test_transfer_is_valued_on_every_domain_of_the_search(write: Write) -> None:
    found = generalization(load_results(write(Ledger())))
    assert found.searched is not None
    transfer = found.searched.transfer
    assert transfer.domains == ("art", "cartoon", "photo", "sketch")
    assert transfer.num_configs == 24
    assert np.isfinite(transfer.low).all()


def test_where_configs_do_not_differ_nothing_is_found(write: Write) -> None:
    found = generalization(load_results(write(Ledger()))).searched
    assert found is not None
    said = "\n".join(searched_lines(found, "dB"))
    assert "none of 12 regrets can be told from zero" in said
    assert "which cannot be told from nothing" in said
    assert "too little repeats" in said


def test_a_domain_that_wants_the_opposite_is_found_from_all_sides(write: Write) -> None:
    ledger = Ledger(effect=sketch_wants_the_opposite, tune_targets=8, noise_db=0.3)
    found = generalization(load_results(write(ledger))).searched
    assert found is not None
    cells = found.transfer_table.set_index(["tuned_on", "valued_on"])["p_holm"]
    assert (cells["sketch"].drop("sketch") < 0.05).all()
    assert (cells.drop("sketch").xs("sketch", level=1) < 0.05).all()
    assert (cells.drop("sketch").drop("sketch", level=1).dropna() > 0.05).all()
    left_out = found.left_out.set_index("left_out")
    assert left_out.loc["sketch", "low"] > 0
    assert left_out.loc["art", "high"] < left_out.loc["sketch", "low"]
    pairs = found.agreement.set_index(["domain", "other"])
    assert pairs.loc[("art", "sketch"), "corrected_high"] < 0
    assert pairs.loc[("art", "photo"), "corrected"] == pytest.approx(1, abs=0.05)


def test_before_the_test_phase_only_the_search_is_drawn(write: Write) -> None:
    found = generalization(load_results(write(Ledger(finalists=None))))
    assert found.improvement.empty
    assert found.tested.empty
    assert found.searched is not None


def test_one_domain_has_no_transfer_but_an_improvement(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger(domains=("user",), steered=("user",)))
    assert main([str(folder)]) == 0
    assert "nothing of the search: transfer needs two domains at least" in capsys.readouterr().out
    assert set(pd.read_csv(folder / "analysis" / "generalization_improvement.csv")["domain"]) == {"user", "all"}


def test_one_trial_has_no_transfer_and_says_so(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(Ledger(num_trials=1, finalists=None))
    assert main([str(folder)]) == 2
    assert "needs at least two configs that were valued on every tuning target" in capsys.readouterr().err


def test_two_targets_a_domain_have_values_without_intervals(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(Ledger(tune_targets=2, num_trials=6, finalists=None)))]) == 0
    said = capsys.readouterr().out
    assert "nothing of the search has an interval" in said
    assert "no rank correlation: 6 complete configs" in said
    assert "no distance between pictures" in said


def test_choices_tested_by_domain_are_a_second_matrix_of_their_own(write: Write) -> None:
    finalists = {"published": 0, "oracle": 7, "oracle_art": 3, "oracle_photo": 5}
    results = load_results(write(Ledger(finalists=finalists)))
    write_generalization(results)
    table = pd.read_csv(results.path / "analysis" / "generalization_transfer.csv")
    assert table.groupby("phase").size().to_dict() == {"search": 16, "test": 4}
    assert table.loc[table["phase"] == "test", "num_targets"].eq(8).all()
