"""What the tables of stages say of ledgers whose truth is known."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_ledger import Ledger
from synthetic_stages import LAYERS, Attacks, Row, stage_rows, write_stages

from analysis.load import load_results
from analysis.schedule.constraint import constraint
from analysis.schedule.means import wilson
from analysis.schedule.rows import StageRows, read_stages
from analysis.schedule.tables import best_stages, contribution, loss_against_score, prefixes, rank_correlation
from analysis.stages import main, study_stages
from benchmarks.planted_ledger import write_ledger as write_planted
from benchmarks.planted_rows import Ledger as PlantedLedger

Write = Callable[[Ledger], Path]
SMALL = Ledger(num_trials=10, domains=("art", "photo"), steered=("art",))


@pytest.fixture
def read(write: Write) -> Callable[[list[Row]], StageRows]:
    """Rows written to a ledger and read back from it."""
    folder = write(SMALL)

    def reading(rows: list[Row]) -> StageRows:
        write_stages(folder, rows)
        return read_stages(load_results(folder), "search")

    return reading


Read = Callable[[list[Row]], StageRows]


def of(table: pd.DataFrame, layer: int | None, domain: str = "all") -> pd.Series:
    chosen = table["layer"].isna() if layer is None else table["layer"] == layer
    (row,) = [row for _, row in table[chosen & (table["domain"] == domain)].iterrows()]
    return row


def wilson_of(share: float, count: int) -> tuple[float, float]:
    low, high = wilson(np.array([share], dtype=float), np.array([count]))
    return low[0], high[0]


def patchy_rows(seed: int = 1) -> list[Row]:
    """Scores and losses by chance, some absent, of schedules that skip layers."""
    rng = np.random.default_rng(seed)

    def change(row: Row) -> Row:
        gone = rng.random() < 0.2
        return row | {"psnr_db": None if gone else rng.normal(), "matching_loss": None if gone else rng.random()}

    schedules = [(0, 1, 2, 3), (0, 2, 3), (0, 3), (0,)]
    return stage_rows(Attacks(schedules=schedules, num_targets=5, change=change))


def test_a_layer_adds_what_it_was_made_to_add_whatever_its_index_in_the_schedule(read: Read) -> None:
    truth = {1: 2.0, 2: 1.0, 3: -0.5}
    schedules = [(0, 1, 2, 3), (0, 1, 3), (0, 2, 3)]  # layer 3 is the fourth stage, or the third
    table = contribution(read(stage_rows(Attacks(schedules=schedules, gain=lambda layer, domain: truth[layer]))))
    for layer, gain in truth.items():
        row = of(table, layer)
        assert row["gain_low"] < gain < row["gain_high"]
        assert row["gain_high"] - row["gain_low"] < 0.3
        assert row["num_configs"] == (3 if layer == 3 else 2)
    assert math.isnan(of(table, 0)["gain"])


def test_kept_best_and_prefix_are_what_a_loop_over_attacks_finds(read: Read) -> None:
    rows = patchy_rows()
    found = read(rows)
    attacks: dict[tuple[object, object], list[Row]] = defaultdict(list)
    for row in rows:
        attacks[row["trial"], row["target_id"]].append(row)
    for place in range(found.attack.size):
        stages = attacks[int(found.trial[place]), found.target_ids[found.target[place]]]
        known = [row for row in stages[: found.position[place] + 1] if row["psnr_db"] is not None]
        if not known:
            assert found.kept[place] == found.best[place] == -1
            continue
        kept = min(known, key=lambda row: row["matching_loss"])
        assert found.score[found.kept[place]] == pytest.approx(kept["psnr_db"], abs=1e-6)
        assert found.score[found.best[place]] == pytest.approx(max(row["psnr_db"] for row in known), abs=1e-6)


@pytest.mark.parametrize("make", [contribution, best_stages, loss_against_score, prefixes])
def test_the_order_of_rows_changes_no_table(make: Callable[[StageRows], pd.DataFrame], write: Write) -> None:
    folder = write(SMALL)
    tables = []
    for seed in (0, 1):
        write_stages(folder, patchy_rows(), seed=seed, parts=1 + seed)
        tables.append(make(read_stages(load_results(folder), "search")))
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_rank_correlation_is_kendalls(read: Read) -> None:
    found = read(patchy_rows())
    tau = rank_correlation(found)
    compared = 0
    for attack, value in enumerate(tau):
        own = (found.attack == attack) & np.isfinite(found.score)
        if own.sum() < 2:
            assert math.isnan(value)
            continue
        compared += 1
        assert value == pytest.approx(stats.kendalltau(-found.loss[own], found.score[own]).statistic)
    assert compared > 20


def test_a_domain_whose_gradient_is_fitted_at_the_image_s_cost_is_found(read: Read) -> None:
    rows = stage_rows(Attacks(gain=lambda layer, domain: -1.0 if (layer, domain) == (3, "photo") else 1.0))
    table = loss_against_score(read(rows))
    assert of(table, 3, "photo")["misled"] == 1
    assert of(table, 3, "photo")["misled_low"] == pytest.approx(wilson_of(1, 8)[0])  # eight of eight prove no certainty
    assert of(table, 3, "art")["misled"] == of(table, 2, "photo")["misled"] == 0
    assert of(table, None, "art")["rank_correlation"] == 1 > of(table, None, "photo")["rank_correlation"]
    assert of(table, 2)["matching_loss"] == pytest.approx(0.1 / 3)


def test_choosing_by_matching_loss_gives_up_what_it_was_made_to_give_up(read: Read) -> None:
    rows = stage_rows(Attacks(gain=lambda layer, domain: -2.0 if layer == 3 else 1.0, noise_db=0.05))
    table = best_stages(read(rows))
    assert of(table, 2)["best_share"] == of(table, 3)["kept_share"] == 1
    whole = of(table, None)
    assert whole["agreement"] == 0 < whole["agreement_high"] < 0.25
    assert whole["regret"] == pytest.approx(2, abs=0.1)


def test_a_ball_below_the_free_distance_is_active_and_one_above_is_idle(read: Read) -> None:
    radii = (20.0, 50.0, 400.0, None)
    attacks = Attacks(schedules=[LAYERS] * 4, radius=lambda trial: radii[trial])
    table = constraint(read(stage_rows(attacks)))
    rows = table[(table["layer"] == 2) & (table["domain"] == "all")]
    assert rows["radius_low"].tolist()[:3] == rows["radius_high"].tolist()[:3] == [20, 50, 400]
    assert rows["at_bound"].tolist()[:3] == [1, 1, 0]
    assert rows["moved_share"].tolist()[:3] == pytest.approx([1, 1, 0.25])
    assert math.isnan(rows["radius_low"].iloc[3])
    assert rows["moved_l1"].iloc[3] == 100
    assert set(rows["num_rows"]) == {16}
    assert 0 not in set(table["layer"])


def test_a_prefix_is_worth_what_it_finds_and_costs_what_it_spends(read: Read) -> None:
    table = prefixes(read(stage_rows(Attacks(schedules=[(0, 1, 3), (0, 3)]))))
    after_0, after_1, whole = of(table, 0), of(table, 1), of(table, None)
    assert after_1["difference"] == pytest.approx(-1, abs=0.15)  # layer 3 follows
    assert after_1["num_configs"] == 1
    assert after_1["evaluations_per_restart"] == 10 + 20
    assert after_1["share_of_evaluations"] == pytest.approx(30 / 60)
    assert after_0["difference"] == pytest.approx(-(2 + 1) / 2, abs=0.15)  # two layers follow, or one
    assert after_0["num_configs"] == whole["num_configs"] == 2
    assert (table["layer"] != 3).fillna(True).all()  # nothing follows it
    assert whole["evaluations_per_restart"] == (60 + 30) / 2


def test_attacks_that_diverged_are_left_out_and_counted(read: Read) -> None:
    lost = {"psnr_db": None, "matching_loss": None}
    rows = stage_rows(Attacks(change=lambda row: row | lost if row["target_id"] == "tune-art-0" else row))
    table = best_stages(read(rows))
    assert of(table, None, "art")["diverged"] == pytest.approx(1 / 8)
    assert of(table, None, "art")["num_targets"] == 7
    assert of(table, None, "photo")["diverged"] == 0


@pytest.mark.parametrize(("share", "count"), [(0, 5), (1, 5), (0.25, 8), (0.5, 100)])
def test_wilsons_interval_is_scipys(share: float, count: int) -> None:
    expected = stats.binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    assert wilson_of(share, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_claims_rest_on_the_test_phase_and_are_written_with_their_figure(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(SMALL)
    attacks = Attacks(schedules=[LAYERS] * 10)
    write_stages(folder, stage_rows(attacks) + stage_rows(attacks, phase="test", seed=1))
    assert main([str(folder)]) == 0
    said = capsys.readouterr().out
    assert "published (trial 0, 16 test targets): layer 1 1.0 dB" in said
    assert "the search (all configs, 16 tuning targets)" in said
    written = {path.name for path in (folder / "analysis").iterdir()}
    tables = {f"stages_{name}.csv" for name in ("contribution", "best", "loss_psnr", "constraint", "prefix")}
    assert written == tables | {"stages.png", "stages.pdf", "stages.md"}
    caption = (folder / "analysis" / "stages.md").read_text()
    assert "16 test targets" in caption
    assert "95 %" in caption
    table = pd.read_csv(folder / "analysis" / "stages_contribution.csv")
    assert set(zip(table["phase"], table["settings"], strict=True)) == {
        ("search", "all"), ("search", "published"), ("test", "published"), ("test", "oracle"), ("test", "observable"),
    }  # fmt: skip


def test_without_layers_the_rest_is_shown_and_what_is_missing_named(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(SMALL)
    write_stages(folder, stage_rows(Attacks(schedules=[(0,)] * 3, kind="pixels")))
    assert main([str(folder)]) == 0
    said = capsys.readouterr().out
    assert "Every schedule has a single stage" in said
    assert "balls cannot be shown" in said
    table = pd.read_csv(folder / "analysis" / "stages_loss_psnr.csv")
    assert set(table["kind"]) == {"pixels"}
    assert table["score"].notna().any()


def test_a_metric_that_stages_lack_gives_way_to_psnr(write: Write) -> None:
    folder = write(SMALL)
    (folder / "plan.json").write_text(json.dumps({"metric": "lpips", "domains": ["art", "photo"]}))
    write_stages(folder, stage_rows(Attacks()))
    assert study_stages(load_results(folder)).metric.column == "psnr_db"


def test_less_of_a_falling_metric_is_a_gain(write: Write) -> None:
    folder = write(SMALL)
    (folder / "plan.json").write_text(json.dumps({"metric": "mse", "domains": ["art", "photo"]}))
    write_stages(folder, stage_rows(Attacks()))
    table = contribution(read_stages(load_results(folder), "search"))
    assert of(table, 2)["gain"] > 0
    assert of(best_stages(read_stages(load_results(folder), "search")), 3)["best_share"] == 1


def test_stages_without_any_score_end_in_one_sentence(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(SMALL)
    write_stages(folder, stage_rows(Attacks(change=lambda row: row | {"psnr_db": None, "matching_loss": None})))
    assert main([str(folder)]) == 2
    assert "holds no stage with a score" in capsys.readouterr().err


@pytest.mark.parametrize("null", [False, True])
def test_what_layers_add_is_recovered_from_a_planted_ledger_and_nothing_is_found_in_a_null_one(
    null: bool, tmp_path: Path
) -> None:
    planted = PlantedLedger(trials=40, targets_per_domain=8, stages=4, seed=5, null=null)
    write_planted(tmp_path / "planted", planted)
    table = study_stages(load_results(tmp_path / "planted")).tables["contribution"]
    truth = np.diff(planted.truth.path(), axis=1)  # [domains, layers from 1]
    rows = table[(table["domain"] != "all") & table["gain_low"].notna()]
    gains = np.array([truth[planted.domains.index(row["domain"]), row["layer"] - 1] for _, row in rows.iterrows()])
    covered = (rows["gain_low"] <= gains) & (gains <= rows["gain_high"])
    assert len(rows) > 40
    assert covered.mean() > 0.85  # 95 % of many, which share their targets
    found = (rows["gain_low"] > 0) | (rows["gain_high"] < 0)
    assert found.mean() < 0.15 if null else found.mean() > 0.3
