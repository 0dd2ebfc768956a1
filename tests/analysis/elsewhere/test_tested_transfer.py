from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_ledger import Ledger

from analysis import generalization
from analysis.elsewhere import tested_transfer
from analysis.elsewhere.tested_transfer import adjusted
from analysis.load import Results, load_results
from analysis.stats import mean_interval

Write = Callable[[Ledger], Path]
FINALISTS = {"published": 0, "oracle": 7, "oracle_art": 3, "oracle_photo": 5, "oracle_sketch": 5}


def matrix(results: Results) -> pd.DataFrame:
    return tested_transfer.tested_transfer(results, generalization.tested_improvement(results))


def sketch_dislikes_warmup(params: Mapping[str, float], domain: str) -> float:
    return -6 * params["warmup"] / 0.3 if domain == "sketch" else 0.0


def test_a_cell_is_paired_on_the_valued_domains_test_targets(write: Write) -> None:
    results = load_results(write(Ledger(finalists=FINALISTS, effect=sketch_dislikes_warmup)))
    rows = results.reconstructions(["trial", "domain", "target_id", "psnr_db"], "test")
    scores = rows[rows["domain"] == "sketch"].pivot(index="target_id", columns="trial", values="psnr_db")
    table = matrix(results).set_index(["tuned_on", "valued_on"])
    cell = table.loc[("art", "sketch")]
    gain, regret = mean_interval(scores[3] - scores[0]), mean_interval(scores[5] - scores[3])
    assert cell[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx([gain.mean, gain.low, gain.high])
    assert cell[["regret", "low", "high"]].tolist() == pytest.approx([regret.mean, regret.low, regret.high])
    assert cell["num_targets"] == 8


def test_settings_that_are_the_same_give_up_nothing_and_are_no_test(write: Write) -> None:
    results = load_results(write(Ledger(finalists=FINALISTS)))
    table = adjusted(matrix(results)).set_index(["tuned_on", "valued_on"])
    same = table.loc[("photo", "sketch")]
    assert (same["regret"], same["low"], same["high"]) == (0, 0, 0)
    assert table["p_holm"].notna().sum() == 4  # art to and from the other two


def test_without_choices_by_domain_there_is_no_matrix(write: Write) -> None:
    results = load_results(write(Ledger()))
    assert matrix(results).empty


def test_holm_counts_the_cells_between_domains_only(write: Write) -> None:
    results = load_results(write(Ledger(finalists=FINALISTS, effect=sketch_dislikes_warmup)))
    raw = matrix(results)
    table = adjusted(raw)
    diagonal = table["tuned_on"] == table["valued_on"]
    assert table.loc[diagonal, "p_holm"].isna().all()
    smallest = raw["p_value"].min()
    assert np.nanmin(table["p_holm"]) == pytest.approx(4 * smallest)
