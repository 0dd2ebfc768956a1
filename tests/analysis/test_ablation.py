from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_ledger import Ledger

from analysis.ablation import COLUMNS, ablation, ablation_lines, change, claimed
from analysis.ablation_figure import ablation_caption, ablation_figure
from analysis.load import load_results
from analysis.sensitivity import main
from analysis.stats import mean_interval
from study.schema import QUIRKS, TABLES

Write = Callable[[Ledger], Path]
DOMAINS = ("art", "cartoon", "sketch", "photo")
STEPS: Sequence[Mapping[str, float]] = (
    {"lr_last": 0.1, "balls": 1.0, "latent_radius": 2.0},
    {"lr_last": 0.01, "balls": 1.0, "latent_radius": 2.0},
    {"lr_last": 0.01, "balls": 0.0},
    {"lr_last": 0.01, "balls": 0.0, "tv_weight": 0.5},
)
GAINS = (0.0, 2.0, 0.0, 1.0)  # of each step over the one before, in dB


def write_path(
    folder: Path, *, steps: Sequence[Mapping[str, float]] = STEPS, num_targets: int = 8, noise: float = 0.3,
    lost: Callable[[int, int], bool] = lambda step, target: False, missing: int | None = None,
) -> Path:  # fmt: skip
    """Add the phase `ablation` to a ledger: a target that is `lost` in a step diverged, a `missing` step never ran."""
    rng = np.random.default_rng(1)
    common = {"phase": "ablation", "attempt": 0, "method": "gifd", "control": "none", "outcome": "ok"}
    trials, rows = [], []
    totals = np.cumsum(GAINS)
    for step, params in enumerate(steps):
        trials.append({**common, "trial": step, "origin": "search", "config": "{}", "params": list(params.items()),
                       **dict.fromkeys(QUIRKS, "")})  # fmt: skip
    for domain in DOMAINS:
        for target in range(num_targets):
            hardness = rng.normal(16, 3)
            for step in range(len(steps)):
                if step == missing:
                    continue
                score = None if lost(step, target) else hardness + totals[step] + rng.normal(0, noise)
                rows.append({**common, "trial": step, "block": 0, "target_id": f"test-{domain}-{target}",
                             "domain": domain, "split": "test", "origin": "search", "label": 0, "seed": target,
                             "psnr_db": score, "gradient_evaluations": 120, "seconds": 0.1})  # fmt: skip
    for name, table in (("trials", trials), ("reconstructions", rows)):
        pq.write_table(pa.Table.from_pylist(table, schema=TABLES[name]), folder / name / "part-ablation.parquet")
    return folder


def of_steered(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["domains"] == "art, cartoon, sketch"].set_index("step")


def test_a_gain_is_the_mean_paired_difference_to_the_step_before(write: Write) -> None:
    results = load_results(write_path(write(Ledger())))
    path = of_steered(ablation(results))
    rows = results.reconstructions(["phase", "trial", "domain", "target_id", "psnr_db"], "ablation")
    wide = rows[rows["domain"] != "photo"].pivot(index="target_id", columns="trial", values="psnr_db")
    for step in (1, 2, 3):
        assert path.loc[step, "gain"] == pytest.approx((wide[step] - wide[step - 1]).mean())
        assert path.loc[step, "total"] == pytest.approx((wide[step] - wide[0]).mean())
    assert path["gain"].sum() == pytest.approx(path.loc[3, "total"])
    assert path["num_targets"].tolist() == [24] * 4


def test_planted_steps_are_claimed_and_an_idle_one_is_not(write: Write) -> None:
    path = of_steered(ablation(load_results(write_path(write(Ledger())))))
    assert [claimed(row) for _, row in path.iterrows()] == [False, True, False, True]
    for step in (1, 3):
        assert path.loc[step, "gain_low"] < GAINS[step] < path.loc[step, "gain_high"]


def test_a_claim_is_corrected_for_the_number_of_steps(write: Write) -> None:
    results = load_results(write_path(write(Ledger())))
    path = of_steered(ablation(results))
    rows = results.reconstructions(["domain", "trial", "target_id", "psnr_db"], "ablation")
    wide = rows[rows["domain"] != "photo"].pivot(index=["domain", "target_id"], columns="trial", values="psnr_db")
    p_value = mean_interval((wide[1] - wide[0]).to_numpy(), wide.index.get_level_values("domain")).p_value
    assert p_value is not None
    assert path.loc[1, "p_holm"] == pytest.approx(3 * p_value)  # the least of three
    assert np.isnan(path.loc[0, "p_holm"])


def test_a_domain_that_did_not_steer_stands_alone(write: Write) -> None:
    table = ablation(load_results(write_path(write(Ledger()))))
    assert table["domains"].unique().tolist() == ["art, cartoon, sketch", "photo"]


def test_changes_are_named() -> None:
    assert change(dict(STEPS[0]), dict(STEPS[1])) == "lr_last 0.1 -> 0.01"
    assert change(dict(STEPS[1]), dict(STEPS[2])) == "balls 1 -> 0 (without latent_radius)"
    assert change(dict(STEPS[2]), dict(STEPS[1])) == "balls 0 -> 1 (with latent_radius 2)"
    assert change(dict(STEPS[2]), dict(STEPS[3])) == "with tv_weight 0.5"
    assert change({}, dict(STEPS[0])) == "into the space"
    assert change(dict(STEPS[0]), dict(STEPS[0])) == "nothing"


def test_a_target_that_diverged_in_a_step_is_left_out_of_its_pairs(write: Write) -> None:
    folder = write_path(write(Ledger()), lost=lambda step, target: step == 2 and target == 0)
    path = of_steered(ablation(load_results(folder)))
    assert path["num_targets"].tolist() == [24, 24, 21, 21]
    assert path.loc[3, "total"] == pytest.approx(3.0, abs=0.3)


def test_a_step_after_one_that_never_ran_has_a_total_and_no_gain(write: Write) -> None:
    table = ablation(load_results(write_path(write(Ledger()), missing=2)))
    path = of_steered(table)
    assert path.index.tolist() == [0, 1, 3]
    assert np.isnan(path.loc[3, "gain"])
    assert path.loc[3, "total"] == pytest.approx(3.0, abs=0.3)
    assert any("no target has a score" in line for line in ablation_lines(table, "dB"))
    assert ablation_figure(table, unit="dB").axes


def test_one_target_a_domain_gives_a_path_without_intervals(write: Write) -> None:
    table = ablation(load_results(write_path(write(Ledger()), num_targets=1)))
    path = of_steered(table)
    assert path["gain_low"].isna().all()
    assert not any(claimed(row) for _, row in path.iterrows())
    assert any("no interval" in line for line in ablation_lines(table, "dB"))
    assert ablation_figure(table, unit="dB").axes


def test_without_a_path_there_is_no_row(write: Write) -> None:
    table = ablation(load_results(write(Ledger())))
    assert table.empty
    assert table.columns.tolist() == COLUMNS


def test_the_command_draws_the_path_and_keeps_its_numbers(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_path(write(Ledger()))
    assert main([str(folder)]) == 0
    said = capsys.readouterr().out
    assert " 1  lr_last 0.1 -> 0.01: 2." in said
    assert "balls 1 -> 0 (without latent_radius): " in said
    assert (folder / "analysis" / "ablation.pdf").stat().st_size > 5_000
    kept = pd.read_csv(folder / "analysis" / "ablation.csv")
    assert kept["changed"].tolist()[:2] == ["published recipe", "lr_last 0.1 -> 0.01"]
    assert "art, cartoon, sketch: 24; photo: 8" in (folder / "analysis" / "ablation.md").read_text()
    assert "95 % t interval" in ablation_caption(kept, "dB")


def test_a_path_is_shown_where_importance_cannot_be(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_path(write(Ledger(num_trials=3, finalists=None)))
    assert main([str(folder)]) == 0
    said = capsys.readouterr().out
    assert "every step run" in said
    assert "not said: importance needs at least 6 searched trials" in said
