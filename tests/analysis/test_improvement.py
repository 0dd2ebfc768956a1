from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.improvement import improvement_matrix, paired_improvement
from analysis.metric import METRICS, leakage_metric

ROWS = pd.DataFrame(
    [
        ("test", 0, "art", "x", 10.0),
        ("test", 0, "art", "x", 12.0),
        ("test", 0, "art", "y", 20.0),
        ("test", 3, "art", "x", 14.0),
        ("test", 3, "art", "y", None),
        ("search", 3, "art", "x", 99.0),
    ],
    columns=["phase", "trial", "domain", "target_id", "psnr_db"],
)


def test_improvement_pairs_the_same_target_of_the_same_phase() -> None:
    improvement = paired_improvement(ROWS, metric=METRICS["psnr_db"])
    mine = improvement[improvement["trial"] == 3]
    assert mine[["phase", "target_id", "improvement"]].values.tolist() == [["test", "x", 3.0]]


def test_less_lpips_is_more_leakage() -> None:
    rows = ROWS.rename(columns={"psnr_db": "lpips"})
    improvement = paired_improvement(rows, metric=METRICS["lpips"])
    assert improvement.loc[improvement["trial"] == 3, "improvement"].tolist() == [-3.0]


def test_the_matrix_leaves_a_gap_where_a_trial_lacks_a_target() -> None:
    values, trials, domains = improvement_matrix(paired_improvement(ROWS, metric=METRICS["psnr_db"]))
    assert trials == [0, 3]
    assert domains.tolist() == ["art", "art"]
    np.testing.assert_array_equal(values, [[0, 0], [3, np.nan]])


def test_a_study_steered_by_matching_loss_reports_psnr() -> None:
    assert leakage_metric("matching_loss").column == "psnr_db"
