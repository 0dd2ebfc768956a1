from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_ledger import Ledger

from analysis.generalization import improvement_by_domain, search_transfer, transfer_table, write_generalization
from analysis.load import load_results
from analysis.stats import mean_interval

Write = Callable[[Ledger], Path]


def test_figures_and_the_numbers_drawn_are_kept(write: Write) -> None:
    results = load_results(write(Ledger()))
    table, transfer = write_generalization(results)
    assert transfer is not None
    folder = results.path / "analysis"
    assert {"generalization.png", "generalization.pdf"} <= {file.name for file in folder.iterdir()}
    pd.testing.assert_frame_equal(pd.read_csv(folder / "generalization_improvement.csv"), table, check_dtype=False)
    kept = pd.read_csv(folder / "generalization_transfer.csv")
    pd.testing.assert_frame_equal(kept, transfer_table(transfer), check_dtype=False)


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
    transfer = search_transfer(load_results(write(Ledger())))
    assert transfer.domains == ("art", "cartoon", "photo", "sketch")
    assert transfer.num_configs == 24
    assert np.isfinite(transfer.low).all()


def test_before_the_test_phase_only_the_transfer_is_drawn(write: Write) -> None:
    results = load_results(write(Ledger(finalists=None)))
    table, transfer = write_generalization(results)
    assert table.empty
    assert transfer is not None


def test_one_domain_has_no_transfer_but_an_improvement(write: Write) -> None:
    table, transfer = write_generalization(load_results(write(Ledger(domains=("user",), steered=("user",)))))
    assert transfer is None
    assert set(table["domain"]) == {"user", "all"}
